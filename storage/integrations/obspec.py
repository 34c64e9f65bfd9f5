"""obspec: a ``Storage`` as an object that satisfies obspec's protocols, for libraries that are written against them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial, update_wrapper
from pathlib import Path
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from obspec import Attributes, GetOptions, ListResult, ObjectMeta, PutMode, PutResult, exceptions
from typing_extensions import Buffer

import storage.exceptions as ours
from storage import ObjectInfo, Storage
from storage._aio.threads import Workers
from storage._facade.call import Call
from storage._facade.concurrent import batched, ordered_map
from storage._facade.core import core_of
from storage._facade.download import exactly
from storage._facade.options import checked_range

__all__ = ["GetResult", "ObspecStore"]

P = ParamSpec("P")
T = TypeVar("T")

_PAGE = 1000  # blobs in a piece of a listing
_HEADERS = {"Content-Type": "content_type", "Cache-Control": "cache_control", "Content-Encoding": "content_encoding"}
# The first that an error is one of is what it is called.
_ERRORS: dict[type[ours.StorageError], type[exceptions.BaseError]] = {
    ours.NotFoundError: exceptions.NotFoundError,
    ours.AlreadyExistsError: exceptions.AlreadyExistsError,
    ours.PreconditionFailedError: exceptions.PreconditionError,
    ours.InvalidKeyError: exceptions.InvalidPathError,
    ours.AuthenticationError: exceptions.UnauthenticatedError,
    ours.PermissionDeniedError: exceptions.PermissionDeniedError,
    ours.UnsupportedOperationError: exceptions.NotSupportedError,
}


def _in_thread(
    method: Callable[Concatenate[ObspecStore, P], T],
) -> Callable[Concatenate[ObspecStore, P], CoroutineType[Any, Any, T]]:
    """A method as a coroutine, which runs in a worker thread."""

    async def call(self: ObspecStore, /, *args: P.args, **options: P.kwargs) -> T:
        return await self._workers.run(partial(method, self, *args, **options))

    made: Any = update_wrapper(call, method)
    return cast("Callable[Concatenate[ObspecStore, P], CoroutineType[Any, Any, T]]", made)


class ObspecStore:
    """The blobs of one storage type under obspec's names: every protocol of obspec, synchronous and asynchronous.

    Args:
        storage: where the blobs are; it stays open.
        storage_type: one of its types.

    A prefix is a folder, as obspec has it: ``"a"`` lists ``a/b``, not ``ab``. Errors are those of ``obspec.exceptions``, with the
    library's own as ``__cause__``; those without a name there are the library's. ``delete`` takes absent blobs.
    """

    def __init__(self, storage: Storage, storage_type: str = "data") -> None:
        self.storage = storage
        self.storage_type = storage_type
        self._concurrency = storage.backend.concurrency
        self._workers = Workers(max(8, self._concurrency))

    def __reduce__(self) -> tuple[type[ObspecStore], tuple[Storage, str]]:
        return type(self), (self.storage, self.storage_type)

    def __repr__(self) -> str:
        return f"ObspecStore({self.storage!r}, {self.storage_type!r})"

    # ---- reading -----------------------------------------------------------------------------------------------

    def head(self, path: str) -> ObjectMeta:
        """Size, etag and time of a blob."""
        with _translated(path):
            return _meta(self.storage.info(path, self.storage_type))

    def get(self, path: str, *, options: GetOptions | None = None) -> GetResult:
        """A blob, or a range of it, which is read as the result is used; all of one version, in one request.

        ``range``, ``if_match`` and ``head`` are honoured; any other option is a ``NotSupportedError``.
        """
        wanted = {name: value for name, value in (options or {}).items() if value is not None}
        start, end = checked_range(*_range(wanted.pop("range", (0, None))))
        if_match, head = wanted.pop("if_match", None), wanted.pop("head", False)
        if wanted:
            raise exceptions.NotSupportedError(f"get({path!r}): no store here has {', '.join(sorted(wanted))}")
        with _translated(path):
            call = Call.about(core_of(self.storage), "get", path, self.storage_type)
            backend = call.route.backend
            if head or (end is not None and end <= start):
                stat = call.do(backend.stat, call.path)
                if if_match not in (None, stat.etag):
                    call.fail(ours.PreconditionFailedError())
                first = min(max(0, start), stat.size)
                return GetResult(call.info(stat), (first, first), iter(()), self._workers)
            stat, chunks = call.do(backend.stream, call.path, start, end, if_match)
        first = max(0, stat.size + start) if start < 0 else min(start, stat.size)
        last = stat.size if end is None else min(end, stat.size)
        pieces = _pieces(path, call, chunks, max(0, last - first))
        return GetResult(call.info(stat), (first, max(first, last)), pieces, self._workers)

    def get_range(self, path: str, *, start: int, end: int | None = None, length: int | None = None) -> bytes:
        """The bytes from ``start`` up to ``end``, or ``length`` of them; ``ValueError`` where there are none."""
        if (end is None) == (length is None):
            raise ValueError("get_range: give either end or length")
        end = start + cast("int", length) if end is None else end
        with _translated(path):
            data = self.storage.get_bytes(path, self.storage_type, start=start, end=end)
        if not data:
            raise ValueError(f"the range from {start} to {end} of {path!r} is empty")
        return data

    def get_ranges(
        self,
        path: str,
        *,
        starts: Sequence[int],
        ends: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> list[bytes]:
        """Several ranges of a blob, read in parallel."""
        if (ends is None) == (lengths is None):
            raise ValueError("get_ranges: give either ends or lengths")
        if ends is None:
            ends = [start + length for start, length in zip(starts, lengths or (), strict=True)]

        def read(one: tuple[int, int]) -> bytes:
            return self.get_range(path, start=one[0], end=one[1])

        return list(ordered_map(read, zip(starts, ends, strict=True), self._concurrency))

    # ---- writing -----------------------------------------------------------------------------------------------

    def put(
        self,
        path: str,
        file: Any,
        *,
        attributes: Attributes | None = None,
        tags: dict[str, str] | None = None,
        mode: PutMode | None = None,
        use_multipart: bool | None = None,
        chunk_size: int = 0,
        max_concurrency: int = 0,
    ) -> PutResult:
        """Stores bytes, a file (``Path`` or object) or an iterable of bytes, whole or not at all.

        The store decides itself how it uploads: ``use_multipart``, ``chunk_size`` and ``max_concurrency`` are hints that it does
        not need. Tags are a ``NotSupportedError``.
        """
        del use_multipart, chunk_size, max_concurrency
        options = _put_options(path, attributes, tags, mode)
        store = self.storage.set_file if isinstance(file, Path) else self.storage.set
        with _translated(path):
            return {"e_tag": store(path, file, self.storage_type, **options).etag, "version": None}

    def delete(self, paths: str | Sequence[str]) -> None:
        """Deletes one blob or many, in batches."""
        keys = [paths] if isinstance(paths, str) else paths
        with _translated("delete"):
            self.storage.delete_many(keys, self.storage_type)

    def copy(self, from_: str, to: str, *, overwrite: bool = True) -> None:
        """Copies a blob inside the store."""
        with _translated(from_):
            self.storage.copy(from_, to, self.storage_type, overwrite=overwrite)

    def rename(self, from_: str, to: str, *, overwrite: bool = True) -> None:
        """Moves a blob inside the store."""
        with _translated(from_):
            self.storage.move(from_, to, self.storage_type, overwrite=overwrite)

    # ---- listing -----------------------------------------------------------------------------------------------

    def list(self, prefix: str | None = None, *, offset: str | None = None) -> Iterator[Sequence[ObjectMeta]]:
        """The blobs below a folder, after the key ``offset``, a thousand at a time, in order."""
        with _translated(prefix):
            infos = self.storage.iter_info(_folder(prefix), self.storage_type, start_after=offset)
            for page in batched(infos, _PAGE):
                yield [_meta(info) for info in page]

    def list_with_delimiter(self, prefix: str | None = None) -> ListResult[Sequence[ObjectMeta]]:
        """One level of a folder."""
        with _translated(prefix):
            entries = [*self.storage.iter_dir(_folder(prefix), self.storage_type)]
        return {
            "common_prefixes": [entry[:-1] for entry in entries if isinstance(entry, str)],
            "objects": [_meta(entry) for entry in entries if not isinstance(entry, str)],
        }

    # ---- the same, asynchronous --------------------------------------------------------------------------------

    head_async = _in_thread(head)
    get_async = _in_thread(get)
    get_range_async = _in_thread(get_range)
    get_ranges_async = _in_thread(get_ranges)
    delete_async = _in_thread(delete)
    copy_async = _in_thread(copy)
    rename_async = _in_thread(rename)
    list_with_delimiter_async = _in_thread(list_with_delimiter)

    def list_async(
        self, prefix: str | None = None, *, offset: str | None = None
    ) -> AsyncIterator[Sequence[ObjectMeta]]:
        """As ``list``."""
        return self._workers.iterate(self.list(prefix, offset=offset), 1)

    async def put_async(
        self,
        path: str,
        file: Any,
        *,
        attributes: Attributes | None = None,
        tags: dict[str, str] | None = None,
        mode: PutMode | None = None,
        use_multipart: bool | None = None,
        chunk_size: int = 0,
        max_concurrency: int = 0,
    ) -> PutResult:
        """As ``put``, also from an asynchronous iterable."""
        del use_multipart, chunk_size, max_concurrency
        if not isinstance(file, AsyncIterable) or isinstance(file, GetResult):
            return await self._workers.run(partial(self.put, path, file, attributes=attributes, tags=tags, mode=mode))
        options = _put_options(path, attributes, tags, mode)
        with _translated(path):
            writer: Any = await self._workers.run(partial(self.storage.open, path, "wb", self.storage_type, **options))
            try:
                async for piece in file:
                    await self._workers.run(writer.write, piece)
                await self._workers.run(writer.close)
            except BaseException:
                await self._workers.undo(writer.abort)
                raise
        return {"e_tag": writer.info.etag, "version": None}


class GetResult:
    """A blob that is being read: iterate over it, or collect it with ``buffer``, once.

    Attributes:
        attributes: its headers and metadata.
        meta: its size, etag and time.
        range: the bytes of it that come, as ``(start, end)``.
    """

    def __init__(self, info: ObjectInfo, span: tuple[int, int], pieces: Iterator[bytes], workers: Workers) -> None:
        self.meta = _meta(info)
        self.range = span
        headers = {header: getattr(info, name) for header, name in _HEADERS.items()}
        self.attributes: Attributes = {name: value for name, value in headers.items() if value is not None}
        self.attributes.update(info.metadata or {})
        self._pieces, self._workers = pieces, workers

    def __iter__(self) -> Iterator[Buffer]:
        return self._pieces

    def __aiter__(self) -> AsyncIterator[Buffer]:
        return self._workers.iterate(self._pieces, 1)

    def buffer(self) -> bytes:
        """The bytes that have not been read yet."""
        return b"".join(self._pieces)

    async def buffer_async(self) -> bytes:
        """As ``buffer``."""
        return await self._workers.run(self.buffer)


@contextmanager
def _translated(path: str | None) -> Iterator[None]:
    """Turns the library's exceptions into those of ``obspec.exceptions``."""
    try:
        yield
    except ours.StorageError as exc:
        for own, theirs in _ERRORS.items():
            if isinstance(exc, own):
                raise theirs(f"{path}: {exc}") from exc
        raise


