"""Runs blocking calls in threads for an event loop, and ends them when their task is cancelled."""

from __future__ import annotations

from _thread import allocate_lock
from asyncio import AbstractEventLoop, current_task
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import islice
from typing import Any, TypeVar, cast

from storage._aio.crew import Crew
from storage._stop import Stop, Stopped, current
from storage.exceptions import MissingDependencyError

try:
    import anyio
    import anyio.to_thread
    from anyio.lowlevel import RunVar
except ModuleNotFoundError:
    _has_anyio = False  # which `from storage import *` does not need
else:
    _has_anyio = True

T = TypeVar("T")

_POLL = 0.005  # seconds between two looks at a thread whose task has been cancelled


class Job:
    """One call in a worker thread, which ends early once the task has been cancelled."""

    def __init__(self, function: Callable[..., T], args: tuple[Any, ...]) -> None:
        self._function, self._args = function, args
        self._stop = Stop(current.get())
        self._claim = allocate_lock()
        self._ended = False

    def run(self) -> Any:
        """Makes the call, unless the task was cancelled before this thread was free."""
        if not self._claim.acquire(blocking=False):
            return None
        try:
            current.set(self._stop)  # in this thread's own copy of the context
            return self._function(*self._args)
        except Stopped:
            return None  # the task raises its own exception
        finally:
            self._ended = True

    async def end(self) -> None:
        """Tells the thread to stop, and waits until it has."""
        self._stop.set()
        if self._claim.acquire(blocking=False):
            return
        with anyio.CancelScope(shield=True):
            while not self._ended:  # noqa: ASYNC110 (the thread may be of a loop that it cannot wake)
                await anyio.sleep(_POLL)


class Workers:
    """Runs blocking calls in at most ``limit`` threads of their own, in whichever event loop it is used."""

    def __init__(self, limit: int) -> None:
        self._crews: dict[AbstractEventLoop, Crew] = {}
        if not _has_anyio:
            raise MissingDependencyError("AsyncStorage needs the package 'anyio': pip install 'storage-facade[async]'")
        self._limit = limit
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar("storage-workers")

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """``function(*args)`` in a thread, with the context of the task.

        A cancelled task raises once the thread has ended, which sends nothing more and tries nothing again.
        """
        job = Job(function, args)
        crew = self._crew()
        try:
            if crew is not None:
                return cast("T", await crew.call(job.run))
            return cast(
                "T", await anyio.to_thread.run_sync(job.run, abandon_on_cancel=True, limiter=self._current_limiter())
            )
        except anyio.get_cancelled_exc_class():
            await job.end()
            raise

    def _crew(self) -> Crew | None:
        """The threads of this loop; ``None``: it is not asyncio's."""
        try:
            task = current_task()
        except RuntimeError:
            return None
        if task is None:  # trio, as a guest of an asyncio loop
            return None
        loop = task.get_loop()
        crew = self._crews.get(loop)
        if crew is None:
            self._crews = {other: crew for other, crew in self._crews.items() if not other.is_closed()}
            crew = self._crews[loop] = Crew(loop, self._limit)
        return crew

    def _current_limiter(self) -> anyio.CapacityLimiter:
        limiter = self._limiter.get(None)
        if limiter is None:
            limiter = anyio.CapacityLimiter(self._limit)
            self._limiter.set(limiter)
        return limiter

    def close(self) -> None:
        """Lets the threads end; a later call has new ones."""
        crews, self._crews = self._crews, {}
        for crew in crews.values():
            crew.close()

    def __del__(self) -> None:
        self.close()

    async def undo(self, function: Callable[..., object], *args: Any) -> None:
        """As ``run``, also in a task that is being cancelled."""
        with anyio.CancelScope(shield=True):
            await self.run(function, *args)

    async def iterate(self, iterator: Iterator[T], at_once: int) -> AsyncGenerator[T, None]:
        """The items of a blocking iterator, ``at_once`` in each call of a thread; its errors come after the items before them."""
        try:
            going = True
            while going:
                items, failure = await self.run(_take, iterator, at_once)
                for item in items:
                    yield item
                if failure is not None:
                    raise failure
                going = len(items) == at_once
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                await self.undo(close)


def _take(iterator: Iterator[T], count: int) -> tuple[list[T], Exception | None]:
    items: list[T] = []
    try:
        items.extend(islice(iterator, count))
    except Exception as exc:
        return items, exc
    return items, None
