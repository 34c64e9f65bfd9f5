"""A pool of processes that goes on after a worker has died."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def _prepare() -> None:
    """Loads in a new process what its work needs."""
    import storage._sync.work  # noqa: F401 (0.2 s, which the process that leads does not wait for)


class Processes(Executor):
    """As ``ProcessPoolExecutor``, whose futures all fail when one of its processes dies; but it takes new work then.

    The processes start at once, while the caller still splits its keys.
    """

    def __init__(self, processes: int) -> None:
        self._max_workers = processes
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        # A fork would take along whatever other threads of this process hold.
        pool = ProcessPoolExecutor(self._max_workers, multiprocessing.get_context("spawn"), _prepare)
        for _ in range(self._max_workers):
            pool.submit(_prepare)  # a call starts a process, unless one is idle
        return pool

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As every executor."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._new()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As every executor."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
