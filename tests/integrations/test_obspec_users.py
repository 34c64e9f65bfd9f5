"""The readers of ``obspec-utils``, which know nothing of this library."""

from __future__ import annotations

import asyncio

import pytest
from obspec_utils.glob import glob
from obspec_utils.protocols import ReadableStore
from obspec_utils.readers import BlockStoreReader, BufferedStoreReader, EagerStoreReader
from obspec_utils.wrappers import CachingReadableStore

from storage import Storage
from storage.integrations.obspec import ObspecStore


@pytest.fixture
def store():
    store = ObspecStore(Storage("memory://"))
    for name in ("a", "b"):
        store.put(f"d/{name}.nc", bytes(range(256)) * 1000)
    return store


@pytest.mark.parametrize("reader", [BlockStoreReader, BufferedStoreReader, EagerStoreReader])
def test_readers(store, reader):
    """A file that reads ranges as it needs them."""
    with reader(store, "d/a.nc") as file:
        assert file.read(4) == b"\x00\x01\x02\x03"
        file.seek(-2, 2)
        assert file.read() == b"\xfe\xff"


def test_glob_and_wrappers(store):
    """Names by a pattern, and a cache around the store, also asynchronous."""
    assert [*glob(store, "d/*.nc")] == ["d/a.nc", "d/b.nc"]
    assert isinstance(store, ReadableStore)
    cached = CachingReadableStore(store)
    assert bytes(cached.get_range("d/a.nc", start=1, end=3)) == b"\x01\x02"
    assert bytes(asyncio.run(cached.get_range_async("d/b.nc", start=1, length=2))) == b"\x01\x02"
