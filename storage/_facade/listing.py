"""Which blobs there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from storage._backend import Stat
from storage._facade.core import Core, Line, made_info
from storage._facade.options import check_count
from storage._facade.routes import Route
from storage._keys import check_prefix, is_portable
from storage._types import ObjectInfo

__all__ = ["Listing"]

_PAGE = 1000


class Listing(Core):
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
        route, full, after = self._scan_from(prefix, storage_type, start_after)
        return list_(islice(self._keys("list", route, storage_type, full, after, limit), limit))

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
        route, full, after = self._scan_from(prefix, storage_type, start_after)
        return self._keys("iter_list", route, storage_type, full, after, _PAGE)

    def iter_info(self, prefix: str | None = None, storage_type: str = "data") -> Iterator[ObjectInfo]:
        """As :meth:`iter_list`, as infos, without one more request for each blob (what a listing does not tell is ``None``)."""
        route, full = self._locate_prefix(prefix, storage_type)
        return self._infos(route, storage_type, full)

    def iter_dir(self, prefix: str = "", storage_type: str = "data") -> Iterator[str | ObjectInfo]:
        """One level below ``prefix``, in order: a ``str`` for a further prefix (whole, ends in a slash), an info for a blob.

        Args:
            prefix: as a rule ``""`` or one that ends in a slash.
            storage_type: one of the store's types.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
        """
        route, full = self._locate_prefix(prefix, storage_type)
        return self._level(route, storage_type, full)

    def _scan_from(
        self, prefix: str | None, storage_type: str, start_after: str | None
    ) -> tuple[Route, str, str | None]:
        route, full = self._locate_prefix(prefix, storage_type)
        if start_after is None:
            return route, full, None
        if not route.raw or not isinstance(start_after, str):
            check_prefix(start_after)
        return route, full, route.prefix + start_after

    def _keys(
        self, name: str, route: Route, storage_type: str, prefix: str, after: str | None, page_size: int
    ) -> Iterator[str]:
        pages = route.backend.scan(prefix, start_after=after, page_size=page_size)
        cut = len(route.prefix)
        for path, _ in self._scanned(name, route, storage_type, pages):
            key = path[cut:]
            if route.raw or is_portable(key):
                yield key

    def _infos(self, route: Route, storage_type: str, prefix: str) -> Iterator[ObjectInfo]:
        pages = route.backend.scan(prefix, detail=True)
        cut = len(route.prefix)
        for path, stat in self._scanned("iter_info", route, storage_type, pages):
            key = path[cut:]
            if stat is not None and (route.raw or is_portable(key)):
                yield made_info(key, storage_type, stat)

    def _level(self, route: Route, storage_type: str, prefix: str) -> Iterator[str | ObjectInfo]:
        pages = route.backend.scan(prefix, detail=True, delimiter=True)
        cut = len(route.prefix)
        for path, stat in self._scanned("iter_dir", route, storage_type, pages):
            key = path[cut:]
            if route.raw or is_portable(key if stat is not None else key[:-1]):
                yield key if stat is None else made_info(key, storage_type, stat)

    def _scanned(
        self, name: str, route: Route, storage_type: str, pages: Iterable[Iterable[tuple[str, Stat | None]]]
    ) -> Iterator[tuple[str, Stat | None]]:
        with Line(name, storage_type, None):
            for page in self._mapped(name, route, None, storage_type, pages):
                yield from page


list_ = list  # the class has a method of that name
