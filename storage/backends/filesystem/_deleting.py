"""Deletes blobs, under the lock of their directory, and the directories that are empty then."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import groupby

from storage.backends.filesystem import _folders, _sidecars, _system
from storage.backends.filesystem._places import CHANGED, Place, vanishes
from storage.backends.filesystem._tree import TRIES, Tree, is_blob
from storage.exceptions import NotFoundError

__all__ = ["delete", "delete_batch"]

_Condition = Callable[[os.stat_result], bool]


def delete(tree: Tree, path: str, *, if_match: str | None = None, only: _Condition | None = None) -> bool:
    """Deletes the blob at ``path``, durably, and the directories that are empty then.

    Args:
        tree: the store.
        path: where.
        if_match: the etag that it must have, else ``PreconditionFailedError``.
        only: deletes nothing if this is false of the file.

    Returns:
        Whether it was deleted.

    Raises:
        NotFoundError: there is no blob.
    """
    for _ in range(TRIES):
        try:
            with Place.found(tree, path) as place:
                place.lock()
                place.look()
                st = place.blob()
                if if_match is not None:
                    place.check_version(if_match)
                if only is not None and not only(st):
                    return False
                os.unlink(place.name, dir_fd=place.fd)
                _sidecars.remove(tree, path, st)
                if tree.fsync:
                    place.unlock()
                    _system.sync(place.fd)
        except CHANGED:
            continue
        _folders.prune(tree, path if place.is_inner else path.rpartition("/")[0])
        return True
    raise vanishes(path)


def delete_batch(tree: Tree, paths: Sequence[str]) -> dict[str, Exception]:
    """Deletes blobs; each directory is locked, brought to the medium and removed when empty once. Absent ones are fine.

    Returns:
        The exception of each path that could not be deleted.
    """
    failed: dict[str, Exception] = {}
    for folder, group in groupby(sorted(paths), lambda path: path.rpartition("/")[0]):
        batch = list(group)
        try:
            rest = _delete_plain_files(tree, folder, batch)
        except NotFoundError:
            continue
        except Exception as exc:
            failed.update(dict.fromkeys(batch, exc))
            continue
        for path in rest:
            try:
                delete(tree, path)
            except NotFoundError:
                continue
            except Exception as exc:
                failed[path] = exc
        _folders.prune(tree, folder)
    return failed


def _delete_plain_files(tree: Tree, folder: str, paths: Sequence[str]) -> list[str]:
    """Deletes those of ``paths``, all in ``folder``, that are plain files and give no trouble. Returns the others."""
    try:
        fd = tree.open(folder, _system.DIRECTORY)
    except OSError as exc:
        raise tree.absent(exc) from None
    try:
        own = _folders.lock(tree, fd)
        try:
            rest = [path for path in paths if not _delete_plain_file(tree, fd, path)]
        finally:
            _folders.unlock(fd, own)
        if tree.fsync:
            _system.sync(fd)
    finally:
        os.close(fd)
    return rest


def _delete_plain_file(tree: Tree, fd: int, path: str) -> bool:
    name = path.rpartition("/")[2]
    try:
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not is_blob(st) or not tree.spelling.holds(tree.open_directory, path, st.st_dev):
            return False
        os.unlink(name, dir_fd=fd)
    except OSError:
        return False  # trying again says what is wrong
    _sidecars.remove(tree, path, st)
    return True
