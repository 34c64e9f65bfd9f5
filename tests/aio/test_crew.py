"""The threads that make the calls of an asyncio loop: few, reused, gone when they are not needed, and quick."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from contextvars import ContextVar

import pytest
import trio

from storage import AsyncStorage
from storage._aio import crew as crews
from storage._aio.threads import Workers
from storage.backends.memory import MemoryBackend

word: ContextVar[str] = ContextVar("word", default="none")


_others: list[threading.Thread] = []


@pytest.fixture(autouse=True)
def _threads_of_others():
    """A store that an earlier test left behind may have threads until it is collected: they are not counted."""
    _others[:] = _all()
    yield
    _others.clear()


def _all() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("storage-async")]


def threads() -> list[threading.Thread]:
    return [thread for thread in _all() if thread not in _others]


def gone(seconds: float = 10) -> bool:
    """Whether they all end, in time. What an earlier test left behind may need one for a moment, meanwhile."""
    deadline = time.monotonic() + seconds
    while found := threads():
        if time.monotonic() > deadline:
            return False
        found[0].join(0.1)
    return True


@pytest.fixture
def workers():
    made = Workers(4)
    yield made
    made.close()
    assert gone()


def test_calls_one_after_the_other_share_a_thread(workers):
    async def main():
        return {await workers.run(threading.get_native_id) for _ in range(50)}

    assert len(asyncio.run(main())) == 1


def test_calls_at_once_have_threads_up_to_the_limit(workers):
    together = threading.Barrier(4)

    def meet() -> int:
        together.wait(10)
        return threading.get_native_id()

    async def main():
        return await asyncio.gather(*(workers.run(meet) for _ in range(12)))

    assert len(set(asyncio.run(main()))) == 4


def test_results_and_errors_reach_their_own_tasks(workers):
    def work(number: int) -> int:
        if number % 3 == 0:
            raise ValueError(number)
        return number

    async def main():
        return await asyncio.gather(*(workers.run(work, number) for number in range(300)), return_exceptions=True)

    for number, result in enumerate(asyncio.run(main())):
        assert result == number if number % 3 else (type(result), result.args) == (ValueError, (number,))


def test_what_a_task_cannot_raise_is_wrapped(workers):
    def stop():
        raise StopIteration

    async def main():
        with pytest.raises(RuntimeError, match="StopIteration"):
            await workers.run(stop)
        return await workers.run(int, "7")

    assert asyncio.run(main()) == 7


def test_a_call_has_the_context_of_its_task_and_leaves_it_alone(workers):
    def look() -> str:
        before = word.get()
        word.set("changed")
        return before

    async def one(name: str) -> tuple[str, str]:
        word.set(name)
        return await workers.run(look), word.get()

    async def main():
        return await asyncio.gather(*(one(f"task {number}") for number in range(20)))

    assert asyncio.run(main()) == [(f"task {number}", f"task {number}") for number in range(20)]


def test_threads_end_when_there_is_nothing_to_do_and_come_back(workers, monkeypatch):
    monkeypatch.setattr(crews, "_IDLE_SECONDS", 0.02)

    async def main():
        at_once = []
        together = threading.Barrier(4, lambda: at_once.extend(threads()))
        await asyncio.gather(*(workers.run(together.wait, 10) for _ in range(4)))
        assert len(at_once) == 4
        for _ in range(5):
            if await asyncio.to_thread(gone, 2):
                break
            # Before Python 3.13 a `SimpleQueue.get` whose time is up while another thread takes the item waits for the next one.
            await workers.run(int, "7")
        else:
            pytest.fail(f"{threads()} do not end")
        return await workers.run(int, "7")

    assert asyncio.run(main()) == 7


def test_no_call_is_lost_between_threads_that_end_and_threads_that_begin(workers, monkeypatch):
    monkeypatch.setattr(crews, "_IDLE_SECONDS", 0.0005)

    async def main():
        for number in range(400):
            assert await asyncio.wait_for(workers.run(int, number), 10) == number
            if number % 3 == 0:
                await asyncio.sleep(0.001)

    asyncio.run(main())


def test_threads_end_with_their_loop(workers, monkeypatch):
    monkeypatch.setattr(crews, "_IDLE_SECONDS", 0.05)
    for number in range(3):
        assert asyncio.run(workers.run(int, number)) == number
    assert gone()
    assert len(workers._crews) == 1


def test_loops_in_two_threads_have_threads_of_their_own(workers):
    together = threading.Barrier(8)

    def meet() -> int:
        together.wait(10)
        return threading.get_native_id()

    async def main():
        return await asyncio.gather(*(workers.run(meet) for _ in range(4)))

    found: list[int] = []
    loops = [threading.Thread(target=lambda: found.extend(asyncio.run(main()))) for _ in range(2)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    assert len(set(found)) == 8


def test_a_store_that_is_closed_or_dropped_lets_its_threads_go():
    class Remote(MemoryBackend):
        inline = False

    async def main(*, close: bool):
        store = AsyncStorage(backend=Remote())
        await store.set("k", "v")
        if close:
            await store.close()
            assert await store.get("k") == "v"  # it opens again
            await store.close()

    for close in (True, False):
        asyncio.run(main(close=close))
        gc.collect()
        assert gone()


def test_calls_are_made_where_no_thread_can_be_started(workers, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(crews.Thread, "start", refuse)

    async def main():
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 / 0)
        return await workers.run(threading.get_ident)

    assert asyncio.run(main()) == threading.get_ident()


def test_trio_as_a_guest_of_asyncio(workers):
    """There is an asyncio loop then, but no task of it."""

    async def inside():
        return await workers.run(int, "7")

    async def main():
        loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            inside, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
        )
        return (await done).unwrap()

    assert asyncio.run(main()) == 7
    assert threads() == []


def test_handing_a_call_over_is_cheap(workers):
    """Less than half of what ``anyio.to_thread`` takes, which the rate of 64 clients needs. The best of some runs counts."""
    import anyio.to_thread

    async def cost(run) -> float:
        began = time.process_time()
        for _ in range(20):
            await asyncio.gather(*(run(int) for _ in range(32)))
        return time.process_time() - began

    async def least(run) -> float:
        return min([await cost(run) for _ in range(5)])

    async def main():
        return await least(workers.run), await least(lambda f: anyio.to_thread.run_sync(f, abandon_on_cancel=True))

    ours, anyios = asyncio.run(main())
    assert ours < anyios / 2
