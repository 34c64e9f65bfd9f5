"""zarr's own tests for stores, and a group that goes to a bucket and back."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray
import zarr
from zarr.abc.store import SuffixByteRequest
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.testing.store import StoreTests

from storage import AsyncStorage, Storage
from storage.integrations.zarr import StorageStore
from storage.testing._spy import Spy
from tests.emulators.s3 import seaweedfs  # noqa: F401

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """zarr runs on asyncio."""
    return "asyncio"


class OnAnyStore(StoreTests[StorageStore, cpu.Buffer]):
    """What all of them share; a subclass says where the store is."""

    store_cls = StorageStore
    buffer_cls = cpu.Buffer

    @pytest.fixture
    def store(self, open_kwargs: dict[str, Any]) -> StorageStore:
        return asyncio.run(self.store_cls.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs: dict[str, Any]) -> StorageStore:
        return self.store_cls(**store_kwargs)

    async def set(self, store: StorageStore, key: str, value: Any) -> None:
        await store.storage.set(key, value.to_bytes())

    async def get(self, store: StorageStore, key: str) -> Any:
        return self.buffer_cls.from_bytes(await store.storage.get_bytes(key))

    def test_store_repr(self, store: StorageStore) -> None:
        assert repr(store).startswith("StorageStore(AsyncStorage(")

    def test_store_supports_writes(self, store: StorageStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: StorageStore) -> None:
        assert store.supports_listing


class TestMemory(OnAnyStore):
    @pytest.fixture
    def store_kwargs(self) -> dict[str, Any]:
        return {"storage": AsyncStorage(f"memory://{uuid.uuid4().hex}")}


class TestFiles(OnAnyStore):
    @pytest.fixture
    def store_kwargs(self, tmp_path) -> dict[str, Any]:
        return {"storage": AsyncStorage(tmp_path)}


class TestS3(OnAnyStore):
    @pytest.fixture
    def store_kwargs(self, seaweedfs, monkeypatch) -> dict[str, Any]:  # noqa: F811
        # From the environment: a store that holds a secret is not pickled.
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.secret_key)
        return {"storage": AsyncStorage(seaweedfs.url())}


def test_a_group_goes_to_a_bucket_and_back(tmp_path, seaweedfs):  # noqa: F811
    """Written on files, synced to S3, read there, synced back: the same arrays."""
    group = zarr.create_group(StorageStore(AsyncStorage(tmp_path / "here")))
    group.create_array("t", data=np.arange(100).reshape(10, 10), chunks=(3, 3))
    group.attrs["unit"] = "K"
    url = seaweedfs.url()
    there = Storage(url, seaweedfs.auth)
    assert Storage(tmp_path / "here").sync_to(there).failed == 0
    remote = zarr.open_group(StorageStore(AsyncStorage(url, seaweedfs.auth)), mode="r")
    assert remote.attrs["unit"] == "K"
    assert (remote["t"][2:5, 4:] == np.arange(100).reshape(10, 10)[2:5, 4:]).all()
    assert there.sync_to(Storage(tmp_path / "back")).failed == 0
    back = zarr.open_group(StorageStore(AsyncStorage(tmp_path / "back")), mode="r")
    assert (back["t"][:] == group["t"][:]).all()


async def test_the_last_bytes_are_one_request():
    """Sharded arrays read the end of a file first, without knowing its size."""
    from storage.backends.memory import MemoryBackend

    spy = Spy(MemoryBackend())
    store = StorageStore(AsyncStorage(backend=spy))
    await store.storage.set("k", b"0123456789")
    spy.names.clear()
    found = await store.get("k", default_buffer_prototype(), SuffixByteRequest(3))
    assert found.to_bytes() == b"789"
    assert len(spy.names) == 1


async def test_the_size_of_a_folder():
    """A folder beside it whose name begins alike does not count."""
    store = StorageStore(AsyncStorage("memory://"))
    for key in ("c/0", "c/1/2", "cc/0"):
        await store.storage.set(key, b"1234")
    assert await store.getsize_prefix("c") == await store.getsize_prefix("c/") == 8
    assert await store.getsize_prefix("") == 12


def test_a_storage_is_no_async_storage():
    """The error says what is wanted."""
    with pytest.raises(TypeError, match="AsyncStorage, not Storage"):
        StorageStore(Storage("memory://"))


def test_fsspec_store(tmp_path):
    """zarr opens a URL of ``storage.integrations.fsspec`` too, and makes it asynchronous by itself."""
    url, options = f"storage+file://{tmp_path}/store/a.zarr", {"root": str(tmp_path / "store")}
    zarr.save_array(url, np.arange(10), storage_options=options)
    assert (zarr.open_array(url, mode="r", storage_options=options)[2:5] == np.arange(2, 5)).all()


def test_xarray_through_fsspec(place):
    """A data set in the older format of zarr, through a mapping."""
    url, options = place
    fs, path = fsspec.core.url_to_fs(f"{url}/set.zarr", **options)
    data = xarray.Dataset({"t": (("x", "y"), [[1.0, 2.0], [3.0, 4.0]])})
    data.to_zarr(fs.get_mapper(path), zarr_format=2, consolidated=True)
    with xarray.open_zarr(fs.get_mapper(path)) as found:
        assert found.load().equals(data)
