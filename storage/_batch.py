"""Many calls at once: bounded, in order, and with one meaning of failure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
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
    no thread outlives it.
    """
    if concurrency == 1:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # only where there are threads

    iterator = iter(items)
    pending: deque[Future[R]] = deque()
    failed = Event()

    def run(item: T) -> R:
        try:
            return function(item)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(concurrency, thread_name_prefix="storage-batch") as pool:
        try:
            pending.extend(pool.submit(run, item) for item in islice(iterator, 2 * concurrency))
            while pending:
                result = pending[0].result()
                pending.popleft()
                if not failed.is_set():
                    pending.extend(pool.submit(run, item) for item in islice(iterator, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()
