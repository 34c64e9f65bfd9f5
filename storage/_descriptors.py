"""Owns open file descriptors: each is closed when its owner is closed or garbage-collected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

PIECE: Final = 1024 * 1024
"""Bytes of a file that are read at once."""


class Descriptor:
    """Owns an open descriptor; a ``with`` block gets its number, and closes it.

    Attributes:
        fd: the descriptor; -1: it was closed, or an interrupt came before it was taken.
    """

    fd: int = -1
    # At the end of the process this module may be gone before its last descriptor is.
    _close = staticmethod(os.close)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Closes it. Idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self._close(fd)

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class FileRange(Descriptor):
    """The bytes of an open file from ``begin`` to ``end``, in pieces. Closes the file."""

    def __init__(self, fd: int, begin: int, end: int) -> None:
        super().__init__(fd)
        self._position, self._end = begin, end

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.fd < 0:
            raise StopIteration
        left = self._end - self._position
        data = os.pread(self.fd, min(PIECE, left), self._position) if left > 0 else b""
        if not data:
            try:
                self._check()
            finally:
                self.close()
            raise StopIteration
        self._position += len(data)
        return data

    def _check(self) -> None:
        """Raises if the file that was read is not what it was taken for. It is open, and has no more bytes in the range."""
