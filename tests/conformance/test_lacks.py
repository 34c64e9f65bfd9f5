"""What the suite asserts of a store that lacks something: that it refuses, or does what its lack says, and no more."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from storage import Storage, UnsupportedOperationError
from storage.backends import PutOptions
from storage.backends.memory import MemoryBackend
from storage.testing import Harness, Lack
from storage.testing._base import Suite
from storage.testing._copying import CopyTests
from storage.testing._files import FileTests
from storage.testing._keys import KeyTests
from storage.testing._races import RaceTests
from storage.testing._spy import Spy
from storage.testing._tables import folded
from storage.testing._writing import WritingTests
from tests.conformance.broken import BrokenHarness


class Refusing(MemoryBackend):
    """No condition is known here, and of two keys that fold into one name the second is refused."""

    def put(self, path, data, options):
        if not options.overwrite or options.if_match is not None:
            raise UnsupportedOperationError
        if any(folded(other) == folded(path) for other in self._blobs if other != path):
            raise UnsupportedOperationError
        return super().put(path, data, options)

    def writer(self, path, options, size=None):
        if not options.overwrite or options.if_match is not None:
            raise UnsupportedOperationError
        return super().writer(path, options, size)

    def copy(self, source, target, *, overwrite, if_match=None):
        if not overwrite:
            raise UnsupportedOperationError
        return super().copy(source, target, overwrite=True, if_match=if_match)

    def move(self, source, target, *, overwrite, if_match=None):
        if not overwrite:
            raise UnsupportedOperationError
        return super().move(source, target, overwrite=True, if_match=if_match)


class IgnoresLarge(MemoryBackend):
    """Conditions hold for what comes in one piece, and for nothing else."""

    def writer(self, path, options, size=None):
        return super().writer(path, options._replace(overwrite=True, if_match=None), size)

    def copy(self, source, target, *, overwrite, if_match=None):
        return super().copy(source, target, overwrite=True, if_match=if_match)

    def move(self, source, target, *, overwrite, if_match=None):
        return super().move(source, target, overwrite=True, if_match=if_match)


class Lacking(BrokenHarness):
    def __init__(self, backend: type[MemoryBackend], *lacks: Lack) -> None:
        super().__init__(backend)
        self.lacks = dict.fromkeys(lacks, "it is made so")  # type: ignore[misc]


class Silent(Suite):
    """Nobody's store: what it lacks is not printed."""

    def lacks(self, lack: Lack) -> bool:
        return lack in self.harness.lacks


class TestRefusing(Silent):
    harness: ClassVar[Harness] = Lacking(
        Refusing, Lack.CREATE_ONLY, Lack.IF_MATCH, Lack.CREATE_ONLY_COPY, Lack.CASE, Lack.FORK
    )
    test_create_only = WritingTests.test_create_only
    test_if_match = WritingTests.test_if_match
    test_conditions_on_a_large_blob = WritingTests.test_conditions_on_a_large_blob
    test_exclusive_mode = FileTests.test_exclusive_mode
    test_create_only_copy = CopyTests.test_create_only_copy
    test_create_only_beside_a_folder = KeyTests.test_create_only_beside_a_folder
    _stored_keys = KeyTests._stored_keys
    test_nasty_keys_are_written_and_read = KeyTests.test_nasty_keys_are_written_and_read
    _at_once = RaceTests._at_once
    test_create_only_has_one_winner = RaceTests.test_create_only_has_one_winner
    test_compare_and_swap = RaceTests.test_compare_and_swap


class TestIgnoringLarge(Silent):
    harness: ClassVar[Harness] = Lacking(
        IgnoresLarge, Lack.LARGE_CREATE_ONLY_IGNORED, Lack.LARGE_IF_MATCH_IGNORED, Lack.CREATE_ONLY_COPY_IGNORED
    )
    test_create_only = WritingTests.test_create_only
    test_conditions_on_a_large_blob = WritingTests.test_conditions_on_a_large_blob
    test_create_only_copy = CopyTests.test_create_only_copy


CALLS: dict[str, Any] = {
    "put": lambda store: store.set("k", "value"),
    "writer": lambda store: store.set("large", iter([bytes(10_000_000)])),
    "get": lambda store: store.get("k"),
    "stream": lambda store: list(store.iter_bytes("k")),
    "stat": lambda store: store.info("k"),
    "copy": lambda store: store.copy("k", "l"),
    "scan page": lambda store: store.list(),
    "sign": lambda store: store.get_signed_url("k"),
    "setup": lambda store: store.setup(cors_origins=["https://a.example"]),
    "delete": lambda store: store.delete("k"),
}


@pytest.mark.parametrize("names", CALLS)
def test_a_watched_backend_passes_every_call_on(names):
    """The spy of the suite changes nothing, and remembers each call by its name."""
    backend = MemoryBackend()
    backend.put("data/k", b"value", PutOptions("text/plain"))
    spy = Spy(backend)
    plain, watched = Storage(backend=MemoryBackend()), Storage(backend=spy)
    plain.set("k", "value")
    expected, found = (CALLS[names](store) for store in (plain, watched))
    assert type(expected) is type(found)
    assert spy.names[: len(names.split())] == names.split()
    assert (spy.location, spy.bucket_exists(), spy.classify(KeyError())) == (backend.location, True, None)
