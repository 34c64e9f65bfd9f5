"""The methods of ``AsyncStorage`` for the caller's files: ``set_file``, ``get_file``, ``open``."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial, update_wrapper
from typing import Any, BinaryIO, Concatenate, Final, ParamSpec

from storage._aio.core import AsyncCore, same_as
from storage._aio.sources import AsyncBlobFile, AsyncSource, is_async_source
from storage._facade.call import Call
from storage._facade.download import exactly
from storage._facade.files import store_file
from storage._facade.options import put_options
from storage._facade.values import ReadableFile
from storage._storage import Storage
from storage._types import ObjectInfo

P = ParamSpec("P")


def _opened(method: Callable[Concatenate[Storage, P], Any]) -> Callable[Concatenate[AsyncCore, P], AsyncBlobFile]:
    """``Storage.open`` as a method whose file is opened by ``async with`` or ``await``."""

    def call(self: AsyncCore, /, *args: P.args, **options: P.kwargs) -> AsyncBlobFile:
        return AsyncBlobFile(self._workers, partial(method, self._sync, *args, **options))

    update_wrapper(call, method)
    return call


class AsyncFiles(AsyncCore):
    open: Final = _opened(Storage.open)

    @same_as(Storage.set_file)
    async def set_file(
        self,
        key: str,
        file_obj: str | os.PathLike[str] | ReadableFile | AsyncSource,
        storage_type: str = "data",
        *,
        progress: Callable[[int], object] | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> ObjectInfo:
        call = Call.about(self._core, "set_file", key, storage_type)
        options = put_options(key, content_type, cache_control, content_encoding, metadata, overwrite, if_match)
        if is_async_source(file_obj):
            return await self._upload(call, options, file_obj, progress)
        return await self._workers.run(store_file, call, options, file_obj, progress)

    @same_as(Storage.get_file)
    async def get_file(
        self,
        key: str,
        file_obj: str | os.PathLike[str] | BinaryIO | Any,
        storage_type: str = "data",
        *,
        progress: Callable[[int], object] | None = None,
    ) -> ObjectInfo:
        write = getattr(file_obj, "write", None)
        if not inspect.iscoroutinefunction(write):
            return await self._workers.run(partial(self._sync.get_file, key, file_obj, storage_type, progress=progress))
        call = Call.about(self._core, "get_file", key, storage_type)
        with call.record() as record:
            stat, chunks = await self._workers.run(call.do, call.route.backend.stream, call.path)
            async with aclosing(self._workers.iterate(call.each(exactly(chunks, stat.size)), 1)) as pieces:
                async for chunk in pieces:
                    await write(chunk)
                    if progress is not None:
                        progress(len(chunk))
            record.size = stat.size
            return call.info(stat)
