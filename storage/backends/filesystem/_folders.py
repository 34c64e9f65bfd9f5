"""Makes, locks and removes the directories of a store."""

from __future__ import annotations

import contextlib
import errno
import os

from storage._descriptors import Descriptor
from storage.backends.filesystem import _system
from storage.backends.filesystem._tree import (
    ABSENT,
    BESIDE,
    BLOB,
    HOME,
    META,
    STAGING,
    TRIES,
    Tree,
    is_blob,
    is_folder,
)
from storage.exceptions import UnavailableError, UnsupportedOperationError

# ---- making ------------------------------------------------------------------------------------------------------------


def open_folder(tree: Tree, folder: str) -> int:
    """Opens the directory ``folder``. Makes it, and the directories that it lies in, where they are missing.

    A blob of the same name moves into it.
    """
    try:
        return tree.open(folder)
    except OSError as exc:
        if exc.errno not in ABSENT or exc.errno == errno.ENAMETOOLONG:
            raise
    for _ in range(TRIES):
        make_root(tree)
        fd = tree.open("")
        try:
            for segment in folder.split("/") if folder else ():
                outer, fd = fd, _enter(tree, fd, segment)
                os.close(outer)  # an interrupt that comes now finds the other one to be closed
        except FileNotFoundError:  # somebody removed, as empty, what was just made
            os.close(fd)
            continue
        except BaseException:
            os.close(fd)
            raise
        return fd
    raise UnavailableError(f"directory {folder!r} vanishes again and again")


def find_folder(tree: Tree, path: str) -> int:
    """Opens the directory of a blob that should be there; ``NotFoundError``: it is missing, and so is the blob."""
    try:
        return tree.open(path.rpartition("/")[0])
    except OSError as exc:
        raise tree.absent(exc) from None


def find_nested(tree: Tree, folder: str) -> tuple[int, int]:
    """Opens the directory that ``folder`` lies in (-1 if that is the root) and ``folder``, as :func:`find_folder`."""
    try:
        if not folder:
            return -1, tree.open("")
        outer, _, name = folder.rpartition("/")
        fd = tree.open(outer)
        try:
            return fd, os.open(name, _system.DIRECTORY, dir_fd=fd)
        except BaseException:
            os.close(fd)
            raise
    except OSError as exc:
        raise tree.absent(exc) from None


def open_staging(tree: Tree) -> Descriptor:
    """Opens the directory for temporary files, also as ``tree.staging``; makes it where it is missing."""
    tree.has_staged = True
    staging = tree.staging = Descriptor(open_folder(tree, STAGING))
    return staging


def make_root(tree: Tree, *, create: bool = False) -> None:
    """Makes the root, with its parents; ``create``: even if the URL says that it must be there.

    Raises:
        BucketNotFoundError: it is missing and may not be made, or is no directory.
    """
    if tree.exists():
        return
    if not (create or tree.create):
        raise tree.no_root()
    made = []
    folder = tree.root
    while not os.path.lexists(folder):
        made.append(folder)
        folder = os.path.dirname(folder)
    try:
        os.makedirs(tree.root, exist_ok=True)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as exc:
        raise tree.no_root() from exc
    if tree.fsync:
        for folder in made:
            with Descriptor(os.open(os.path.dirname(folder), os.O_RDONLY | os.O_CLOEXEC)) as fd:
                _system.sync(fd)


def _enter(tree: Tree, fd: int, name: str) -> int:
    """Opens the directory ``name`` in the directory ``fd``; makes it, or makes room for it."""
    for _ in range(TRIES):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.open(name, _system.DIRECTORY, dir_fd=fd)
        try:
            os.mkdir(name, dir_fd=fd)
        except FileExistsError:
            _make_room(tree, fd, name)
            continue
        if tree.fsync:
            _system.sync(fd)
    raise UnavailableError(f"directory {name!r} vanishes again and again")


