"""Many blobs at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import overload

from storage._facade.blobs import Blobs
from storage._facade.call import Call
from storage._facade.concurrent import batched, ordered_map
from storage._facade.options import check_count
from storage._facade.routes import Route
from storage._facade.values import Value

__all__ = ["Many"]


class Many(Blobs):
    """The batches of ``Storage``."""

    # Two signatures: where a parameter is a union, mypy does not look in it for the values of a dict, and joins text and bytes.
    @overload
    def set_many(
        self, items: Mapping[str, Value], storage_type: str = "data", *, concurrency: int | None = None
    ) -> None: ...
    @overload
    def set_many(
        self, items: Iterable[tuple[str, Value]], storage_type: str = "data", *, concurrency: int | None = None
    ) -> None: ...
    def set_many(
        self,
        items: Mapping[str, Value] | Iterable[tuple[str, Value]],
        storage_type: str = "data",
        *,
        concurrency: int | None = None,
    ) -> None:
        """Stores many blobs, several at once.

        Args:
            items: a mapping from key to value, or pairs; read as they are needed.
            storage_type: one of the store's types.
            concurrency: how many at once; ``None``: what suits the backend.

        Raises:
            StorageError: once the others in flight have ended; of several, the first in the order given. It carries its ``key``.
        """
        route = self._core.route(storage_type)
        pairs = items.items() if isinstance(items, Mapping) else items

        def store(pair: tuple[str, Value]) -> None:
            self.set(pair[0], pair[1], storage_type)

        for _ in ordered_map(store, pairs, _concurrency(route, concurrency)):
            pass

    def get_many(
        self, keys: Iterable[str], storage_type: str = "data", *, concurrency: int | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Reads many blobs, several at once, with bounded look-ahead.

        Args:
            keys: read as they are needed.
            storage_type: one of the store's types.
            concurrency: how many at once; ``None``: what suits the backend.

        Yields:
            ``(key, bytes)`` in the order of ``keys``.

        Raises:
            StorageError: as for :meth:`set_many`.
        """
        route = self._core.route(storage_type)

        def load(key: str) -> tuple[str, bytes]:
            return key, self.get_bytes(key, storage_type)

        return ordered_map(load, keys, _concurrency(route, concurrency))

    def delete_many(self, keys: Iterable[str], storage_type: str = "data", *, concurrency: int | None = None) -> None:
        """Deletes many blobs, in batches where the backend can; absent ones are fine.

        Args:
            keys: read as they are needed.
            storage_type: one of the store's types.
            concurrency: how many requests at once; ``None``: what suits the backend.

        Raises:
            StorageError: as for :meth:`set_many`.
        """
        route = self._core.route(storage_type)
        backend = route.backend

        def drop(batch: list[str]) -> None:
            calls = {
                call.path: call for call in (Call.about(self._core, "delete_many", key, storage_type) for key in batch)
            }
            failed = next(iter(calls.values())).run(backend.delete_batch, list(calls))
            for path, call in calls.items():
                if path in failed:
                    call.fail(failed[path])

        for _ in ordered_map(drop, batched(keys, backend.batch_size), _concurrency(route, concurrency)):
            pass


def _concurrency(route: Route, concurrency: int | None) -> int:
    return route.backend.concurrency if concurrency is None else check_count("concurrency", concurrency)
