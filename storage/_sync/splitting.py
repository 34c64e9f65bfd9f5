"""Splits the keys of a store into ranges of about equal size, by asking for a few keys here and there.

Keys form a tree: a *node* is a text that keys start with, and it has a child for each character that follows it in some key. One
way down this tree tells how many keys there are. Say that a listing of the first hundred keys goes from ``2023/01/00`` to
``2023/01/99``. For each node above, one question is enough: is the upper half of the children that it may have there? The first
key from their middle on answers it.

    ========  =====================  ===============  ==============  =============
    node      characters of further  first key from   answer          children that
              children                                                it has, about
    ========  =====================  ===============  ==============  =============
    2023/0    2 to 9                 2023/06          2023/06/00      9
    2023/     1                      2023/1           2023/10/00      2
    202       4 to 6                 2025             2025/01/00      4
    ========  =====================  ===============  ==============  =============

That makes 100 x 9 x 2 x 4 = 7,200 keys. The characters that may follow at a position are those that some answer had there; at
first some more questions, in steps that double, look for further ones.

A *cell* is a range of keys whose number was estimated so. At first all keys are one cell. The largest cells are cut in two, at
the middle child of their highest node, until each is smaller than half a part. Then neighbours are put together to parts.

All but :func:`split_keys` is pure, but for the function that lists keys.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from heapq import nlargest
from itertools import islice, pairwise
from typing import Final, NamedTuple

from storage._facade.call import Call
from storage._facade.concurrent import ordered_map
from storage._facade.listing import Scan
from storage._sync.alphabets import Alphabets, before, next_to, shared, upper_bound
from storage._types import KeyRange

Look = Callable[["str | None", "str | None", int], Sequence[str]]
"""``look(start_after, end_before, limit)``: the first keys between two bounds, in order."""

_FIRST_KEYS: Final = 100  # of a cell, that are listed
_CELLS: Final = 2  # at least so many to a part
_QUESTIONS: Final = 17  # listings to a part, at most
_SMALL_CHANGE: Final = 64  # listings besides, at most, for however few parts
_AT_ONCE: Final = 32  # cells that are cut between two looks at their sizes


def split_keys(call: Call, prefix: str, parts: int, within: KeyRange | None = None) -> list[KeyRange]:
    """Splits the keys of a store that start with ``prefix``, and lie ``within`` a range, into at most ``parts`` ranges.

    ``call`` is the call about the prefix.
    """
    start, end = (None, None) if within is None else (within.start_after, within.end_before)

    def look(start_after: str | None, end_before: str | None, limit: int) -> list[str]:
        after = start if start_after is None else start_after
        scan = Scan(call, after, end if end_before is None else end_before, page_size=limit)
        return list(islice(scan.keys(), limit))

    ranges = split(look, parts, prefix=prefix, concurrency=call.route.backend.concurrency)
    bounds = [start, *(one.start_after for one in ranges[1:]), end]
    return [KeyRange(*pair) for pair in pairwise(bounds)]


def split(look: Look, parts: int, *, prefix: str = "", concurrency: int = 1) -> list[KeyRange]:
    """Ranges that hold every key that starts with ``prefix`` once, about equally many each; at most ``parts`` of them.

    ``look`` lists the first keys that start with ``prefix`` between two bounds; ``concurrency`` calls of it are made at once.
    """
    surveyor = _Surveyor(look, prefix)
    cells = [surveyor.cell(None, None)]
    while True:
        for cell in cells:  # what has been learned of one cell changes the estimates of the others
            cell.size = surveyor.estimate(cell)
        small = max(1.0, sum(cell.size for cell in cells) / parts / _CELLS)
        large = nlargest(
            max(_AT_ONCE, concurrency),
            (place for place, cell in enumerate(cells) if cell.size > small and not cell.is_stuck),
            key=lambda place: cells[place].size,
        )
        if not large or surveyor.asked >= _QUESTIONS * parts + _SMALL_CHANGE:
            return _put_together(cells, parts)
        halves = ordered_map(surveyor.cut, [cells[place] for place in large], concurrency)
        cut = dict(zip(large, halves, strict=True))
        cells = [half for place, cell in enumerate(cells) for half in cut.get(place, (cell,))]


def _put_together(cells: Sequence[_Cell], parts: int) -> list[KeyRange]:
    """Parts of about equal size, each of neighbouring cells."""
    total = sum(cell.size for cell in cells)
    bounds: list[str | None] = [None]
    size_before = 0.0
    for cell in cells:
        if size_before > 0 and size_before + cell.size / 2 > len(bounds) * total / parts:
            bounds.append(cell.start)
        size_before += cell.size
    return [KeyRange(*pair) for pair in pairwise([*bounds, None])]


class _Level(NamedTuple):
    """A node on the way to a cell's first key that has more children in the cell than the one that the key goes through."""

    depth: int  # the length of the node
    end: str | None  # the node has no child from this character on; None: it may have all that are known
    sure: str | None  # children up to this one are there, and half of those above it; None: all are