def _make_room(tree: Tree, fd: int, name: str) -> None:
    """Turns the blob ``name`` in the directory ``fd`` into a directory that holds it."""
    own = lock(tree, fd)
    try:
        st = _system.look(fd, name)
        if st is None or is_folder(st):
            return
        if not is_blob(st):
            raise UnsupportedOperationError(
                f"{name!r} is in the way: it is a symbolic link or a special file, which is not touched; remove it"
            )
        try:
            staging = open_staging(tree)  # held by name: where another thread opens it anew, the tree holds that one
            _move_inside(tree, fd, name, staging.fd, f"t{os.urandom(12).hex()}")
        except OSError as exc:
            if exc.errno in (errno.ENOTSUP, errno.EPERM, errno.EMLINK):
                raise UnsupportedOperationError(
                    f"{name!r} is a blob, and this file system cannot turn it into a directory in one step: "
                    "use another file system, or keep no keys below a key"
                ) from exc
            if exc.errno != errno.EXDEV:
                raise
            _move_inside(tree, fd, name, fd, f"{BESIDE}{os.urandom(12).hex()}")
    finally:
        unlock(own, fd)


def _move_inside(tree: Tree, fd: int, name: str, staging: int, staged: str) -> None:
    """Makes a directory with the blob in it as ``staged`` in the directory ``staging``, and exchanges it for the blob."""
    os.mkdir(staged, dir_fd=staging)
    inner = os.open(staged, _system.DIRECTORY, dir_fd=staging)
    try:
        if not _system.try_lock(inner):  # a sweeper has it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), staged)
        try:
            os.link(name, BLOB, src_dir_fd=fd, dst_dir_fd=inner, follow_symlinks=False)
            if tree.fsync:
                _system.sync(inner)
            # From here on readers find the blob in the directory; until here, and after a crash, where it was.
            _system.exchange(staging, staged, fd, name)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(BLOB, dir_fd=inner)
            with contextlib.suppress(OSError):
                os.rmdir(staged, dir_fd=staging)
            raise
    finally:
        os.close(inner)
    if tree.fsync:
        _system.sync(fd)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged, dir_fd=staging)


# ---- removing ----------------------------------------------------------------------------------------------------------


def prune(tree: Tree, folder: str, outer_fd: int = -1) -> None:
    """Removes ``folder`` and the directories that it lies in, as far as they are empty. Writers make them again.

    Does not raise: an empty directory that stays harms nothing. ``outer_fd``: the directory that ``folder`` lies in, if it is
    open.
    """
    if not folder:
        return
    outer, _, name = folder.rpartition("/")
    try:
        if outer_fd >= 0:
            os.rmdir(name, dir_fd=outer_fd)
        else:
            with Descriptor(tree.open(outer)) as fd:
                os.rmdir(name, dir_fd=fd)
    except OSError:
        return
    prune(tree, outer)


def clean_up(tree: Tree) -> None:
    """Removes our own directories as far as they are empty, if this tree may have made them. Does not raise."""
    tree.staging = None
    if tree.has_staged:
        prune(tree, STAGING)
        prune(tree, META)


# ---- locking -----------------------------------------------------------------------------------------------------------


# Whoever locks a directory closes it in a `finally` whose first call closes the descriptor that holds the lock. Between the last
# call of a block and the first one of its `finally`, Python lets no interrupt in; anywhere else, one would leave the lock to a
# descriptor that nobody closes.


def lock(tree: Tree, fd: int, other: int | None = None) -> int:
    """Waits until nobody else, in whatever process, changes names in the directory ``fd``, and in ``other``.

    The lock is the directory itself: where it was removed meanwhile, the change that follows finds no directory.

    Returns:
        What :func:`unlock` takes: -1, if the directories themselves are locked till they are closed; else the descriptor of the
        file that is locked, for the caller to close.
    """
    if other is not None:
        st, other_st = os.fstat(fd), os.fstat(other)
        if os.path.samestat(st, other_st):
            other = None
        elif (other_st.st_dev, other_st.st_ino) < (st.st_dev, st.st_ino):  # an order that all keep
            fd, other = other, fd
    if _system.lock(fd):
        if other is not None:
            _system.lock(other)
        return -1
    # NFS locks no directory: one file for all.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        own = tree.open(f"{HOME}/lock", flags)
    except FileNotFoundError:
        open_staging(tree)
        own = tree.open(f"{HOME}/lock", flags)
    if not _system.lock(own):
        os.close(own)
        raise UnsupportedOperationError(f"the file system of {tree.root!r} has no locks; use another")
    return own


def unlock(own: int, *fds: int) -> int:
    """Gives back what :func:`lock` took for ``fds``, so that others need not wait for the medium. Returns -1, for ``own``."""
    if own >= 0:
        os.close(own)
    else:
        for fd in fds:
            _system.unlock(fd)
    return -1
