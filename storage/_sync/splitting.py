"""Splits the keys of a store into ranges of about equal size, by asking for a few keys here and there.

The keys form a tree: below a prefix there is a child for each character that follows it. A *cell* is a range of keys whose first
hundred are known. Its size is an estimate: the first keys fill a subtree; from there upwards each level asks with a one-key
listing whether the upper half of the children that may exist there does, so that the size is a product of numbers of children.
The largest cell is cut in two, at a child in the middle, until all are small enough to be put together to equal parts.

All but :func:`split_keys` is pure, but for the function that lists keys.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from heapq import nlargest
from itertools import islice
from string import ascii_lowercase, ascii_uppercase, digits
from threading import Lock
from typing import Final, NamedTuple

from storage._facade.call import Call
from storage._facade.concurrent import ordered_map
from storage._facade.listing import Scan
from storage._types import KeyRange

__all__ = ["Look", "split", "split_keys"]

Look = Callable[["str | None", "str | None", int], Sequence[str]]
"""``look(start_after, end_before, limit)``: the first keys between two bounds, in order."""

_FIRST_KEYS: Final = 100
_CELLS: Final = 2  # at least so many to a part
_QUESTIONS: Final = 18  # listings to a part, at most
_SMALL_CHANGE: Final = 64  # listings besides, at most, for however few parts
_AT_ONCE: Final = 32  # cells that are cut between two looks at their sizes
_SURE: Final = 3  # nodes that have no child above a character, for it to be taken for the last one of its position
_LAST: Final = "\U0010ffff"
_RUNS: Final = (digits, ascii_uppercase, ascii_lowercase)


class _Level(NamedTuple):
    """The children of the node of a cell's first key at some depth, from that key's own child on."""

    depth: int
    limit: str | None  # no children from this character on; None: all that are known at this depth
    sure: str | None  # up to this character they are there, from there on half of them; None: all are there


class _Cell:
    """A range of keys: its bounds, its first keys, whether they are all, and its levels from the lowest to the highest."""

    def __init__(
        self, start: str | None, end: str | None, keys: Sequence[str], *, is_whole: bool, levels: Sequence[_Level] = ()
    ) -> None:
        self.start, self.end, self.keys, self.is_whole = start, end, keys, is_whole
        self.levels = list(levels)
        self.is_stuck = False
        self.size = float(len(keys))
        # A key that others continue has no character where they differ.
        self.first = next((key for key in keys if not keys[-1].startswith(key)), keys[-1]) if keys else ""


class _Alphabet:
    """Which characters keys have at each position, as far as has been seen."""

    def __init__(self) -> None:
        self._seen: list[list[str]] = []
        self._closed: list[int] = []
        self._lock = Lock()

    def learn(self, keys: Sequence[str]) -> None:
        """Takes a few of these keys."""
        if not keys:
            return
        with self._lock:
            for key in {keys[0], keys[len(keys) // 2], keys[-1]}:
                for position, char in enumerate(key):
                    self._add(position, char)

    def _add(self, position: int, char: str) -> None:
        if position == len(self._seen):
            self._seen.append([])
            self._closed.append(0)
        seen = self._seen[position]
        place = bisect_left(seen, char)
        if place < len(seen) and seen[place] == char:
            return
        more = {char}
        for run in _RUNS:
            if char in run:  # between two digits all others are taken for seen, and so with letters
                known = sorted({run.index(char), *(run.index(other) for other in seen if other in run)})
                more.update(run[known[0] : known[-1] + 1])
        self._seen[position] = sorted({*seen, *more})

    def stepped_over(self, position: int, low: str, high: str) -> None:
        """Takes the letters and digits between two characters for seen."""
        with self._lock:
            for code in range(ord(low) + 1, ord(high)):
                if chr(code).isalnum():
                    self._add(position, chr(code))

    def above(self, position: int, char: str, limit: str | None = None) -> list[str]:
        """The characters above one, and below ``limit``."""
        seen = self._seen[position]
        return seen[bisect_right(seen, char) : len(seen) if limit is None else bisect_left(seen, limit)]

    def last(self, position: int) -> str:
        """The last character of a position."""
        return self._seen[position][-1]

    def is_closed(self, position: int) -> bool:
        """Whether the last character of a position is taken for the last that there is."""
        return self._closed[position] >= _SURE or self.last(position) >= "~"

    def close(self, position: int) -> None:
        """A node that has the last character has none above."""
        self._closed[position] += 1


class _Splitter:
    """Cuts the keys that start with ``prefix``."""

    def __init__(self, look: Look, prefix: str) -> None:
        self._look, self._floor = look, len(prefix)
        self._alphabet = _Alphabet()
        self.asked = 0

    # ---- asking ------------------------------------------------------------------------------------------------

    def _keys(self, start: str | None, end: str | None, limit: int) -> Sequence[str]:
        self.asked += 1
        keys = self._look(start, end, limit)
        self._alphabet.learn(keys)
        return keys

    def _next(self, text: str | None, end: str | None) -> str | None:
        """The first key that starts with ``text`` or comes after it."""
        start = None if text is None else _before(text)
        if start is None or (end is not None and start >= end):
            return None
        keys = self._keys(start, end, 1)
        return keys[0] if keys else None

    def cell(self, start: str | None, end: str | None) -> _Cell:
        """The cell between two bounds, with all its levels."""
        keys = self._keys(start, end, _FIRST_KEYS)
        cell = _Cell(start, end, keys, is_whole=len(keys) < _FIRST_KEYS)
        if not cell.is_whole:
            self._climb(cell)
            cell.size = self.estimate(cell)
        return cell

    def _climb(self, cell: _Cell) -> None:
        """Finds the levels of a cell, upwards from where its known keys differ."""
        first, end = cell.first, cell.end
        floor = self._floor if end is None else min(_shared(first, end), len(first) - 1)
        depth = _shared(first, cell.keys[-1])
        known = cell.keys[-1][depth]  # there are children up to this character
        while depth >= floor:
            node = first[:depth]
            limit = _limit(first, end, depth)
            above = self._alphabet.above(depth, known, limit)
            there = self._next(node + above[len(above) // 2] if above else _next_to(node, known), end)
            if there is not None and there.startswith(node):
                if limit is None:
                    self._look_above(node, end)
                cell.levels.append(_Level(depth, limit, None))
                depth -= 1
            else:
                level = self._lower_half(cell, depth, known, above)
                if level is not None:
                    cell.levels.append(level)
                if there is None:
                    return
                depth = _shared(there, first)  # the levels in between have no further child
            known = first[max(depth, 0)]

    def _look_above(self, node: str, end: str | None) -> None:
        """Looks for children above the last known character, in steps that double, until it is known well."""
        depth, step = len(node), 1
        while not self._alphabet.is_closed(depth):
            last = self._alphabet.last(depth)
            there = self._next(node + chr(min(ord("~"), ord(last) + step)), end)
            if there is not None and there.startswith(node):
                self._alphabet.stepped_over(depth, last, min(there[depth], chr(ord(last) + step)))
                step *= 2
            elif step > 1:
                step = 1
            else:
                self._alphabet.close(depth)
                return

    def _lower_half(self, cell: _Cell, depth: int, known: str, above: Sequence[str]) -> _Level | None:
        """How far the children go, where the upper half of what may be there is not; ``None``: there is only one."""
        node, limit = cell.first[:depth], _limit(cell.first, cell.end, depth)
        there = self._next(_next_to(node, known), cell.end) if above else None
        is_there = there is not None and there.startswith(node)
        if not is_there and known == cell.first[depth]:
            return None
        low, high = -1, len(above) // 2  # above[low] is there, above[high] is not
        if there is not None and is_there:
            low = bisect_left(above, there[depth])
        while high - low > 1 and high > 1.5 * (low + 1) + 1:
            middle = (low + high) // 2
            there = self._next(node + above[middle], cell.end)
            if there is not None and there.startswith(node):
                low = max(middle, bisect_left(above, there[depth]))
            else:
                high = middle
        return _Level(depth, above[high] if high < len(above) else limit, above[low] if low >= 0 else known)

    # ---- sizes -------------------------------------------------------------------------------------------------

    def estimate(self, cell: _Cell) -> float:
        """About how many keys a cell has."""
        if cell.is_whole:
            return float(len(cell.keys))
        first, last = cell.first, cell.keys[-1]
        depth = _shared(first, last)
        # The keys of the children that have come to their end.
        whole = [
            key[depth] for key in cell.keys if key.startswith(first[:depth]) and key[depth : depth + 1] < last[depth]
        ]
        size = len(whole) / len(set(whole)) if whole else 1.0
        for level in cell.levels:
            size *= self._children(first, level)
        return max(size, float(len(cell.keys)))

    def _children(self, first: str, level: _Level) -> float:
        above = self._alphabet.above(level.depth, first[level.depth], level.limit)
        if level.sure is None:
            return 1.0 + len(above)
        sure = bisect_right(above, level.sure)
        return 0.5 + max(1, sure) + (len(above) - sure) / 2

    # ---- cutting -----------------------------------------------------------------------------------------------

    def cut(self, cell: _Cell) -> Sequence[_Cell]:
        """A cell in two; or as it is, if it cannot be cut."""
        bound, char = self._middle(cell)
        if (
            bound is None
            or bound <= cell.first
            or (cell.start is not None and bound <= cell.start)
            or (cell.end is not None and bound >= cell.end)
        ):
            cell.is_stuck = True
            return [cell]
        place = bisect_left(cell.keys, bound)
        is_whole = cell.is_whole or place < len(cell.keys)
        left = _Cell(cell.start, bound, cell.keys[:place], is_whole=is_whole)
        if cell.is_whole:
            return [left, _Cell(bound, cell.end, cell.keys[place:], is_whole=True)]
        if not is_whole:
            *left.levels, top = cell.levels
            if self._alphabet.above(top.depth, cell.first[top.depth], char):
                left.levels.append(_Level(top.depth, char, None))
            left.is_stuck = not left.levels
        left.size = self.estimate(left)
        return [left, self.cell(bound, cell.end)]

    def _middle(self, cell: _Cell) -> tuple[str | None, str]:
        """A bound in the middle of a cell, and the character that the keys behind it begin with at the highest level."""
        if cell.is_whole:
            if len(cell.keys) < 2:
                return None, ""
            left, right = cell.keys[len(cell.keys) // 2 - 1 :][:2]
            return _before(right[: _shared(left, right) + 1]), ""
        if not cell.levels:
            return None, ""
        top, first = cell.levels[-1], cell.first
        node, char = first[: top.depth], first[top.depth]
        above = self._alphabet.above(top.depth, char, top.limit)
        text = node + above[len(above) // 2] if above else _next_to(node, char)
        return (None, "") if text is None else (_before(text), text[-1])


def split_keys(call: Call, prefix: str, parts: int, within: KeyRange | None = None) -> list[KeyRange]:
    """Splits the keys of a store that start with ``prefix`` and lie in a range.

    Args:
        call: the call about the prefix.
        prefix: what the keys start with.
        parts: how many ranges, at most.
        within: the range; ``None``: all keys.
    """
    start, end = (None, None) if within is None else (within.start_after, within.end_before)

    def look(start_after: str | None, end_before: str | None, limit: int) -> list[str]:
        scan = Scan(
            call,
            start if start_after is None else start_after,
            end if end_before is None else end_before,
            page_size=limit,
        )
        return list(islice(scan.keys(), limit))

    ranges = split(look, parts, prefix=prefix, concurrency=call.route.backend.concurrency)
    first, last = ranges[0], ranges[-1]
    ranges[0] = KeyRange(start, first.end_before)
    ranges[-1] = KeyRange(ranges[-1].start_after, end) if last is not first else KeyRange(start, end)
    return ranges


def split(look: Look, parts: int, *, prefix: str = "", concurrency: int = 1) -> list[KeyRange]:
    """Ranges that hold every key that starts with ``prefix`` once, about equally many each; at most ``parts`` of them.

    Args:
        look: lists the first keys that start with ``prefix`` between two bounds.
        parts: how many ranges.
        prefix: what all keys start with.
        concurrency: how many calls of ``look`` at once.
    """
    splitter = _Splitter(look, prefix)
    cells = [splitter.cell(None, None)]
    most = _QUESTIONS * parts + _SMALL_CHANGE
    while True:
        for cell in cells:
            cell.size = splitter.estimate(cell)
        small = max(1.0, sum(cell.size for cell in cells) / parts / _CELLS)
        large = nlargest(
            max(_AT_ONCE, concurrency),
            (place for place, cell in enumerate(cells) if cell.size > small and not cell.is_stuck),
            key=lambda place: cells[place].size,
        )
        if not large or splitter.asked >= most:
            return _put_together(cells, parts)
        halves = ordered_map(splitter.cut, [cells[place] for place in large], concurrency)
        cut = dict(zip(large, halves, strict=True))
        cells = [half for place, cell in enumerate(cells) for half in cut.get(place, (cell,))]


def _put_together(cells: Sequence[_Cell], parts: int) -> list[KeyRange]:
    total = sum(cell.size for cell in cells)
    bounds: list[str | None] = [None]
    before = 0.0
    for cell in cells:
        if before > 0 and before + cell.size / 2 > len(bounds) * total / parts:
            bounds.append(cell.start)
        before += cell.size
    return [KeyRange(start, end) for start, end in zip(bounds, [*bounds[1:], None], strict=True)]


# ---- texts ---------------------------------------------------------------------------------------------------------


def _shared(a: str, b: str) -> int:
    """How many characters two texts begin with alike."""
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _next_to(node: str, char: str) -> str | None:
    """``node`` and the character after ``char`` that may stand in a key."""
    code = _step(ord(char), 1)
    return None if code is None else node + chr(code)


def _before(text: str) -> str | None:
    """A text before all keys that start with ``text``, and after all keys before these. No key is equal to it."""
    code = _step(ord(text[-1]), -1)
    return None if code is None else f"{text[:-1]}{chr(code)}{_LAST}/"


def _limit(first: str, end: str | None, depth: int) -> str | None:
    """The character at ``depth`` that a cell ends before; ``None``: it has all characters there."""
    if end is None or depth >= len(end) or end[depth] == _LAST or _shared(first, end) != depth:
        return None
    code = _step(ord(end[depth]), 1)
    return None if code is None else chr(code)


def _step(code: int, by: int) -> int | None:
    """The next code point up or down that may stand in a key and in a bound."""
    code += by
    while code == ord("\\") or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF):
        code += by
    return code if ord(" ") <= code <= ord(_LAST) else None
