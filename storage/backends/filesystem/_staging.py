"""Temporary files: written aside, then published in one step.

A staged file is locked by its writer. A process that can take this lock may delete the file, because its writer has died.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from storage._backend import PutOptions, Stat
from storage._descriptors import Descriptor
from storage._fork import forks
from storage.backends.filesystem import _folders, _records, _system
from storage.backends.filesystem._records import Record, Unattached
from storage.backends.filesystem._tree import BESIDE, TRIES, Tree
from storage.exceptions import UnavailableError

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Swept(Exception):  # noqa: N818 (an answer: where the bytes are still at hand, the file is made again)
    """A temporary file was deleted before it was published: by a sweeper that came before its lock, or by somebody else.

    The store is as it was before the write.
    """


class Staged:
    """A file with the body of a blob to be. Close or discard it.

    Attributes:
        fd: the open file.
        folder: the directory that it is in.
        name: its name there; it has a letter.
        etag: the new blob's.
        options: those it was finished with.
        stat: the file as it then was.
        sidecar: whether its record could not be attached, and has to be written beside it.
    """

    __slots__ = ("_made", "_tree", "etag", "fd", "folder", "name", "options", "sidecar", "stat")

    options: PutOptions
    stat: os.stat_result

    def __init__(self, tree: Tree, folder: Descriptor | None = None, mode: int = 0o666) -> None:
        """Makes a new file in ``folder``, or else in the directory for temporary files. ``mode``: before the umask."""
        self.fd = -1
        self.sidecar = False
        self._tree = tree
        self._made = forks.count
        unique = os.urandom(20)
        self.etag = unique[:8]
        self.name = (BESIDE if folder else "t") + unique[8:].hex()
        for _ in range(TRIES):
            self.folder = folder or tree.staging or _folders.open_staging(tree)
            try:
                fd = os.open(self.name, _NEW, mode, dir_fd=self.folder.fd)
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
    def held(cls, tree: Tree, mode: int = 0o666) -> Staged:
        """A new one that no sweeper has taken, nor will."""
        while True:
            staged = cls(tree, mode=mode)
            if staged.is_there():
                return staged
            staged.discard()

    def is_there(self) -> bool:
        """Whether the file still has its name."""
        return os.fstat(self.fd).st_nlink > 0

    def write(self, data: bytes | memoryview) -> None:
        """Appends all of ``data``."""
        written = os.write(self.fd, data)
        if written != len(data):
            view = memoryview(data).cast("B")
            while written < len(view):
                written += os.write(self.fd, view[written:])

    def imitate(self, st: os.stat_result, record: Record | None) -> None:
        """Takes the time of the body ``st`` and, if ``record`` is that body's, its etag: this file holds the same bytes."""
        os.utime(self.fd, ns=(st.st_atime_ns, st.st_mtime_ns))
        if record is not None:
            self.etag = _records.own_etag(record, st) or self.etag

    def finish(self, options: PutOptions) -> None:
        """Attaches the record, and brings all to the medium. Nothing may be written after that.

        Raises:
            Swept: the file was deleted.
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
        """The same in the directory ``folder``, which is on another file system; this one is discarded."""
        copy = Staged(self._tree, Descriptor(_folders.open_folder(self._tree, folder)))
        try:
            _system.clone(self.fd, copy.fd, self.stat.st_size)
            copy.etag = self.etag
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
        if self._made == forks.count:
            with contextlib.suppress(OSError):
                os.unlink(self.name, dir_fd=self.folder.fd)
        with contextlib.suppress(OSError):
            os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "fd"):  # an interrupt may come before it is set
            self.discard()


def write_own(
    tree: Tree, path: str, data: bytes, *, mode: int = 0o666, replace: bool = True, fsync: bool = True
) -> None:
    """Writes a file of the store's own, whole. ``replace``: in the place of one that is there; ``fsync``: to the medium."""
    folder, _, name = path.rpartition("/")
    staged = Staged.held(tree, mode)
    try:
        staged.write(data)
        if fsync:
            _system.sync(staged.fd)
        with Descriptor(_folders.open_folder(tree, folder)) as fd:
            if replace:
                os.rename(staged.name, name, src_dir_fd=staged.folder.fd, dst_dir_fd=fd)
                staged.close()
            else:
                with contextlib.suppress(FileExistsError):
                    os.link(staged.name, name, src_dir_fd=staged.folder.fd, dst_dir_fd=fd)
            if fsync:
                _system.sync(fd)
    finally:
        staged.discard()
