"""Records which characters occur at each position of keys; computes the bounds of the listings of ``splitting``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase, digits
from threading import Lock
from typing import Final

_RUNS: Final = (digits, ascii_uppercase, ascii_lowercase)
# After so many texts with nothing above a character, it is taken for the last of its position.
_SURE: Final = 3
_LAST: Final = "\U0010ffff"


class Alphabets:
    """A sorted list of characters for each position of a key. Grows with each key that is seen."""

    def __init__(self) -> None:
        self._seen: list[list[str]] = []
        self._ends: list[int] = []  # by position: how often its last character was found to have none above
        self._lock = Lock()

    def learn(self, keys: Sequence[str]) -> None:
        """Takes the characters of a few of these keys."""
        if keys:
            with self._lock:
                for key in {keys[0], keys[len(keys) // 2], keys[-1]}:
                    for position, char in enumerate(key):
                        self._add(position, char)

    def learn_between(self, position: int, low: str, high: str) -> None:
        """Takes the letters and digits between two characters for seen."""
        with self._lock:
            for code in range(ord(low) + 1, ord(high)):
                if chr(code).isalnum():
                    self._add(position, chr(code))

    def _add(self, position: int, char: str) -> None:
        if position == len(self._seen):
            self._seen.append([])
            self._ends.append(0)
        seen = self._seen[position]
        if char in seen:
            return
        more = {char}
        for run in _RUNS:
            if char in run:  # of the digits 0 and 7, all between them are taken for seen, and so with letters
                known = [run.index(other) for other in (char, *seen) if other in run]
                more.update(run[min(known) : max(known) + 1])
        self._seen[position] = sorted({*seen, *more})

    def above(self, position: int, char: str, end: str | None = None) -> list[str]:
        """The characters above one, and below ``end``."""
        seen = self._seen[position]
        return seen[bisect_right(seen, char) : len(seen) if end is None else bisect_left(seen, end)]

    def last(self, position: int) -> str:
        """The last character of a position."""
        return self._seen[position][-1]

    def is_complete(self, position: int) -> bool:
        """Whether no character is expected above the last one of a position."""
        return self._ends[position] >= _SURE or self.last(position) >= "~"

    def note_end(self, position: int) -> None:
        """Notes that below some text nothing is above the last character."""
        self._ends[position] += 1


# ---- texts ---------------------------------------------------------------------------------------------------------


def shared(a: str, b: str) -> int:
    """How many characters two texts begin with alike."""
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def before(text: str) -> str | None:
    """A bound before all keys that start with ``text``, and after all keys before these. No key is equal to it.

    ``None``: there is no such text.
    """
    code = _step(ord(text[-1]), -1)
    return None if code is None else f"{text[:-1]}{chr(code)}{_LAST}/"


def upper_bound(first: str, bound: str | None, depth: int) -> str | None:
    """The character at ``depth`` below which the keys from ``first`` to a bound of :func:`before` end; ``None``: none."""
    if bound is None or depth >= len(bound) or bound[depth] == _LAST or shared(first, bound) != depth:
        return None
    code = _step(ord(bound[depth]), 1)
    return None if code is None else chr(code)


def next_to(node: str, char: str) -> str | None:
    """``node`` and the character after ``char`` that may stand in a key; ``None``: there is none."""
    code = _step(ord(char), 1)
    return None if code is None else node + chr(code)


def _step(code: int, by: int) -> int | None:
    """The next code point up or down that may stand in a key and in a bound."""
    code += by
    while code == ord("\\") or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF):
        code += by
    return code if ord(" ") <= code <= ord(_LAST) else None
