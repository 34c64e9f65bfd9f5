"""Publishes, moves and updates blobs: each in one step, under the lock of their directory."""

from __future__ import annotations

import errno
import os

from storage._backend import Changes, PutOptions, Stat
from storage._descriptors import Descriptor
from storage.backends.filesystem import _folders, _records, _sidecars, _system
from storage.backends.filesystem._places import CHANGED, Place, vanishes
from storage.backends.filesystem._records import Unattached
from storage.backends.filesystem._staging import Staged, Swept
from storage.backends.filesystem._tree import BESIDE, BLOB, HOME, TRIES, Tree, is_blob, is_folder
from storage.exceptions import (
    AlreadyExistsError,
    PreconditionFailedError,
    StorageError,
    UnsupportedOperationError,
)

# No hard links here, or no more to this file.
_NO_LINK = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


# ---- publish -----------------------------------------------------------------------------------------------------------


class Overtaken(Exception):  # noqa: N818 (an answer: the caller looks again)
    """The file that was to be replaced has been replaced or deleted by somebody else. Nothing has changed."""


def publish(tree: Tree, path: str, staged: Staged, *, instead_of: os.stat_result | None = None) -> Stat:
    """Gives the finished ``staged`` the name ``path``, durably, under its options, and closes it.

    Args:
        instead_of: the file that it must replace, whose inode is still in use.

    Raises:
        Swept: somebody deleted the file.
        Overtaken: it would replace another file, or none.
    """
    folder = path.rpartition("/")[0]
    for _ in range(TRIES):
        try:
            _put(tree, path, staged, instead_of)
        except CHANGED:
            if not staged.is_there():
                raise Swept from None
            continue
        except (StorageError, Overtaken):
            _folders.prune(tree, folder)
            raise
        except OSError as exc:
            if exc.errno != errno.EXDEV or staged.name.startswith(BESIDE):
                raise
            staged = staged.moved_beside(folder)
            continue
        return staged.published()
    raise vanishes(path)


def _put(tree: Tree, path: str, staged: Staged, instead_of: os.stat_result | None) -> None:
    """One attempt of ``publish``."""
    folder, _, name = path.rpartition("/")
    device = staged.stat.st_dev
    is_exact = device in tree.spelling.exact
    if not is_exact:
        tree.spelling.learn(device, staged.folder.fd, staged.name)
        tree.spelling.refuse_alias(tree.open, path, device)  # before anything is made or moved for it
    options = staged.options
    is_conditional = not options.overwrite or options.if_match is not None or instead_of is not None
    is_plain = is_exact and not is_conditional and not staged.sidecar
    fd = _folders.open_folder(tree, folder)
    own = -1
    place = None
    try:
        own = _folders.lock(tree, fd)
        if not (is_plain and _replace(staged, fd, name)):
            tree.spelling.refuse_alias(tree.open, path, device)  # nobody can make one any more
            place = Place(tree, path, fd, claim=True)
            if instead_of is not None and (place.st is None or not os.path.samestat(place.st, instead_of)):
                raise Overtaken
            _check(place, overwrite=options.overwrite, if_match=options.if_match)
            if staged.sidecar:
                _sidecars.write(tree, path, staged, place.st)
            _rename(staged.name, staged.folder.fd, place, overwrite=options.overwrite)
            if place.st is not None:
                _sidecars.remove(tree, path, place.st)
        if tree.fsync:
            own = _folders.unlock(own, fd)
            _system.sync(fd if place is None else place.fd)
    finally:
        if own >= 0:
            os.close(own)
        os.close(fd)
        if place is not None:
            place.close()


def _replace(staged: Staged, fd: int, name: str) -> bool:
    """Publishes ``staged`` whatever has its name, without a look; ``False``: a directory has it, which takes a look.

    The sidecar of a body that is replaced so, if it has one, is left to the sweeper.
    """
    try:
        os.rename(staged.name, name, src_dir_fd=staged.folder.fd, dst_dir_fd=fd)
    except IsADirectoryError:
        return False
    return True


def _check(place: Place, *, overwrite: bool, if_match: str | None) -> None:
    """Raises unless a blob may be put there."""
    st = place.st
    if st is not None and is_blob(st):
        if not overwrite:
            raise AlreadyExistsError
        if if_match is not None:
            place.check_version(if_match)
        return
    if if_match is not None:
        raise PreconditionFailedError
    if st is not None and is_folder(st):
        raise UnsupportedOperationError(
            f"{place.path!r}: {BLOB!r} in its directory is a directory, not a blob; remove it"
        )


def _rename(source: str, source_fd: int, place: Place, *, overwrite: bool) -> None:
    """Renames ``source`` to ``place``. ``FileExistsError``: something was made there, without a lock, since ``place`` looked."""
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


# ---- move --------------------------------------------------------------------------------------------------------------


