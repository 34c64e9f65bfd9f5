"""One blob and the caller's files."""

from __future__ import annotations

import inspect
import os
from collections.abc import (
    Callable,
    Mapping,
)
from contextlib import aclosing
from typing import Any, BinaryIO

from storage._aio.core import AsyncCore, checked, same_as
from storage._aio.sources import AsyncBlobFile, AsyncSource, is_async_source
from storage._aio.threads import Turn
from storage._facade.call import Call
from storage._facade.options import put_options
from storage._facade.upload import Upload
from storage._facade.values import ReadableFile
from storage._storage import Storage
from storage._types import ObjectInfo

__all__ = ["AsyncFiles"]


class AsyncFiles(AsyncCore):
    """What ``AsyncStorage`` does with files: from a file, to a file, as a file."""

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
        if is_async_source(file_obj):
            call = Call.about(self._core, "set_file", key, storage_type)
            options = put_options(key, content_type, cache_control, content_encoding, metadata, overwrite, if_match)
            return await self._upload(Upload(call, options), file_obj, progress)
        turn = Turn()
        return await self._workers.run(
            lambda: self._sync.set_file(
                key,
                file_obj,
                storage_type,
                progress=checked(turn, progress),
                content_type=content_type,
                cache_control=cache_control,
                content_encoding=content_encoding,
                metadata=metadata,
                overwrite=overwrite,
                if_match=if_match,
            ),
            turn=turn,
        )

    @same_as(Storage.get_file)
    async def get_file(
        self,
        key: str,
        file_obj: str | os.PathLike[str] | BinaryIO | Any,
        storage_type: str = "data",
        *,
        progress: Callable[[int], object] | None = None,
    ) -> ObjectInfo:
        if inspect.iscoroutinefunction(getattr(file_obj, "write", None)):
            return await self._to_async_file(key, file_obj, storage_type, progress)
        turn = Turn()
        return await self._workers.run(
            lambda: self._sync.get_file(key, file_obj, storage_type, progress=checked(turn, progress)), turn=turn
        )

    async def _to_async_file(
        self, key: str, file_obj: Any, storage_type: str, progress: Callable[[int], object] | None
    ) -> ObjectInfo:
        call = Call.about(self._core, "get_file", key, storage_type)
        with call.record() as record:
            stat, chunks = await self._workers.run(call.do, call.route.backend.stream, call.path)
            async with aclosing(self._workers.iterate(call.each(chunks), 1)) as pieces:
                async for chunk in pieces:
                    await file_obj.write(chunk)
                    if progress is not None:
                        progress(len(chunk))
            record.size = stat.size
            return call.info(stat)

    @same_as(Storage.open)
    def open(
        self,
        key: str,
        mode: str = "rb",
        storage_type: str = "data",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> AsyncBlobFile:
        return AsyncBlobFile(
            self._workers,
            lambda: self._sync.open(
                key,
                mode,
                storage_type,
                encoding=encoding,
                errors=errors,
                newline=newline,
                content_type=content_type,
                cache_control=cache_control,
                content_encoding=content_encoding,
                metadata=metadata,
                overwrite=overwrite,
                if_match=if_match,
            ),
        )
