"""Computes the etag that S3 would give to the bytes of a blob; a copy is verified by it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator


def md5_of(data: bytes) -> str:
    """The MD5 of ``data``, in hexadecimal."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Digest:
    """The etag that S3 gives: the MD5 of the bytes, or of the MD5s of their parts. Finds accidents, not attackers.

    Args:
        part: bytes of a part; a blob of more gets the MD5 of its parts' MD5s, a dash, and their number. ``None``: never.
    """

    def __init__(self, part: int | None = None) -> None:
        self._part = self._room = part or sys.maxsize
        self._done: list[bytes] = []
        self._now = hashlib.md5(usedforsecurity=False)

    def update(self, data: bytes) -> None:
        """Adds the next bytes."""
        view = memoryview(data)
        while view:
            if not self._room:
                self._done.append(self._now.digest())
                self._now = hashlib.md5(usedforsecurity=False)
                self._room = self._part
            taken = view[: self._room]
            self._now.update(taken)
            self._room -= len(taken)
            view = view[len(taken) :]

    def each(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """``pieces``, each of which is added before it is given."""
        for data in pieces:
            self.update(data)
            yield data

    def result(self) -> str:
        """The digest of all bytes so far."""
        if not self._done:
            return self._now.hexdigest()
        parts = [*self._done, self._now.digest()]
        return f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"
