"""Files that are being written: made aside under a name of their own, published in one step, swept if their writer died.

A staged file is locked by its writer. Whoever gets that lock may delete it: its writer is gone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from typing import Final

from storage._backend import PutOptions, Stat
from storage.backends.filesystem import _records, _system
from storage.backends.filesystem._records import Unattached
from storage.backends.filesystem._tree import BESIDE, BLOB, STAGING, TRIES, Folder, Tree
from storage.exceptions import UnavailableError

__all__ = ["NEW", "Staged", "Swept", "sweep_all", "sweep_staging"]

NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


_process = object()  # another one after a fork


def _start_process() -> None:
    global _process  # noqa: PLW0603 (os.register_at_fork knows functions only)
    _process = object()


os.register_at_fork(after_in_child=_start_process)


class Swept(Exception):  # noqa: N818 (not an error: the file is made again)
    """A sweeper took the new file before it was locked. Nothing is lost."""


class Staged:
    """A file with the body of a blob to be. Close or discard it.

    Attributes:
        fd: the open file.
        folder: the directory that it is in.
        name: its name there; it has a letter.
        options: those it was finished with.
        stat: the file as it then was.
        etag: the new blob's.
        sidecar: whether its record could not be attached, and has to be written beside it.
    """

    __slots__ = ("_process", "_tree", "etag", "fd", "folder", "name", "options", "sidecar", "stat")

    options: PutOptions
    stat: os.stat_result

    def __init__(self, tree: Tree, folder: Folder | None = None) -> None:
        """``folder``: make it in there, and not where temporary files are made otherwise."""
        self.fd = -1
        self.sidecar = False
        self._tree = tree
        self._process = _process
        unique = os.urandom(20)
        self.etag = unique[:8]
        self.name = (BESIDE if folder else "t") + unique[8:].hex()
        for _ in range(TRIES):
            self.folder = folder or tree.staging or tree.open_staging()
            try:
                fd = os.open(self.name, NEW, 0o666, dir_fd=self.folder.fd)
            except FileNotFoundError:
                if folder:
                    raise
                tree.staging = None  # it was removed
                continue
            if _system.lock_new(fd):
                self.fd = fd
                return
            os.close(fd)
            self.name += "t"
        raise UnavailableError(f"temporary files below {tree.root!r} vanish again and again")

    @classmethod
    def held(cls, tree: Tree) -> Staged:
        """A new one that no sweeper has taken, nor will."""
        while True:
            staged = cls(tree)
            if os.fstat(staged.fd).st_nlink:
                return staged
            staged.discard()

    def write(self, data: bytes | memoryview) -> None:
        """Appends all of ``data``."""
        written = os.write(self.fd, data)
        if written != len(data):
            view = memoryview(data).cast("B")
            while written < len(view):
                written += os.write(self.fd, view[written:])

    def finish(self, options: PutOptions) -> None:
        """Attaches the record, and brings all to the medium. Nothing may be written after that.

        Raises:
            Swept: not if it is ``held``.
        """
        st = self.stat = os.fstat(self.fd)
        if not st.st_nlink:
            raise Swept
        self.options = options
        try:
            _records.attach(self.fd, self.record())
        except Unattached:
            self.sidecar = True
        if self._tree.fsync:
            _system.sync(self.fd)

    def record(self) -> bytes:
        """The record that goes with the body."""
        return _records.encode(self.etag, self.stat, self.options)

    def moved_beside(self, folder: str) -> Staged:
        """The same in the directory ``folder``, which is on another file system; this one is closed."""
        copy = Staged(self._tree, Folder(self._tree.open_folder(folder)))
        try:
            _system.clone(self.fd, copy.fd, self.stat.st_size)
            copy.finish(self.options)
        except BaseException:
            copy.discard()
            raise
        self.discard()
        return copy

    def published(self) -> Stat:
        """Closes the file, which has another name now; what it is."""
        self.close()
        return _records.new_stat(self.etag, self.stat, self.options)

    def close(self) -> None:
        """Closes the file and leaves its name."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def discard(self) -> None:
        """Deletes the file. Does not raise; does nothing in a child after ``fork``, whose parent owns it."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        if _process is self._process:
            with contextlib.suppress(OSError):
                os.unlink(self.name, dir_fd=self.folder.fd)
        with contextlib.suppress(OSError):
            os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "fd"):  # an interrupt may come before it is set
            self.discard()


def sweep_staging(tree: Tree, most: int | None = None) -> int:
    """Deletes what killed writers left where temporary files are; how many.

    Args:
        tree: the store.
        most: look at no more than so many.
    """
    try:
        fd = tree.open(STAGING, _system.DIRECTORY)
    except OSError:
        return 0
    try:
        with os.scandir(fd) as entries:
            names = [entry.name for entry in islice(entries, most)]
        return sum(_sweep(fd, name) for name in names)
    finally:
        os.close(fd)


def sweep_all(tree: Tree, folders: Iterator[str]) -> int:
    """As ``sweep_staging``, also in ``folders``, where temporary files are that could not be made there."""
    count = sweep_staging(tree)
    for folder in folders:
        try:
            fd = tree.open(folder, _system.DIRECTORY)
        except OSError:
            continue
        try:
            count += sum(_sweep(fd, name) for name in os.listdir(fd) if name.startswith(BESIDE))
        finally:
            os.close(fd)
    return count


def _sweep(folder: int, name: str) -> bool:
    """Deletes the staged file or directory unless its writer lives."""
    try:
        fd = os.open(name, _system.READ, dir_fd=folder)
    except OSError:
        return False
    try:
        if not _system.try_lock(fd):
            return False
        try:
            os.unlink(name, dir_fd=folder)
        except (IsADirectoryError, PermissionError):  # macOS says the latter
            with contextlib.suppress(FileNotFoundError):
                os.unlink(BLOB, dir_fd=fd)
            os.rmdir(name, dir_fd=folder)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
