"""The ``Stat`` of each blob of a listing, without opening each: two calls for a blob, by its name in its directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from storage._backend import Stat
from storage.backends.filesystem import _records, _sidecars, _system
from storage.backends.filesystem._tree import Tree, is_blob
from storage.exceptions import NotFoundError

__all__ = ["detailed"]


def detailed(tree: Tree, page: Sequence[str], look: Callable[[str], Stat]) -> Iterator[tuple[str, Stat | None]]:
    """The page with the ``Stat`` of each blob; a folder has none, and a blob that was deleted since is left out.

    ``look`` is ``Backend.stat``, for what two calls do not settle.
    """
    has_sidecars = _sidecars.exist(tree)
    for folder, paths in groupby(page, lambda path: path[: path.rindex("/", 0, -1)] if "/" in path[:-1] else ""):
        try:
            fd = tree.open(folder, _system.DIRECTORY)
        except OSError:
            fd = -1  # removed since, or no directory any more: `look` says what is there
        try:
            for path in paths:
                if path[-1] == "/":
                    yield path, None
                    continue
                try:
                    stat = None if fd < 0 else _peek(fd, path, has_sidecars=has_sidecars)
                    yield path, stat or look(path)
                except NotFoundError:
                    continue
        finally:
            if fd >= 0:
                os.close(fd)


def _peek(fd: int, path: str, *, has_sidecars: bool) -> Stat | None:
    """The blob's ``Stat`` if two calls tell: ``None`` if it was replaced between them, or is more than a plain file."""
    name = path.rpartition("/")[2]
    try:
        st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not is_blob(st):
            return None
        record = _records.fetch_named(fd, name)
        if record is not None:
            return _records.to_stat(path, st, record) if record.fits(st) else None
        if has_sidecars or not os.path.samestat(st, os.stat(name, dir_fd=fd, follow_symlinks=False)):
            return None
    except OSError:
        return None
    return _records.to_stat(path, st, None)
