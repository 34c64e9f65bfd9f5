"""``Place``: where a blob's file is or will be: its locked directory, its name, and the file that has that name now."""

from __future__ import annotations

import errno
import os
from typing import Final

from storage._descriptors import Descriptor
from storage.backends.filesystem import _records, _sidecars, _system
from storage.backends.filesystem._tree import BLOB, Tree, is_blob, is_folder
from storage.exceptions import NotFoundError, PreconditionFailedError, UnavailableError

# Raised if a directory was removed as empty, or made, since it was looked at: the change is tried again.
CHANGED: Final = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
# An rmdir of a directory that is in use.
_NOT_EMPTY: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY})


class Place:
    """The directory and name of a blob's file, there or yet to be made.

    Attributes:
        fd: the directory that holds the file: that of ``path``, or the directory with the blob's own name in it.
        name: the file's name in there.
        st: what has that name; ``None``: nothing.
    """

    __slots__ = ("_folder", "_tree", "fd", "name", "path", "st")

    def __init__(self, tree: Tree, path: str, folder: int, *, claim: bool = False) -> None:
        """Finds out what is there.

        Args:
            folder: the open and locked directory of ``path``, which stays the caller's to close.
            claim: remove an empty directory of the blob's name.
        """
        self._tree, self._folder = tree, folder
        self.path = path
        self.fd = folder
        name = self.name = path.rpartition("/")[2]
        self.st = _system.look(folder, name)
        if self.st is None or not is_folder(self.st):
            return
        if claim:
            try:
                os.rmdir(name, dir_fd=folder)
            except OSError as exc:
                if exc.errno not in _NOT_EMPTY:
                    raise
            else:
                self.st = None
                return
        self.fd = os.open(name, _system.DIRECTORY, dir_fd=folder)
        self.name = BLOB
        try:
            self.st = _system.look(self.fd, BLOB)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes what was opened to look."""
        if self.fd != self._folder:
            os.close(self.fd)

    @property
    def is_inner(self) -> bool:
        """Whether the file is, or would be, inside a directory of the blob's own name."""
        return self.fd != self._folder

    def blob(self) -> os.stat_result:
        """The state of the blob's file; ``NotFoundError``: there is no blob, or it is spelled otherwise."""
        st, spelling = self.st, self._tree.spelling
        if st is None or not is_blob(st):
            raise NotFoundError
        if st.st_dev not in spelling.exact and not spelling.holds(self._tree.open, self.path, st.st_dev):
            raise NotFoundError
        return st

    def open(self) -> int:
        """Opens the file for reading."""
        return os.open(self.name, _system.READ, dir_fd=self.fd)

    def check_version(self, etag: str) -> None:
        """Raises ``PreconditionFailedError`` unless the blob's file has this etag."""
        with Descriptor(self.open()) as fd:
            st = os.fstat(fd)
            record = _records.fetch(fd) or _sidecars.read(self._tree, self.path, st)
            if _records.etag_of(st, record) != etag:
                raise PreconditionFailedError


def vanishes(path: str) -> UnavailableError:
    """The exception for a change that others have undone too often."""
    return UnavailableError(f"the directory of {path!r} vanishes again and again")
