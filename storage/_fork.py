"""How many forks lie behind this process: what was begun before the last one belongs to its parent."""

from __future__ import annotations

import os

from storage.exceptions import UnsupportedOperationError

__all__ = ["Forks", "check_owner", "forks"]


class Forks:
    """Counts.

    Attributes:
        count: forks between the process that imported this library and this one.
    """

    count: int = 0

    def add(self) -> None:
        """Called in each child."""
        self.count += 1


forks = Forks()


def check_owner(begun: int, what: object) -> None:
    """Raises ``UnsupportedOperationError`` in a child of the process in which ``what`` was begun.

    Args:
        begun: ``forks.count`` at that time.
        what: names it.
    """
    if begun != forks.count:
        raise UnsupportedOperationError(f"{what}: it was begun before this process was forked; begin it here")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forks.add)
