"""Fetches the ranges of an open blob, ahead of its reader and in parallel."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import Final, NamedTuple

from storage._stop import Stop, current
from storage._threads import Pool, Task
from storage.exceptions import IntegrityError

# All in bytes.
_FIRST_WINDOW: Final = 128 * 1024
_LAST_WINDOW: Final = 8 * 1024 * 1024
_SURE: Final = 1024 * 1024  # a reader that has read this much from the front will probably go on
_MOST_AHEAD: Final = 22 * 1024 * 1024
_MOST_BEHIND: Final = 6 * 1024 * 1024
_PART: Final = 1024 * 1024  # larger ones are slower: less of what is ahead would be on its way at once

_THREADS: Final = _MOST_AHEAD // _PART

Fetch = Callable[[int, int, Stop | None], list[bytes]]
"""``fetch(start, end, stop)``: the bytes of a range, all of one version. It may end early once ``stop`` is set."""


class _Part(NamedTuple):
    start: int
    end: int
    data: bytes | Task[list[bytes]]
    stop: Stop | None = None


class Windows:
    """A run of an open blob, without gaps and at most 32 MiB long, that follows its reader.

    It is fetched in windows: 128 KiB where the reader begins or has jumped to, and twice as much each time it has read on to
    the end of one, up to 8 MiB. If ``parallel`` (several requests at once pay off), a window comes in parts at once, and more is
    fetched ahead of the reader:

    - as many bytes as it has read, at most 22 MiB, if it has read from the front of the blob and never jumped;
    - a tenth of what it has read since it jumped last, else. What it then leaves unread costs a tenth at most.
    """

    def __init__(self, fetch: Fetch, size: int, *, parallel: bool) -> None:
        self._fetch, self._size, self._parallel = fetch, size, parallel
        self._parts: list[_Part] = []
        self._end = 0  # of the last part
        self._window = 0
        self._window_end = 0
        self._run_start = 0
        self._jumped = False
        self._pool: Pool | None = None

    def at(self, position: int, wanted: int) -> memoryview:
        """The next bytes: 1 to ``wanted``, but it may be known that the reader wants all of them.

        Guaranteed: the blob has ``wanted`` bytes from ``position`` on.
        """
        if not self.has(position):
            self._jump(position)
        if position >= self._window_end:
            self._window = min(self._window * 2, _LAST_WINDOW) if self._window else _FIRST_WINDOW
            self._window_end = min(position + max(wanted, self._window), self._size)
        try:
            if self._end < self._size:
                self._extend(position)
            part = self._arrived(position)
        except BaseException:
            self.clear()
            raise
        offset = position - part.start
        return memoryview(part.data)[offset : offset + wanted]  # type: ignore[arg-type]

    def rest(self, position: int) -> bytes:
        """All bytes from ``position`` on."""
        size = max(0, self._size - position)
        if not self._parallel or not size:
            return b"".join(self._fetch(position, self._size, None)) if size else b""
        # A buffer that gives its bytes away without another copy: it has just their length.
        whole = io.BytesIO()
        whole.seek(size - 1)
        whole.write(b"\0")
        with whole.getbuffer() as view:
            read = 0
            while read < size:
                data = self.at(position + read, size - read)
                view[read : read + len(data)] = data
                read += len(data)
        return whole.getvalue()

    def has(self, position: int) -> bool:
        """Whether a reader at ``position`` goes on in this run, or right behind it."""
        return bool(self._parts) and self._parts[0].start <= position <= self._end

    def clear(self) -> None:
        """Drops the run, and stops what is on its way."""
        self._drop(len(self._parts))

    def close(self) -> None:
        """As ``clear``, and lets the threads end."""
        self.clear()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(wait=False)

    def _jump(self, position: int) -> None:
        self.clear()
        self._jumped = position > 0 or self._end > 0
        self._run_start = self._end = self._window_end = position
        self._window = 0

    def _extend(self, position: int) -> None:
        """Fetches or begins to fetch what a reader at ``position`` wants next."""
        ranges = self._missing(position) if self._parallel else [(self._end, self._window_end)]
        here = None
        for start, end in ranges:
            if start == end:
                continue
            if start == position:
                here = (start, end)  # this thread would only wait for it
            self._parts.append(_Part(start, end, b"") if here == (start, end) else self._begin(start, end))
            self._end = end
        self._drop(max(0, self._index(position - (_MOST_BEHIND if self._parallel else 0))))
        if here is not None:
            self._put(*here, self._fetch(*here, None))

    def _missing(self, position: int) -> list[tuple[int, int]]:
        run = position - self._run_start
        goal = self._window_end
        if self._jumped:
            goal += run // 10
        elif run >= _SURE:
            goal = max(goal, position + run)
        goal = min(goal, position + _MOST_AHEAD, self._size)
        ranges, start = [], self._end
        while start < goal:
            end = min(start + _PART, self._window_end if start < self._window_end else goal, goal)
            # What is not wanted yet is not asked for in small pieces.
            if end - start < _PART and start > position and end not in {self._window_end, self._size}:
                break
            ranges.append((start, end))
            start = end
        return ranges

    def _drop(self, count: int) -> None:
        for part in self._parts[:count]:
            if part.stop is not None:
                part.stop.set()
        del self._parts[:count]

    def _begin(self, start: int, end: int) -> _Part:
        if self._pool is None:
            self._pool = Pool(_THREADS, "storage-ahead", Stop())
        stop = Stop(self._pool.stop)
        return _Part(start, end, self._pool.submit(_fetch, self._fetch, start, end, stop), stop)

    def _arrived(self, position: int) -> _Part:
        """The part at ``position``, waited for."""
        part = self._parts[self._index(position)]
        if not isinstance(part.data, bytes):
            self._put(part.start, part.end, part.data.result())
            part = self._parts[self._index(position)]
        return part

    def _index(self, position: int) -> int:
        return bisect_right(self._parts, position, key=attrgetter("start")) - 1

    def _put(self, start: int, end: int, chunks: list[bytes]) -> None:
        """Puts what has come in the place of the part from ``start`` to ``end``."""
        parts = []
        position = start
        for chunk in chunks:
            if chunk:
                parts.append(_Part(position, position + len(chunk), chunk))
                position += len(chunk)
        if position != end:
            raise IntegrityError(f"{position - start} bytes came of a range of {end - start}; try again")
        index = self._index(start)
        self._parts[index : index + 1] = parts


def _fetch(fetch: Fetch, start: int, end: int, stop: Stop) -> list[bytes]:
    if stop.is_set():
        return []
    current.set(stop)  # in the copy of the context that each task has
    return fetch(start, end, stop)
