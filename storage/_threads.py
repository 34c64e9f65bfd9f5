"""A thread pool for one call by the user, or for one open file."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from storage._fork import forks
from storage._stop import SLICE, Stop, Stopped, check, current

if TYPE_CHECKING:
    from typing_extensions import Self  # 8 ms

T = TypeVar("T")


class Task(Generic[T]):
    """One call that a pool makes."""

    def __init__(self, context: Context, function: Callable[..., T], args: tuple[Any, ...]) -> None:
        self._work: tuple[Context, Callable[..., T], tuple[Any, ...]] | None = (context, function, args)
        self._result: T | None = None
        self._error: BaseException | None = None
        self._running = allocate_lock()  # held until the call has ended
        self._running.acquire()

    def run(self) -> None:
        running = self._running
        context, function, args = cast("tuple[Context, Callable[..., T], tuple[Any, ...]]", self._work)
        self._work = None
        try:
            self._result = context.run(function, *args)
        except BaseException as exc:
            self._error = exc
        finally:
            # An exception's traceback holds this frame, which must not hold the exception, nor megabytes.
            del self, context, function, args
            running.release()

    def cancel(self) -> None:
        """Ends it before it has begun."""
        self._work, self._error = None, Stopped()
        self._running.release()

    def result(self) -> T:
        """Waits for the end, and returns or raises what the call did; ``Stopped`` if the call that waits is stopped."""
        # Never without end: a Ctrl-C that comes just before such a wait begins is not seen until it is over.
        while not self._running.acquire(timeout=SLICE):
            check()
        self._running.release()
        try:
            if self._error is not None:
                raise self._error
            return cast("T", self._result)
        finally:
            del self  # as above


class Pool:
    """Makes calls in threads of its own, each in a copy of the context of the thread that made the pool.

    Where no thread can be started (the interpreter is ending), ``submit`` makes the call itself. The threads are daemons, so
    that a second interrupt, which ends the wait for them, also ends the process. A block of ``with`` that ends with an exception
    sets ``stop``.

    Args:
        threads: at most.
        name: what their names begin with.
        stop: ends every call of the pool early; ``None``: a new one, which also ends with the call that makes the pool.
    """

    _begun = -1  # what `forks.count` was; -1: nothing has begun yet, or all has ended

    def __init__(self, threads: int, name: str, stop: Stop | None = None) -> None:
        self.stop = Stop(current.get()) if stop is None else stop
        self._context = copy_context()
        self._context.run(current.set, self.stop)
        self._most, self._name = threads, name
        self._queue: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._begun = forks.count

    def submit(self, function: Callable[..., T], *args: Any) -> Task[T]:
        """Has ``function(*args)`` called in one of the threads."""
        task = Task(self._context.copy(), function, args)
        if len(self._threads) < self._most:
            self._start()
        if self._threads:
            self._queue.put(task)
        else:
            task.run()
        return task

    def _start(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = Thread(target=_work, args=(self._queue,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return
        self._threads.append(thread)

    def close(self, *, wait: bool = True) -> None:
        """Lets the threads end, and waits for the calls under way; one that has not begun never does. Idempotent."""
        if self._begun != forks.count:  # the threads are the parent's
            return
        while True:
            try:
                task = self._queue.get_nowait()
            except Empty:
                break
            if task is not None:
                task.cancel()
        self._queue.put(None)
        try:
            for thread in self._threads if wait else ():
                while thread.is_alive():
                    thread.join(SLICE)  # as in Task.result
        except BaseException:
            self.stop.set()
            raise
        self._begun = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop.set()
        self.close()

    def __del__(self) -> None:
        if self._begun == forks.count:  # an interrupt came where it was to be closed
            self._queue.put(None)


def next_of(queue: SimpleQueue[T]) -> T:
    """The next item, once there is one; ``Stopped`` if the call that waits is stopped."""
    while True:
        try:
            return queue.get(timeout=SLICE)  # as in Task.result
        except Empty:
            check()


def _work(queue: SimpleQueue[Task[Any] | None]) -> None:
    # It holds no pool: one that is dropped ends its threads.
    while (task := queue.get()) is not None:
        task.run()
        del task
    # For the next thread: an interrupt may have come between the start of one and the note of it, so nobody can count them.
    queue.put(None)
