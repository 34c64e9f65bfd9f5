"""Runs in each child after ``fork``: makes objects drop the parent's connections and locks, and counts the forks.

By the count an object knows whether it was made in this process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from storage.exceptions import UnsupportedOperationError

T = TypeVar("T")


class Inherited(Protocol):
    """Something that a child must not use as it is."""

    def forked(self) -> None:
        """Called in each child, before anything else runs in it: forgets what is the parent's."""


class Forks:
    """The one place of this library that the system calls after a fork."""

    def __init__(self) -> None:
        self.count: int = 0  # forks between the process that imported this library and this one
        self._watched: WeakSet[Inherited] = WeakSet()
        self._kept: list[Any] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def watch(self, thing: Inherited) -> None:
        """Has ``thing.forked()`` called in each child, for as long as ``thing`` lives."""
        self._watched.add(thing)

    def keep(self, thing: Any) -> None:
        """Keeps something of the parent's alive in the child.

        Freeing it would close what both processes share, or take a lock that a thread of the parent may have held at the fork.
        """
        self._kept.append(thing)

    def _in_child(self) -> None:
        self.count += 1
        for thing in list(self._watched):
            thing.forked()


forks = Forks()


def check_owner(begun: int, what: object) -> None:
    """Raises ``UnsupportedOperationError`` in a child of the process in which ``what`` was begun, at ``forks.count == begun``."""
    if begun != forks.count:
        raise UnsupportedOperationError(f"{what}: it was begun before this process was forked; begin it here")


def owned(items: Iterable[T], what: object) -> Iterator[T]:
    """``items``, to be used up by the process that takes the first of them: in a child as :func:`check_owner`."""
    begun = forks.count
    for item in items:
        yield item
        if begun != forks.count:
            check_owner(begun, what)
