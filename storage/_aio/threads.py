"""Worker threads for an event loop: bounded in number, and never left behind by a cancelled task."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast

from storage._stop import Stop, Stopped, current
from storage.exceptions import MissingDependencyError

try:
    import anyio
    import anyio.to_thread
    from anyio.lowlevel import RunVar
except ModuleNotFoundError as exc:
    raise MissingDependencyError("AsyncStorage needs the package 'anyio': pip install 'storage-facade[async]'") from exc

__all__ = ["Turn", "Workers"]

T = TypeVar("T")

_POLL = 0.005  # seconds between two looks at a thread whose task has been cancelled


class Turn:
    """One call in a worker thread, which ends early once the task has been cancelled."""

    def __init__(self) -> None:
        self._stop = Stop(current.get())
        self._claim = threading.Lock()
        self._ended = threading.Event()

    def run(self, function: Callable[..., T], args: tuple[Any, ...]) -> T | None:
        """``function(*args)``, unless the task was cancelled before this thread was free."""
        if not self._claim.acquire(blocking=False):
            return None
        try:
            current.set(self._stop)  # in this thread's own copy of the context
            return function(*args)
        except Stopped:
            return None  # the task raises its own exception
        finally:
            self._ended.set()

    async def end(self) -> None:
        """Tells the thread to stop, and waits until it has."""
        self._stop.set()
        if self._claim.acquire(blocking=False):
            return
        with anyio.CancelScope(shield=True):
            while not self._ended.is_set():  # noqa: ASYNC110 (the thread may be of a loop that it cannot wake)
                await anyio.sleep(_POLL)


class Workers:
    """Runs blocking calls in at most ``limit`` threads of their own, in whichever event loop it is used."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar("storage-workers")

    def _current(self) -> anyio.CapacityLimiter:
        limiter = self._limiter.get(None)
        if limiter is None:
            limiter = anyio.CapacityLimiter(self._limit)
            self._limiter.set(limiter)
        return limiter

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """``function(*args)`` in a thread, with the context of the task.

        A cancelled task raises once the thread has ended, which sends nothing more and tries nothing again.
        """
        turn = Turn()
        work = cast("Callable[[], T]", partial(turn.run, function, args))
        try:
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._current())
        except anyio.get_cancelled_exc_class():
            await turn.end()
            raise

    async def undo(self, function: Callable[..., object], *args: Any) -> None:
        """As ``run``, also in a task that is being cancelled."""
        with anyio.CancelScope(shield=True):
            await self.run(function, *args)

    async def iterate(self, iterator: Iterator[T], at_once: int) -> AsyncGenerator[T, None]:
        """The items of a blocking iterator, ``at_once`` to a turn of a thread; its errors come after the items before them."""
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
