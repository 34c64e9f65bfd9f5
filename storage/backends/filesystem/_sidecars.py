"""Records of bodies that cannot carry their own: no extended attributes here, or too small ones.

A sidecar is named after the path, the size and the time of change of its body, and written before the body is published.
So the one step that publishes the body also makes its sidecar count: the old body's has another name. Two bodies that
follow each other never agree in size and time, for then the new one's time is moved on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import Final

from storage.backends.filesystem import _system
from storage.backends.filesystem._records import Record
from storage.backends.filesystem._staging import Staged
from storage.backends.filesystem._tree import HOME, Tree, checked
from storage.exceptions import NotFoundError, UnavailableError

__all__ = ["exist", "forget", "orphans", "read", "remove", "write"]

_FOLDER: Final = f"{HOME}/meta"
# Nanoseconds by which a time of change is moved on: the finest that the file system keeps does it. FAT keeps two seconds.
_STEPS: Final = (1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)


def _name(path: str, st: os.stat_result) -> str:
    digest = hashlib.sha256(path.encode()).hexdigest()[:40]
    return f"{digest}.{st.st_size:x}.{st.st_mtime_ns:x}"


def exist(tree: Tree) -> bool:
    """Whether there may be any sidecars."""
    try:
        os.close(tree.open(_FOLDER, _system.DIRECTORY))
    except FileNotFoundError:
        return False
    return True


def read(tree: Tree, path: str, st: os.stat_result) -> Record | None:
    """The record of the body ``st`` at ``path``; ``None``: it has no sidecar."""
    found = _load(tree, _name(path, st))
    return found[1] if found is not None and found[0] == path else None


def _load(tree: Tree, name: str) -> tuple[str, Record | None] | None:
    try:
        fd = tree.open(f"{_FOLDER}/{name}", _system.READ)
    except OSError:
        return None
    with open(fd, "rb") as file:
        path, _, data = file.read().partition(b"\n")
    return path.decode(errors="replace"), Record.decode(data)


def write(tree: Tree, path: str, staged: Staged, old: os.stat_result | None) -> None:
    """Writes the record of ``staged``, which is about to become the blob at ``path``.

    Guaranteed: the directory of ``path`` is locked.

    Args:
        tree: the store.
        path: what ``staged`` will be called.
        staged: finished; its time of change may be moved on.
        old: what it will replace.
    """
    st = staged.stat
    for step in _STEPS:
        if not _alike(old, st):
            break
        os.utime(staged.fd, ns=(st.st_atime_ns, st.st_mtime_ns + step))
        st = os.fstat(staged.fd)
    if _alike(old, st):
        raise UnavailableError(f"the file system keeps no time of change for {path!r}")
    if st is not staged.stat:
        staged.stat = st
        if tree.fsync:
            _system.sync(staged.fd)
    data = Staged.held(tree)
    try:
        data.write(path.encode() + b"\n" + staged.record())
        if tree.fsync:
            _system.sync(data.fd)
        fd = tree.open_folder(_FOLDER)
        try:
            os.rename(data.name, _name(path, st), src_dir_fd=data.folder.fd, dst_dir_fd=fd)
            if tree.fsync:
                _system.sync(fd)
        finally:
            os.close(fd)
    except BaseException:
        data.discard()
        raise
    data.close()


def _alike(old: os.stat_result | None, st: os.stat_result) -> bool:
    return old is not None and (old.st_size, old.st_mtime_ns) == (st.st_size, st.st_mtime_ns)


def remove(tree: Tree, path: str, st: os.stat_result) -> None:
    """Forgets the sidecar of the body ``st``, which is no longer at ``path``. Does not raise."""
    with contextlib.suppress(OSError):
        fd = tree.open(_FOLDER, _system.DIRECTORY)
        try:
            os.unlink(_name(path, st), dir_fd=fd)
        finally:
            os.close(fd)


def forget(tree: Tree, path: str, name: str) -> bool:
    """Deletes the sidecar file ``name`` unless it is that of the blob at ``path``; whether it was deleted."""
    try:
        folder = tree.open(checked(path).rpartition("/")[0], _system.DIRECTORY)
    except OSError:
        folder = tree.open("", _system.DIRECTORY)  # no blob there, and so no writer that could need it
    try:
        own = tree.lock(folder)
        try:
            try:
                if _name(path, tree.file(path)) == name:
                    return False
            except NotFoundError:
                pass
            os.unlink(f"{tree.base}{_FOLDER}/{name}")
        finally:
            tree.unlock(folder, own)
    finally:
        os.close(folder)
    return True


def orphans(tree: Tree) -> Iterator[tuple[str, str]]:
    """The path and the file name of every sidecar, for a sweeper to look at."""
    try:
        fd = tree.open(_FOLDER, _system.DIRECTORY)
    except OSError:
        return
    try:
        names = os.listdir(fd)
    finally:
        os.close(fd)
    for name in names:
        found = _load(tree, name)
        if found is not None:
            yield found[0], name
