"""The directory tree of a store: every path that is opened, made or removed goes through here, and none leaves the root.

The root may be reached through symbolic links; below it none is followed. A blob ``a`` beside ``a/b`` is the file
``a/.storage~blob``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Final

from storage._keys import RESERVED, is_portable, reason
from storage.backends.filesystem import _system
from storage.backends.filesystem._case_folding import Spelling
from storage.exceptions import (
    BucketNotFoundError,
    InvalidKeyError,
    NotFoundError,
    UnavailableError,
    UnsupportedOperationError,
)

__all__ = [
    "BESIDE",
    "BLOB",
    "HOME",
    "MAX_PATH",
    "STAGING",
    "TRIES",
    "Tree",
    "checked",
    "is_blob",
    "is_folder",
    "is_link",
]

HOME: Final = RESERVED  # what is ours, in the root
STAGING: Final = f"{HOME}/tmp"  # noqa: S108 (below the root)
BLOB: Final = f"{RESERVED}blob"  # in the directory ``a``: the blob ``a``
BESIDE: Final = f"{RESERVED}tmp~"  # what the name of a temporary file outside of STAGING begins with
MAX_PATH: Final = 1024
TRIES: Final = 1000  # rounds against writers and deleters that undo our directories

# What opening a path says where there is no blob: no name, a file or link on the way, a socket, a name too long to exist.
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
_FORMAT: Final = 0o170000


def checked(path: str) -> str:
    """``path``, which is a portable path: the root holds even if a caller failed to check it."""
    if not is_portable(path):
        why = reason(path, MAX_PATH)
        if why is not None:
            raise InvalidKeyError(f"path {path!r}: {why}")
    return path


def is_blob(st: os.stat_result) -> bool:
    """Whether this is a regular file."""
    return st.st_mode & _FORMAT == stat.S_IFREG


def is_folder(st: os.stat_result) -> bool:
    """Whether this is a directory."""
    return st.st_mode & _FORMAT == stat.S_IFDIR


def is_link(st: os.stat_result) -> bool:
    """Whether this is a symbolic link."""
    return st.st_mode & _FORMAT == stat.S_IFLNK


class Folder:
    """An open directory, closed with the last reference to it: no other thread can close it under a call."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd: int = fd

    def __del__(self) -> None:
        if hasattr(self, "fd"):  # an interrupt may come before it is set
            os.close(self.fd)


