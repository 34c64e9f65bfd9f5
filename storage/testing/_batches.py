"""Many at once."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from storage import InvalidKeyError, NotFoundError, Storage, StorageError
from storage.backends import Backend
from storage.testing._base import Suite, still_running
from storage.testing._sources import Boom
from storage.testing._spy import Spy

T = TypeVar("T")


class Slow(Spy):
    """Every write takes until :attr:`raised`, or a while: long enough to be seen under way by whoever does not wait for it."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.raised = threading.Event()
        self.running = 0

    def _run(self, method: str, path: str | None, function: Callable[[], T]) -> T:
        del path
        with self._lock:
            self.running += 1
        try:
            if method == "put":
                self.raised.wait(0.05)
            return function()
        finally:
            with self._lock:
                self.running -= 1


class BatchTests(Suite):
    """The contract: ``set_many``, ``get_many``, ``delete_many``."""

    @pytest.mark.parametrize("concurrency", [None, 1, 20])
    def test_there_and_back(self, storage: Storage, concurrency: int | None) -> None:
        """What goes in comes out in the order asked for, with any concurrency."""
        items: dict[str, Any] = {f"k/{n}": b"%d" % n for n in range(30)}
        storage.set_many(items, concurrency=concurrency)
        storage.set_many(((key, value) for key, value in items.items()), "tmp", concurrency=concurrency)
        keys = list(reversed(items))
        for storage_type in ("data", "tmp"):
            got = list(storage.get_many(keys, storage_type, concurrency=concurrency))
            assert got == [(key, items[key]) for key in keys]
        storage.delete_many(iter(keys), concurrency=concurrency)
        assert storage.list() == []
        assert len(storage.list(storage_type="tmp")) == 30

    def test_every_kind_of_value_in_a_batch(self, storage: Storage) -> None:
        """``set_many`` takes what ``set`` takes."""
        values: dict[str, Any] = {"a": "é", "b": bytearray(b"b"), "c": io.BytesIO(b"c"), "d": [b"d", b"d"]}
        storage.set_many(values)
        assert dict(storage.get_many(list("abcd"))) == {"a": "é".encode(), "b": b"b", "c": b"c", "d": b"dd"}
        assert storage.info("a").content_type == "application/octet-stream"

    def test_nothing(self, storage: Storage) -> None:
        """Nothing to do is nothing done."""
        storage.set_many({})
        storage.set_many([])
        storage.delete_many([])
        assert list(storage.get_many([])) == []
        assert storage.list() == []

    def test_repeated_keys(self, storage: Storage) -> None:
        """A key may be asked for, and deleted, more than once."""
        storage.set("a", b"1")
        assert list(storage.get_many(["a", "a", "a"])) == [("a", b"1")] * 3
        storage.delete_many(["a", "b", "a"])
        assert not storage.exists("a")

    def test_delete_many_ignores_absent_keys(self, storage: Storage) -> None:
        """Absent keys are no failure, and more keys than one request takes are deleted too."""
        keys = [f"k{n:05}" for n in range(storage.backend.batch_size + 50)]
        storage.set_many((key, b"") for key in keys[:: len(keys) // 20])
        storage.set("stays", b"1")
        storage.delete_many(keys)
        assert storage.list() == ["stays"]

    def test_get_many_raises_the_first_failure_in_order(self, storage: Storage) -> None:
        """What comes before the failure is given; of several failures the first in order is raised, with its key."""
        storage.set_many({f"k{n}": b"%d" % n for n in range(20)})
        keys = [f"k{n}" for n in range(5)] + ["absent-1"] + [f"k{n}" for n in range(5, 20)] + ["absent-2"]
        got: list[str] = []
        results = storage.get_many(keys, concurrency=4)
        with pytest.raises(NotFoundError) as caught:
            got.extend(key for key, _ in results)
        assert got == keys[:5]
        assert caught.value.key == "absent-1"
        with pytest.raises(InvalidKeyError) as invalid:
            list(storage.get_many(["k1", "../x", "k2"]))
        assert invalid.value.key == "../x"

    def test_set_many_raises_once_the_others_have_ended(self, storage: Storage) -> None:
        """A failure carries its key, and nothing is still being written when it is raised."""
        spy = Slow(storage.backend)
        items = [(f"k{n}", b"1") for n in range(10)] + [("a//b", b"1"), ("..", b"2")]
        with pytest.raises(InvalidKeyError) as caught:
            Storage(backend=spy).set_many(items, concurrency=4)
        assert spy.running == 0
        spy.raised.set()
        assert caught.value.key == "a//b"
        Storage(backend=spy).delete_many(f"k{n}" for n in range(10))
        with pytest.raises(TypeError):
            storage.set_many({"a": 5}, concurrency=4)  # type: ignore[dict-item]
        with pytest.raises(InvalidKeyError) as invalid:
            storage.delete_many(["k1", "/"])
        assert invalid.value.key == "/"

    def test_a_source_that_raises(self, storage: Storage) -> None:
        """What the caller's own iterable raises comes as it is, and nothing hangs."""

        def pairs() -> Iterator[tuple[str, bytes]]:
            yield from ((f"k{n}", b"1") for n in range(5))
            raise Boom

        def keys() -> Iterator[str]:
            yield from (f"k{n}" for n in range(3))
            raise Boom

        with pytest.raises(Boom):
            storage.set_many(pairs())
        storage.set_many((f"k{n}", b"1") for n in range(5))
        with pytest.raises(Boom):
            list(storage.get_many(keys()))
        with pytest.raises(Boom):
            storage.delete_many(keys())

    def test_look_ahead_is_bounded(self, storage: Storage) -> None:
        """``get_many`` and ``set_many`` take from an endless source no more than they soon need."""
        storage.set("k", b"1")
        taken = 0

        def endless() -> Iterator[str]:
            nonlocal taken
            for taken in range(1, 10_000):  # noqa: B007 (endless for whoever looks ahead; a fault must not hang the test)
                yield "k"

        results = storage.get_many(endless(), concurrency=4)
        for _ in range(10):
            assert next(results) == ("k", b"1")
        assert taken <= 10 + 4 * 4
        results.close()  # type: ignore[attr-defined]
        assert storage.get_bytes("k") == b"1"

    def test_given_up_early(self, storage: Storage) -> None:
        """A ``get_many`` that is given up leaves no thread behind, and the store works on."""
        storage.set_many({f"k{n}": b"1" for n in range(30)})
        for _ in range(5):
            results = storage.get_many((f"k{n}" for n in range(30)), concurrency=8)
            next(results)
            results.close()  # type: ignore[attr-defined]
        assert not still_running("storage-batch")
        assert len(list(storage.get_many(f"k{n}" for n in range(30)))) == 30

    def test_concurrency_is_kept(self, storage: Storage) -> None:
        """No more calls are in flight than asked for, and at least one."""
        running = most = 0
        lock = threading.Lock()
        gate = threading.Barrier(3, timeout=20)

        def enter(name: str) -> None:
            nonlocal running, most
            if name != "get":
                return
            with lock:
                running += 1
                most = max(most, running)
            gate.wait()
            with lock:
                running -= 1

        store = Storage(backend=Spy(storage.backend, before=enter))
        store.set_many({f"k{n}": b"1" for n in range(9)})
        assert len(list(store.get_many([f"k{n}" for n in range(9)], concurrency=3))) == 9
        assert most == 3
        store.delete_many([f"k{n}" for n in range(9)])
        for wrong in (0, -1):
            with pytest.raises(ValueError, match="concurrency"):
                storage.set_many({"a": b"1"}, concurrency=wrong)

    def test_a_failing_backend(self, storage: Storage) -> None:
        """Where one call fails, the failure is raised with its key, and those in flight have ended."""
        failing = threading.Event()

        def enter(name: str) -> None:
            if name == "put" and failing.is_set():
                raise NotFoundError

        store = Storage(backend=Spy(storage.backend, before=enter))
        store.set_many({f"k{n}": b"1" for n in range(4)})
        failing.set()
        with pytest.raises(StorageError) as caught:
            store.set_many([(f"n{n}", b"1") for n in range(9)], concurrency=3)
        assert caught.value.key == "n0"
        failing.clear()
        store.delete_many([f"k{n}" for n in range(4)])
