"""Reads blobs. An open file stays one version, whatever is published or deleted meanwhile."""

from __future__ import annotations

import os

from storage._descriptors import FileRange
from storage.backends.filesystem import _records, _sidecars
from storage.backends.filesystem._records import Record
from storage.backends.filesystem._tree import Tree
from storage.exceptions import PreconditionFailedError


def open_with_record(tree: Tree, path: str) -> tuple[int, os.stat_result, Record | None]:
    """Opens the blob at ``path``: its file, the file's state, and the record that is kept with it.

    Raises:
        NotFoundError: there is none.
    """
    while True:
        fd, st = tree.open_blob(path)
        try:
            record = _records.fetch(fd)
            if record is not None:
                return fd, st, record
            if not _sidecars.exist(tree):
                return fd, st, None
            record = _sidecars.read(tree, path, st)
            # A sidecar goes when its body is replaced. So what was found, or not, counts if the body still stands.
            if os.path.samestat(st, tree.file(path)):
                return fd, st, record
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def read_range(fd: int, size: int, start: int, end: int | None) -> bytes:
    """The bytes of the open file of ``size`` bytes from ``start`` to ``end``; a negative ``start``: the last bytes."""
    if start < 0:
        start = max(0, size + start)
    left = (size if end is None else min(end, size)) - start
    if left <= 0:
        return b""
    data = os.pread(fd, left, start)
    if len(data) == left:
        return data
    pieces = [data]  # the system reads at most 2 GiB at once
    while data:
        left -= len(data)
        start += len(data)
        data = os.pread(fd, left, start)
        pieces.append(data)
    return b"".join(pieces)


class Pieces(FileRange):
    """The same bytes as :func:`read_range`, in pieces. Closes the file."""

    def __init__(self, fd: int, st: os.stat_result, start: int, end: int | None) -> None:
        begin = start if start >= 0 else max(0, st.st_size + start)
        super().__init__(fd, begin, st.st_size if end is None else min(end, st.st_size))
        self._stat = st

    def _check(self) -> None:
        # Our own bodies never change; what somebody edits in place meanwhile is no version at all.
        st = os.fstat(self.fd)
        if (st.st_mtime_ns, st.st_size) != (self._stat.st_mtime_ns, self._stat.st_size):
            raise PreconditionFailedError("the file was edited in place while it was being read; read it again")
