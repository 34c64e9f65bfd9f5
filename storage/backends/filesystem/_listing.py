"""Lists blobs in UTF-8 byte order, one directory at a time: memory grows with the largest directory, not with the tree.

A directory ``a`` sorts as ``a/``; the blob ``a`` inside of it, as ``a``. Between the two may stand ``a-b``.
"""

from __future__ import annotations

import os
import re
import time
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby, islice, pairwise
from typing import Final, NamedTuple

from storage._backend import Stat
from storage._descriptors import Descriptor
from storage._keys import RESERVED, is_portable
from storage.backends.filesystem import _records, _sidecars, _system
from storage.backends.filesystem._tree import BLOB, HOME, MAX_PATH, Tree, checked, is_blob
from storage.exceptions import NotFoundError

_ODD: Final = re.compile(r"[^\x20-\x5b\x5d-\x7e]")  # a name with one of these may not be portable: ask the key rules
_LONGEST_NAME: Final = 255
# A directory of so few names is read in one step; a larger one may change in between.
_ONE_ANSWER: Final = 100
_READINGS: Final = 5
_TICK: Final = 50_000_000  # nanoseconds: times of change are no finer than a tick of the system's clock


class _Folder(NamedTuple):
    """The names in a directory."""

    names: list[str]  # sorted, portable; folders have a slash at their end
    early: AbstractSet[str]  # of these: folders whose blob, if there is one, does not come right before the folder
    has_blob: bool = False  # a blob of the directory's own name is in it


class _Range(NamedTuple):
    """The part of a listing that is wanted: the paths after ``after`` and before ``before``."""

    after: str
    before: str | None

    def cut(self, folder: _Folder, base: str) -> _Folder:
        """The names in ``base`` that may have something to give."""
        names, early, _ = folder
        if self.before is not None and (self.before.startswith(base) or self.before < base):
            local = self.before[len(base) :]
            end = bisect_left(names, local)
            name = names[end] if end < len(names) else ""
            names = names[:end]
            if name[-1:] == "/" and name[:-1] < local and name[:-1] not in early:
                # The folder lies behind the bound, but the blob of its name before it.
                names.append(name[:-1])
                early = {*early, name[:-1]}
        if self.after.startswith(base):
            local = self.after[len(base) :]
            name, slash, _ = local.partition("/")
            # A folder that the bound lies in has more to give.
            names = names[bisect_left(names, f"{name}/") if slash else bisect_right(names, local) :]
        return folder._replace(names=names, early=early)


def pages(
    tree: Tree,
    prefix: str,
    *,
    after: str | None = None,
    before: str | None = None,
    page_size: int = 1000,
    delimiter: bool = False,
) -> Iterator[list[str]]:
    """The paths of the blobs that start with ``prefix``, and stand after and before these texts, in order, in pages.

    ``delimiter``: one level; what lies deeper is given once, as a folder with a slash at its end.
    """
    start, slash, rest = prefix.rpartition("/")
    base = f"{checked(start)}/" if slash else ""
    if after is not None and not after.startswith(base):
        if after > base:
            return
        after = None
    top = _read(tree, start, is_top=True)
    if top is not None:
        if rest:
            top = top._replace(names=[name for name in top.names if name.startswith(rest)])
        yield from _walk(tree, base, top, _Range(after or "", before), page_size, delimiter=delimiter)


def _walk(
    tree: Tree, base: str, top: _Folder, wanted: _Range, page_size: int, *, delimiter: bool
) -> Iterator[list[str]]:
    top = wanted.cut(top, base)
    stack = [(base, iter(top.names), top.early)]
    page: list[str] = []
    while stack:
        base, names, early = stack[-1]
        inner = None
        for name in names:
            path = base + name
            if name[-1] != "/":
                if not early or name not in early or _holds_blob(tree, path):
                    page.append(path)
            else:
                found, inner = _enter(tree, path, wanted.after, blob=name[:-1] not in early, delimiter=delimiter)
                page += found
            if len(page) >= page_size:
                yield page[:page_size]
                page = page[page_size:]
            if inner is not None:
                inner = wanted.cut(inner, path)
                stack.append((path, iter(inner.names), inner.early))
                break
        else:
            stack.pop()
    if page:
        yield page


def _enter(tree: Tree, path: str, after: str, *, blob: bool, delimiter: bool) -> tuple[list[str], _Folder | None]:
    """Enters a folder: the entries that the folder itself adds to the page, and its content; ``None``: it is listed as one entry.

    ``blob``: its own blob has its place here.
    """
    own = path[:-1]
    blob = blob and own > after
    if delimiter:
        found = [own] if blob and _holds_blob(tree, own) else []
        if path > after and _is_occupied(tree, own):
            found.append(path)
        return found, None
    inner = _read(tree, own)
    return [own] if blob and inner is not None and inner.has_blob else [], inner


def _holds_blob(tree: Tree, folder: str) -> bool:
    """Whether the directory ``folder`` has the blob of its own name in it."""
    fd = tree.find(f"{folder}/{BLOB}", _system.READ)
    if fd is None:
        return False
    with Descriptor(fd):
        return is_blob(os.fstat(fd))


def _is_occupied(tree: Tree, folder: str) -> bool:
    """Whether there is any blob below ``folder``."""
    return next(pages(tree, f"{folder}/", page_size=1), None) is not None


