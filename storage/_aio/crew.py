"""A thread pool for one asyncio loop, quicker than ``anyio.to_thread``.

``anyio.to_thread`` takes some 60 µs to hand a call over, a third of a small call to a bucket. Here calls go through a queue,
and the loop is woken once for all calls that have ended since its last iteration.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

T = TypeVar("T")

_IDLE_SECONDS: Final = 5.0  # then a thread that has nothing to do ends


class Crew:
    """Makes calls for a loop, in at most ``most`` threads, each in a copy of the context of the task.

    All of it is used in the loop's thread, but for ``close``. A thread ends some seconds after it has nothing more to do, or the
    loop is closed.
    """

    def __init__(self, loop: AbstractEventLoop, most: int) -> None:
        self._loop, self._most = loop, most
        self._queue: SimpleQueue[tuple[Future[Any], Context, Callable[[], Any]] | None] = SimpleQueue()
        self._ended: deque[tuple[Future[Any], Any, BaseException | None] | None] = deque()
        self._told = False  # that calls have ended
        self._threads = self._busy = 0

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Has ``function()`` called in a thread."""
        future: Future[T] = self._loop.create_future()
        self._busy += 1
        if self._threads < min(self._busy, self._most):
            self._start()
        if self._threads:
            self._queue.put((future, copy_context(), function))
        else:
            self._ended.append((future, *_made(copy_context(), function)))
            self._loop.call_soon(self._tell)
        return future

    def close(self) -> None:
        """Lets the threads end once they have made the calls that were asked for."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _start(self) -> None:
        thread = Thread(target=self._work, name=f"storage-async-{self._threads}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending
            return
        self._threads += 1

    def _work(self) -> None:
        while True:
            try:
                task = self._queue.get(timeout=_IDLE_SECONDS)
            except Empty:
                self._ended.append(None)
            else:
                if task is None:
                    return
                future, context, function = task
                self._ended.append((future, *_made(context, function)))
                del task, future, context, function
            if not self._told:
                self._told = True
                try:
                    self._loop.call_soon_threadsafe(self._tell)
                except RuntimeError:
                    return  # the loop is closed, and nobody waits any more

    def _tell(self) -> None:
        """Gives the tasks of the loop what their calls have come to."""
        self._told = False  # first: what ends from here on is told of anew
        while self._ended:
            ended = self._ended.popleft()
            if ended is None:  # a thread has nothing to do
                if self._busy < self._threads:
                    self._threads -= 1
                    self._queue.put(None)
                continue
            self._busy -= 1
            future, result, error = ended
            if future.done():
                continue  # its task was cancelled
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def _made(context: Context, function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """Makes a call; its result and its exception, one of which is ``None``."""
    try:
        return context.run(function), None
    except StopIteration as exc:  # which a future cannot hold
        error = RuntimeError("a call raised StopIteration")
        error.__cause__ = exc
        return None, error
    except BaseException as exc:
        return None, exc
