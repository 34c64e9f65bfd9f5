"""Changes of names: publish, delete, move. Each under the lock of the directory that holds the name."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from storage._backend import Stat
from storage.backends.filesystem import _records, _sidecars, _system
from storage.backends.filesystem._staging import Staged
from storage.backends.filesystem._tree import BESIDE, BLOB, HOME, TRIES, Folder, Tree, is_blob, is_folder
from storage.exceptions import (
    AlreadyExistsError,
    NotFoundError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
    UnsupportedOperationError,
)

__all__ = ["delete", "move", "publish"]

# No hard links here, or no more to this file.
_NO_LINK = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})
# What says that a directory was removed as empty, or made, since it was looked at.
_CHANGED = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)


class _Place:
    """Where the blob ``name`` of the directory ``fd`` is, or would be.

    Attributes:
        fd: the directory that holds its file: ``fd``, or the directory ``name`` in it.
        name: the file's name in there.
        st: what has that name; ``None``: nothing.
    """

    __slots__ = ("_outer", "fd", "name", "st")

    def __init__(self, fd: int, name: str, *, claim: bool = False) -> None:
        """``claim``: where ``name`` is an empty directory, remove it."""
        self._outer = self.fd = fd
        self.name = name
        self.st = _look(fd, name)
        if self.st is None or not is_folder(self.st):
            return
        if claim:
            try:
                os.rmdir(name, dir_fd=fd)
            except OSError:
                pass
            else:
                self.st = None
                return
        self.fd = os.open(name, _system.DIRECTORY, dir_fd=fd)
        self.name = BLOB
        self.st = _look(self.fd, BLOB)

    def close(self) -> None:
        """Closes what was opened to look."""
        if self.fd != self._outer:
            os.close(self.fd)

    @property
    def is_inner(self) -> bool:
        """Whether the blob is, or would be, inside a directory of its own name."""
        return self.fd != self._outer


def _look(fd: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def publish(tree: Tree, path: str, staged: Staged) -> Stat:
    """Gives the finished ``staged`` the name ``path``, durably, under its options, and closes it."""
    folder = path.rpartition("/")[0]
    for _ in range(TRIES):
        try:
            _put(tree, path, staged)
        except _CHANGED:
            continue
        except StorageError:
            tree.prune(folder)
            raise
        except OSError as exc:
            if exc.errno != errno.EXDEV or staged.name.startswith(BESIDE):
                raise
            staged = staged.moved_beside(folder)
            continue
        return staged.published()
    raise UnavailableError(f"the directory of {path!r} vanishes again and again")


def _put(tree: Tree, path: str, staged: Staged) -> None:
    """One attempt of ``publish``, which looks at what is there and makes room."""
    folder, _, name = path.rpartition("/")
    options = staged.options
    device = staged.stat.st_dev
    tree.spelling.learn(device, staged.folder.fd, staged.name)
    with contextlib.ExitStack() as stack:
        tree.spelling.refuse_alias(path, device)  # before anything is made or moved for it
        fd = tree.open_folder(folder)
        stack.callback(os.close, fd)
        own = tree.lock(fd)
        try:
            tree.spelling.refuse_alias(path, device)  # nobody can make one any more
            place = _Place(fd, name, claim=True)
            stack.callback(place.close)
            _check(tree, path, place, overwrite=options.overwrite, if_match=options.if_match)
            if staged.sidecar:
                _sidecars.write(tree, path, staged, place.st)
            _rename(staged.name, staged.folder.fd, place, overwrite=options.overwrite)
            if staged.sidecar and place.st is not None:
                _sidecars.remove(tree, path, place.st)
        finally:
            tree.unlock(fd, own)
        if tree.fsync:
            _system.sync(place.fd)


def _check(tree: Tree, path: str, place: _Place, *, overwrite: bool, if_match: str | None) -> None:
    """Raises unless the blob may be put in its place."""
    st = place.st
    if st is not None and is_blob(st):
        if not overwrite:
            raise AlreadyExistsError
        if if_match is not None and _etag(tree, path, place) != if_match:
            raise PreconditionFailedError
        return
    if if_match is not None:
        raise PreconditionFailedError
    if st is not None and is_folder(st):
        raise UnsupportedOperationError(f"{path!r}: {BLOB!r} in its directory is a directory, not a blob; remove it")


def _etag(tree: Tree, path: str, place: _Place) -> str:
    fd = os.open(place.name, _system.READ, dir_fd=place.fd)
    try:
        st = os.fstat(fd)
        record = _records.fetch(fd) or _sidecars.read(tree, path, st)
        return _records.to_stat(path, st, record).etag
    finally:
        os.close(fd)


def _rename(source: str, source_fd: int, place: _Place, *, overwrite: bool) -> None:
    """Makes ``source`` the name at ``place``. What somebody made there, unlocked, since ``place`` looked: ``FileExistsError``."""
    if not overwrite and place.st is None:
        try:
            os.link(source, place.name, src_dir_fd=source_fd, dst_dir_fd=place.fd, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in _NO_LINK:
                raise
        else:
            os.unlink(source, dir_fd=source_fd)
            return
    os.rename(source, place.name, src_dir_fd=source_fd, dst_dir_fd=place.fd)


def delete(tree: Tree, path: str, only: Callable[[os.stat_result], bool] | None = None) -> bool:
    """Deletes the blob at ``path``, durably, and the directories that are empty then.

    Args:
        tree: the store.
        path: where.
        only: deletes nothing if this is false of the file.

    Returns:
        Whether it was deleted.

    Raises:
        NotFoundError: there is no blob.
    """
    folder, _, name = path.rpartition("/")
    for _ in range(TRIES):
        try:
            fd = tree.open(folder, _system.DIRECTORY)
        except OSError as exc:
            raise tree.absent(exc) from None
        place = None
        try:
            own = tree.lock(fd)
            try:
                place = _Place(fd, name)
                st = place.st
                if st is None or not is_blob(st) or not tree.spelling.holds(path, st):
                    raise NotFoundError
                if only is not None and not only(st):
                    return False
                os.unlink(place.name, dir_fd=place.fd)
                _sidecars.remove(tree, path, st)
            finally:
                tree.unlock(fd, own)
            if tree.fsync:
                _system.sync(place.fd)
        except _CHANGED:
            continue
        finally:
            if place is not None:
                place.close()
            os.close(fd)
        tree.prune(path if place.is_inner else folder)
        return True
    raise UnavailableError(f"the directory of {path!r} vanishes again and again")


def move(tree: Tree, source: str, target: str, *, overwrite: bool) -> Stat | None:
    """Renames a blob, durably, in one step.

    Returns:
        The blob at ``target``; ``None``: nothing was done, it takes a copy.

    Raises:
        NotFoundError: there is none at ``source``.
    """
    folder, _, name = target.rpartition("/")
    source_folder, _, source_name = source.rpartition("/")
    for _ in range(TRIES):
        fd, st = tree.open_blob(source)  # no directory is made for a blob that is not there
        os.close(fd)
        fds: list[int] = []
        places: list[_Place] = []
        try:
            if st.st_dev not in tree.spelling.exact:
                tree.open_staging()
                home = Folder(tree.open(HOME, _system.DIRECTORY))
                tree.spelling.learn(st.st_dev, home.fd, "tmp")
            tree.spelling.refuse_alias(target, st.st_dev)
            fds.append(tree.open_folder(folder))
            fds.append(tree.open(source_folder, _system.DIRECTORY))
            with _both_locked(tree, fds[0], fds[1]):
                tree.spelling.refuse_alias(target, st.st_dev)
                old, new = _Place(fds[1], source_name), _Place(fds[0], name, claim=True)
                places += old, new
                stat = _move(tree, source, target, old, new, overwrite=overwrite)
            if stat is not None and tree.fsync:
                _system.sync(new.fd)
                _system.sync(old.fd)
        except _CHANGED:
            continue
        except StorageError:
            tree.prune(folder)
            raise
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            return None
        finally:
            for place in places:
                place.close()
            for fd in fds:
                os.close(fd)
        tree.prune(source if old.is_inner else source_folder)
        return stat
    raise UnavailableError(f"the directory of {target!r} vanishes again and again")


def _move(tree: Tree, source: str, target: str, old: _Place, new: _Place, *, overwrite: bool) -> Stat | None:
    fd = os.open(old.name, _system.READ, dir_fd=old.fd)
    try:
        st = os.fstat(fd)
        if not is_blob(st):
            raise NotFoundError
        record = _records.fetch(fd)
    finally:
        os.close(fd)
    if record is None and _sidecars.read(tree, source, st) is not None:
        return None
    _check(tree, target, new, overwrite=overwrite, if_match=None)
    if new.st is not None and os.path.samestat(st, new.st):
        # Two names of one file, which a rename leaves as they are: a killed move, for one.
        os.unlink(old.name, dir_fd=old.fd)
    else:
        _rename(old.name, old.fd, new, overwrite=overwrite)
    return _records.to_stat(target, st, record)


@contextlib.contextmanager
def _both_locked(tree: Tree, fd: int, other: int) -> Iterator[None]:
    """Two directories, which may be one, locked in an order that all keep."""
    st, other_st = os.fstat(fd), os.fstat(other)
    order = [fd, other] if (st.st_dev, st.st_ino) < (other_st.st_dev, other_st.st_ino) else [other, fd]
    with contextlib.ExitStack() as stack:
        own = tree.lock(order[0])
        stack.callback(tree.unlock, order[0], own)
        if own == -1 and not os.path.samestat(st, other_st):
            stack.callback(tree.unlock, order[1], tree.lock(order[1]))
        yield
