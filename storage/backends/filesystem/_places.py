"""The place of a blob: its name in a directory that is open and locked, and what stands there."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from storage.backends.filesystem import _folders, _records, _sidecars, _system
from storage.backends.filesystem._tree import BLOB, Tree, is_blob, is_folder
from storage.exceptions import NotFoundError, PreconditionFailedError, UnavailableError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CHANGED", "Place", "vanishes"]

# Raised if a directory was removed as empty, or made, since it was looked at: the change is tried again.
CHANGED: Final = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
# An rmdir of a directory that is in use.
_NOT_EMPTY: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY})


class Place:
    """Where the file of a blob is, or would be. A context manager, which gives back the lock and closes what is open.

    Attributes:
        path: the blob's path.
        fd: the directory that holds the file: that of ``path``, or the directory with the blob's own name in it.
        name: the file's name in there.
        st: what has that name; ``None``: nothing.
    """

    __slots__ = ("_outer", "_own", "_tree", "fd", "name", "path", "st")

    def __init__(self, tree: Tree, path: str, folder: int) -> None:
        """Takes over ``folder``, the open directory of ``path``."""
        self._tree = tree
        self._outer = self.fd = folder
        self._own: int | None = None
        self.path = path
        self.name = path.rpartition("/")[2]
        self.st: os.stat_result | None = None

    @classmethod
    def found(cls, tree: Tree, path: str) -> Place:
        """The place of a blob that should be there; ``NotFoundError`` where its directory is missing."""
        try:
            return cls(tree, path, tree.open(path.rpartition("/")[0], _system.DIRECTORY))
        except OSError as exc:
            raise tree.absent(exc) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.fd != self._outer:
            os.close(self.fd)
        if self._own is not None and self._own >= 0:
            os.close(self._own)
        os.close(self._outer)

    def lock(self) -> None:
        """Waits until nobody else, in whatever process, changes names in the directory of the path."""
        self._own = _folders.lock(self._tree, self._outer)

    @property
    def locks_one_directory(self) -> bool:
        """Whether the lock that is held is that of one directory, and not one for the whole store."""
        return self._own == -1

    def unlock(self) -> None:
        """Gives the lock back early: others need not wait for the medium."""
        own, self._own = self._own, None
        if own is not None:
            _folders.unlock(self._outer, own)

    def look(self, *, claim: bool = False) -> None:
        """Finds out what is there. ``claim``: removes an empty directory of the blob's name."""
        self.st = _look(self._outer, self.name)
        if self.st is None or not is_folder(self.st):
            return
        if claim:
            try:
                os.rmdir(self.name, dir_fd=self._outer)
            except OSError as exc:
                if exc.errno not in _NOT_EMPTY:
                    raise
            else:
                self.st = None
                return
        self.fd = os.open(self.name, _system.DIRECTORY, dir_fd=self._outer)
        self.name = BLOB
        self.st = _look(self.fd, BLOB)

    @property
    def is_inner(self) -> bool:
        """Whether the file is, or would be, inside a directory of the blob's own name."""
        return self.fd != self._outer

    def blob(self) -> os.stat_result:
        """The state of the blob's file, after :meth:`look`; ``NotFoundError``: there is no blob, or it is spelled otherwise."""
        st, spelling = self.st, self._tree.spelling
        if st is None or not is_blob(st):
            raise NotFoundError
        if st.st_dev not in spelling.exact and not spelling.holds(self._tree.open_directory, self.path, st.st_dev):
            raise NotFoundError
        return st

    def open(self) -> int:
        """Opens the file for reading."""
        return os.open(self.name, _system.READ, dir_fd=self.fd)

    def check_version(self, etag: str) -> None:
        """Raises ``PreconditionFailedError`` unless the blob's file has this etag."""
        fd = self.open()
        try:
            st = os.fstat(fd)
            record = _records.fetch(fd) or _sidecars.read(self._tree, self.path, st)
            if _records.to_stat(self.path, st, record).etag != etag:
                raise PreconditionFailedError
        finally:
            os.close(fd)


def _look(fd: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def vanishes(path: str) -> UnavailableError:
    """The exception for a change that others have undone too often."""
    return UnavailableError(f"the directory of {path!r} vanishes again and again")
