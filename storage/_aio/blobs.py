"""The methods of ``AsyncStorage`` for one blob: write, read, ask, delete, copy."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sized
from contextlib import aclosing
from functools import partial
from typing import Final

from storage._aio.core import SMALL, AsyncCore, in_thread, quick, same_as
from storage._aio.sources import AsyncSource, is_async_source
from storage._facade.call import Call, decoded, run_once
from storage._facade.options import check_count, put_options
from storage._facade.upload import Upload
from storage._facade.values import Value, chunks_of, rechunk, whole
from storage._storage import Storage
from storage._types import ObjectInfo


class AsyncBlobs(AsyncCore):
    exists: Final = quick(Storage.exists)
    info: Final = quick(Storage.info)
    delete: Final = quick(Storage.delete)
    set_metadata: Final = in_thread(Storage.set_metadata)
    copy: Final = in_thread(Storage.copy)
    move: Final = in_thread(Storage.move)

    @same_as(Storage.set)
    async def set(
        self,
        key: str,
        value: Value | AsyncSource,
        storage_type: str = "data",
        *,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> ObjectInfo:
        call = Call.about(self._core, "set", key, storage_type)
        options = put_options(key, content_type, cache_control, content_encoding, metadata, overwrite, if_match)
        if is_async_source(value):
            return await self._upload(call, options, value)
        backend = call.route.backend
        data = whole(value) if _is_small(value) else await self._workers.run(whole, value)
        if data is None:
            return await self._workers.run(Upload(call, options).run, chunks_of(value, backend.chunk_size))
        if len(data) > backend.chunk_size and not self._inline:
            # In pieces, so that a task that is cancelled meanwhile leaves the old blob.
            return await self._workers.run(Upload(call, options, len(data)).run, rechunk([data], backend.chunk_size))
        return call.info(await self._quick(call.run, backend.put, call.path, data, options))

    @same_as(Storage.get)
    async def get(self, key: str, storage_type: str = "data") -> str:
        route, path = self._core.locate(key, storage_type)
        data = await self._quick(run_once, "get", route, key, storage_type, route.backend.get, path)
        if len(data) <= SMALL:
            return decoded(data, route, key, storage_type)
        return await self._workers.run(decoded, data, route, key, storage_type)

    @same_as(Storage.get_bytes)
    async def get_bytes(self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None) -> bytes:
        read = partial(self._sync.get_bytes, key, storage_type, start=start, end=end)
        # A range of a blob in memory is a copy, of any size.
        return await (self._quick(read) if start == 0 and end is None else self._workers.run(read))

    @same_as(Storage.iter_bytes)
    def iter_bytes(
        self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None, chunk_size: int = 1048576
    ) -> AsyncIterator[bytes]:
        check_count("chunk_size", chunk_size)
        # One turn of a thread for about a MiB, however small the pieces are.
        at_once = chunk_size * max(1, SMALL // chunk_size)
        chunks = self._sync.iter_bytes(key, storage_type, start=start, end=end, chunk_size=at_once)
        return _slices(self._workers.iterate(chunks, 1), chunk_size)


def _is_small(value: object) -> bool:
    """Whether ``value`` may be encoded or copied on the event loop. What has no length is read elsewhere anyway."""
    return isinstance(value, bytes) or not isinstance(value, Sized) or len(value) <= SMALL


async def _slices(chunks: AsyncGenerator[bytes, None], size: int) -> AsyncIterator[bytes]:
    async with aclosing(chunks):
        async for chunk in chunks:
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]
