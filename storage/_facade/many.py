"""The methods of ``Storage`` for many blobs at once: ``set_many``, ``get_many``, ``delete_many``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import overload

from storage._backend import Backend
from storage._facade.blobs import Blobs
from storage._facade.call import Call
from storage._facade.concurrent import batched, ordered_map
from storage._facade.listing import Listing
from storage._facade.options import check_count, put_options
from storage._facade.values import Value


class Many(Blobs, Listing):
    # Two signatures: where a parameter is a union, mypy does not look in it for the values of a dict, and joins text and bytes.
    @overload
    def set_many(
        self,
        items: Mapping[str, Value],
        storage_type: str = "data",
        *,
        concurrency: int | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> None: ...
    @overload
    def set_many(
        self,
        items: Iterable[tuple[str, Value]],
        storage_type: str = "data",
        *,
        concurrency: int | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> None: ...
    def set_many(
        self,
        items: Mapping[str, Value] | Iterable[tuple[str, Value]],
        storage_type: str = "data",
        *,
        concurrency: int | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> None:
        """Stores many blobs, several at once.

        Args:
            items: a mapping from key to value, or pairs; read as they are needed.
            storage_type: one of the store's types.
            concurrency: how many at once; ``None``: what suits the backend.
            content_type, cache_control, content_encoding, metadata, overwrite, if_match: for all of them, as for :meth:`set`.

        Raises:
            StorageError: a blob failed. It is raised after the calls in flight have ended; if several failed, the first in the
                order given is raised. It carries the ``key``. Blobs that were stored before stay stored.
        """
        route = self._core.route(storage_type)
        if not isinstance(items, Iterable):
            raise TypeError(f"items must be a mapping or pairs of key and value, not {items!r:.60}")
        pairs = items.items() if isinstance(items, Mapping) else items
        # A mistake in an option is one error, before anything is read or sent.
        put_options("", content_type, cache_control, content_encoding, metadata, overwrite, if_match)

        def store(pair: tuple[str, Value]) -> None:
            try:
                key, value = pair
            except (TypeError, ValueError):
                raise TypeError(f"items must be a mapping or pairs of key and value, not {pair!r:.60}") from None
            self.set(
                key,
                value,
                storage_type,
                content_type=content_type,
                cache_control=cache_control,
                content_encoding=content_encoding,
                metadata=metadata,
                overwrite=overwrite,
                if_match=if_match,
            )

        for _ in ordered_map(store, pairs, how_many(route.backend, concurrency)):
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

        return ordered_map(load, _several(keys), how_many(route.backend, concurrency))

    def delete_many(self, keys: Iterable[str], storage_type: str = "data", *, concurrency: int | None = None) -> None:
        """Deletes many blobs, in batches where the backend can; absent ones are fine.

        Args:
            keys: read as they are needed.
            storage_type: one of the store's types.
            concurrency: how many requests at once; ``None``: what suits the backend.

        Raises:
            StorageError: as for :meth:`set_many`.
        """
        self._delete("delete_many", _several(keys), storage_type, concurrency)

    def _delete(self, name: str, keys: Iterable[str], storage_type: str, concurrency: int | None) -> int:
        """Deletes blobs by their keys, several at once; how many keys there were."""
        route = self._core.route(storage_type)
        core, backend = self._core, route.backend

        def drop(batch: list[str]) -> int:
            keys = {core.locate(key, storage_type)[1]: key for key in batch}
            call = Call.about(core, name, batch[0], storage_type)
            failed = call.run(backend.delete_batch, list(keys))
            for path in filter(failed.__contains__, keys):
                Call(name, route, path, keys[path], storage_type).fail(failed[path])
            return len(batch)

        return sum(ordered_map(drop, batched(keys, backend.batch_size), how_many(route.backend, concurrency)))


def _several(keys: Iterable[str]) -> Iterable[str]:
    """``keys``; one key in their place, which would be taken for its letters, is a ``TypeError``."""
    if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
        raise TypeError(f"keys={keys!r}: use an iterable of keys, as in ['a', 'b']")
    return keys


def how_many(backend: Backend, concurrency: int | None) -> int:
    """The number of calls to make at once: the caller's, or the one that suits the backend."""
    return backend.concurrency if concurrency is None else check_count("concurrency", concurrency)
