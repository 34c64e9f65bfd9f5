"""Opens everything below the root of a store, and never anything outside of it.

The root may be reached through symbolic links; below it none is followed. The blob ``a`` beside a blob ``a/b`` is the file
``a/.storage~blob``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Final

from storage._descriptors import Descriptor
from storage._keys import RESERVED, is_portable, reason
from storage.backends.filesystem import _system
from storage.backends.filesystem._case_folding import Spelling
from storage.exceptions import (
    BucketNotFoundError,
    InvalidKeyError,
    NotFoundError,
)

HOME: Final = RESERVED  # the directory for all that is ours, in the root
STAGING: Final = f"{HOME}/tmp"  # noqa: S108 (below the root)
META: Final = f"{HOME}/meta"  # sidecars
BLOB: Final = f"{RESERVED}blob"  # in the directory ``a``: the blob ``a``
BESIDE: Final = f"{RESERVED}tmp~"  # what the name of a temporary file outside of STAGING begins with
MAX_PATH: Final = 1024
TRIES: Final = 1000  # rounds against writers and deleters that undo our directories

# The errors that mean "there is no such blob or directory": no such name, a file or link on the way, a socket, a name that
# is too long to exist. Every other error says nothing about what is there, and is raised.
ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
_FORMAT: Final = 0o170000
_FILE: Final = stat.S_IFREG
_DIRECTORY: Final = stat.S_IFDIR


def checked(path: str) -> str:
    """``path``, if it is portable, else ``InvalidKeyError``: nothing leaves the root even if a caller checked nothing."""
    if not is_portable(path):
        why = reason(path, MAX_PATH)
        if why is not None:
            raise InvalidKeyError(f"path {path!r}: {why}")
    return path


def is_blob(st: os.stat_result) -> bool:
    """Whether this is a regular file."""
    return st.st_mode & _FORMAT == _FILE


def is_folder(st: os.stat_result) -> bool:
    """Whether this is a directory."""
    return st.st_mode & _FORMAT == _DIRECTORY


class Tree:
    """The tree below one root.

    Attributes:
        root: the absolute path of the root, as the user gave it.
        create: whether the first write makes the root.
        fsync: whether a change is on the medium when a call returns.
        spelling: keeps names apart where the file system does not.
        staging: the directory for temporary files, if it is open. It is closed with the last reference to it, so no other
            thread can close it during a call.
        has_staged: whether this object may have made our own directories.
        has_sidecars: whether there may be sidecars; ``None``: nobody has looked yet.
    """

    def __init__(self, root: str, *, create: bool, fsync: bool) -> None:
        self.root: str = root
        self.create: bool = create
        self.fsync: bool = fsync
        self.spelling: Spelling = Spelling()
        self._exact: set[int] = self.spelling.exact
        self.staging: Descriptor | None = None
        self.has_sidecars: bool | None = None
        self.has_staged: bool = False
        self._base = os.fsencode(f"{root}/")  # without links, once one was met
        self._target: tuple[int, int] | None = None  # device and inode of a root that is reached through links

    # ---- opening -----------------------------------------------------------------------------------------------

    def open(self, path: str, flags: int = _system.DIRECTORY) -> int:
        """Opens what is at ``path`` (``""``: the root); a link below the root is an ``OSError`` (``ELOOP``)."""
        if self._target is not None:
            self._follow_root()
        try:
            return _system.open_inside(self._base, path, flags)
        except OSError as exc:
            if exc.errno != errno.ELOOP or not self._resolve_root():
                raise
        return _system.open_inside(self._base, path, flags)

    def find(self, path: str, flags: int = _system.DIRECTORY) -> int | None:
        """As :meth:`open`; ``None``: nothing that can be opened so is there."""
        try:
            return self.open(path, flags)
        except OSError as exc:
            if exc.errno in ABSENT:
                return None
            raise

    def _resolve_root(self) -> bool:
        """Follows the links to the root once more; whether it is another place than before."""
        real = os.fsencode(f"{os.path.realpath(self.root)}/")
        if real == self._base:
            return False
        with contextlib.suppress(FileNotFoundError):
            st = os.stat(self.root)
            self._target = st.st_dev, st.st_ino
            self._base = real
            return True
        return False

    def _follow_root(self) -> None:
        """Looks whether a link on the way to the root was pointed elsewhere since."""
        try:
            st = os.stat(self.root)
        except FileNotFoundError:
            self._base, self._target = os.fsencode(f"{self.root}/"), None
            return
        if (st.st_dev, st.st_ino) != self._target:
            self._resolve_root()

    def open_blob(self, path: str) -> tuple[int, os.stat_result]:
        """Opens the blob at ``path`` for reading.

        Raises:
            NotFoundError: there is none.
        """
        try:
            fd = self.open(path, _system.READ)
        except OSError as exc:
            raise self.absent(exc) from None
        try:
            st = os.fstat(fd)
            kind = st.st_mode & _FORMAT
            if kind == _DIRECTORY:
                fd, folder = os.open(BLOB, _system.READ, dir_fd=fd), fd
                os.close(folder)
                st = os.fstat(fd)
                kind = st.st_mode & _FORMAT
            if kind != _FILE:
                raise NotFoundError  # noqa: TRY301
            if st.st_dev not in self._exact and not self.spelling.holds(self.open, path, st.st_dev):
                raise NotFoundError  # noqa: TRY301
        except OSError as exc:
            os.close(fd)
            raise self.absent(exc) from None
        except BaseException:
            os.close(fd)
            raise
        return fd, st

    def file(self, path: str) -> os.stat_result:
        """The state of the blob's file at ``path``; absent: ``NotFoundError``."""
        fd, st = self.open_blob(path)
        os.close(fd)
        return st

    def absent(self, exc: OSError) -> Exception:
        """The exception to raise for ``exc``, with which opening a blob or its directory failed."""
        if exc.errno not in ABSENT:
            return exc
        # A regular file in the place of the root, or before it, is ENOTDIR.
        if (exc.errno == errno.ENOTDIR or not self.create) and not self.exists():
            return self.no_root()
        return NotFoundError()

    def no_root(self) -> BucketNotFoundError:
        """The exception for a root that is no directory, or is missing and may not be made."""
        if os.path.lexists(self.root):
            return BucketNotFoundError(f"{self.root!r} is not a directory; choose another place")
        if self.create:
            return BucketNotFoundError(f"{self.root!r} cannot be a directory; choose another place")
        return BucketNotFoundError(f"{self.root!r} is not a directory; make it, or leave out create=false")

    def exists(self) -> bool:
        """Whether the root is there, and is a directory."""
        try:
            return is_folder(os.stat(self.root))
        except (FileNotFoundError, NotADirectoryError):
            return False
