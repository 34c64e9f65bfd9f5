"""A call that is cancelled is undone, promptly, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone

import anyio
import anyio.lowlevel
import pytest

from storage import AsyncStorage, UnavailableError
from storage._retry import Attempts, Retries
from storage.backends import PutOptions, Stat
from storage.backends.memory import MemoryBackend

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


class SlowBackend(MemoryBackend):
    """A store on a slow network: each request takes its time, and parts that nobody took back are counted."""

    inline = False
    chunk_size = MIB
    concurrency = 4

    def __init__(self, seconds: float = 0.05) -> None:
        super().__init__()
        self.seconds = seconds
        self.writers = 0
        self.at_once = 0
        self.most_at_once = 0
        self._count = threading.Lock()

    def _wait(self) -> None:
        with self._count:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.seconds)
        with self._count:
            self.at_once -= 1

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        self._wait()
        return super().put(path, data, options)

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        self._wait()
        return super().get(path, start, end, if_match)

    def writer(self, path: str, options: PutOptions, size: int | None = None):
        self.writers += 1
        return SlowWriter(self, super().writer(path, options, size))


class SlowWriter:
    def __init__(self, backend, writer):
        self._backend, self._writer = backend, writer

    def write(self, data):
        self._backend._wait()
        self._writer.write(data)

    def commit(self):
        self._backend.writers -= 1
        return self._writer.commit()

    def abort(self):
        self._backend.writers -= 1
        self._writer.abort()


@pytest.fixture
def backend():
    return SlowBackend()


@pytest.fixture
def storage(backend):
    return AsyncStorage(backend=backend)


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(MIB)


async def endless_async():
    while True:
        yield bytes(MIB)


class EndlessFile(io.RawIOBase):
    def readable(self):
        return True

    def readinto(self, buffer):
        return len(buffer)


@pytest.mark.parametrize("source", [endless, endless_async, EndlessFile])
async def test_a_cancelled_upload_leaves_the_old_blob_and_no_parts(storage, backend, source):
    """An upload without end is cancelled half way: the old blob stands, and its writer was told to forget."""
    await storage.set("key", "old")
    began = anyio.current_time()
    with anyio.move_on_after(0.2) as scope:
        await storage.set("key", source())
    assert scope.cancelled_caught
    assert anyio.current_time() - began < 10
    assert await storage.get("key") == "old"
    assert backend.writers == 0
    assert backend.at_once == 0


async def test_a_cancelled_set_file_is_undone(storage, backend, tmp_path):
    """A file that is being sent in pieces when its task ends is not published."""
    (tmp_path / "large").write_bytes(bytes(60 * MIB))
    with anyio.move_on_after(0.3) as scope:
        await storage.set_file("key", tmp_path / "large")
    assert scope.cancelled_caught
    assert not await storage.exists("key")
    assert backend.writers == 0


async def test_a_cancelled_get_file_leaves_what_stood_there(storage, tmp_path):
    """A named file that was being replaced still holds the old bytes, and nothing lies beside it."""
    await storage.set("key", bytes(20 * MIB))
    target = tmp_path / "target"
    target.write_text("old")

    def slow(_: int) -> None:
        time.sleep(0.3)

    with anyio.move_on_after(0.1) as scope:
        await storage.get_file("key", target, progress=slow)
    assert scope.cancelled_caught
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


async def test_an_exception_in_an_open_file_leaves_the_old_blob(storage, backend):
    """Also when the exception is a cancellation."""
    await storage.set("key", "old")
    with anyio.move_on_after(0.2) as scope:
        async with storage.open("key", "wb") as file:
            while True:
                await file.write(bytes(MIB))
    assert scope.cancelled_caught
    assert await storage.get("key") == "old"
    assert backend.writers == 0


async def test_a_cancelled_batch_begins_nothing_more(storage, backend):
    """``set_many`` over endless items ends with its task."""
    with anyio.move_on_after(0.3) as scope:
        await storage.set_many((f"key-{number}", b"x") for number in range(10**9))
    assert scope.cancelled_caught
    count = len(await storage.list())
    await anyio.sleep(0.2)
    assert len(await storage.list()) == count
    assert backend.at_once == 0


async def test_get_many_closed_half_way_leaves_no_thread(storage):
    """Whoever stops reading leaves no request behind."""
    await storage.set_many({f"key-{number}": b"x" for number in range(50)})
    iterator = storage.get_many(f"key-{number}" for number in range(50))
    assert await anext(iterator) == ("key-0", b"x")
    await iterator.aclose()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("storage-batch")]


async def test_a_cancelled_call_is_not_tried_again():
    """A task that is cancelled during the wait before a retry ends at once, and no further request is made."""
    backend = MemoryBackend()
    backend.inline = False
    tries = 0

    def get(path, start=0, end=None, if_match=None):
        nonlocal tries
        attempts = Attempts(Retries(total=5, backoff_factor=1000, backoff_max=1000))
        while True:
            tries += 1
            attempts.failed(UnavailableError("down"), status=503)

    backend.get = get
    storage = AsyncStorage(backend=backend)
    began = anyio.current_time()
    with anyio.move_on_after(0.1) as scope:
        await storage.get("key")
    assert scope.cancelled_caught
    assert anyio.current_time() - began < 2
    assert tries == 1


async def test_timeouts_of_anyio(storage, backend):
    """``fail_after`` raises ``TimeoutError`` once the request under way has ended."""
    await storage.set("key", "old")
    backend.seconds = 0.2
    with pytest.raises(TimeoutError), anyio.fail_after(0.05):
        await storage.get("key")
    assert backend.at_once == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_timeouts_of_asyncio(storage, backend, anyio_backend):
    """``asyncio.wait_for`` too."""
    await storage.set("key", "old")
    backend.seconds = 0.2
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(storage.get("key"), 0.05)
    assert backend.at_once == 0


async def test_a_call_cancelled_before_a_thread_was_free_never_runs(storage, backend):
    """With all threads busy, a call whose task gives up is not made later."""
    await storage.set("key", "old")
    busy, go_on = threading.Semaphore(0), threading.Event()

    def hold() -> None:
        busy.release()
        assert go_on.wait(30)

    backend._wait = hold
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(storage.get, "key")
        for _ in range(backend.concurrency):
            await anyio.to_thread.run_sync(busy.acquire)
        with anyio.move_on_after(0.01) as scope:
            await storage.set("late", "x")
        go_on.set()
    assert scope.cancelled_caught
    assert not await storage.exists("late")


async def test_a_thousand_calls_open_no_thousand_threads(storage, backend):
    """The threads are the store's own and bounded, whatever other libraries do with theirs."""
    backend.seconds = 0.001
    await storage.set("key", "value")
    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(storage.get, "key")
    assert backend.most_at_once <= 8