class _Cell:
    """A range of keys.

    Attributes:
        start: the keys come after this bound.
        end: the keys come before this bound.
        keys: the first hundred.
        is_whole: there are no others.
        first: the key whose way down the tree is measured.
        levels: the nodes on this way, from the lowest to the highest.
        size: how many keys there are, about.
        is_stuck: it cannot be cut.
    """

    def __init__(self, start: str | None, end: str | None, keys: Sequence[str], *, is_whole: bool) -> None:
        self.start, self.end, self.keys, self.is_whole = start, end, keys, is_whole
        # A key that others continue has no character where they differ.
        self.first = next((key for key in keys if not keys[-1].startswith(key)), keys[-1]) if keys else ""
        self.levels: list[_Level] = []
        self.size = float(len(keys))
        self.is_stuck = False


class _Surveyor:
    """Measures and cuts cells of the keys that start with ``prefix``."""

    def __init__(self, look: Look, prefix: str) -> None:
        self._look, self._root = look, len(prefix)
        self._alphabets = Alphabets()
        self.asked = 0

    # ---- asking ------------------------------------------------------------------------------------------------

    def _keys(self, start: str | None, end: str | None, limit: int) -> Sequence[str]:
        self.asked += 1
        keys = self._look(start, end, limit)
        self._alphabets.learn(keys)
        return keys

    def _first_from(self, text: str | None, end: str | None) -> str | None:
        """The first key that starts with ``text`` or comes after it."""
        start = None if text is None else before(text)
        if start is None or (end is not None and start >= end):
            return None
        return next(iter(self._keys(start, end, 1)), None)

    # ---- measuring ---------------------------------------------------------------------------------------------

    def cell(self, start: str | None, end: str | None) -> _Cell:
        """The cell between two bounds, measured."""
        keys = self._keys(start, end, _FIRST_KEYS)
        cell = _Cell(start, end, keys, is_whole=len(keys) < _FIRST_KEYS)
        if not cell.is_whole:
            self._climb(cell)
            cell.size = self.estimate(cell)
        return cell

    def _climb(self, cell: _Cell) -> None:
        """Finds the levels of a cell, upwards from the node whose children the known keys are."""
        first, last = cell.first, cell.keys[-1]
        top = self._root if cell.end is None else min(shared(first, cell.end), len(first) - 1)
        depth = shared(first, last)
        known = last[depth]  # the last child of the node that is known
        while depth >= top:
            node, end = first[:depth], upper_bound(first, cell.end, depth)
            above = self._alphabets.above(depth, known, end)
            there = self._first_from(node + above[len(above) // 2] if above else next_to(node, known), cell.end)
            if _child(node, there) is not None:  # the upper half of the children that may be there is: so are all
                if end is None:
                    self._look_above(node)
                cell.levels.append(_Level(depth, end, None))
                depth -= 1
            else:
                sure, end = self._search(node, known, above, end, cell.end)
                if sure != first[depth]:
                    cell.levels.append(_Level(depth, end, sure))
                if there is None:
                    return
                depth = shared(there, first)  # the nodes in between have no other child
            known = first[max(depth, 0)]

    def _look_above(self, node: str) -> None:
        """Looks for children above the last character of the alphabet, in steps that double."""
        depth, step = len(node), 1
        while not self._alphabets.is_complete(depth):
            last = self._alphabets.last(depth)
            char = chr(min(ord("~"), ord(last) + step))
            if _child(node, self._first_from(node + char, None)) is not None:
                self._alphabets.learn_between(depth, last, char)
                step *= 2
            elif step > 1:
                step = 1
            else:
                self._alphabets.note_end(depth)
                return

    def _search(
        self, node: str, known: str, above: Sequence[str], end: str | None, bound: str | None
    ) -> tuple[str, str | None]:
        """Of a node without the upper half of ``above``: the last child that is there for sure, and where its children end."""
        if not above:
            return known, end
        child = _child(node, self._first_from(next_to(node, known), bound))
        if child is None:
            return known, above[0]
        low, high = max(1, bisect_right(above, child)), len(above) // 2  # above[low - 1] is there, above[high] is not
        while high > 1.5 * low + 1:
            middle = (low + high) // 2
            child = _child(node, self._first_from(node + above[middle], bound))
            if child is None:
                high = middle
            else:
                low = bisect_right(above, child)
        return above[low - 1], above[high]

    def estimate(self, cell: _Cell) -> float:
        """About how many keys a cell has: those of a child of the lowest node, times the children at each level."""
        if cell.is_whole:
            return float(len(cell.keys))
        depth = shared(cell.first, cell.keys[-1])
        node, last = cell.first[:depth], cell.keys[-1][depth]
        whole = [key[depth] for key in cell.keys if key.startswith(node) and key[depth : depth + 1] < last]
        size = len(whole) / len(set(whole)) if whole else 1.0
        for level in cell.levels:
            above = self._alphabets.above(level.depth, cell.first[level.depth], level.end)
            sure = len(above) if level.sure is None else bisect_right(above, level.sure)
            size *= 1 + sure + (len(above) - sure) / 2
        return max(size, float(len(cell.keys)))

    # ---- cutting -----------------------------------------------------------------------------------------------

    def cut(self, cell: _Cell) -> Sequence[_Cell]:
        """A cell in two; or as it is, if it cannot be cut."""
        text = self._middle(cell)
        bound = None if text is None else before(text)
        if text is None or bound is None or bound <= cell.first or (cell.end is not None and bound >= cell.end):
            cell.is_stuck = True
            return [cell]
        place = bisect_left(cell.keys, bound)
        left = _Cell(cell.start, bound, cell.keys[:place], is_whole=cell.is_whole or place < len(cell.keys))
        if cell.is_whole:
            return [left, _Cell(bound, cell.end, cell.keys[place:], is_whole=True)]
        if not left.is_whole:
            *left.levels, top = cell.levels
            if self._alphabets.above(top.depth, cell.first[top.depth], text[-1]):
                left.levels.append(_Level(top.depth, text[-1], None))
            left.is_stuck = not left.levels
        left.size = self.estimate(left)
        return [left, self.cell(bound, cell.end)]

    def _middle(self, cell: _Cell) -> str | None:
        """The text that a cell should be cut before: the middle key, or the middle child of the highest level."""
        if cell.is_whole:
            if len(cell.keys) < 2:
                return None
            left, right = cell.keys[len(cell.keys) // 2 - 1 :][:2]
            return right[: shared(left, right) + 1]
        if not cell.levels:
            return None
        top, first = cell.levels[-1], cell.first
        node, char = first[: top.depth], first[top.depth]
        above = self._alphabets.above(top.depth, char, top.end)
        return node + above[len(above) // 2] if above else next_to(node, char)


def _child(node: str, key: str | None) -> str | None:
    """The child of ``node`` that a key goes through; ``None``: the key is not below the node."""
    return key[len(node)] if key is not None and key.startswith(node) else None
