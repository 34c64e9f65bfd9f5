"""An open file descriptor that is closed with its last owner."""

from __future__ import annotations

import os


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
