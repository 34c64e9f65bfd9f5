"""Stores a local directory below a prefix (``set_dir``), and writes one from a prefix (``get_dir``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any, BinaryIO

from storage._descriptors import Descriptor
from storage._facade.call import Call
from storage._facade.concurrent import ordered_map
from storage._facade.core import Core, core_of
from storage._facade.files import Files, write_new_file
from storage._facade.listing import Scan
from storage._facade.many import how_many
from storage._globs import Filter
from storage._keys import RESERVED, check_key
from storage._types import ObjectInfo
from storage.exceptions import InvalidKeyError, UnsupportedOperationError

_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


class Directories(Files):
    def set_dir(
        self,
        prefix: str,
        directory: str | os.PathLike[str],
        storage_type: str = "data",
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        concurrency: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Stores each regular file below a local directory, several at once; its key is ``prefix`` plus its relative path.

        Links are not followed: a link to a file or a directory is left out. Every name is checked before anything is sent.

        Args:
            prefix: what each key begins with, as a rule with a slash at its end; ``""``: nothing.
            directory: its path.
            storage_type: one of the store's types.
            include: patterns of relative paths to take, as for :meth:`sync_to`; none: all.
            exclude: patterns of relative paths to leave out.
            concurrency: how many files at once; ``None``: what suits the backend.
            progress: called with the number of bytes moved since the last call; one call at a time, from any thread.

        Returns:
            How many files were stored.

        Raises:
            InvalidKeyError: a name that makes no portable key; nothing was sent.
            OSError: the directory or a file in it cannot be read.
            StorageError: once the others in flight have ended; of several, the first in order. It carries its ``key``.
        """
        wanted = Filter(include, exclude)
        stored = store_directory(self, prefix, directory, storage_type, wanted, concurrency, progress)
        return sum(1 for _ in stored)

    def get_dir(
        self,
        prefix: str,
        directory: str | os.PathLike[str],
        storage_type: str = "data",
        *,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        concurrency: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Writes each blob whose key begins with ``prefix`` to a local directory, several at once.

        The rest of the key is the file's path. Other files in the directory stay.

        Each file appears whole or not at all. None is written outside the directory: a link on the way is not followed, and one
        at a file's place is replaced.

        Args:
            prefix: what the keys begin with, as a rule with a slash at its end; ``""``: all.
            directory: its path; made with its parents if it is not there.
            storage_type, include, exclude, progress: as for :meth:`set_dir`.
            concurrency: how many blobs at once; ``None``: what suits the backend.

        Returns:
            How many files were written.

        Raises:
            InvalidKeyError: two keys that would be one file, or a key that is no path; nothing was written.
            OSError: a file cannot be written, or a link stands in the way.
            StorageError: as for :meth:`set_dir`.
        """
        call = Call.about_prefix(self._core, "get_dir", prefix, storage_type)
        wanted = Filter(include, exclude)

        def names() -> Generator[str, None, None]:
            return (name for key in Scan(call).keys() if wanted(name := key[len(prefix) :]))  # noqa: SIM118 (no mapping)

        return sum(1 for _ in write_files(self._core, prefix, names, directory, storage_type, concurrency, progress))


def store_directory(
    store: Files,
    prefix: str,
    directory: str | os.PathLike[str],
    storage_type: str,
    wanted: Callable[[str], bool],
    concurrency: int | None = None,
    progress: Callable[[int], object] | None = None,
    *,
    skipped: Callable[[str], object] | None = None,
    **options: Any,
) -> Iterator[ObjectInfo]:
    """As ``set_dir``, with the options of ``set``. Gives each new blob, in order. ``wanted``, ``skipped``: as ``local_files``."""
    call = Call.about_prefix(core_of(store), "set_dir", prefix, storage_type)
    for _, name in local_files(directory, wanted, skipped):
        if not call.route.raw:
            check_key(prefix + name)
    tell = _in_turn(progress)

    def store_one(file: tuple[str, str]) -> ObjectInfo:
        path, name = file
        return store.set_file(prefix + name, path, storage_type, progress=tell, **options)

    yield from ordered_map(store_one, local_files(directory, wanted), how_many(call.route.backend, concurrency))


def write_files(
    core: Core,
    prefix: str,
    names: Callable[[], Generator[str, None, None]],
    directory: str | os.PathLike[str],
    storage_type: str,
    concurrency: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Iterator[ObjectInfo]:
    """As ``get_dir``. ``names`` gives the rest of each key, in order; it is called twice. Gives each blob that was written."""
    route = core.route(storage_type)
    if os.open not in os.supports_dir_fd:
        raise UnsupportedOperationError(
            "get_dir: this system cannot open files without following links; use get_file for each key"
        )
    os.makedirs(directory, exist_ok=True)
    with Descriptor(os.open(directory, _DIRECTORY)) as root:
        with closing(names()) as found:
            _check_names(found, prefix, folds=_folds_names(root))
        tell = _in_turn(progress)

        def fetch(name: str) -> ObjectInfo:
            call = Call.about(core, "get_dir", prefix + name, storage_type)
            return write_new_file(call, partial(_new_file, root, os.fspath(directory), name), tell)

        with closing(names()) as found:  # ends the listing, and its event, with the call
            yield from ordered_map(fetch, found, how_many(route.backend, concurrency))


def local_files(
    directory: str | os.PathLike[str], wanted: Callable[[str], bool], skipped: Callable[[str], object] | None = None
) -> Iterator[tuple[str, str]]:
    """The regular files below a directory, in order: the path of each, and its path below the directory, with slashes.

    Links, and what a store in this directory keeps of its own, are left out.

    Args:
        wanted: told each relative path; false: leave the file out.
        skipped: called with the path of whatever is neither a regular file nor a directory.
    """

    def walk(where: str, above: str) -> Iterator[tuple[str, str]]:
        with os.scandir(where) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            relative = above + entry.name
            if entry.name.startswith(RESERVED):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from walk(entry.path, relative + "/")
            elif entry.is_file(follow_symlinks=False):
                if wanted(relative):
                    yield entry.path, relative
            elif skipped is not None:
                skipped(entry.path)

    yield from walk(os.fspath(directory), "")


def _check_names(names: Iterable[str], prefix: str, *, folds: bool) -> None:
    """Refuses names that are no path, and two names that would be one file. ``names`` come in order."""
    # Whatever begins with a name stands right behind it, so only the names that this one begins with need to be kept.
    above: list[str] = []
    folded: dict[str, str] = {}
    for name in names:
        try:
            check_key(name)
        except InvalidKeyError as exc:
            raise InvalidKeyError(f"key {prefix + name!r}: {name!r} is no path below a directory ({exc})") from None
        while above and not name.startswith(above[-1]):
            above.pop()
        for other in above:
            if name.startswith(other + "/"):
                raise _one_file(prefix, other, name)
        above.append(name)
        if folds:
            other = folded.setdefault(_folded(name), name)
            if other != name:
                raise _one_file(prefix, other, name)


def _folded(name: str) -> str:
    from unicodedata import normalize  # only where a file system folds names

    return normalize("NFC", name).casefold()


def _one_file(prefix: str, one: str, other: str) -> InvalidKeyError:
    return InvalidKeyError(
        f"keys {prefix + one!r} and {prefix + other!r} cannot both be files below one directory; leave one out with exclude="
    )


def _folds_names(root: int) -> bool:
    """Whether two names that differ in case, or in how a letter is composed, are one file in the directory."""
    probe = f"{RESERVED}{os.urandom(8).hex()}"
    try:
        os.close(os.open(probe + "a", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=root))
        os.stat(probe + "A", dir_fd=root)
    except FileNotFoundError:
        return False
    else:
        return True
    finally:
        try:  # noqa: SIM105 (an interrupt may come where `suppress` begins)
            os.unlink(probe + "a", dir_fd=root)
        except FileNotFoundError:
            pass


@contextmanager
def _new_file(root: int, directory: str, name: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``name`` below the directory when the block ends well. No link is followed."""
    *folders, own_name = parts = name.split("/")
    temporary = f"{RESERVED}{os.urandom(12).hex()}"
    with Descriptor(_open_folder(root, directory, folders)) as parent:
        try:
            with open(temporary, "x+b", opener=partial(os.open, mode=0o666, dir_fd=parent)) as file:
                yield file
            try:
                os.rename(temporary, own_name, src_dir_fd=parent, dst_dir_fd=parent)
            except OSError as error:
                raise _named(error, directory, parts) from None
        finally:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=parent)


def _open_folder(root: int, directory: str, folders: list[str]) -> int:
    """The folder of a file, made if it is not there, reached without following a link."""
    here = os.dup(root)
    for depth, folder in enumerate(folders, 1):
        try:
            with suppress(FileExistsError):
                os.mkdir(folder, dir_fd=here)
            below = os.open(folder, _DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
        except OSError as error:
            raise _named(error, directory, folders[:depth]) from None
        finally:
            os.close(here)
        here = below
    return here


def _named(error: OSError, directory: str, parts: list[str]) -> OSError:
    """The error, with the path that the caller knows."""
    path = os.path.join(directory, *parts)
    if os.path.islink(path):
        return OSError(error.errno, "a symbolic link stands in the way, and is not followed", path)
    return OSError(error.errno, os.strerror(error.errno or 0), path)


def _in_turn(progress: Callable[[int], object] | None) -> Callable[[int], object] | None:
    """``progress``, called from many threads one at a time."""
    if progress is None:
        return None
    lock = Lock()

    def tell(count: int) -> None:
        with lock:
            progress(count)

    return tell
