"""Brings a depth-first listing (``a/b`` before ``a-b``, as SeaweedFS gives it) into the order of UTF-8.

Both orders agree but for what follows a folder's name with a character below the slash. So a page is sorted, and where it ends
inside a folder, such neighbours are asked for before the folder goes on: a request or two a page, not one for each folder.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from storage._backend import Stat

Entry = tuple[str, "Stat | None"]

Fetch = Callable[[str, "str | None", "int | None"], Iterator[tuple[list[Entry], bool]]]
"""``fetch(prefix, after, at_most)``: the pages of a listing, each with whether there is another."""

LAST: Final = "\U0010ffff"
"""Sorts behind every other character."""


def ordered(fetch: Fetch, prefix: str, after: str | None, start: str | None) -> Iterator[list[Entry]]:
    """The pages of paths that start with ``prefix`` and that the server lists after ``after``, sorted.

    Nothing up to the path ``start`` is wanted.
    """
    done: list[str] = []  # folders, without their slash, whose earlier neighbours have been given
    held: list[Entry] = []
    for entries, more in fetch(prefix, after, None):
        new = [entry for entry in entries if not _given(entry[0], done)]
        page = sorted([*held, *new], key=_path)
        if not more:
            yield page
            return
        if not entries:
            continue
        last = entries[-1][0]
        done = [folder for folder in done if last.startswith(folder)]
        barrier = None
        for place in range(len(prefix), len(last)):
            folder = last[:place]
            if last[place] > "/" or folder in done or _given(folder, done):
                continue
            if last[place] < "/":
                barrier = f"{folder}/"  # its neighbours are still coming, and they go first
                continue
            done.append(folder)
            earlier = _earlier(fetch, folder, start)
            if earlier is not None:
                cut = bisect_left(page, f"{folder}/", key=_path)
                yield page[:cut]
                page = page[cut:]
                yield from earlier
        cut = len(page) if barrier is None else bisect_left(page, barrier, key=_path)
        yield page[:cut]
        held = page[cut:]


def _earlier(fetch: Fetch, folder: str, start: str | None) -> Iterator[list[Entry]] | None:
    """The paths that sort before a folder but are listed after it; ``None``: none are wanted."""
    end = f"{folder}/"
    if start is not None and start >= end:
        return None
    for first, _ in fetch(folder, end + LAST, 1):
        if first:
            return _until(end, ordered(fetch, folder, end + LAST, start)) if first[0][0] < end else None
    return None


def _until(end: str, pages: Iterator[list[Entry]]) -> Iterator[list[Entry]]:
    for page in pages:
        cut = bisect_left(page, end, key=_path)
        yield page[:cut]
        if cut < len(page):
            return


def _path(entry: Entry) -> str:
    return entry[0]


def _given(path: str, done: list[str]) -> bool:
    """Whether a path is a neighbour that has been given before its folder."""
    return any(path.startswith(folder) and "" < path[len(folder) : len(folder) + 1] < "/" for folder in done)