def move(tree: Tree, source: str, target: str, *, overwrite: bool, if_match: str | None) -> Stat | None:
    """Renames a blob, durably, in one step.

    Returns:
        The blob at ``target``; ``None``: nothing was done, it takes a copy.

    Raises:
        NotFoundError: there is none at ``source``.
        PreconditionFailedError: the blob at ``source`` has another etag than ``if_match``.
    """
    for _ in range(TRIES):
        try:
            return _try_move(tree, source, target, overwrite=overwrite, if_match=if_match)
        except CHANGED:
            continue
        except StorageError:
            _folders.prune(tree, target.rpartition("/")[0])
            raise
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            return None
    raise vanishes(target)


def _try_move(tree: Tree, source: str, target: str, *, overwrite: bool, if_match: str | None) -> Stat | None:
    folder, source_folder = target.rpartition("/")[0], source.rpartition("/")[0]
    device = tree.file(source).st_dev  # no directory is made for a blob that is not there
    _learn(tree, device)
    tree.spelling.refuse_alias(tree.open, target, device)
    fd = source_fd = own = -1
    places: list[Place] = []
    try:
        fd = _folders.open_folder(tree, folder)
        source_fd = tree.open(source_folder)
        own = _folders.lock(tree, fd, source_fd)
        tree.spelling.refuse_alias(tree.open, target, device)
        places.append(old := Place(tree, source, source_fd))
        places.append(new := Place(tree, target, fd, claim=True))
        stat = _move(tree, old, new, overwrite=overwrite, if_match=if_match)
        if stat is not None and tree.fsync:
            own = _folders.unlock(own, fd, source_fd)
            _system.sync(new.fd)
            _system.sync(old.fd)
    finally:
        try:
            if own >= 0:
                os.close(own)
            if source_fd >= 0:
                os.close(source_fd)
        finally:
            if fd >= 0:
                os.close(fd)
            for place in places:
                place.close()
    _folders.prune(tree, source if old.is_inner else source_folder)
    return stat


def _learn(tree: Tree, device: int) -> None:
    """Asks ``device`` whether it folds names, by the name of a directory of ours, if it is not known."""
    if device not in tree.spelling.exact:
        _folders.open_staging(tree)
        with Descriptor(tree.open(HOME)) as home:
            tree.spelling.learn(device, home, "tmp")


def _move(tree: Tree, old: Place, new: Place, *, overwrite: bool, if_match: str | None) -> Stat | None:
    old.blob()
    with Descriptor(old.open()) as fd:
        st = os.fstat(fd)
        record = _records.fetch(fd)
        if record is None and _sidecars.read(tree, old.path, st) is not None:
            return None
        if if_match is not None and _records.etag_of(st, record) != if_match:
            raise PreconditionFailedError
        _check(new, overwrite=overwrite, if_match=None)
        if new.st is not None and os.path.samestat(st, new.st):
            # Two names of one file, which a rename leaves as they are: a killed move, for one.
            os.unlink(old.name, dir_fd=old.fd)
        else:
            _rename(old.name, old.fd, new, overwrite=overwrite)
        # Asked anew: an etag that is derived from the file's state has changed with its name.
        return _records.to_stat(new.path, os.fstat(fd), record)


# ---- update ------------------------------------------------------------------------------------------------------------


def changed(stat: Stat, changes: Changes) -> PutOptions:
    """The options that store the blob ``stat`` again, with ``changes``."""
    given = {name: value for name, value in changes._asdict().items() if value is not None}
    return PutOptions(*stat[3:])._replace(**given)  # type: ignore[arg-type]


def update(tree: Tree, path: str, changes: Changes, *, if_match: str | None) -> Stat | None:
    """Replaces the record in the blob's file, durably, in one step. The body and its etag stay.

    Returns:
        The blob; ``None``: nothing was done, it takes a copy. So where the record is not in the file or not the body's, and
        where the file has another name too, which may lie outside of the root.

    Raises:
        NotFoundError: there is no blob.
        PreconditionFailedError: it has another etag than ``if_match``.
    """
    for _ in range(TRIES):
        fd = own = -1
        place = None
        try:
            fd = _folders.find_folder(tree, path)
            own = _folders.lock(tree, fd)
            place = Place(tree, path, fd)
            place.blob()
            with Descriptor(place.open()) as file:
                st = os.fstat(file)
                record = _records.fetch(file)
                etag = None if record is None else _records.own_etag(record, st)
                if etag is None or st.st_nlink != 1:
                    return None
                stat = _records.to_stat(path, st, record)
                if if_match is not None and stat.etag != if_match:
                    raise PreconditionFailedError
                options = changed(stat, changes)
                _records.attach(file, _records.encode(etag, st, options))
                if tree.fsync:
                    _system.sync(file)
                return _records.new_stat(etag, st, options)
        except Unattached:
            return None
        except CHANGED:
            continue
        finally:
            if own >= 0:
                os.close(own)
            if fd >= 0:
                os.close(fd)
            if place is not None:
                place.close()
    raise vanishes(path)
