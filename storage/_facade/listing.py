"""The methods of ``Storage`` that list keys: ``list``, ``iter_list``, ``iter_info``, ``iter_dir``."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any, cast

from storage._backend import Stat
from storage._facade.call import Call, info_of
from storage._facade.core import Core, Facade
from storage._facade.options import check_bound, check_count
from storage._facade.outside import warn_once
from storage._fork import owned
from storage._keys import is_portable
from storage._types import ObjectInfo

_PAGE = 1000


class Listing(Facade):
    def list(
        self,
        prefix: str | None = None,
        storage_type: str = "data",
        *,
        limit: int = 1000,
        start_after: str | None = None,
        end_before: str | None = None,
    ) -> list[str]:
        """Lists up to ``limit`` keys that start with ``prefix``, in the order of their UTF-8 bytes.

        Args:
            prefix: what keys start with (a string, not a folder); ``None``: all.
            storage_type: one of the store's types.
            limit: 1 to 1,000; :meth:`iter_list` has no limit.
            start_after: only keys after this text, which need not be a key: the last key of the page before continues it.
            end_before: only keys before this text.

        Returns:
            The keys.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
            ValueError: a ``limit`` out of range, or a bound that is no text.
        """
        if isinstance(limit, int) and limit > _PAGE:
            raise ValueError(f"limit={limit}: use 1 to {_PAGE:,}; iter_list gives all keys")
        check_count("limit", limit, 1, _PAGE)
        scan = self._scan("list", prefix, storage_type, start_after, end_before, page_size=limit)
        return list_(islice(scan.keys(), limit))

    def iter_list(
        self,
        prefix: str | None = None,
        storage_type: str = "data",
        *,
        start_after: str | None = None,
        end_before: str | None = None,
    ) -> Iterator[str]:
        """Lists all keys that start with ``prefix``, in the order of their UTF-8 bytes.

        Memory does not grow with the number of keys; on ``file://`` it grows with the largest directory.

        Args:
            prefix: what keys start with (a string, not a folder); ``None``: all.
            storage_type: one of the store's types.
            start_after: only keys after this text, which need not be a key.
            end_before: only keys before this text.

        Yields:
            The keys.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
            ValueError: a bound that is no text.
        """
        return self._scan("iter_list", prefix, storage_type, start_after, end_before).keys()

    def iter_info(
        self,
        prefix: str | None = None,
        storage_type: str = "data",
        *,
        start_after: str | None = None,
        end_before: str | None = None,
    ) -> Iterator[ObjectInfo]:
        """Lists all blobs whose keys start with ``prefix``, as :meth:`iter_list`, without one more request for each blob.

        Args:
            prefix, storage_type, start_after, end_before: as for :meth:`iter_list`.

        Yields:
            The infos. A listing does not tell ``content_type``, ``cache_control``, ``content_encoding`` and ``metadata``: they
            are ``None``.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
            ValueError: a bound that is no text.
        """
        scan = self._scan("iter_info", prefix, storage_type, start_after, end_before, detail=True)
        return cast("Iterator[ObjectInfo]", scan.level(storage_type))  # without a delimiter there are no prefixes

    def iter_dir(
        self,
        prefix: str = "",
        storage_type: str = "data",
        *,
        start_after: str | None = None,
        end_before: str | None = None,
    ) -> Iterator[str | ObjectInfo]:
        """Lists one level below ``prefix``, in order, as a file browser shows it.

        Args:
            prefix: as a rule ``""`` or one that ends in a slash.
            storage_type: one of the store's types.
            start_after: only what sorts after this text; the last entry of the page before continues it.
            end_before: only what sorts before this text.

        Yields:
            A ``str`` for a further prefix (whole, with its slash at the end), an info for a blob.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
            ValueError: a bound that is no text.
        """
        scan = self._scan("iter_dir", prefix, storage_type, start_after, end_before, detail=True, delimiter=True)
        return scan.level(storage_type)

    def _scan(self, name: str, prefix: str | None, storage_type: str, *bounds: str | None, **options: Any) -> Scan:
        # Only a listing takes None for everything: a program that has lost its prefix must not delete all blobs.
        call = Call.about_prefix(self._core, name, "" if prefix is None else prefix, storage_type)
        return Scan(call, *bounds, core=self._core, **options)


class Scan:
    """A listing of the backend, between two bounds, as the keys of a storage type."""

    def __init__(
        self,
        call: Call,
        start_after: str | None = None,
        end_before: str | None = None,
        *,
        detail: bool = False,
        delimiter: bool = False,
        page_size: int = _PAGE,
        core: Core | None = None,
    ) -> None:
        """``core``: of a store to warn about where a listing of everything is empty, and files lie beside the blobs."""
        self._call, self._core = call, core
        self._prefix = prefix = call.route.prefix
        self._after = None if check_bound("start_after", start_after) is None else prefix + str(start_after)
        self._before = None if check_bound("end_before", end_before) is None else prefix + str(end_before)
        self._detail, self._delimiter, self._page_size = detail, delimiter, page_size

    def keys(self) -> Generator[str, None, None]:
        cut, raw = len(self._prefix), self._call.route.raw
        for path, _ in self._entries():
            key = path[cut:]
            if raw or is_portable(key):
                yield key

    def level(self, storage_type: str) -> Iterator[str | ObjectInfo]:
        """The blobs, and the prefixes below which there are more."""
        cut, raw = len(self._prefix), self._call.route.raw
        for path, stat in self._entries():
            key = path[cut:]
            if raw or is_portable(key if stat is not None else key[:-1]):
                yield key if stat is None else info_of(key, storage_type, stat)

    def _entries(self) -> Iterator[tuple[str, Stat | None]]:
        pages = self._call.route.backend.scan(
            self._call.path,
            start_after=self._after,
            end_before=self._before,
            detail=self._detail,
            delimiter=self._delimiter,
            page_size=self._page_size,
        )
        nothing = True
        with self._call.record():
            for page in self._call.each(pages):
                if nothing:
                    page = list_(page)  # noqa: PLW2901 (it may be read once alone)
                    nothing = not page
                yield from owned(page, self._call)
        everything = self._call.path == self._prefix and self._after is self._before is None
        if nothing and everything and self._core is not None:
            warn_once(self._core, self._call.route.backend, self._call.name)


list_ = list  # the class has a method of that name
