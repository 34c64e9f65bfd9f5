"""One blob: write, read, ask, delete, copy."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Mapping,
)
from contextlib import aclosing

from storage._aio.core import SMALL, AsyncCore, awaitable, is_small, same_as
from storage._aio.sources import AsyncSource, is_async_source
from storage._aio.threads import Call
from storage._facade.core import decoded, is_absent, made_info
from storage._facade.options import check_count, put_options
from storage._facade.routes import Route
from storage._facade.upload import Upload
from storage._facade.values import Value, chunks_of, whole
from storage._storage import Storage
from storage._types import ObjectInfo
from storage.exceptions import NotFoundError, UnavailableError

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
        route, path = self._sync._locate(key, storage_type)
        options = put_options(key, content_type, cache_control, content_encoding, metadata, overwrite, if_match)
        upload = Upload(self._sync, "set", route, key, storage_type, options)
        if is_async_source(value):
            return await self._upload(upload, route, value)
        data = whole(value) if is_small(value) else await self._workers.run(whole, value)
        if data is None:
            call = Call()
            chunks = chunks_of(value, route.backend.chunk_size)
            return await self._workers.run(upload.run, chunks, call.check, call=call)
        native = awaitable(route.backend)
        if native is not None and len(data) <= route.backend.chunk_size:
            stat = await self._awaited("set", route, key, storage_type, native.aput(path, data, options))
            return made_info(key, storage_type, stat)
        put = route.backend.put
        stat = await self._hot(route, self._sync._call, "set", route, key, storage_type, put, path, data, options)
        return made_info(key, storage_type, stat)

    @same_as(Storage.get)
    async def get(self, key: str, storage_type: str = "data") -> str:
        route, path = self._sync._locate(key, storage_type)
        data = await self._read("get", route, path, key, storage_type)
        if len(data) <= SMALL:
            return decoded(data, key, storage_type, route)
        return await self._workers.run(decoded, data, key, storage_type, route)

    async def _read(self, name: str, route: Route, path: str, key: str, storage_type: str) -> bytes:
        native = awaitable(route.backend)
        if native is not None:
            return await self._awaited(name, route, key, storage_type, native.aget(path))
        get = route.backend.get
        return await self._hot(route, self._sync._call, name, route, key, storage_type, get, path)

    @same_as(Storage.get_bytes)
    async def get_bytes(self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None) -> bytes:
        route, path = self._sync._locate(key, storage_type)
        if start == 0 and end is None:
            return await self._read("get_bytes", route, path, key, storage_type)
        # A range of a blob in memory is a copy, of any size.
        return await self._workers.run(lambda: self._sync.get_bytes(key, storage_type, start=start, end=end))

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
        route, path = self._sync._locate(key, storage_type)
        native = awaitable(route.backend)
        if native is None:
            return await self._hot(route, self._sync.exists, key, storage_type)
        try:
            await self._awaited("exists", route, key, storage_type, native.astat(path))
        except NotFoundError:
            return False
        return True

    @same_as(Storage.info)
    async def info(self, key: str, storage_type: str = "data") -> ObjectInfo:
        route, path = self._sync._locate(key, storage_type)
        native = awaitable(route.backend)
        if native is None:
            return await self._hot(route, self._sync.info, key, storage_type)
        return made_info(key, storage_type, await self._awaited("info", route, key, storage_type, native.astat(path)))

    @same_as(Storage.delete)
    async def delete(self, key: str, storage_type: str = "data", *, missing_ok: bool = False) -> None:
        route, path = self._sync._locate(key, storage_type)
        native = awaitable(route.backend)
        if native is None:
            await self._hot(route, self._sync.delete, key, storage_type, missing_ok=missing_ok)
            return
        try:
            await self._awaited("delete", route, key, storage_type, native.adelete(path))
        except (NotFoundError, UnavailableError) as exc:
            if not missing_ok or not is_absent(exc, route.backend):
                raise

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
