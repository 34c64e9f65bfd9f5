"""Deletes leftovers of writers that died, records of blobs that are gone, and expired blobs."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from itertools import islice
from typing import Final

from storage._descriptors import Descriptor
from storage.backends.filesystem import _deleting, _listing, _settings, _sidecars, _system
from storage.backends.filesystem._tree import ABSENT, BESIDE, BLOB, STAGING, Tree, is_folder
from storage.exceptions import NotFoundError

_DAY: Final = 86_400  # seconds
# Another process has deleted it already, or somebody keeps files of their own in it.
_NOT_OURS: Final = frozenset({errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST})


def sweep(tree: Tree, now: float) -> Sequence[str]:
    """As ``Backend.sweep``. ``now``: seconds since the epoch."""
    counts = {
        "leftovers of writers that died": _sweep_leftovers(tree),
        "records of blobs that are gone": _sidecars.sweep(tree),
        "expired blobs": sum(
            _expire(tree, prefix, now - days * _DAY) for prefix, days in _settings.read_settings(tree).tmp_days.items()
        ),
    }
    return [f"{count} {what}" for what, count in counts.items() if count]


def sweep_staging(tree: Tree, most: int | None = None) -> int:
    """Deletes what killed writers left where temporary files are; how many. ``most``: looks at no more."""
    fd = tree.find(STAGING)
    if fd is None:
        return 0
    with Descriptor(fd):
        with os.scandir(fd) as entries:
            names = [entry.name for entry in islice(entries, most)]
        return sum(_remove(fd, name) for name in names)


def _sweep_leftovers(tree: Tree) -> int:
    """As :func:`sweep_staging`, also where temporary files are that could not be made there."""
    count = sweep_staging(tree)
    for folder in _listing.folders(tree):
        fd = tree.find(folder)
        if fd is not None:
            with Descriptor(fd):
                count += sum(_remove(fd, name) for name in os.listdir(fd) if name.startswith(BESIDE))
    return count


def _remove(folder: int, name: str) -> bool:
    """Deletes the staged file or directory unless its writer lives, or it is something else; whether it did."""
    try:
        fd = os.open(name, _system.READ, dir_fd=folder)
    except PermissionError:  # another user's
        return False
    except OSError as exc:
        if exc.errno in ABSENT:
            return False
        raise
    try:
        if not _system.try_lock(fd):
            return False
        if is_folder(os.fstat(fd)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(BLOB, dir_fd=fd)
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
    except OSError as exc:
        if exc.errno in _NOT_OURS:
            return False
        raise
    finally:
        os.close(fd)
    return True


def _expire(tree: Tree, prefix: str, before: float) -> int:
    """Deletes the blobs below ``prefix`` that were written before ``before``; how many."""
    count = 0
    for page in _listing.pages(tree, prefix, page_size=1000):
        for path in page:
            with contextlib.suppress(NotFoundError):
                if tree.file(path).st_mtime < before:
                    count += _deleting.delete(tree, path, only=lambda st: st.st_mtime < before)
    return count
