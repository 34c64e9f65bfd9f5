"""Many threads, many stores, and a forked child."""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
import threading
import time
import traceback
import warnings
from array import array
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

import pytest

from storage import AlreadyExistsError, NotFoundError, PreconditionFailedError, Storage, UnsupportedOperationError
from storage.testing._base import Suite
from storage.testing._harness import Lack
from storage.testing._sources import Minimal, difference


def at_once(functions: Iterable[Callable[[], object]], seconds: float = 120) -> list[object]:
    """Runs all functions at the same moment, each in a thread. Fails if one of them takes longer than ``seconds``.

    Returns:
        Their results, or the exceptions they raised.
    """
    functions = list(functions)
    gate = threading.Barrier(len(functions), timeout=30)
    results: list[object] = [None] * len(functions)

    def run(place: int, function: Callable[[], object]) -> None:
        try:
            gate.wait()
            results[place] = function()
        except Exception as exc:  # it is the result
            results[place] = exc

    # Daemons, so that a thread that hangs does not keep the test run from ending.
    threads = [threading.Thread(target=run, args=each, daemon=True) for each in enumerate(functions)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    hanging = sum(thread.is_alive() for thread in threads)
    assert not hanging, f"{hanging} of {len(threads)} threads did not end within {seconds:g} s"
    return results


def one_by_one(functions: Iterable[Callable[[], object]]) -> list[object]:
    """As :func:`at_once`, one after the other."""
    return [result for function in functions for result in at_once([function])]


def in_child(function: Callable[[], str], seconds: float = 60) -> Callable[[], str]:
    """Forks, and runs ``function`` in the child at once. The call that is returned waits, and gives its answer.

    A child that raises answers with its traceback; one that hangs is ended after ``seconds``, and answers with the stacks of
    its threads.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of a fork where there are threads: that a child of such a process works is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        answer = "no answer"
        try:
            faulthandler.dump_traceback_later(seconds, exit=True, file=writer)
            answer = function()
            faulthandler.cancel_dump_traceback_later()
        except BaseException:  # the parent shows it
            answer = traceback.format_exc()
        finally:
            os.write(writer, answer.encode())
            os._exit(0)
    os.close(writer)

    def wait() -> str:
        deadline = time.monotonic() + seconds + 5
        answer = b""
        try:
            while select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
                piece = os.read(reader, 65536)
                if not piece:
                    return answer.decode()
                answer += piece
            os.kill(child, signal.SIGKILL)
            return f"the child hung: {answer.decode()}"
        finally:
            os.close(reader)
            os.waitpid(child, 0)

    return wait


class RaceTests(Suite):
    """The contract: threads, atomicity, fork."""

    def _at_once(self, functions: Iterable[Callable[[], object]]) -> list[object]:
        return one_by_one(functions) if self.lacks(Lack.RACES) else at_once(functions)

    def test_create_only_has_one_winner(self, storage: Storage, name: str) -> None:
        """Of many writers with ``overwrite=False`` exactly one stores, and what it stored is what is there."""
        stores = [storage, self.open(name), self.open(name)]
        for index in range(6):
            key = f"race/{index}"

            def writer(n: int, key: str = key) -> Callable[[], object]:

                def write() -> object:
                    stores[n % 3].set(key, f"writer {n}" * 50, overwrite=False)
                    return n

                return write

            results = self._at_once(writer(n) for n in range(12))
            if self.lacks(Lack.CREATE_ONLY):
                assert all(isinstance(result, UnsupportedOperationError) for result in results)
                continue
            winners = [result for result in results if not isinstance(result, Exception)]
            losers = [result for result in results if isinstance(result, Exception)]
            assert len(winners) == 1
            assert all(isinstance(loser, AlreadyExistsError) for loser in losers), losers
            assert storage.get(key) == f"writer {winners[0]}" * 50

    def test_compare_and_swap(self, storage: Storage, name: str) -> None:
        """5 workers that each add 10 under ``if_match`` end at 50: no increment is lost, none counted twice."""
        if self.lacks(Lack.IF_MATCH):
            with self.refused():
                storage.set("counter", "1", if_match=storage.set("counter", "0").etag)
            return
        storage.set("counter", "0")

        def patient(store: Storage) -> Callable[[], object]:
            def run() -> object:
                done = 0
                # Each refusal has one of the 40 increments of the others as its reason.
                for _ in range(10 + 40):
                    try:
                        etag = store.info("counter").etag
                        value = int(store.get("counter"))
                        store.set("counter", str(value + 1), if_match=etag)
                        done += 1
                    except PreconditionFailedError:
                        continue
                    if done == 10:
                        break
                return done

            return run

        results = self._at_once(patient(self.open(name) if n % 2 else storage) for n in range(5))
        assert results == [10] * 5
        assert storage.get("counter") == "50"

    @pytest.mark.parametrize("large", [False, True])
    def test_readers_see_old_or_new(self, storage: Storage, name: str, large: bool) -> None:
        """Whoever reads while a blob is replaced gets one version whole, with its own metadata and size."""
        size = self.harness.large_size if large else 5_000
        rounds = 3 if large else 25
        versions = [bytes([65 + n]) * (size + n) for n in range(rounds)]
        done = threading.Event()
        storage.set("a", versions[0], metadata={"version": "0"})

        def write() -> int:
            try:
                for n, data in enumerate(versions):
                    storage.set("a", Minimal(data) if n % 2 else data, metadata={"version": str(n)})
            finally:
                done.set()
            return 0

        def read(store: Storage) -> int:
            count = 0
            while not done.is_set() or not count:
                data = store.get_bytes("a")
                assert not difference(data, versions[data[0] - 65]), "a mix of two versions"
                info = store.info("a")
                assert info.metadata is not None
                assert info.size == size + int(info.metadata["version"])
                try:
                    with store.open("a") as file:
                        pieces = {file.read(1000)[:1], file.seek(size - 1000) and file.read(1)}
                    assert len(pieces) == 1, "a mix of two versions"
                except PreconditionFailedError:
                    pass
                count += 1
            return count

        other = self.open(name)
        results = self._at_once([write, partial(read, storage), partial(read, other)])
        for result in results:
            if isinstance(result, BaseException):
                raise result
        assert not difference(storage.get_bytes("a"), versions[-1])

    def test_many_calls_in_threads(self, storage: Storage) -> None:
        """A ``Storage`` that many threads use at once gives each its own answers."""

        def work(worker: int) -> Callable[[], object]:
            def run() -> object:
                for n in range(6):
                    key, value = f"{worker}/{n}", f"{worker}-{n}" * 20
                    storage.set(key, value, metadata={"who": str(worker)})
                    assert storage.get(key) == value
                    assert storage.info(key).metadata == {"who": str(worker)}
                    assert storage.get_bytes(key, start=1, end=4) == value.encode()[1:4]
                assert len(storage.list(f"{worker}/")) == 6
                for n in range(6):
                    storage.delete(f"{worker}/{n}")
                return worker

            return run

        assert self._at_once(work(worker) for worker in range(12)) == list(range(12))
        assert storage.list() == []

    def test_delete_has_one_winner(self, storage: Storage) -> None:
        """Deleting at the same moment fails with nothing but ``NotFoundError``, and never for all."""
        for index in range(5):
            key = f"k{index}"
            storage.set(key, b"1")
            results = self._at_once(partial(storage.delete, key) for _ in range(6))
            failures = [result for result in results if result is not None]
            assert all(isinstance(failure, NotFoundError) for failure in failures), failures
            assert len(failures) < 6
            assert not storage.exists(key)

    def test_parent_and_child_after_fork(self, storage: Storage) -> None:
        """Parent and forked children use one ``Storage`` at the same time, and none gets another's answer."""
        keys = {f"k{n}": f"value of {n} " * (n + 1) for n in range(30)}
        storage.set_many(keys)

        def work(who: str) -> str:
            wrong = 0
            for repeat in range(4):
                for key, value in keys.items():
                    wrong += storage.get(key) != value
                    wrong += storage.info(key).size != len(value)
                mine = f"{who}/{repeat}"
                storage.set(mine, mine)
                wrong += storage.get(mine) != mine
                wrong += dict(storage.get_many(["k1", "k2"])) != {k: keys[k].encode() for k in ("k1", "k2")}
            return f"{wrong} wrong"

        def refused() -> str:
            try:
                storage.get("k1")
            except UnsupportedOperationError as exc:
                return f"refused: {exc}"
            return "not refused"

        if self.lacks(Lack.FORK):
            assert in_child(refused)().startswith("refused: ")
            assert work("parent") == "0 wrong"
            return
        children = [in_child(partial(work, f"child{n}")) for n in range(2)]
        assert work("parent") == "0 wrong"
        assert [child() for child in children] == ["0 wrong"] * 2
        assert storage.get("parent/3") == "parent/3"

    def test_begun_before_a_fork(self, storage: Storage) -> None:
        """Iterators that are open at a fork are refused in the child, files at the latest where they would send a request.

        The parent's come to no harm.
        """
        whole = array("I", range(1_500_000)).tobytes()  # no two words are equal: what is out of place shows
        small = {f"k{n}": f"value of {n}".encode() for n in range(40)}
        storage.set("big", whole)
        storage.set_many(small)
        chunks, many, keys = storage.iter_bytes("big"), storage.get_many(small, concurrency=4), storage.iter_list()
        level, one_by_one = storage.iter_dir(), storage.get_many(small, concurrency=1)
        pieces = storage.iter_bytes("big", chunk_size=100)
        begun = next(chunks), [next(many)], [next(keys)], next(level), next(one_by_one), next(pieces)
        reader, writer = storage.open("big"), storage.open("new", "wb")
        head = reader.read(1000)
        writer.write(whole)
        steps: dict[str, Callable[[], bool]] = {
            "iter_bytes": lambda: not difference(begun[0] + b"".join(chunks), whole),
            "get_many": lambda: dict([*begun[1], *many]) == small,
            "iter_list": lambda: sorted([*begun[2], *keys]) == sorted(["big", *small]),
            "next of iter_dir": lambda: next(level) is not None,
            "next of get_many": lambda: next(one_by_one) is not None,
            "next of iter_bytes": lambda: next(pieces) == whole[100:200],
            "read": lambda: not difference(head + reader.read(), whole),
        }

        def go_on() -> str:
            wrong = []
            for name, step in steps.items():
                try:
                    if not step() or name != "read":
                        wrong.append(name)
                except UnsupportedOperationError as exc:
                    if "fork" not in str(exc):
                        wrong.append(f"{name}: {exc}")
            with suppress(UnsupportedOperationError):
                writer.write(b"of the child")
                wrong.append("write")
            with suppress(UnsupportedOperationError):
                writer.close()
            return ", ".join(wrong) or "all right"

        def drop() -> str:
            nonlocal chunks, many, keys, level, one_by_one, pieces, reader, writer
            many.close()  # type: ignore[attr-defined]
            with suppress(UnsupportedOperationError):
                reader.close()
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always", ResourceWarning)
                chunks = many = keys = level = one_by_one = pieces = reader = writer = None  # type: ignore[assignment]
                steps.clear()
                gc.collect()
            # An event loop has some of its own to give.
            return f"dropped, {sum('unclosed blob' in str(warning.message) for warning in warned)} warnings"

        child = in_child(go_on)
        assert in_child(drop)() == "dropped, 0 warnings"
        assert [name for name, step in steps.items() if not step()] == []
        assert child() == "all right"
        writer.close()
        reader.close()
        assert not difference(storage.get_bytes("new"), whole)
