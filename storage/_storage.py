"""``Storage``: the one object that programs use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, TextIO, overload

from storage._batch import batched, ordered_map
from storage._check import check_backend
from storage._core import Core, Line, decoded, made_info
from storage._files import BlobReader, BlobWriter, open_reader, open_writer, parse_mode
from storage._keys import check_prefix, is_portable
from storage._local import replacing
from storage._options import check_count, check_range, download_options, put_options, upload_options
from storage._routes import Route
from storage._sources import ReadableFile, Value, chunks_of, file_chunks, rechunk, whole
from storage._transfer import CallerFault, Sink, download
from storage._types import ObjectInfo, SignedRequest
from storage._upload import Upload
from storage.backends import Setup, SignOptions, Stat
from storage.exceptions import (
    AlreadyExistsError,
    ConfigurationError,
    NotFoundError,
    PreconditionFailedError,
)

if TYPE_CHECKING:
    from typing_extensions import Self  # 8 ms

    from storage._sync.types import SyncEvent, SyncResult

__all__ = ["Storage"]

_MIB = 1024 * 1024
_PAGE = 1000


class Storage(Core):
    """Blobs under keys, behind one URL.

    Args:
        url: where the blobs live: ``memory://``, ``file:///dir``, ``s3://BUCKET/PREFIX``, ``gs://BUCKET/PREFIX`` …, or a path
            (a directory). ``None``: the environment variable ``STORAGE_URL``, or else a directory of the user's.
        auth: credentials, where the service's own chain is not wanted: for S3 a ``boto3.Session``, botocore credentials, or a
            mapping with ``access_key_id``, ``secret_access_key``, ``session_token``; for GCS google-auth credentials, a
            service account's mapping, or the path of its file. Local stores take it and do not use it.
        retries: tries after the first: an ``int``, a ``urllib3.util.retry.Retry``, or ``None`` for 3 with backoff and jitter.
        timeout: seconds, one number or ``(connect, read)``; ``None``: :attr:`TIMEOUT`.
        storage_types: a mapping from storage type to a prefix below ``url``, a URL, or a backend. ``None``: ``data``, ``tmp``
            and ``result``, each under a prefix of its name.
        backend: a ready backend instead of ``url``, ``auth``, ``retries`` and ``timeout``.

    Raises:
        ConfigurationError: a URL, parameter or argument that cannot be; nothing has been touched.
        MissingDependencyError: the driver's package is not installed.
        TypeError: ``url`` together with ``backend``.

    Every method may be called from many threads, and raises the exceptions of :mod:`storage.exceptions` alone, but for those
    of the caller's own files and iterables.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives back connections and threads. Idempotent; a ready ``backend`` stays its owner's."""
        for backend in self._backends():
            if backend is not self._recipe["backend"]:
                backend.close()

    # ---- writing -----------------------------------------------------------------------------------------------

    def set(
        self,
        key: str,
        value: Value,
        storage_type: str = "data",
        *,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Stores a blob, whole or not at all: a reader sees the old one or the whole new one.

        Args:
            key: a portable key.
            value: a ``str`` (stored as UTF-8), bytes-like, a file object (binary, or text stored as UTF-8; read from where it
                stands to its end, in pieces), or an iterable of bytes.
            storage_type: one of the store's types.
            content_type: the media type; ``None``: by the last suffix of the key, else ``application/octet-stream``.
            cache_control: the ``Cache-Control`` to serve it with.
            content_encoding: the ``Content-Encoding`` to serve it with; the bytes are stored as they are.
            metadata: names ``[a-z0-9-]{1,128}`` and values without control characters, 2,048 bytes in all.
            overwrite: ``False``: fail if there is a blob, atomic against every other writer.
            if_match: an etag: fail unless there is a blob and this is its etag.

        Returns:
            The new blob's info.

        Raises:
            InvalidKeyError, InvalidStorageTypeError: before anything is read or sent.
            AlreadyExistsError: ``overwrite=False`` met a blob.
            PreconditionFailedError: ``if_match`` is not the etag, or there is no blob.
            TypeError: a value of another type.
            ValueError: a header or metadata that is not allowed, or ``overwrite=False`` with ``if_match``.
        """
        route, path = self._locate(key, storage_type)
        options = put_options(key, content_type, cache_control, content_encoding, metadata, overwrite, if_match)
        data = whole(value)
        if data is None:
            chunks = chunks_of(value, route.backend.chunk_size)
            return Upload(self, "set", route, key, storage_type, options).run(chunks)
        return made_info(
            key, storage_type, self._call("set", route, key, storage_type, route.backend.put, path, data, options)
        )

    def set_file(
        self,
        key: str,
        file_obj: str | os.PathLike[str] | ReadableFile,
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
        """Stores a file as a blob, in bounded memory; a large one goes up in parallel parts where the backend can.

        Args:
            key: a portable key.
            file_obj: a file's name, or a binary file object, read from where it stands.
            storage_type: one of the store's types.
            progress: called with the number of bytes moved since the last call.
            content_type: as for :meth:`set`, like the rest.
            cache_control: as for :meth:`set`.
            content_encoding: as for :meth:`set`.
            metadata: as for :meth:`set`.
            overwrite: as for :meth:`set`.
            if_match: as for :meth:`set`.

        Returns:
            The new blob's info.

        Raises:
            OSError: the caller's own file cannot be read; like any exception of ``file_obj`` and ``progress`` it comes bare.
            StorageError: as for :meth:`set`.
        """
        route, _ = self._locate(key, storage_type)
        options = put_options(key, content_type, cache_control, content_encoding, metadata, overwrite, if_match)
        if isinstance(file_obj, (str, os.PathLike)):
            with open(file_obj, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                upload = Upload(self, "set_file", route, key, storage_type, options, size)
                return upload.run(file_chunks(file, route.backend.chunk_size), progress)
        if not hasattr(file_obj, "read"):
            raise TypeError(f"file_obj must be a file name or a binary file object, not {type(file_obj).__name__}")
        upload = Upload(self, "set_file", route, key, storage_type, options)
        return upload.run(file_chunks(file_obj, route.backend.chunk_size), progress)

    # ---- reading -----------------------------------------------------------------------------------------------

    def get(self, key: str, storage_type: str = "data") -> str:
        """The blob as text.

        Raises:
            NotFoundError: there is no such blob.
            NotTextError: it is not UTF-8; ``get_bytes`` returns it.
        """
        route, path = self._locate(key, storage_type)
        return decoded(self._call("get", route, key, storage_type, route.backend.get, path), key, storage_type, route)

    def get_bytes(self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None) -> bytes:
        """The blob, or its bytes from ``start`` up to ``end`` (not included), as far as there are any, like a slice.

        Raises:
            NotFoundError: there is no such blob, whatever the range.
            ValueError: a negative bound.
        """
        route, path = self._locate(key, storage_type)
        if start == 0 and end is None:
            return self._call("get_bytes", route, key, storage_type, route.backend.get, path)
        check_range(start, end)
        if end is not None and end <= start:
            self._call("get_bytes", route, key, storage_type, route.backend.stat, path)
            return b""
        return self._call("get_bytes", route, key, storage_type, route.backend.get, path, start, end)

    def iter_bytes(
        self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None, chunk_size: int = _MIB
    ) -> Iterator[bytes]:
        """The blob, or a range of it, in pieces of ``chunk_size`` bytes but for the last, all of one version.

        Raises:
            NotFoundError: there is no such blob (when the first piece is asked for).
            PreconditionFailedError: it was replaced meanwhile.
            ValueError: a negative bound, or a ``chunk_size`` below 1.
        """
        route, path = self._locate(key, storage_type)
        check_range(start, end)
        check_count("chunk_size", chunk_size)
        if end is not None and end <= start:
            return self._nothing(route, path, key, storage_type)
        return rechunk(self._stream(route, path, key, storage_type, start, end), chunk_size)

    def _nothing(self, route: Route, path: str, key: str, storage_type: str) -> Iterator[bytes]:
        self._call("iter_bytes", route, key, storage_type, route.backend.stat, path)
        yield from ()

    def _stream(
        self, route: Route, path: str, key: str, storage_type: str, start: int, end: int | None
    ) -> Iterator[bytes]:
        """The chunks of a blob, with the backend's errors mapped also while they come."""
        with Line("iter_bytes", storage_type, key) as line:
            _, chunks = self._do("iter_bytes", route, key, storage_type, route.backend.stream, path, start, end)
            line.size = 0
            try:
                for chunk in self._mapped("iter_bytes", route, key, storage_type, chunks):
                    line.size += len(chunk)
                    yield chunk
            finally:
                close = getattr(chunks, "close", None)
                if close is not None:
                    close()

    def get_file(
        self,
        key: str,
        file_obj: str | os.PathLike[str] | BinaryIO,
        storage_type: str = "data",
        *,
        progress: Callable[[int], object] | None = None,
    ) -> ObjectInfo:
        """Writes the blob to a file, in bounded memory; a large one comes in parallel ranges where the backend can.

        Args:
            key: a portable key.
            file_obj: a file's name, which appears whole or not at all (on failure what stood there still stands), or a binary
                file object, written from where it stands.
            storage_type: one of the store's types.
            progress: called with the number of bytes moved since the last call.

        Returns:
            The info of the version that was written.

        Raises:
            NotFoundError: there is no such blob.
            PreconditionFailedError: it was replaced meanwhile (for a named file: twice).
            OSError: the caller's own file cannot be written; like any exception of ``file_obj`` and ``progress`` it comes bare.
        """
        route, path = self._locate(key, storage_type)
        if not isinstance(file_obj, (str, os.PathLike)):
            if not hasattr(file_obj, "write"):
                raise TypeError(f"file_obj must be a file name or a binary file object, not {type(file_obj).__name__}")
            return self._download(route, path, key, storage_type, Sink(file_obj, progress))
        try:
            with replacing(file_obj) as file:
                return self._download(route, path, key, storage_type, Sink(file, progress))
        except PreconditionFailedError:
            # Replaced meanwhile. Nothing of the old version is left, so the new one may be had, but only once.
            with replacing(file_obj) as file:
                return self._download(route, path, key, storage_type, Sink(file, progress))

    def _download(self, route: Route, path: str, key: str, storage_type: str, sink: Sink) -> ObjectInfo:
        try:
            stat = self._call("get_file", route, key, storage_type, download, route.backend, path, sink)
        except CallerFault as fault:
            raise fault.error from None
        return made_info(key, storage_type, stat)

    @overload
    def open(self, key: str, mode: Literal["rb"] = "rb", storage_type: str = "data") -> BinaryIO: ...
    @overload
    def open(
        self,
        key: str,
        mode: Literal["wb", "xb"],
        storage_type: str = "data",
        *,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> BinaryIO: ...
    @overload
    def open(
        self,
        key: str,
        mode: Literal["r", "rt", "w", "wt", "x", "xt"],
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
    ) -> TextIO: ...
    @overload
    def open(
        self,
        key: str,
        mode: str,
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
    ) -> IO[Any]: ...

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
    ) -> Any:
        """A file object.

        Args:
            key: a portable key.
            mode: ``rb``, ``r``: seekable, reads ranges on demand, all of one version. ``wb``, ``w``: streams; the blob appears at
                ``close``, and an exception inside ``with`` leaves the old one. ``xb``, ``x``: the same with ``overwrite=False``.
            storage_type: one of the store's types.
            encoding: of text; ``None``: UTF-8.
            errors: how text is decoded or encoded where it cannot be, as for Python's ``open``.
            newline: how line ends are treated in text, as for Python's ``open``.
            content_type: as for :meth:`set`, like the rest; when writing.
            cache_control: as for :meth:`set`.
            content_encoding: as for :meth:`set`.
            metadata: as for :meth:`set`.
            overwrite: as for :meth:`set`.
            if_match: as for :meth:`set`.

        Raises:
            NotFoundError: reading, and there is no such blob.
            PreconditionFailedError: while reading: the blob was replaced meanwhile; at ``close``: as for :meth:`set`.
            ValueError: a mode or option that cannot be.
        """
        letter, text = parse_mode(mode)
        if not text and not (encoding is errors is newline is None):
            raise ValueError(f"mode {mode!r} is binary: encoding, errors and newline are for text")
        route, path = self._locate(key, storage_type)
        if letter == "r":
            writing = (content_type, cache_control, content_encoding, metadata, if_match)
            if not overwrite or any(option is not None for option in writing):
                raise ValueError(f"mode {mode!r} reads: content_type, metadata and the like are for writing")
            stat = self._call("open", route, key, storage_type, route.backend.stat, path)

            def fetch(start: int, end: int) -> bytes:
                return self._do("open", route, key, storage_type, route.backend.get, path, start, end, stat.etag)

            return open_reader(
                BlobReader(fetch, stat.size, key), text=text, encoding=encoding, errors=errors, newline=newline
            )
        options = put_options(
            key, content_type, cache_control, content_encoding, metadata, overwrite and letter != "x", if_match
        )
        upload = Upload(self, "open", route, key, storage_type, options)
        return open_writer(BlobWriter(upload, key), text=text, encoding=encoding, errors=errors, newline=newline)

    # ---- asking and deleting -----------------------------------------------------------------------------------

    def exists(self, key: str, storage_type: str = "data") -> bool:
        """Whether there is a blob. Only absence is ``False``: no permission, no bucket and no network raise."""
        route, path = self._locate(key, storage_type)
        try:
            self._call("exists", route, key, storage_type, route.backend.stat, path)
        except NotFoundError:
            return False
        return True

    def info(self, key: str, storage_type: str = "data") -> ObjectInfo:
        """What is known of the blob, without its bytes.

        Raises:
            NotFoundError: there is no such blob.
        """
        route, path = self._locate(key, storage_type)
        return made_info(key, storage_type, self._call("info", route, key, storage_type, route.backend.stat, path))

    def delete(self, key: str, storage_type: str = "data", *, missing_ok: bool = False) -> None:
        """Deletes the blob.

        Raises:
            NotFoundError: there is no such blob, unless ``missing_ok``.
        """
        route, path = self._locate(key, storage_type)
        try:
            self._call("delete", route, key, storage_type, route.backend.delete, path)
        except NotFoundError:
            if not missing_ok:
                raise

    # ---- listing -----------------------------------------------------------------------------------------------

    def list(
        self,
        prefix: str | None = None,
        storage_type: str = "data",
        *,
        limit: int = 1000,
        start_after: str | None = None,
    ) -> list[str]:
        """Up to ``limit`` keys that start with ``prefix``, in the order of their UTF-8 bytes.

        Args:
            prefix: what keys start with (a string, not a folder); ``None``: all.
            storage_type: one of the store's types.
            limit: 1 to 1,000.
            start_after: only keys after this one, which need not exist: the last key of the page before continues it.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
            ValueError: a ``limit`` out of range.
        """
        check_count("limit", limit, 1, _PAGE)
        route, full, after = self._scan_from(prefix, storage_type, start_after)
        # One more than asked for costs nothing, and spares a request where a name that is no key takes a place.
        return list_(islice(self._keys("list", route, storage_type, full, after, limit), limit))

    def iter_list(
        self, prefix: str | None = None, storage_type: str = "data", *, start_after: str | None = None
    ) -> Iterator[str]:
        """All keys that start with ``prefix``, in the order of their UTF-8 bytes, in memory that does not grow with their number.

        Args:
            prefix: what keys start with (a string, not a folder); ``None``: all.
            storage_type: one of the store's types.
            start_after: only keys after this one, which need not exist.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
        """
        route, full, after = self._scan_from(prefix, storage_type, start_after)
        return self._keys("iter_list", route, storage_type, full, after, _PAGE)

    def iter_info(self, prefix: str | None = None, storage_type: str = "data") -> Iterator[ObjectInfo]:
        """As :meth:`iter_list`, as infos, without one more request for each blob (what a listing does not tell is ``None``)."""
        route, full = self._locate_prefix(prefix, storage_type)
        return self._infos(route, storage_type, full)

    def iter_dir(self, prefix: str = "", storage_type: str = "data") -> Iterator[str | ObjectInfo]:
        """One level below ``prefix``, in order: a ``str`` for a further prefix (whole, ends in a slash), an info for a blob.

        Args:
            prefix: as a rule ``""`` or one that ends in a slash.
            storage_type: one of the store's types.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
        """
        route, full = self._locate_prefix(prefix, storage_type)
        return self._level(route, storage_type, full)

    def _scan_from(
        self, prefix: str | None, storage_type: str, start_after: str | None
    ) -> tuple[Route, str, str | None]:
        route, full = self._locate_prefix(prefix, storage_type)
        if start_after is None:
            return route, full, None
        if not route.raw or not isinstance(start_after, str):
            check_prefix(start_after)
        return route, full, route.prefix + start_after

    def _keys(
        self, name: str, route: Route, storage_type: str, prefix: str, after: str | None, page_size: int
    ) -> Iterator[str]:
        pages = route.backend.scan(prefix, start_after=after, page_size=page_size)
        cut = len(route.prefix)
        for path, _ in self._scanned(name, route, storage_type, pages):
            key = path[cut:]
            if route.raw or is_portable(key):
                yield key

    def _infos(self, route: Route, storage_type: str, prefix: str) -> Iterator[ObjectInfo]:
        pages = route.backend.scan(prefix, detail=True)
        cut = len(route.prefix)
        for path, stat in self._scanned("iter_info", route, storage_type, pages):
            key = path[cut:]
            if stat is not None and (route.raw or is_portable(key)):
                yield made_info(key, storage_type, stat)

    def _level(self, route: Route, storage_type: str, prefix: str) -> Iterator[str | ObjectInfo]:
        pages = route.backend.scan(prefix, detail=True, delimiter=True)
        cut = len(route.prefix)
        for path, stat in self._scanned("iter_dir", route, storage_type, pages):
            key = path[cut:]
            if route.raw or is_portable(key if stat is not None else key[:-1]):
                yield key if stat is None else made_info(key, storage_type, stat)

    def _scanned(
        self, name: str, route: Route, storage_type: str, pages: Iterable[Iterable[tuple[str, Stat | None]]]
    ) -> Iterator[tuple[str, Stat | None]]:
        with Line(name, storage_type, None):
            for page in self._mapped(name, route, None, storage_type, pages):
                yield from page

    # ---- copying -----------------------------------------------------------------------------------------------

    def copy(
        self,
        key: str,
        new_key: str,
        storage_type: str = "data",
        *,
        new_storage_type: str | None = None,
        overwrite: bool = True,
    ) -> ObjectInfo:
        """Copies a blob with its headers and metadata, inside the backend where it can.

        Args:
            key: the blob's key.
            new_key: the copy's key. Onto itself: nothing happens.
            storage_type: the blob's storage type.
            new_storage_type: the copy's; ``None``: the same.
            overwrite: ``False``: fail if there is a blob, atomic against every other writer.

        Returns:
            The copy's info.

        Raises:
            NotFoundError: there is no such blob.
            AlreadyExistsError: ``overwrite=False`` met a blob.
            UnsupportedOperationError: the backend has no create-only copy.
        """
        return self._transfer("copy", key, new_key, storage_type, new_storage_type, overwrite=overwrite)

    def move(
        self,
        key: str,
        new_key: str,
        storage_type: str = "data",
        *,
        new_storage_type: str | None = None,
        overwrite: bool = True,
    ) -> ObjectInfo:
        """As :meth:`copy`, and the old blob is gone. On a cloud a copy, then a delete: a failure between leaves both."""
        return self._transfer("move", key, new_key, storage_type, new_storage_type, overwrite=overwrite)

    def _transfer(
        self, name: str, key: str, new_key: str, storage_type: str, new_storage_type: str | None, *, overwrite: bool
    ) -> ObjectInfo:
        route, path = self._locate(key, storage_type)
        new_type = storage_type if new_storage_type is None else new_storage_type
        new_route, new_path = self._locate(new_key, new_type)
        if not isinstance(overwrite, bool):
            raise TypeError(f"overwrite must be a bool, not {type(overwrite).__name__}")
        if route.backend is not new_route.backend:
            return self._carry(name, route, key, storage_type, new_route, new_key, new_type, overwrite=overwrite)
        if path == new_path:
            stat = self._call(name, route, key, storage_type, route.backend.stat, path)
            if not overwrite:
                self._raise(AlreadyExistsError(), name, route, new_key, new_type)
            return made_info(new_key, new_type, stat)
        method = route.backend.copy if name == "copy" else route.backend.move

        def transfer() -> Stat:
            return method(path, new_path, overwrite=overwrite)

        try:
            stat = self._call(name, route, key, storage_type, transfer)
        except AlreadyExistsError as exc:
            exc.key, exc.storage_type = new_key, new_type
            raise
        return made_info(new_key, new_type, stat)

    def _carry(
        self,
        name: str,
        route: Route,
        key: str,
        storage_type: str,
        new_route: Route,
        new_key: str,
        new_type: str,
        *,
        overwrite: bool,
    ) -> ObjectInfo:
        """A copy between two backends, through this process."""
        path = route.prefix + key
        source = self._do(name, route, key, storage_type, route.backend.stream, path)
        stat = source.stat
        options = put_options(
            new_key,
            stat.content_type,
            stat.cache_control,
            stat.content_encoding,
            stat.metadata,
            overwrite,
        )
        upload = Upload(self, name, new_route, new_key, new_type, options, stat.size)
        info = upload.run(self._mapped(name, route, key, storage_type, source.chunks))
        if name == "move":
            self._do(name, route, key, storage_type, route.backend.delete, path)
        return info

    # ---- many at once ------------------------------------------------------------------------------------------

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
        route = self._route(storage_type)
        pairs = items.items() if isinstance(items, Mapping) else items

        def store(pair: tuple[str, Value]) -> None:
            self.set(pair[0], pair[1], storage_type)

        for _ in ordered_map(store, pairs, self._concurrency(route, concurrency)):
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
        route = self._route(storage_type)

        def load(key: str) -> tuple[str, bytes]:
            return key, self.get_bytes(key, storage_type)

        return ordered_map(load, keys, self._concurrency(route, concurrency))

    def delete_many(self, keys: Iterable[str], storage_type: str = "data", *, concurrency: int | None = None) -> None:
        """Deletes many blobs, in batches where the backend can; absent ones are fine.

        Args:
            keys: read as they are needed.
            storage_type: one of the store's types.
            concurrency: how many requests at once; ``None``: what suits the backend.

        Raises:
            StorageError: as for :meth:`set_many`.
        """
        route = self._route(storage_type)
        backend = route.backend

        def drop(batch: list_[str]) -> None:
            paths = {self._locate(key, storage_type)[1]: key for key in batch}
            failed = self._call("delete_many", route, None, storage_type, backend.delete_batch, list_(paths))
            for path, key in paths.items():
                if path in failed:
                    self._raise(failed[path], "delete_many", route, key, storage_type)

        for _ in ordered_map(drop, batched(keys, backend.batch_size), self._concurrency(route, concurrency)):
            pass

    def _concurrency(self, route: Route, concurrency: int | None) -> int:
        return route.backend.concurrency if concurrency is None else check_count("concurrency", concurrency)

    # ---- whole stores ------------------------------------------------------------------------------------------

    def sync_to(
        self,
        other: Storage,
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
        """Copies to another store what is missing or different there, with headers and metadata, and verifies each copy.

        Both listings are compared before anything is changed: blobs of one size by their checksum where both services tell
        the same kind (the MD5 that is the etag of most S3 blobs), else by time: a blob that is younger at the source, or of
        another size, is copied. So a sync that was interrupted goes on where it stopped. Memory does not grow with the number
        of blobs; long lists are kept in temporary files.

        A copy is verified by the etag that the destination gives it, if that is the MD5 of the bytes; else it is read back.

        Args:
            other: the destination.
            storage_type: one type, which both stores have; ``None``: all types of this store.
            delete: delete at the destination what is not here. It comes last, asks here once more for each key, and deletes
                nothing if a listing or some blob failed.
            dry_run: change nothing; ``report`` and the result say what would be done.
            include: patterns of keys to look at (``*``, ``?``, ``[…]`` within a segment, ``**`` across; one without a slash is
                matched against the last segment); none: all.
            exclude: patterns of keys to leave alone on both sides.
            checksum: do not trust times: read blobs that have no checksum of the same kind on both sides.
            concurrency: how many blobs at once; ``None``: what suits the backends.
            bwlimit: bytes a second that are read at most; ``None``: no limit.
            progress: called with the number of bytes copied since the last call.
            report: called with a :class:`storage.SyncEvent` for each thing found out or done; one call at a time.

        Returns:
            The counts.

        Raises:
            SyncError: some blobs failed, all others were done; its ``result`` says which and why.
            BucketNotFoundError: the source, or the destination, is not there; nothing was deleted.
            ConfigurationError: both are the same place, or one is inside the other.
            InvalidStorageTypeError: ``other`` has no such type.

        An exception of ``progress`` or ``report`` ends the sync, and comes out bare.
        """
        from storage._sync.engine import Sync  # not paid for by programs that sync nothing

        if not isinstance(other, Storage):
            raise TypeError(f"other must be a Storage, not {type(other).__name__}")
        if concurrency is not None:
            check_count("concurrency", concurrency)
        if bwlimit is not None and not bwlimit > 0:
            raise ValueError(f"bwlimit={bwlimit!r}: use a number of bytes a second above 0, or None for no limit")
        return Sync(
            self,
            other,
            storage_type,
            delete=delete,
            dry_run=dry_run,
            include=include,
            exclude=exclude,
            checksum=checksum,
            concurrency=concurrency,
            bwlimit=bwlimit,
            progress=progress,
            report=report,
        ).run()

    # ---- signing -----------------------------------------------------------------------------------------------

    def get_signed_url(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_disposition: str | None = None,
        content_type: str | None = None,
    ) -> str:
        """A URL that anyone can GET until it expires. It does not check that the blob exists.

        Args:
            key: a portable key.
            storage_type: one of the store's types.
            expires_in: seconds or a ``timedelta``, 1 second to 7 days.
            content_disposition: the response's header, as in ``attachment; filename="a.csv"``.
            content_type: the response's header; ``None``: the blob's own.

        Raises:
            SigningError: these credentials cannot sign; the message says what to configure.
            ValueError: an expiry out of range, or a header that is not allowed.
        """
        options = download_options("GET", expires_in, content_disposition, content_type)
        return self._sign("get_signed_url", key, storage_type, options).url

    def get_upload_url(
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
        """A URL that anyone can PUT the blob's bytes to until it expires: the ``url`` of :meth:`sign_upload`."""
        options = upload_options(expires_in, content_type, content_length, content_md5, overwrite)
        return self._sign("get_upload_url", key, storage_type, options).url

    def sign_download(
        self,
        key: str,
        storage_type: str = "data",
        *,
        expires_in: float | timedelta = 3600,
        content_disposition: str | None = None,
        content_type: str | None = None,
        method: Literal["GET", "HEAD"] = "GET",
    ) -> SignedRequest:
        """As :meth:`get_signed_url`, as a request; also for ``method="HEAD"``, for which a GET's URL does not serve."""
        options = download_options(method, expires_in, content_disposition, content_type)
        return self._sign("sign_download", key, storage_type, options)

    def sign_upload(
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
        """What a client sends to store the blob, with the headers that it must send. Every option is bound into the signature.

        Args:
            key: a portable key.
            storage_type: one of the store's types.
            expires_in: seconds or a ``timedelta``, 1 second to 7 days.
            content_type: another type is refused.
            content_length: bytes; another length is refused.
            content_md5: base64 of the digest; other bytes are refused.
            overwrite: ``False``: a key that has a blob is refused.

        Raises:
            SigningError: these credentials cannot sign; the message says what to configure.
            UnsupportedOperationError: this backend cannot bind that option.
            ValueError: an expiry out of range, or an option that is not allowed.
        """
        options = upload_options(expires_in, content_type, content_length, content_md5, overwrite)
        return self._sign("sign_upload", key, storage_type, options)

    def _sign(self, name: str, key: str, storage_type: str, options: SignOptions) -> SignedRequest:
        route, path = self._locate(key, storage_type)
        return self._call(name, route, key, storage_type, route.backend.sign, path, options)

    # ---- the bucket itself -------------------------------------------------------------------------------------

    def setup(
        self,
        *,
        create_bucket: bool = False,
        cors_origins: Iterable[str] | None = None,
        tmp_days: int | None = None,
    ) -> Sequence[str]:
        """Prepares the bucket or directory for a deployment. Idempotent; touches no rule but its own.

        Args:
            create_bucket: make the bucket or directory if it is missing.
            cors_origins: let browsers on these origins GET, HEAD and PUT through signed URLs and read ``ETag``.
            tmp_days: expire blobs of type ``tmp`` after so many days.

        Returns:
            A line for each thing that it changed.

        Raises:
            UnsupportedOperationError: the backend cannot do that; nothing has been changed.
        """
        origins = None if cors_origins is None else _origins(cors_origins)
        if tmp_days is not None:
            check_count("tmp_days", tmp_days)
            if "tmp" not in self._routes:
                raise ConfigurationError(f"tmp_days={tmp_days}: this store has no storage type 'tmp'", url=self._shown)
        tmp = self._routes.get("tmp")
        lines: list_[str] = []
        for backend in self._backends():
            mine = tmp if tmp is not None and tmp.backend is backend else None
            wanted = Setup(create_bucket, origins, mine and mine.prefix, tmp_days if mine else None)
            route = Route(backend, "", backend.location, raw=False)
            lines += self._call("setup", route, None, "", backend.setup, wanted)
        return lines

    def check(self) -> Sequence[str]:
        """Tries for real what this library needs of a server, under a name of its own, which it removes again.

        Returns:
            A line for each thing that the server lacks; empty when nothing.
        """
        lines: list_[str] = []
        for name, route in {id(r.backend): (n, r) for n, r in self._routes.items()}.values():
            lines += self._call("check", route, None, name, check_backend, route.backend, route.prefix)
        return lines


list_ = list  # the class has a method of that name


def _origins(origins: Iterable[str]) -> tuple[str, ...]:
    if isinstance(origins, str):
        raise TypeError(f"cors_origins must be a list of origins, as in [{origins!r}]")
    found = tuple(origins)
    for origin in found:
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise ValueError(f"cors_origins: {origin!r} is no origin; write https://HOST[:PORT], or '*' for every page")
    return found
