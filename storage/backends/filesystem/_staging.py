"""Files that are being written: made aside under a name of their own, published in one step, swept if their writer died.

A staged file is locked by its writer. Whoever gets that lock may delete it: its writer is gone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from typing import Final

from storage.backends._protocol import PutOptions
from storage.backends.filesystem import _records, _system
from storage.backends.filesystem._records import Record, Unattached
from storage.backends.filesystem._tree import BESIDE, BLOB, STAGING, TRIES, Tree
from storage.exceptions import UnavailableError

__all__ = ["Staged", "sweep_all", "sweep_staging"]

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Staged:
    """A file with the body of a blob to be. Close it, published or not.

    Attributes:
        fd: the open file.
        path: its path below the root.
        stat: the file as it was when it was finished.
        record: what it carries.
        sidecar: whether the record still has to be written beside it.
    """

    __slots__ = ("_pid", "_tree", "fd", "path", "record", "sidecar", "stat")

    stat: os.stat_result
    record: Record

    def __init__(self, tree: Tree, folder: str = STAGING, begin: str = "t") -> None:
        self.fd = -1
        self.sidecar = False
        self._tree = tree
        self._pid = os.getpid()
        for _ in range(TRIES):
            path = self.path = f"{folder}/{begin}{os.urandom(12).hex()}" if folder else f"{begin}{os.urandom(12).hex()}"
            try:
                fd = tree.open(path, _NEW)
            except FileNotFoundError:
                if folder == STAGING:
                    tree.make_staging()
                else:
                    os.close(tree.open_folder(folder))
                continue
            # A sweeper may have come before the lock: it then holds it, or has deleted the file already.
            if _system.lock_new(fd):
                self.fd = fd
                return
            os.close(fd)
        raise UnavailableError(f"temporary files in {folder!r} vanish again and again")

    @property
    def location(self) -> str:
        """The absolute path of the file."""
        return self._tree.base + self.path

    def write(self, data: bytes | memoryview) -> None:
        """Appends all of ``data``."""
        written = os.write(self.fd, data)
        if written != len(data):
            view = memoryview(data).cast("B")
            while written < len(view):
                written += os.write(self.fd, view[written:])

    def finish(self, options: PutOptions) -> None:
        """Attaches the record, and brings all to the medium. Nothing may be written after that."""
        st = self.stat = os.fstat(self.fd)
        record = self.record = Record.of(os.urandom(12).hex(), st, options)
        try:
            _records.attach(self.fd, record)
        except Unattached:
            self.sidecar = True
        if self._tree.fsync:
            _system.sync(self.fd)

    def moved_beside(self, folder: str) -> Staged:
        """The same, on the file system of ``folder``; this one is closed."""
        copy = Staged(self._tree, folder, BESIDE)
        try:
            _system.clone(self.fd, copy.fd, self.stat.st_size)
            record = self.record
            copy.finish(
                PutOptions(record.content_type, record.cache_control, record.content_encoding, record.metadata),
            )
        except BaseException:
            copy.discard()
            raise
        self.discard()
        return copy

    def close(self) -> None:
        """Closes the file, which has been published under another name."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def discard(self) -> None:
        """Deletes the file. Does not raise; does nothing in a child after ``fork``, whose parent owns it."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        if os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                os.unlink(self.location)
        with contextlib.suppress(OSError):
            os.close(fd)

    def __del__(self) -> None:
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