class Tree:
    """The tree below one root.

    Attributes:
        root: the absolute path of the root, as the user gave it.
        spelling: keeps names apart where the file system does not.
        staging: the directory for temporary files, if it is open.
        takes_attributes: whether a short extended attribute is worth a try.
    """

    def __init__(self, root: str, *, create: bool, fsync: bool) -> None:
        self.root = root
        self.create: bool = create
        self.fsync: bool = fsync
        self.spelling: Spelling = Spelling(self)
        self.staging: Folder | None = None
        self.takes_attributes = True
        self._base = f"{root}/"  # without links, once one was met
        self._target: tuple[int, int] | None = None  # device and inode of a root that is reached through links

    # ---- opening -----------------------------------------------------------------------------------------------

    def open(self, path: str, flags: int) -> int:
        """Opens what is at ``path`` (``""``: the root); a link below the root is an ``OSError`` (``ELOOP``)."""
        if self._target is not None:
            self._follow_root()
        try:
            return _system.open_inside(self._base, path, flags)
        except OSError as exc:
            if exc.errno != errno.ELOOP or not self._resolve_root():
                raise
        return _system.open_inside(self._base, path, flags)

    @property
    def base(self) -> str:
        """The root's path with a slash at its end, free of links as far as is known."""
        return self._base

    def _resolve_root(self) -> bool:
        """Looks again where the root is; whether that is another place than was thought."""
        real = f"{os.path.realpath(self.root)}/"
        if real == self._base:
            return False
        with contextlib.suppress(FileNotFoundError):
            st = os.stat(self.root)
            self._target = st.st_dev, st.st_ino
            self._base = real
            return True
        return False

    def _follow_root(self) -> None:
        """A link may have been pointed elsewhere since."""
        try:
            st = os.stat(self.root)
        except FileNotFoundError:
            self._base, self._target = f"{self.root}/", None
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
            if kind == stat.S_IFDIR:
                fd, folder = os.open(BLOB, _system.READ, dir_fd=fd), fd
                os.close(folder)
                st = os.fstat(fd)
                kind = st.st_mode & _FORMAT
            if kind != stat.S_IFREG:
                raise NotFoundError  # noqa: TRY301
            if st.st_dev not in self.spelling.exact and not self.spelling.holds(path, st):
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
        """What to raise for ``exc``, which opening a blob or its directory gave."""
        if exc.errno not in _ABSENT:
            return exc
        if not self.create and not self.exists():
            return BucketNotFoundError(f"{self.root!r} is not a directory; make it, or leave out create=false")
        return NotFoundError()

    def exists(self) -> bool:
        """Whether the root is there, and is a directory."""
        try:
            return is_folder(os.stat(self.root))
        except (FileNotFoundError, NotADirectoryError):
            return False

    # ---- making and removing directories -----------------------------------------------------------------------

    def open_folder(self, folder: str) -> int:
        """Opens the directory ``folder``, making it and what it lies in where they are missing.

        A blob in its way moves into it.
        """
        try:
            fd = self.open(folder, _system.DIRECTORY)
        except OSError as exc:
            if exc.errno not in _ABSENT or exc.errno == errno.ENAMETOOLONG:
                raise
            fd = self._make_folder(folder)
        return fd

    def make_root(self, *, create: bool = False) -> None:
        """Makes the root, with its parents; ``create``: even if the URL says that it must be there.

        Raises:
            BucketNotFoundError: it is missing and may not be made, or is no directory.
        """
        if self.exists():
            return
        if not (create or self.create):
            raise BucketNotFoundError(f"{self.root!r} is not a directory; make it, or leave out create=false")
        made = []
        folder = self.root
        while not os.path.lexists(folder):
            made.append(folder)
            folder = os.path.dirname(folder)
        try:
            os.makedirs(self.root, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as exc:
            raise BucketNotFoundError(f"{self.root!r} is not a directory; choose another place") from exc
        if self.fsync:
            for folder in made:
                fd = os.open(os.path.dirname(folder), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    _system.sync(fd)
                finally:
                    os.close(fd)

    def _make_folder(self, folder: str) -> int:
        for _ in range(TRIES):
            self.make_root()
            fd = self.open("", _system.DIRECTORY)
            try:
                for segment in folder.split("/") if folder else ():
                    inner = self._enter(fd, segment)
                    os.close(fd)
                    fd = inner
            except FileNotFoundError:  # somebody removed, as empty, what we had just made
                os.close(fd)
                continue
            except BaseException:
                os.close(fd)
                raise
            return fd
        raise UnavailableError(f"directory {folder!r} vanishes again and again")

    def _enter(self, fd: int, name: str) -> int:
        """Opens the directory ``name`` in the directory ``fd``; makes it, or makes room for it."""
        for _ in range(TRIES):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return os.open(name, _system.DIRECTORY, dir_fd=fd)
            try:
                os.mkdir(name, dir_fd=fd)
            except FileExistsError:
                self._make_room(fd, name)
                continue
            if self.fsync:
                _system.sync(fd)
        raise UnavailableError(f"directory {name!r} vanishes again and again")

    def _make_room(self, fd: int, name: str) -> None:
        """Turns the blob ``name`` in the directory ``fd`` into a directory that holds it."""
        own = self.lock(fd)
        try:
            try:
                st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                return
            if is_folder(st):
                return
            if not is_blob(st):
                raise UnsupportedOperationError(
                    f"{name!r} is in the way: it is a symbolic link or a special file, which is not touched; remove it"
                )
            try:
                self._demote(fd, name, self.open_staging().fd, f"t{os.urandom(12).hex()}")
            except OSError as exc:
                if exc.errno != errno.EXDEV:
                    raise _no_room(name, exc) from exc
                self._demote(fd, name, fd, f"{BESIDE}{os.urandom(12).hex()}")
        finally:
            self.unlock(fd, own)

    def _demote(self, fd: int, name: str, staging: int, staged: str) -> None:
        os.mkdir(staged, dir_fd=staging)
        inner = os.open(staged, _system.DIRECTORY, dir_fd=staging)
        try:
            if not _system.try_lock(inner):  # a sweeper has it
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), staged)
            try:
                os.link(name, BLOB, src_dir_fd=fd, dst_dir_fd=inner, follow_symlinks=False)
                if self.fsync:
                    _system.sync(inner)
                # From here on readers find the blob in the directory; until here, and after a crash, where it was.
                _system.exchange(staging, staged, fd, name)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(BLOB, dir_fd=inner)
                with contextlib.suppress(OSError):
                    os.rmdir(staged, dir_fd=staging)
                raise
        finally:
            os.close(inner)
        if self.fsync:
            _system.sync(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged, dir_fd=staging)

    def prune(self, folder: str) -> None:
        """Removes ``folder`` and what it lies in, as far as they are empty. Writers make them again."""
        while folder:
            outer, _, name = folder.rpartition("/")
            try:
                fd = self.open(outer, _system.DIRECTORY)
            except OSError:
                return
            try:
                os.rmdir(name, dir_fd=fd)
            except OSError:
                return
            finally:
                os.close(fd)
            folder = outer

    def open_staging(self) -> Folder:
        """Opens the directory for temporary files, for ``staging`` too, and makes it where it is missing."""
        staging = self.staging = Folder(self.open_folder(STAGING))
        return staging

    def make_staging(self) -> None:
        """Makes the directory for temporary files, and with it the one for all that is ours."""
        self.open_staging()

    # ---- locking -----------------------------------------------------------------------------------------------

    def lock(self, fd: int) -> int:
        """Waits until nobody else, in whatever process, changes names in the directory ``fd``.

        The lock is the directory itself: where it was removed meanwhile, the change that follows finds no directory.

        Returns:
            What :meth:`unlock` takes. Closing ``fd`` and, unless it is -1, this gives the lock back too.
        """
        if _system.lock(fd):
            return -1
        # NFS locks no directory: one file for all.
        try:
            own = self.open(f"{HOME}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        except FileNotFoundError:
            self.open_staging()
            own = self.open(f"{HOME}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        if not _system.lock(own):
            os.close(own)
            raise UnsupportedOperationError(f"the file system of {self.root!r} has no locks; use another")
        return own

    def unlock(self, fd: int, own: int) -> None:
        """Gives back what :meth:`lock` returned."""
        if own >= 0:
            os.close(own)
        else:
            _system.unlock(fd)


def _no_room(name: str, exc: OSError) -> Exception:
    if exc.errno in (errno.ENOTSUP, errno.EPERM, errno.EMLINK):
        return UnsupportedOperationError(
            f"{name!r} is a blob, and this file system cannot turn it into a directory in one step: "
            "use another file system, or keep no keys below a key"
        )
    return exc
