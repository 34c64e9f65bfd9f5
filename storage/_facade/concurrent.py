"""``ordered_map``: calls a function for many items at once, results in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from storage import _stop
from storage._fork import check_owner, forks
from storage._stop import Stopped
from storage._threads import Pool, Task

T = TypeVar("T")
R = TypeVar("R")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of ``size``, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def ordered_map(function: Callable[[T], R], items: Iterable[T], concurrency: int) -> Iterator[R]:
    """``function`` of each item, up to ``concurrency`` at once, results in the order of ``items``.

    Looks ahead no further than ``2 * concurrency`` items. At the first failure nothing more is begun, the calls in flight are
    waited for, and the failure that is first in order is raised. An interrupt, a failure of ``items`` and closing the iterator
    end those in flight early. A child after ``fork`` cannot go on with it.
    """
    begun = forks.count
    if concurrency == 1:
        for item in items:
            _stop.check()
            yield function(item)
            check_owner(begun, "this iterator")
        return
    iterator = enumerate(items)
    pending: deque[Task[R]] = deque()
    failed = math.inf  # the number of an item

    def run(number: int, item: T) -> R:
        nonlocal failed
        if number > failed:  # an earlier one may be slow to begin, and is wanted
            raise Stopped
        try:
            return function(item)
        except BaseException:
            failed = min(failed, number)
            raise

    def begin(count: int) -> None:
        _stop.check()
        pending.extend(pool.submit(run, number, item) for number, item in islice(iterator, count))

    with Pool(concurrency, "storage-batch") as pool:
        begin(2 * concurrency)
        while pending:
            try:
                result = pending.popleft().result()
            except Exception:
                pool.close()
                raise
            if failed == math.inf:
                begin(1)
            yield result
            check_owner(begun, "this iterator")
