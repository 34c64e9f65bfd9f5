"""The short way of a plain ``put``: nothing is in its way, and it does not matter what it replaces.

It does what ``Staged`` and ``publish`` do, in the same order and under the same locks, without a call or an object
between the system calls: those cost as much as the calls. Whatever is unusual is left to the long way, from the start.
"""

from __future__ import annotations

import contextlib
import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

from storage._backend import PutOptions, Stat
from storage.backends.filesystem import _records, _staging, _system
from storage.backends.filesystem._tree import Tree

__all__ = ["put"]

_NOW = LOCK_EX | LOCK_NB
_SHORT = 200  # bytes of a record that fits wherever any does


def put(tree: Tree, path: str, data: bytes, options: PutOptions) -> Stat | None:
    """As ``Backend.put``; ``None``: nothing was done, take the long way."""
    staging = tree.staging
    if staging is None or not options.overwrite or options.if_match is not None or not tree.takes_attributes:
        return None
    staging_fd = staging.fd
    parent, _, target = path.rpartition("/")
    unique = os.urandom(20)
    etag = unique[:8]
    name = "t" + unique.hex()
    try:
        fd = os.open(name, _staging.NEW, 0o666, dir_fd=staging_fd)
    except OSError:
        return None
    is_staged = True
    try:
        st = _fill(tree, fd, data, etag, options)
        if st is None:
            return None
        folder = tree.open(parent, _system.DIRECTORY)
        try:
            flock(folder, LOCK_EX)
            os.rename(name, target, src_dir_fd=staging_fd, dst_dir_fd=folder)
            is_staged = False
            if tree.fsync:
                flock(folder, LOCK_UN)  # others need not wait for the medium
                _system.sync(folder)
        finally:
            os.close(folder)
    except OSError:
        if not is_staged:
            raise
        return None
    finally:
        if is_staged:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=staging_fd)
        os.close(fd)
    return _records.new_stat(etag, st, options)


def _fill(tree: Tree, fd: int, data: bytes, etag: bytes, options: PutOptions) -> os.stat_result | None:
    """Makes the new file ``fd`` the body with its record; ``None``: something about it is unusual."""
    flock(fd, _NOW)
    if os.write(fd, data) != len(data):
        return None
    st = os.fstat(fd)
    if not st.st_nlink or st.st_dev not in tree.spelling.exact:
        return None
    record = _records.encode(etag, st, options)
    try:
        _records.attach(fd, record)
    except _records.Unattached:
        # Not because this one is long: then none will be.
        tree.takes_attributes = len(record) > _SHORT
        return None
    if tree.fsync:
        _system.sync(fd)
    return st
