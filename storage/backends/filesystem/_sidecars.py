"""Sidecars: files with the records of blobs whose file systems have no extended attributes, or too small ones.

A sidecar is named after the path, the size and the time of change of its body, and written before the body is published. So
the one step that publishes the body also makes its sidecar count: the sidecar of the old body has another name. Two bodies
that follow each other never agree in size and time: the time of the new one is moved on where they would.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from storage._descriptors import Descriptor
from storage._keys import is_portable
from storage.backends.filesystem import _folders, _records, _system
from storage.backends.filesystem._records import Record
from storage.backends.filesystem._staging import Staged, write_own
from storage.backends.filesystem._tree import ABSENT, META, Tree, is_blob
from storage.exceptions import NotFoundError, UnavailableError

# Nanoseconds by which a time of change is moved on: the finest that the file system keeps does it. FAT keeps two seconds.
_STEPS: Final = (1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)


def _name(path: str, st: os.stat_result) -> str:
    digest = hashlib.sha256(path.encode()).hexdigest()[:40]
    return f"{digest}.{st.st_size:x}.{st.st_mtime_ns:x}"


@contextmanager
def _opened(tree: Tree) -> Iterator[int | None]:
    """The directory of the sidecars; ``None``: there are none."""
    fd = tree.find(META)
    tree.has_sidecars = fd is not None
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def exist(tree: Tree) -> bool:
    """Whether there may be any sidecars."""
    with _opened(tree) as folder:
        return folder is not None


def read(tree: Tree, path: str, st: os.stat_result) -> Record | None:
    """The record of the body ``st`` at ``path``; ``None``: it has no sidecar."""
    with _opened(tree) as folder:
        found = None if folder is None else _load(folder, _name(path, st))
    return found[1] if found is not None and found[0] == path else None


def _load(folder: int, name: str) -> tuple[str, Record | None] | None:
    """The path and the record in the sidecar file ``name``; ``None``: it is not there, or no file."""
    try:
        fd = os.open(name, _system.READ, dir_fd=folder)
    except OSError as exc:
        if exc.errno in ABSENT:
            return None
        raise
    with Descriptor(fd):
        if not is_blob(os.fstat(fd)):
            return None
        with open(fd, "rb", closefd=False) as file:
            path, _, data = file.read().partition(b"\n")
    return path.decode(errors="replace"), _records.decode(data)


def write(tree: Tree, path: str, staged: Staged, old: os.stat_result | None) -> None:
    """Writes the record of ``staged``, which is about to become the blob at ``path`` in the place of ``old``.

    Guaranteed: ``staged`` is finished, and the directory of ``path`` is locked. Its time of change may be moved on.
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
    write_own(tree, f"{META}/{_name(path, st)}", path.encode() + b"\n" + staged.record(), fsync=tree.fsync)
    tree.has_sidecars = True


def _alike(old: os.stat_result | None, st: os.stat_result) -> bool:
    return old is not None and (old.st_size, old.st_mtime_ns) == (st.st_size, st.st_mtime_ns)


def remove(tree: Tree, path: str, st: os.stat_result) -> None:
    """Forgets the sidecar of the body ``st``, which is no longer at ``path``. Does not raise.

    Where this object has found no sidecars before, it does not look again: one that stays belongs to no body, and is swept.
    """
    if tree.has_sidecars is False:
        return
    with contextlib.suppress(OSError), _opened(tree) as folder:
        if folder is not None:
            os.unlink(_name(path, st), dir_fd=folder)


# ---- sweeping ----------------------------------------------------------------------------------------------------------


def sweep(tree: Tree) -> int:
    """Deletes the sidecars whose bodies are gone; how many."""
    with _opened(tree) as folder:
        return 0 if folder is None else sum(_forget(tree, folder, name) for name in os.listdir(folder))


def _forget(tree: Tree, folder: int, name: str) -> bool:
    """Deletes the sidecar file ``name`` in the directory ``folder`` unless its body is there; whether it was deleted."""
    found = _load(folder, name)
    if found is None:
        return False
    path = found[0]
    if not is_portable(path):  # damaged
        return _unlink(folder, name)
    # A writer of this path holds this lock. Where its directory is missing there is no such blob.
    fd = tree.find(path.rpartition("/")[0])
    if fd is None:
        return _unlink(folder, name)
    own = -1
    try:
        own = _folders.lock(tree, fd)
        return not _has_body(tree, path, name) and _unlink(folder, name)
    finally:
        if own >= 0:
            os.close(own)
        os.close(fd)


def _has_body(tree: Tree, path: str, name: str) -> bool:
    try:
        return _name(path, tree.file(path)) == name
    except NotFoundError:
        return False


def _unlink(folder: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True
