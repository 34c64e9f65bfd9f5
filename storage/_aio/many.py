"""Which blobs there are, and many at once."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from typing import TypeVar, overload

from storage._aio.core import AsyncCore, checked, same_as
from storage._aio.threads import Turn
from storage._facade.values import Value
from storage._storage import Storage
from storage._sync_types import SyncEvent, SyncResult
from storage._types import ObjectInfo

__all__ = ["AsyncMany"]

T = TypeVar("T")

_PAGE = 1000


class AsyncMany(AsyncCore):
    """The listings and batches of ``AsyncStorage``."""

    @overload
    async def set_many(
        self, items: Mapping[str, Value], storage_type: str = "data", *, concurrency: int | None = None
    ) -> None: ...
    @overload
    async def set_many(
        self, items: Iterable[tuple[str, Value]], storage_type: str = "data", *, concurrency: int | None = None
    ) -> None: ...
    @same_as(Storage.set_many)
    async def set_many(
        self,
        items: Mapping[str, Value] | Iterable[tuple[str, Value]],
        storage_type: str = "data",
        *,
        concurrency: int | None = None,
    ) -> None:
        turn = Turn()
        pairs = items.items() if isinstance(items, Mapping) else items
        await self._workers.run(
            lambda: self._sync.set_many(until(turn, pairs), storage_type, concurrency=concurrency), turn=turn
        )

    @same_as(Storage.get_many)
    def get_many(
        self, keys: Iterable[str], storage_type: str = "data", *, concurrency: int | None = None
    ) -> AsyncIterator[tuple[str, bytes]]:
        return self._workers.iterate(self._sync.get_many(keys, storage_type, concurrency=concurrency), 1)

    @same_as(Storage.delete_many)
    async def delete_many(
        self, keys: Iterable[str], storage_type: str = "data", *, concurrency: int | None = None
    ) -> None:
        turn = Turn()
        await self._workers.run(
            lambda: self._sync.delete_many(until(turn, keys), storage_type, concurrency=concurrency), turn=turn
        )

    @same_as(Storage.sync_to)
    async def sync_to(
        self,
        other: AsyncCore,
        storage_type: str | None = None,
        *,
        delete: bool = False,
        dry_run: bool = False,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        checksum: bool = False,
        concurrency: int | None = None,
        bwlimit: float | None = None,
        progress: Callable[[int], object] | None = None,
        report: Callable[[SyncEvent], object] | None = None,
    ) -> SyncResult:
        if not isinstance(other, AsyncCore):
            raise TypeError(f"other must be an AsyncStorage, not {type(other).__name__}")
        turn = Turn()
        return await self._workers.run(
            lambda: self._sync.sync_to(
                other._sync,  # noqa: SLF001 (this class's own)
                storage_type,
                delete=delete,
                dry_run=dry_run,
                include=include,
                exclude=exclude,
                checksum=checksum,
                concurrency=concurrency,
                bwlimit=bwlimit,
                progress=checked(turn, progress),
                report=report,
            ),
            turn=turn,
        )

    @same_as(Storage.list)
    async def list(
        self,
        prefix: str | None = None,
        storage_type: str = "data",
        *,
        limit: int = 1000,
        start_after: str | None = None,
    ) -> list[str]:
        return await self._workers.run(
            lambda: self._sync.list(prefix, storage_type, limit=limit, start_after=start_after)
        )

    @same_as(Storage.iter_list)
    def iter_list(
        self, prefix: str | None = None, storage_type: str = "data", *, start_after: str | None = None
    ) -> AsyncIterator[str]:
        return self._workers.iterate(self._sync.iter_list(prefix, storage_type, start_after=start_after), _PAGE)

    @same_as(Storage.iter_info)
    def iter_info(self, prefix: str | None = None, storage_type: str = "data") -> AsyncIterator[ObjectInfo]:
        return self._workers.iterate(self._sync.iter_info(prefix, storage_type), _PAGE)

    @same_as(Storage.iter_dir)
    def iter_dir(self, prefix: str = "", storage_type: str = "data") -> AsyncIterator[str | ObjectInfo]:
        return self._workers.iterate(self._sync.iter_dir(prefix, storage_type), _PAGE)


def until(turn: Turn, items: Iterable[T]) -> Iterator[T]:
    """``items`` as long as somebody waits for the result."""
    for item in items:
        turn.check()
        yield item