async def held(work) -> float:
    """The most processor time, in seconds, that the event loop spent between two turns while ``work`` ran."""
    longest = 0.0
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            nonlocal longest
            while True:
                before = time.thread_time()
                await anyio.lowlevel.checkpoint()
                longest = max(longest, time.thread_time() - before)

        tasks.start_soon(watch)
        await work()
        tasks.cancel_scope.cancel()
    return longest


@pytest.mark.parametrize("scheme", ["file", "memory"])
async def test_no_call_holds_the_loop(tmp_path, scheme):
    """While a store is busy with large blobs and long listings, the loop turns every 5 ms.

    The loop's own processor time is measured, and the best of five runs counts: what other programs and the system's memory
    add comes and goes, what the library does on the loop comes every time. (Larger blobs would measure how long the system
    takes to give back the memory of what the test drops.)
    """
    storage = AsyncStorage("memory://" if scheme == "memory" else f"file://{tmp_path}/store?fsync=false")

    async def work() -> None:
        await storage.set("large", bytes(8 * MIB))
        await storage.get("large")
        await storage.set_many((f"many/{number:05}", b"x") for number in range(1000))
        assert len([key async for key in storage.iter_list("many/")]) == 1000
        assert sum([len(piece) async for piece in storage.iter_bytes("large", chunk_size=65536)]) == 8 * MIB
        await storage.get_file("large", tmp_path / "copy")
        await storage.set_file("again", tmp_path / "copy")

    gc.disable()  # the collector goes through everything that pytest holds, which is not ours to measure
    try:
        for _ in range(5):
            longest = await held(work)
            if longest < 0.005:
                return
    finally:
        gc.enable()
    raise AssertionError(f"held the loop for {longest * 1000:.1f} ms")


def test_the_sum_of_it_leaves_no_thread_behind():
    """When the loop ends, every thread it had ends too."""
    before = set(threading.enumerate())

    async def main() -> None:
        async with AsyncStorage(backend=SlowBackend(0)) as storage:
            await storage.set("key", "value")
            assert (await storage.info("key")).last_modified <= datetime.now(timezone.utc)

    anyio.run(main)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
