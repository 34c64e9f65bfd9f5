"""Which blobs there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from storage._backend import Stat
from storage._facade.call import Call, info_of
from storage._facade.core import Facade
from storage._facade.options import check_count
from storage._keys import check_prefix, is_portable
from storage._types import ObjectInfo

__all__ = ["Listing"]

_PAGE = 1000


class Listing(Facade):
    """The listings of ``Storage``."""

    def list(
        self,
        prefix: str | None = None,
        storage_type: str = "data",
        *,
        limit: int = 1000,
        start_after: str | None = None,
    ) -> list[str]:
        """Up to ``limit`` keys that start with ``prefix``, in the order of their UTF-8 bytes.

        Args:
            prefix: what keys start with (a string, not a folder); ``None``: all.
            storage_type: one of the store's types.
            limit: 1 to 1,000.
            start_after: only keys after this one, which need not exist: the last key of the page before continues it.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
            ValueError: a ``limit`` out of range.
        """
        check_count("limit", limit, 1, _PAGE)
        call = Call.about_prefix(self._core, "list", prefix, storage_type)
        return list_(islice(_keys(call, _bound(call, start_after), limit), limit))

    def iter_list(
        self, prefix: str | None = None, storage_type: str = "data", *, start_after: str | None = None
    ) -> Iterator[str]:
        """All keys that start with ``prefix``, in the order of their UTF-8 bytes, in memory that does not grow with their number.

        Args:
            prefix: what keys start with (a string, not a folder); ``None``: all.
            storage_type: one of the store's types.
            start_after: only keys after this one, which need not exist.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
        """
        call = Call.about_prefix(self._core, "iter_list", prefix, storage_type)
        return _keys(call, _bound(call, start_after), _PAGE)

    def iter_info(self, prefix: str | None = None, storage_type: str = "data") -> Iterator[ObjectInfo]:
        """As :meth:`iter_list`, as infos, without one more request for each blob (what a listing does not tell is ``None``)."""
        return _infos(Call.about_prefix(self._core, "iter_info", prefix, storage_type), storage_type)

    def iter_dir(self, prefix: str = "", storage_type: str = "data") -> Iterator[str | ObjectInfo]:
        """One level below ``prefix``, in order: a ``str`` for a further prefix (whole, ends in a slash), an info for a blob.

        Args:
            prefix: as a rule ``""`` or one that ends in a slash.
            storage_type: one of the store's types.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
        """
        return _level(Call.about_prefix(self._core, "iter_dir", prefix, storage_type), storage_type)


def _bound(call: Call, start_after: str | None) -> str | None:
    """``start_after``, checked, as a path of the backend."""
    if start_after is None:
        return None
    if not call.route.raw or not isinstance(start_after, str):
        check_prefix(start_after)
    return call.route.prefix + start_after


def _keys(call: Call, after: str | None, page_size: int) -> Iterator[str]:
    route = call.route
    pages = route.backend.scan(call.path, start_after=after, page_size=page_size)
    cut = len(route.prefix)
    for path, _ in _scanned(call, pages):
        key = path[cut:]
        if route.raw or is_portable(key):
            yield key


def _infos(call: Call, storage_type: str) -> Iterator[ObjectInfo]:
    route = call.route
    cut = len(route.prefix)
    for path, stat in _scanned(call, route.backend.scan(call.path, detail=True)):
        key = path[cut:]
        if stat is not None and (route.raw or is_portable(key)):
            yield info_of(key, storage_type, stat)


def _level(call: Call, storage_type: str) -> Iterator[str | ObjectInfo]:
    route = call.route
    cut = len(route.prefix)
    for path, stat in _scanned(call, route.backend.scan(call.path, detail=True, delimiter=True)):
        key = path[cut:]
        if route.raw or is_portable(key if stat is not None else key[:-1]):
            yield key if stat is None else info_of(key, storage_type, stat)


def _scanned(call: Call, pages: Iterable[Iterable[tuple[str, Stat | None]]]) -> Iterator[tuple[str, Stat | None]]:
    with call.record():
        for page in call.each(pages):
            yield from page


list_ = list  # the class has a method of that name
