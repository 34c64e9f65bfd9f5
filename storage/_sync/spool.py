"""Keeps lists that are too long for memory in temporary files, and sorts them there."""

from __future__ import annotations

import heapq
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, Final

from typing_extensions import Self

from storage._sync.plan import Entry

_CHUNK: Final = 5_000  # entries that are sorted in memory at once: about 2 MB
_LINE: Final = 100  # rows to a line of the file: what a reader holds
_FAN_IN: Final = 64  # files that are merged at once, well below any limit of open files


class Spool:
    """Rows in a temporary file that has no name, so that it goes whatever happens. Each row is a JSON list.

    It is written to its end, and then read, once or more.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+b", prefix="storage-sync-")  # noqa: SIM115 (closed by close)
        self._rows: list[Any] = []
        self.count = 0

    def append(self, row: Iterable[Any]) -> None:
        """Adds a row."""
        self._rows.append(row)
        self.count += 1
        if len(self._rows) == _LINE:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        # ASCII, so that a lone surrogate of a raw key comes back as it was.
        self._file.write(json.dumps(self._rows).encode() + b"\n")
        self._rows = []

    def __iter__(self) -> Iterator[list[Any]]:
        self._flush()
        position = 0
        while True:
            # Its own position: several may read, and merging reads many files in turn.
            self._file.seek(position)
            line = self._file.readline()
            if not line:
                return
            position += len(line)
            yield from json.loads(line)

    def mark(self) -> tuple[int, int]:
        """Where the end is now, for :meth:`back_to`."""
        self._flush()
        return self._file.seek(0, os.SEEK_END), self.count

    def back_to(self, mark: tuple[int, int]) -> None:
        """Forgets the rows after ``mark``."""
        self._rows = []
        self._file.seek(mark[0])
        self._file.truncate()
        self.count = mark[1]

    def close(self) -> None:
        """Removes the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextmanager
def sorted_on_disk(entries: Iterable[Entry]) -> Iterator[Iterator[Entry]]:
    """All of ``entries`` in the order of their keys' UTF-8 bytes, in memory that does not grow with their number."""
    with ExitStack() as stack:
        runs: list[Spool] = []
        iterator = iter(entries)
        while chunk := sorted(islice(iterator, _CHUNK)):
            runs.append(_written(stack, chunk))
            if len(runs) == _FAN_IN:
                merged = _written(stack, heapq.merge(*map(_entries, runs)))
                for run in runs:
                    run.close()
                runs = [merged]
        yield heapq.merge(*map(_entries, runs))


def _written(stack: ExitStack, entries: Iterable[Entry]) -> Spool:
    spool = stack.enter_context(Spool())
    for entry in entries:
        spool.append(entry)
    return spool


def _entries(spool: Spool) -> Iterator[Entry]:
    return (Entry(*row) for row in spool)
