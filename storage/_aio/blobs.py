"""One blob: write, read, ask, delete, copy."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial

from storage._aio.core import SMALL, AsyncCore, is_small, same_as
from storage._aio.sources import AsyncSource, is_async_source
from storage._aio.threads import Turn
from storage._facade.call import Call, decoded, run_once
from storage._facade.options import check_count, put_options
from storage._facade.upload import Upload
from storage._facade.values import Value, chunks_of, whole
from storage._storage import Storage
from storage._types import ObjectInfo

__all__ = ["AsyncBlobs"]


class AsyncBlobs(AsyncCore):
    """What ``AsyncStorage`` does with one blob."""

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
            return await self._upload(Upload(call, options), value)
        backend = call.route.backend
        data = whole(value) if is_small(value) else await self._workers.run(whole, value)
        if data is None:
            turn = Turn()
            chunks = chunks_of(value, backend.chunk_size)
            return await self._workers.run(Upload(call, options).run, chunks, turn.check, turn=turn)
        return call.info(await self._hot(backend, call.run, backend.put, call.path, data, options))

    @same_as(Storage.get)
    async def get(self, key: str, storage_type: str = "data") -> str:
        route, path = self._core.locate(key, storage_type)
        data = await self._hot(route.backend, run_once, "get", route, key, storage_type, route.backend.get, path)
        if len(data) <= SMALL:
            return decoded(data, route, key, storage_type)
        return await self._workers.run(decoded, data, route, key, storage_type)

    @same_as(Storage.get_bytes)
    async def get_bytes(self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None) -> bytes:
        read = partial(self._sync.get_bytes, key, storage_type, start=start, end=end)
        # A range of a blob in memory is a copy, of any size.
        if start == 0 and end is None:
            return await self._hot(self._core.route(storage_type).backend, read)
        return await self._workers.run(read)

    @same_as(Storage.iter_bytes)
    def iter_bytes(
        self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None, chunk_size: int = 1048576
    ) -> AsyncIterator[bytes]:
        check_count("chunk_size", chunk_size)
        # One turn of a thread for about a MiB, however small the pieces are.
        at_once = chunk_size * max(1, SMALL // chunk_size)
        chunks = self._sync.iter_bytes(key, storage_type, start=start, end=end, chunk_size=at_once)
        return _slices(self._workers.iterate(chunks, 1), chunk_size)

    @same_as(Storage.exists)
    async def exists(self, key: str, storage_type: str = "data") -> bool:
        return await self._hot(self._core.route(storage_type).backend, self._sync.exists, key, storage_type)

    @same_as(Storage.info)
    async def info(self, key: str, storage_type: str = "data") -> ObjectInfo:
        return await self._hot(self._core.route(storage_type).backend, self._sync.info, key, storage_type)

    @same_as(Storage.delete)
    async def delete(self, key: str, storage_type: str = "data", *, missing_ok: bool = False) -> None:
        delete = partial(self._sync.delete, key, storage_type, missing_ok=missing_ok)
        await self._hot(self._core.route(storage_type).backend, delete)

    @same_as(Storage.copy)
    async def copy(
        self,
        key: str,
        new_key: str,
        storage_type: str = "data",
        *,
        new_storage_type: str | None = None,
        overwrite: bool = True,
    ) -> ObjectInfo:
        return await self._workers.run(
            lambda: self._sync.copy(key, new_key, storage_type, new_storage_type=new_storage_type, overwrite=overwrite)
        )

    @same_as(Storage.move)
    async def move(
        self,
        key: str,
        new_key: str,
        storage_type: str = "data",
        *,
        new_storage_type: str | None = None,
        overwrite: bool = True,
    ) -> ObjectInfo:
        return await self._workers.run(
            lambda: self._sync.move(key, new_key, storage_type, new_storage_type=new_storage_type, overwrite=overwrite)
        )


async def _slices(chunks: AsyncGenerator[bytes, None], size: int) -> AsyncIterator[bytes]:
    async with aclosing(chunks):
        async for chunk in chunks:
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]
