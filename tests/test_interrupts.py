"""An interrupt anywhere in the library ends the call, comes out as it is, and leaves the store whole."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import storage
from storage import Storage
from tests.answers.operations import BIG, FOLDER, NEW, OPERATIONS, PROBE, SMALL, Operation
from tests.answers.test_answers import opened, small_parts
from tests.answers.wire import End, ScriptedServer, Wire

__all__ = ["small_parts"]

LIBRARY = str(Path(storage.__file__).parent)
# Whole values of the keys that operations change.
VALUES = {"small": {SMALL, b"new", b""}, "big": {BIG, NEW, b"new"}, "probe": {PROBE}}
# Python's own file classes call these where no exception can come out: `tell` when a file is opened, `close` when one is dropped.
BELOW_C = {"__del__", "tell"}
# These drop an open file, or a generator that has more to give, which Python closes where no exception can come out.
DROPPED = {"open to read", "open to read text", "list of two"}


# What an interrupt keeps from being closed is closed when it is dropped, and Python tells of that.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


class Interrupt(BaseException):
    """As the KeyboardInterrupt of a signal handler; nothing else raises it."""


Place = tuple[str, int, str]


class Places:
    """What ``sys.setprofile`` takes: notes where Python looks for signals in the library, in this thread, and interrupts one.

    Python looks where a function begins and after each call of a function in C; also where a generator goes on, which is left
    out, since that may be to close a generator that was dropped. Functions of ``contextlib`` that the library calls count, too.

    Args:
        target: the place that is interrupted, the first time that it is reached.
    """

    def __init__(self, target: Place | None = None) -> None:
        self.target, self.reached = target, False
        self.seen: dict[Place, None] = {}

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if self.reached or event not in ("call", "c_return"):
            return
        name = frame.f_code.co_name if event == "call" else getattr(arg, "__qualname__", "")
        is_generator = event == "call" and frame.f_code.co_flags & inspect.CO_GENERATOR
        if event == "call" and frame.f_code.co_filename == contextlib.__file__ and frame.f_back is not None:
            frame = frame.f_back
        if is_generator or not frame.f_code.co_filename.startswith(LIBRARY) or below_c(frame):
            return
        place = frame.f_code.co_filename[len(LIBRARY) + 1 :], frame.f_lineno, f"{event} {name}"
        self.seen[place] = None
        if place == self.target:
            self.reached = True
            raise Interrupt


def below_c(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename.startswith(LIBRARY):
        if frame.f_code.co_name in BELOW_C:
            return True
        frame = frame.f_back
    return False


def profiled(places: Places, operation: Operation, store: Storage, directory: Path) -> BaseException | None:
    """Makes the call, inside the handler of an exception, as a caller may; what came out."""
    before = sys.getprofile()
    try:
        raise LookupError("the caller's own")
    except LookupError:
        sys.setprofile(places)
        try:
            operation.run(store, directory)
        except BaseException as exc:
            return exc
        finally:
            sys.setprofile(before)
    return None


def whole(store: Storage, others: set[threading.Thread]) -> Iterator[str]:
    """What is wrong with the store after an interrupt. ``others``: threads that are none of its calls'."""
    for key, values in VALUES.items():
        found = [store.get_bytes(key)] if store.exists(key) else []
        if not set(found) <= values:
            yield f"{key!r} is torn"
    deadline = time.monotonic() + 10
    while threads := [thread for thread in set(threading.enumerate()) - others if thread.name.startswith("storage-")]:
        if time.monotonic() > deadline:
            yield f"threads go on: {threads}"
            return
        time.sleep(0.01)


@pytest.fixture(params=["memory", "file", "s3", "gs"])
def fresh(
    request: pytest.FixtureRequest, tmp_path: Path, small_parts: None
) -> Iterator[Callable[[Operation], Storage]]:
    """Gives a store with the blobs that the operations expect."""
    if request.param in ("s3", "gs"):
        with ScriptedServer() as server:
            driver = opened(request.param, server, 5)

            def on_server(operation: Operation) -> Storage:
                service = driver.fresh(operation)
                driver.server.script = lambda asked: Wire(service.answer(asked).raw(asked.method), End.KEEP)
                return driver.store

            yield on_server
            driver.store.close()
        return
    url = "memory://" if request.param == "memory" else f"{(tmp_path / 'store').as_uri()}?fsync=false"
    with Storage(url) as store:

        def here(operation: Operation) -> Storage:
            store.delete_many(store.iter_list())
            store.set_many({"small": SMALL, "big": BIG, "probe": PROBE, **FOLDER})
            return store

        yield here


def interrupt_each(fresh: Callable[[Operation], Storage], directory: Path, one_in: int) -> None:
    """Interrupts at each place that an operation reaches and no operation before it did; or one in so many of them."""
    tried: set[Place] = set()
    found: list[str] = []
    others = set(threading.enumerate())
    for operation in OPERATIONS:
        if operation.free or operation.name in DROPPED:
            continue
        places = Places()
        assert profiled(places, operation, fresh(operation), directory) is None, operation.name
        for place in places.seen:
            if place in tried or zlib.crc32(f"{operation.name} {place}".encode()) % one_in:
                continue
            tried.add(place)
            store = fresh(operation)
            places = Places(place)
            began = time.monotonic()
            gave = repr(profiled(places, operation, store, directory))
            faults = list(whole(store, others))
            faults += [f"{path} stays" for path in (*directory.glob(".*"), *directory.glob("folder/.*"))]
            if places.reached and gave != "Interrupt()":
                faults.append(f"gave {gave}")
            if time.monotonic() - began > 5:
                faults.append("took long")
            found += [f"{operation.name}, {place}: {fault}" for fault in faults]
    assert len(tried) > 500 / one_in
    assert not found, "\n".join(found)


def test_some_places(fresh: Callable[[Operation], Storage], tmp_path: Path) -> None:
    interrupt_each(fresh, tmp_path, 5)


@pytest.mark.slow
def test_each_place(fresh: Callable[[Operation], Storage], tmp_path: Path) -> None:
    interrupt_each(fresh, tmp_path, 1)