def _pieces(path: str, call: Call, chunks: Any, size: int) -> Iterator[bytes]:
    with _translated(path), closing(chunks):
        yield from call.each(exactly(chunks, size))


def _meta(info: ObjectInfo) -> ObjectMeta:
    return {
        "path": info.key,
        "last_modified": info.last_modified,
        "size": info.size,
        "e_tag": info.etag,
        "version": None,
    }


def _folder(prefix: str | None) -> str:
    return prefix.rstrip("/") + "/" if prefix else ""


def _range(wanted: Any) -> tuple[int, int | None]:
    """``(start, end)`` of one of the forms that obspec has for a range."""
    if isinstance(wanted, dict):
        if "offset" in wanted:
            return wanted["offset"], None
        return (-wanted["suffix"], None) if wanted["suffix"] else (0, 0)
    start, end = wanted
    return start, end


def _put_options(
    path: str, attributes: Attributes | None, tags: dict[str, str] | None, mode: PutMode | None
) -> dict[str, Any]:
    """The options of ``Storage.set``."""
    given = dict(attributes or {})
    options: dict[str, Any] = {_HEADERS[name]: given.pop(name) for name in _HEADERS.keys() & given.keys()}
    refused = [name for name in ("Content-Disposition", "Content-Language") if name in given]
    if refused or tags:
        raise exceptions.NotSupportedError(f"put({path!r}): no store here keeps {', '.join(refused) or 'tags'}")
    options["metadata"] = given or None
    if isinstance(mode, dict):
        options["if_match"] = mode.get("e_tag")
        if options["if_match"] is None:
            raise exceptions.NotSupportedError(f"put({path!r}): no store here has versions; give an e_tag")
    else:
        if mode not in (None, "overwrite", "create"):
            raise ValueError(f"mode={mode!r}: use 'overwrite', 'create' or {{'e_tag': …}}")
        options["overwrite"] = mode != "create"
    return options
