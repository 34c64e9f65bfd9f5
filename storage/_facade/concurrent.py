"""Many calls at once: bounded, in order, and with one meaning of failure."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from threading import Event
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["batched", "ordered_map"]

T = TypeVar("T")
R = TypeVar("R")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of ``size``, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def ordered_map(function: Callable[[T], R], items: Iterable[T], concurrency: int) -> Iterator[R]:
    """``function`` of each item, up to ``concurrency`` at once, results in the order of ``items``.

    Looks ahead no further than ``2 * concurrency`` items. At the first failure nothing more is begun, the calls in flight
    are waited for, and the failure that is first in order is raised. Closing the iterator waits for those in flight too:
    no thread outlives it. A child that was forked meanwhile makes the calls whose results are still to come once more.
    """
    if concurrency == 1:
        yield from map(function, items)
        return
    from storage._threads import Pool  # only where there are threads: 5 ms

    process = os.getpid()
    iterator = iter(items)
    pending: deque[tuple[T, Future[R]]] = deque()
    failed = Event()

    def run(item: T) -> R:
        try:
            return function(item)
        except BaseException:
            failed.set()
            raise

    def begin(count: int) -> None:
        pending.extend((item, pool.submit(run, item)) for item in islice(iterator, count))

    pool = Pool(concurrency, "storage-batch")
    try:
        begin(2 * concurrency)
        while pending:
            result = pending[0][1].result()
            pending.popleft()
            if not failed.is_set():
                begin(1)
            yield result
            if os.getpid() != process:  # forked at the yield: the threads are the parent's
                yield from ordered_map(function, chain([item for item, _ in pending], iterator), concurrency)
                return
    finally:
        if os.getpid() == process:
            pool.shutdown(cancel_futures=True)