def _read(tree: Tree, folder: str, *, is_top: bool = False) -> _Folder | None:
    """Reads a directory; ``None``: it is not there, or no directory."""
    try:
        fd = tree.open(folder)
    except OSError as exc:
        absent = tree.absent(exc)
        if isinstance(absent, NotFoundError) or (not is_top and absent is not exc):
            return None
        raise absent from None
    with Descriptor(fd):
        names = _names(fd)
    joined = "".join(names)
    has_blob = False
    if RESERVED in joined:
        has_blob = BLOB in names
        names = [name for name in names if not name.startswith(RESERVED)]
    if _ODD.search(joined):
        names = [name for name in names if is_portable(name.removesuffix("/"))]
    room = MAX_PATH - len(folder.encode()) - 1
    if room < _LONGEST_NAME:
        names = [name for name in names if len(name.encode()) <= room]
    names.sort()
    return _Folder(names, _put_early(names), has_blob)


def _put_early(names: list[str]) -> AbstractSet[str]:
    """Gives the blob of a folder ``a/`` a place of its own before ``a-b``, which stands between ``a`` and ``a/``."""
    early = {name[:-1] for before, name in pairwise(names) if name[-1] == "/" and before > name[:-1]}
    for name in early:
        insort(names, name)
    return early


def _names(fd: int) -> list[str]:
    """The names in the open directory: regular files and, with a slash, directories."""
    began = time.time_ns()
    found = _names_once(fd)
    if len(found) <= _ONE_ANSWER or os.fstat(fd).st_mtime_ns < began - _TICK:
        return found
    # While a large directory is read, a name that is replaced may move past the reader: read until nothing changes.
    names = set(found)
    for _ in range(_READINGS):
        began = time.time_ns()
        names.update(_names_once(fd))
        if os.fstat(fd).st_mtime_ns < began - _TICK:
            break
    for name in [name for name in names if name[-1] == "/"]:
        names.discard(name[:-1])  # a blob that moved into a directory of its name meanwhile
    return list(names)


def _names_once(fd: int) -> list[str]:
    names: list[str] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                names.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                names.append(f"{entry.name}/")
    return names


def folders(tree: Tree, folder: str = "") -> Iterator[str]:
    """Every directory below ``folder``, itself included, but for what is ours."""
    for base, _ in _read_all(tree, folder):
        yield base.removesuffix("/")


def _read_all(tree: Tree, folder: str, but: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """The path, with a slash at its end, of every directory below ``folder``, itself included, and the names in it.

    ``but``: no directory whose path begins with one of these.
    """
    stack = [f"{folder}/" if folder else ""]
    while stack:
        base = stack.pop()
        read = _read(tree, base.removesuffix("/"))
        names = [] if read is None else read.names
        yield base, names
        stack += [base + name for name in names if name[-1] == "/" and not (base + name).startswith(but)]


# ---- details -----------------------------------------------------------------------------------------------------------


def detailed(tree: Tree, page: Sequence[str], stat: Callable[[str], Stat]) -> Iterator[tuple[str, Stat | None]]:
    """The page with the ``Stat`` of each blob, without opening each: two calls for a blob, by its name in its directory.

    As in a listing of a service, it has no headers and no metadata. A folder has none, and a blob that was deleted since is
    left out. ``stat`` is ``Backend.stat``, for what two calls do not settle.
    """
    has_sidecars = _sidecars.exist(tree)
    for folder, paths in groupby(page, lambda path: path[: path.rindex("/", 0, -1)] if "/" in path[:-1] else ""):
        fd = tree.find(folder)
        try:
            for path in paths:
                if path[-1] == "/":
                    yield path, None
                    continue
                try:
                    found = (None if fd is None else _peek(fd, path, has_sidecars=has_sidecars)) or stat(path)
                except NotFoundError:
                    continue
                yield path, Stat(*found[:3])
        finally:
            if fd is not None:
                os.close(fd)


def _peek(fd: int, path: str, *, has_sidecars: bool) -> Stat | None:
    """The blob's ``Stat`` if two calls tell it. ``None``: it was replaced between them, or it takes a closer look."""
    name = path.rpartition("/")[2]
    try:
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not is_blob(st):
            return None
        record = _records.fetch_named(fd, name)
        if record is not None:
            return _records.to_stat(path, st, record) if _records.own_etag(record, st) else None
        if has_sidecars or not os.path.samestat(st, os.stat(name, dir_fd=fd, follow_symlinks=False)):
            return None
    except OSError:
        return None  # the closer look raises what is wrong
    return _records.to_stat(path, st, None)


# ---- what is no blob ---------------------------------------------------------------------------------------------------


def find_foreign_names(tree: Tree, prefix: str) -> Sequence[str]:
    """A line for each kind of foreign thing below ``prefix``, with its count."""
    found: Counter[str] = Counter()
    start, slash, rest = prefix.rpartition("/")
    if slash:
        checked(start)
    for folder in folders(tree, start):
        fd = tree.find(folder)
        if fd is None:
            continue
        with Descriptor(fd), os.scandir(fd) as entries:
            found.update(_foreign(entry) for entry in entries if folder != start or entry.name.startswith(rest))
    del found[""]
    return [f"{count} {kind}" for kind, count in sorted(found.items())]


def _foreign(entry: os.DirEntry[str]) -> str:
    """The kind of a foreign entry, in words; ``""``: it is not foreign."""
    name = entry.name
    if name in (HOME, BLOB):
        return ""
    if entry.is_symlink():
        return "symbolic links, which are not followed"
    if not entry.is_file(follow_symlinks=False) and not entry.is_dir(follow_symlinks=False):
        return "special files (pipes, sockets, devices)"
    if not is_portable(name):
        return "names that are no portable keys"
    return ""


def count_outside(tree: Tree, prefixes: Sequence[str], most: int | None) -> int:
    """Counts files whose paths start with none of ``prefixes``, but for the store's own. ``most``: counts no further."""
    inside = tuple(prefixes)
    outside = (
        name
        for base, names in _read_all(tree, "", inside)
        for name in names
        if name[-1] != "/" and not (base + name).startswith(inside)
    )
    return sum(1 for _ in islice(outside, most))
