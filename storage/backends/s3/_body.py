"""A part's bytes as botocore and urllib3 read them, without a copy."""

from __future__ import annotations

from typing import Final

__all__ = ["Body"]

_PIECE: Final = 128 * 1024


class Body:
    """A file to read ``data`` from, in views of it.

    botocore would make a ``BytesIO`` of bytes. That copies all of them twice: to hash them, a MiB at a time, in an arena of
    each thread (20 MiB of a large upload's memory), and to send them, 16 KiB at a time.
    """

    def __init__(self, data: bytes) -> None:
        self._view = memoryview(data)
        self._position = 0

    def __len__(self) -> int:
        return len(self._view)

    def read(self, size: int | None = None) -> memoryview:
        """The next bytes: ``size``, or more where that is little (urllib3 sends each answer with one call); all if ``None``."""
        begin = self._position
        end = len(self._view) if size is None or size < 0 else min(begin + max(size, _PIECE), len(self._view))
        self._position = end
        return self._view[begin:end]

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of a file."""
        base = (0, self._position, len(self._view))[whence]
        self._position = min(max(base + offset, 0), len(self._view))
        return self._position

    def tell(self) -> int:
        """As of a file."""
        return self._position
