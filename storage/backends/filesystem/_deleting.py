"""Deletes blobs, under the lock of their directory, and then the directories that are left empty."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import groupby

from storage.backends.filesystem import _folders, _sidecars, _system
from storage.backends.filesystem._places import CHANGED, Place, vanishes
from storage.backends.filesystem._tree import TRIES, Tree, is_blob
from storage.exceptions import NotFoundError

_Condition = Callable[[os.stat_result], bool]


def delete(tree: Tree, path: str, *, if_match: str | None = None, only: _Condition | None = None) -> bool:
    """Deletes the blob at ``path``, durably, and the directories that are empty then.

    Args:
        if_match: the etag that it must have, else ``PreconditionFailedError``.
        only: deletes nothing if this is false of the file.

    Returns:
        Whether it was deleted.

    Raises:
        NotFoundError: there is no blob.
    """
    folder = path.rpartition("/")[0]
    for _ in range(TRIES):
        outer, fd = _folders.find_nested(tree, folder)
        own = -1
        place = None
        try:
            own = _folders.lock(tree, fd)
            if if_match is not None or only is not None or not _delete_plain_file(tree, fd, path):
                place = Place(tree, path, fd)
                if not _delete_at(tree, place, if_match, only):
                    return False
            if tree.fsync:
                own = _folders.unlock(own, fd)
                _system.sync(fd if place is None else place.fd)
            if place is not None and place.is_inner:
                _folders.prune(tree, path)
            else:
                _folders.prune(tree, folder, outer)
            return True
        except CHANGED:
            continue
        finally:
            if own >= 0:
                os.close(own)
            os.close(fd)
            if place is not None:
                place.close()
            if outer >= 0:
                os.close(outer)
    raise vanishes(path)


def _delete_at(tree: Tree, place: Place, if_match: str | None, only: _Condition | None) -> bool:
    st = place.blob()
    if if_match is not None:
        place.check_version(if_match)
    if only is not None and not only(st):
        return False
    os.unlink(place.name, dir_fd=place.fd)
    _sidecars.remove(tree, place.path, st)
    return True


def delete_batch(tree: Tree, paths: Sequence[str]) -> dict[str, Exception]:
    """Deletes blobs; each directory is locked, brought to the medium and removed when empty once. Absent ones are fine.

    Returns:
        The exception of each path that could not be deleted.
    """
    failed: dict[str, Exception] = {}
    folders = [list(group) for _, group in groupby(sorted(paths), lambda path: path.rpartition("/")[0])]
    # Batches that run at once have the same directories as a rule, and would wait for one another at each.
    first = hash(tuple(paths)) % len(folders) if folders else 0
    for batch in folders[first:] + folders[:first]:
        try:
            rest = _delete_plain_files(tree, batch)
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
        _folders.prune(tree, batch[0].rpartition("/")[0])
    return failed


def _delete_plain_files(tree: Tree, paths: Sequence[str]) -> list[str]:
    """Deletes those of ``paths``, all in one directory, that are plain files and give no trouble. Returns the others."""
    fd = _folders.find_folder(tree, paths[0])
    own = -1
    try:
        own = _folders.lock(tree, fd)
        rest = [path for path in paths if not _delete_plain_file(tree, fd, path)]
        if tree.fsync:
            own = _folders.unlock(own, fd)
            _system.sync(fd)
    finally:
        if own >= 0:
            os.close(own)
        os.close(fd)
    return rest


def _delete_plain_file(tree: Tree, fd: int, path: str) -> bool:
    """Deletes the blob at ``path`` if it is a plain file in the locked directory ``fd`` and gives no trouble; whether it did."""
    name = path.rpartition("/")[2]
    try:
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not is_blob(st):
            return False
        if st.st_dev not in tree.spelling.exact and not tree.spelling.holds(tree.open, path, st.st_dev):
            return False
        os.unlink(name, dir_fd=fd)
    except OSError:
        return False  # trying again says what is wrong
    if tree.has_sidecars is not False:
        _sidecars.remove(tree, path, st)
    return True
