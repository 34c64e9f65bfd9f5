"""``AsyncStorage``: every method of ``Storage``, for asyncio and trio.

Nothing of ``Storage`` is written again here. What is pure it does itself; a backend that never waits is called at once; one
whose SDK is asynchronous is awaited; everything else runs in worker threads of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Sized,
)
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, TypeVar

from typing_extensions import Self

from storage._aio_files import AsyncBlobFile, AsyncSource, async_chunks, is_async_source
from storage._core import Line, decoded, made_info
from storage._options import check_count, put_options
from storage._routes import Route
from storage._sources import ReadableFile, Value, chunks_of, whole
from storage._storage import Storage
from storage._sync.types import SyncEvent, SyncResult
from storage._threads import Call, Workers
from storage._types import ObjectInfo, SignedRequest
from storage._upload import Upload
from storage.backends import AsyncBackend, Backend
from storage.exceptions import NotFoundError

if TYPE_CHECKING:
    from urllib3.util.retry import Retry

__all__ = ["AsyncStorage"]

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])

_LEAST_THREADS = 8
_SMALL = 1024 * 1024  # bytes that may be copied or decoded on the event loop: well under a millisecond


def _as(original: Callable[..., Any]) -> Callable[[Method], Method]:
    """Gives a method the docstring of the one that it stands for."""

    def adopt(method: Method) -> Method:
        method.__doc__ = original.__doc__
        return method

    return adopt


class AsyncStorage:
    """``Storage`` for an event loop: the same arguments, results and exceptions, on asyncio and trio.

    What is a plain method there is a coroutine here; ``iter_list``, ``iter_info``, ``iter_dir``, ``iter_bytes`` and ``get_many``
    are asynchronous iterators, and ``open`` gives an asynchronous context manager. ``set`` and ``set_file`` also take
    asynchronous iterators of bytes and asynchronous files. Callbacks are called in a worker thread.

    A call that is cancelled is undone: a blob is stored whole or not at all, and no thread, task or connection outlives it. A
    request that is under way is waited for, at most ``timeout`` seconds, and not tried again.
    """

    TIMEOUT: ClassVar[float | tuple[float, float]] = Storage.TIMEOUT

    def __init__(
        self,
        url: str | os.PathLike[Any] | None = None,
        auth: Any = None,
        retries: int | Retry | None = None,
        *,
        timeout: float | tuple[float, float] | None = None,
        storage_types: Mapping[str, str | Backend] | None = None,
        backend: Backend | None = None,
    ) -> None:
        if timeout is None:
            timeout = self.TIMEOUT
        self._start(
            Storage(url, auth, retries, timeout=timeout, storage_types=storage_types, backend=backend),
        )

    def _start(self, sync: Storage) -> None:
        self._sync = sync
        self._workers = Workers(max(_LEAST_THREADS, *(backend.concurrency for backend in sync._backends())))

    def __repr__(self) -> str:
        return repr(self._sync).replace("Storage", "AsyncStorage", 1)

    def __getstate__(self) -> dict[str, Any]:
        return {"sync": self._sync, **{k: v for k, v in vars(self).items() if k not in ("_sync", "_workers")}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state.pop("sync"))
        vars(self).update(state)

    @property
    def backend(self) -> Backend:
        """The backend of the URL; its ``client`` is the SDK's own."""
        return self._sync.backend

    @property
    def storage_types(self) -> tuple[str, ...]:
        """The names of the storage types, in the order given."""
        return self._sync.storage_types

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @_as(Storage.close)
    async def close(self) -> None:
        await self._workers.run(self._sync.close)

    # ---- how a call is made ------------------------------------------------------------------------------------

    async def _hot(self, route: Route, method: Callable[..., T], *args: Any, **options: Any) -> T:
        """``method`` of ``Storage``: at once where the backend never waits, else in a thread."""
        if route.backend.inline:
            return method(*args, **options)
        return await self._workers.run(lambda: method(*args, **options))

    async def _awaited(self, name: str, route: Route, key: str, storage_type: str, answer: Coroutine[Any, Any, T]) -> T:
        """What an asynchronous backend answers: its exceptions classified, worded and chained, one line in the log."""
        with Line(name, storage_type, key) as line:
            try:
                result = await answer
            except Exception as exc:
                # In a thread, because telling a missing blob from a missing bucket may take a request.
                return await self._workers.run(self._sync._raise, exc, name, route, key, storage_type)
            line.size = len(result) if isinstance(result, bytes) else None
            return result

    # ---- writing -----------------------------------------------------------------------------------------------

    @_as(Storage.set)
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
        data = whole(value) if _is_small(value) else await self._workers.run(whole, value)
        if data is None:
            call = Call()
            chunks = chunks_of(value, route.backend.chunk_size)
            return await self._workers.run(upload.run, chunks, call.check, call=call)
        native = _native(route.backend)
        if native is not None and len(data) <= route.backend.chunk_size:
            stat = await self._awaited("set", route, key, storage_type, native.aput(path, data, options))
            return made_info(key, storage_type, stat)
        put = route.backend.put
        stat = await self._hot(route, self._sync._call, "set", route, key, storage_type, put, path, data, options)
        return made_info(key, storage_type, stat)

    async def _upload(
        self, upload: Upload, route: Route, value: Any, progress: Callable[[int], object] | None = None
    ) -> ObjectInfo:
        """An asynchronous source, piece by piece: at most one of them is held."""
        try:
            async with aclosing(async_chunks(value, route.backend.chunk_size)) as chunks:
                async for chunk in chunks:
                    await self._workers.run(upload.write, chunk)
                    if progress is not None:
                        progress(len(chunk))
            return await self._workers.run(upload.commit)
        except BaseException:
            await self._workers.undo(upload.abort)
            raise

    @_as(Storage.set_file)
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
            route, _ = self._sync._locate(key, storage_type)
            options = put_options(key, content_type, cache_control, content_encoding, metadata, overwrite, if_match)
            upload = Upload(self._sync, "set_file", route, key, storage_type, options)
            return await self._upload(upload, route, file_obj, progress)
        call = Call()
        return await self._workers.run(
            lambda: self._sync.set_file(
                key,
                file_obj,
                storage_type,
                progress=_checked(call, progress),
                content_type=content_type,
                cache_control=cache_control,
                content_encoding=content_encoding,
                metadata=metadata,
                overwrite=overwrite,
                if_match=if_match,
            ),
            call=call,
        )

    # ---- reading -----------------------------------------------------------------------------------------------

    @_as(Storage.get)
    async def get(self, key: str, storage_type: str = "data") -> str:
        route, path = self._sync._locate(key, storage_type)
        data = await self._read("get", route, path, key, storage_type)
        if len(data) <= _SMALL:
            return decoded(data, key, storage_type, route)
        return await self._workers.run(decoded, data, key, storage_type, route)

    async def _read(self, name: str, route: Route, path: str, key: str, storage_type: str) -> bytes:
        native = _native(route.backend)
        if native is not None:
            return await self._awaited(name, route, key, storage_type, native.aget(path))
        get = route.backend.get
        return await self._hot(route, self._sync._call, name, route, key, storage_type, get, path)

    @_as(Storage.get_bytes)
    async def get_bytes(self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None) -> bytes:
        route, path = self._sync._locate(key, storage_type)
        if start == 0 and end is None:
            return await self._read("get_bytes", route, path, key, storage_type)
        # A range of a blob in memory is a copy, of any size.
        return await self._workers.run(lambda: self._sync.get_bytes(key, storage_type, start=start, end=end))

    @_as(Storage.iter_bytes)
    def iter_bytes(
        self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None, chunk_size: int = 1048576
    ) -> AsyncIterator[bytes]:
        check_count("chunk_size", chunk_size)
        # One turn of a thread for about a MiB, however small the pieces are.
        at_once = chunk_size * max(1, _SMALL // chunk_size)
        chunks = self._sync.iter_bytes(key, storage_type, start=start, end=end, chunk_size=at_once)
        return _slices(self._workers.iterate(chunks, 1), chunk_size)

    @_as(Storage.get_file)
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
        call = Call()
        return await self._workers.run(
            lambda: self._sync.get_file(key, file_obj, storage_type, progress=_checked(call, progress)), call=call
        )

    async def _to_async_file(
        self, key: str, file_obj: Any, storage_type: str, progress: Callable[[int], object] | None
    ) -> ObjectInfo:
        route, path = self._sync._locate(key, storage_type)
        do = self._sync._do
        with Line("get_file", storage_type, key) as line:
            stat, chunks = await self._workers.run(do, "get_file", route, key, storage_type, route.backend.stream, path)
            mapped = self._sync._mapped("get_file", route, key, storage_type, chunks)
            async with aclosing(self._workers.iterate(mapped, 1)) as pieces:
                async for chunk in pieces:
                    await file_obj.write(chunk)
                    if progress is not None:
                        progress(len(chunk))
            line.size = stat.size
            return made_info(key, storage_type, stat)

    @_as(Storage.open)
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

    # ---- asking and deleting -----------------------------------------------------------------------------------

    @_as(Storage.exists)
    async def exists(self, key: str, storage_type: str = "data") -> bool:
        route, path = self._sync._locate(key, storage_type)
        native = _native(route.backend)
        if native is None:
            return await self._hot(route, self._sync.exists, key, storage_type)
        try:
            await self._awaited("exists", route, key, storage_type, native.astat(path))
        except NotFoundError:
            return False
        return True

    @_as(Storage.info)
    async def info(self, key: str, storage_type: str = "data") -> ObjectInfo:
        route, path = self._sync._locate(key, storage_type)
        native = _native(route.backend)
        if native is None:
            return await self._hot(route, self._sync.info, key, storage_type)
        return made_info(key, storage_type, await self._awaited("info", route, key, storage_type, native.astat(path)))

    @_as(Storage.delete)
    async def delete(self, key: str, storage_type: str = "data", *, missing_ok: bool = False) -> None:
        route, path = self._sync._locate(key, storage_type)
        native = _native(route.backend)
        if native is None:
            await self._hot(route, self._sync.delete, key, storage_type, missing_ok=missing_ok)
            return
        try:
            await self._awaited("delete", route, key, storage_type, native.adelete(path))
        except NotFoundError:
            if not missing_ok:
                raise

    # ---- listing -----------------------------------------------------------------------------------------------

    @_as(Storage.list)
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

    @_as(Storage.iter_list)
    def iter_list(
        self, prefix: str | None = None, storage_type: str = "data", *, start_after: str | None = None
    ) -> AsyncIterator[str]:
        return self._workers.iterate(self._sync.iter_list(prefix, storage_type, start_after=start_after), _PAGE)

    @_as(Storage.iter_info)
    def iter_info(self, prefix: str | None = None, storage_type: str = "data") -> AsyncIterator[ObjectInfo]:
        return self._workers.iterate(self._sync.iter_info(prefix, storage_type), _PAGE)

    @_as(Storage.iter_dir)
    def iter_dir(self, prefix: str = "", storage_type: str = "data") -> AsyncIterator[str | ObjectInfo]:
        return self._workers.iterate(self._sync.iter_dir(prefix, storage_type), _PAGE)

    # ---- copying -----------------------------------------------------------------------------------------------

    @_as(Storage.copy)
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

    @_as(Storage.move)
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

    # ---- many at once ------------------------------------------------------------------------------------------

    @_as(Storage.set_many)
    async def set_many(
        self,
        items: Mapping[str, Value] | Iterable[tuple[str, Value]],
        storage_type: str = "data",
        *,
        concurrency: int | None = None,
    ) -> None:
        call = Call()
        pairs = items.items() if isinstance(items, Mapping) else items
        await self._workers.run(
            lambda: self._sync.set_many(_until(call, pairs), storage_type, concurrency=concurrency), call=call
        )

    @_as(Storage.get_many)
    def get_many(
        self, keys: Iterable[str], storage_type: str = "data", *, concurrency: int | None = None
    ) -> AsyncIterator[tuple[str, bytes]]:
        return self._workers.iterate(self._sync.get_many(keys, storage_type, concurrency=concurrency), 1)

    @_as(Storage.delete_many)
    async def delete_many(
        self, keys: Iterable[str], storage_type: str = "data", *, concurrency: int | None = None
    ) -> None:
        call = Call()
        await self._workers.run(
            lambda: self._sync.delete_many(_until(call, keys), storage_type, concurrency=concurrency), call=call
        )

    @_as(Storage.sync_to)
    async def sync_to(
        self,
        other: AsyncStorage,
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
        if not isinstance(other, AsyncStorage):
            raise TypeError(f"other must be an AsyncStorage, not {type(other).__name__}")
        call = Call()
        return await self._workers.run(
            lambda: self._sync.sync_to(
                other._sync,
                storage_type,
                delete=delete,
                dry_run=dry_run,
                include=include,
                exclude=exclude,
                checksum=checksum,
                concurrency=concurrency,
                bwlimit=bwlimit,
                progress=_checked(call, progress),
                report=report,
            ),
            call=call,
        )

    # ---- signing -----------------------------------------------------------------------------------------------

    @_as(Storage.get_signed_url)
    async def get_signed_url(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_disposition: str | None = None,
        content_type: str | None = None,
    ) -> str:
        return await self._workers.run(
            lambda: self._sync.get_signed_url(
                key,
                storage_type,
                expires_in=expires_in,
                content_disposition=content_disposition,
                content_type=content_type,
            )
        )

    @_as(Storage.get_upload_url)
    async def get_upload_url(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_type: str | None = None,
        content_length: int | None = None,
        content_md5: str | None = None,
        overwrite: bool = True,
    ) -> str:
        return await self._workers.run(
            lambda: self._sync.get_upload_url(
                key,
                storage_type,
                expires_in=expires_in,
                content_type=content_type,
                content_length=content_length,
                content_md5=content_md5,
                overwrite=overwrite,
            )
        )

    @_as(Storage.sign_download)
    async def sign_download(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_disposition: str | None = None,
        content_type: str | None = None,
        method: Literal["GET", "HEAD"] = "GET",
    ) -> SignedRequest:
        return await self._workers.run(
            lambda: self._sync.sign_download(
                key,
                storage_type,
                expires_in=expires_in,
                content_disposition=content_disposition,
                content_type=content_type,
                method=method,
            )
        )

    @_as(Storage.sign_upload)
    async def sign_upload(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_type: str | None = None,
        content_length: int | None = None,
        content_md5: str | None = None,
        overwrite: bool = True,
    ) -> SignedRequest:
        return await self._workers.run(
            lambda: self._sync.sign_upload(
                key,
                storage_type,
                expires_in=expires_in,
                content_type=content_type,
                content_length=content_length,
                content_md5=content_md5,
                overwrite=overwrite,
            )
        )

    # ---- the bucket itself -------------------------------------------------------------------------------------

    @_as(Storage.setup)
    async def setup(
        self,
        *,
        create_bucket: bool = False,
        cors_origins: Iterable[str] | None = None,
        tmp_days: int | None = None,
    ) -> Sequence[str]:
        return await self._workers.run(
            lambda: self._sync.setup(create_bucket=create_bucket, cors_origins=cors_origins, tmp_days=tmp_days)
        )

    @_as(Storage.check)
    async def check(self) -> Sequence[str]:
        return await self._workers.run(self._sync.check)


_PAGE = 1000


def _is_small(value: object) -> bool:
    """Whether ``value`` may be encoded or copied on the event loop. What has no length is read elsewhere anyway."""
    return isinstance(value, bytes) or not isinstance(value, Sized) or len(value) <= _SMALL


async def _slices(chunks: AsyncGenerator[bytes, None], size: int) -> AsyncIterator[bytes]:
    async with aclosing(chunks):
        async for chunk in chunks:
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]


def _native(backend: Backend) -> AsyncBackend | None:
    """The backend itself where it can be awaited here: its SDK is asynchronous, and this is asyncio."""
    if not hasattr(backend, "aget") or not isinstance(backend, AsyncBackend):
        return None
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return backend


def _checked(call: Call, progress: Callable[[int], object] | None) -> Callable[[int], object]:
    """``progress`` that also ends a call which nobody waits for any more."""

    def check(count: int) -> None:
        call.check()
        if progress is not None:
            progress(count)

    return check


def _until(call: Call, items: Iterable[T]) -> Iterator[T]:
    """``items`` as long as somebody waits for the call."""
    for item in items:
        call.check()
        yield item
