"""Schedules work on key ranges on an executor, and repeats lost pieces, until every range is done.

It does not depend on the kind of work.

A worker does a *piece* of a range and hands back the rest, so that no range keeps one worker busy while others are idle: the rest
is split again where work runs short.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any, Final, NamedTuple

from storage._stop import SLICE, check, current
from storage._types import KeyRange
from storage.exceptions import StorageError, UnavailableError

_RANGES: Final = 64  # to begin with: enough for as many workers, until it is known how many there are
_FIRST: Final = 8  # ranges for each worker to begin with, where it is known: the last one is a small part of the whole
_TO_A_WORKER: Final = 2  # tasks that should be at hand for each worker
_TRIES: Final = 5  # of a range, without any piece done in between
_REMEMBERED: Final = 600.0  # seconds after which a worker that has done nothing is taken for gone


class Work(ABC):
    """What is done with key ranges of one storage type. It is pickled to the workers."""

    storage_type: str

    @abstractmethod
    def run(self, keys: KeyRange) -> tuple[Any, KeyRange | None]:
        """Does a piece of a range, from its beginning on. Returns the result, and what is left of the range."""

    def shared(self, workers: int) -> Work:
        """The work for one of so many workers, where they share something."""
        del workers
        return self


class Task(NamedTuple):
    """Work on a range."""

    work: Work
    keys: KeyRange
    number: int = 0  # of the call; Dask answers a call that it has seen before with the old result


class Piece(NamedTuple):
    """A piece of a task that is done."""

    work: Work
    result: Any
    rest: KeyRange | None  # what is left of the task's range
    worker: str


def run_task(task: Task) -> Piece:
    """What a worker runs."""
    result, rest = task.work.run(task.keys)
    return Piece(task.work, result, rest, f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}")


def ranges_for(executor: Executor) -> int:
    """How many ranges to begin with."""
    return _FIRST * _told(executor) or _RANGES


def _told(executor: Executor) -> int:
    """How many workers an executor has, as the pools of the standard library tell; 0: it does not tell."""
    told = getattr(executor, "_max_workers", None)
    return told if isinstance(told, int) else 0


class Scheduler:
    """Tasks on their way through an executor, for the call ``name``.

    ``split`` splits what is left of a range into so many parts. ``again`` is called before a range is done again.
    """

    def __init__(
        self,
        name: str,
        executor: Executor,
        split: Callable[[Work, KeyRange, int], Sequence[KeyRange]],
        again: Callable[[], object] = lambda: None,
    ) -> None:
        self._name, self._executor, self._split, self._again = name, executor, split, again
        self._waiting: deque[Task] = deque()
        self._running: dict[Future[Piece], Task] = {}
        self._seen: dict[str, float] = {}  # when a worker has last brought a piece
        self._strikes: Counter[KeyRange] = Counter()
        self._number = random.getrandbits(60)

    @property
    def workers(self) -> int:
        """How many workers there are, as far as is known; 0: nothing is known yet."""
        since = time.monotonic() - _REMEMBERED
        self._seen = {worker: seen for worker, seen in self._seen.items() if seen > since}
        return max(len(self._seen), _told(self._executor))

    @property
    def open(self) -> int:
        """How many ranges are not done yet."""
        return len(self._waiting) + len(self._running)

    def run(self, tasks: Iterable[Task]) -> Iterator[Piece]:
        """Runs all tasks; yields their pieces as they are done.

        Raises:
            UnavailableError: the executor is broken, or loses one range again and again.
            Stopped: the call was cancelled.
        """
        self._waiting.extend(tasks)
        try:
            self._submit()
            seconds = None if current.get() is None else SLICE
            while self._running:
                check()
                for future in wait(self._running, seconds, FIRST_COMPLETED).done:
                    task = self._running.pop(future)
                    try:
                        piece = future.result()
                    except Exception as exc:
                        self._lost(task, exc)
                        continue
                    self._strikes.clear()
                    self._seen[piece.worker] = time.monotonic()
                    if piece.rest is not None:
                        self._go_on(task, piece.rest)
                    yield piece
                self._submit()
        finally:
            # What a worker has begun it ends: a piece is short, and doing it again does no harm.
            for future in self._running:
                future.cancel()

    def _submit(self) -> None:
        workers = self.workers
        sharing = min(workers or _RANGES, self.open)
        while self._waiting and len(self._running) < max(_RANGES, 2 * _TO_A_WORKER * workers):
            task = self._waiting.popleft()
            try:
                self._number += 1
                future = self._executor.submit(run_task, Task(task.work.shared(sharing), task.keys, self._number))
            except RuntimeError as exc:  # a pool that is broken or shut down
                raise UnavailableError(
                    f"{self._name}(): the executor takes no more work ({type(exc).__name__}: {exc}); make a new one and call "
                    "again: what was done is found done"
                ) from exc
            self._running[future] = task

    def _go_on(self, task: Task, rest: KeyRange) -> None:
        workers, others = self.workers, self.open
        # A split takes some listings, so it is made only where workers would be idle; then it is made for all of them.
        parts = self._split(task.work, rest, _TO_A_WORKER * workers - others) if others + 1 < workers else [rest]
        self._waiting.extend(task._replace(keys=part) for part in parts)

    def _lost(self, task: Task, error: Exception) -> None:
        """Does a range again whose worker died, or whose service did not answer; raises every other error."""
        self._strikes[task.keys] += 1
        if isinstance(error, StorageError) and not isinstance(error, UnavailableError):
            raise error
        if self._strikes[task.keys] >= _TRIES:
            raise UnavailableError(
                f"{self._name}(): workers failed {_TRIES} times in a row at the keys after {task.keys.start_after!r} "
                f"({type(error).__name__}: {error}); call again: what was done is found done"
            ) from error
        self._again()
        self._waiting.appendleft(task)
