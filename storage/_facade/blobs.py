"""One blob: write, read, ask, delete, copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from storage._backend import Stat
from storage._facade.core import Core, Line, decoded, is_absent, made_info
from storage._facade.options import check_count, check_range, put_options
from storage._facade.routes import Route
from storage._facade.upload import Upload
from storage._facade.values import Value, chunks_of, rechunk, whole
from storage._types import ObjectInfo
from storage.exceptions import AlreadyExistsError, NotFoundError, UnavailableError

__all__ = ["Blobs"]

_MIB = 1024 * 1024


class Blobs(Core):
    """What ``Storage`` does with one blob."""

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
        except (NotFoundError, UnavailableError) as exc:
            if not missing_ok or not is_absent(exc, route.backend):
                raise

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
