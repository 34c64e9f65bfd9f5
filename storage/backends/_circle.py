"""Detects listings whose page tokens repeat, and which would never end."""

from __future__ import annotations


class Circle:
    """Detects a repeating sequence of page tokens in constant memory (Brent's algorithm)."""

    def __init__(self) -> None:
        self._marked: str | None = None
        self._steps, self._until = 0, 1

    def closes(self, place: str) -> bool:
        """Whether the next place has been met before; it is found within twice the length of the circle."""
        if place == self._marked:
            return True
        self._steps += 1
        if self._steps == self._until:
            self._marked, self._steps, self._until = place, 0, 2 * self._until
        return False
