"""The methods of ``Storage`` for one blob: write, read, ask, delete, copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial

from storage._backend import Stat
from storage._facade.call import Call, decoded, info_of, run_once
from storage._facade.core import Facade
from storage._facade.download import exactly
from storage._facade.errors import is_absent
from storage._facade.options import changes_of, check_count, check_etag, checked_range, put_options
from storage._facade.upload import Upload
from storage._facade.values import Value, chunks_of, rechunk, whole
from storage._fork import owned
from storage._types import ObjectInfo
from storage.exceptions import AlreadyExistsError, NotFoundError, PreconditionFailedError, UnavailableError

_MIB = 1024 * 1024


class Blobs(Facade):
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
        route, path = self._core.locate(key, storage_type)
        options = put_options(key, content_type, cache_control, content_encoding, metadata, overwrite, if_match)
        data = whole(value)
        if data is None:
            call = Call("set", route, path, key, storage_type)
            return Upload(call, options).run(chunks_of(value, route.backend.chunk_size))
        return info_of(
            key, storage_type, run_once("set", route, key, storage_type, route.backend.put, path, data, options)
        )

    def get(self, key: str, storage_type: str = "data") -> str:
        """Reads a blob as text.

        Args:
            key: a portable key.
            storage_type: one of the store's types.

        Returns:
            The text, decoded from UTF-8.

        Raises:
            NotFoundError: there is no such blob.
            NotTextError: it is not UTF-8; ``get_bytes`` returns it.
        """
        route, path = self._core.locate(key, storage_type)
        data = run_once("get", route, key, storage_type, route.backend.get, path)
        return decoded(data, route, key, storage_type)

    def get_bytes(self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None) -> bytes:
        """Reads a blob, or a range of it, as bytes.

        Args:
            key: a portable key.
            storage_type: one of the store's types.
            start: the first byte; ``-n``, only without ``end``: the last ``n`` bytes, in one request and of one version.
            end: the byte after the last one; ``None``: to the end of the blob.

        Returns:
            The bytes, as far as there are any, like a slice.

        Raises:
            NotFoundError: there is no such blob, whatever the range.
            ValueError: any other negative bound.
        """
        route, path = self._core.locate(key, storage_type)
        if start == 0 and end is None:
            return run_once("get_bytes", route, key, storage_type, route.backend.get, path)
        start, end = checked_range(start, end)
        if end is not None and end <= start:
            run_once("get_bytes", route, key, storage_type, route.backend.stat, path)
            return b""
        return run_once("get_bytes", route, key, storage_type, route.backend.get, path, start, end)

    def iter_bytes(
        self, key: str, storage_type: str = "data", *, start: int = 0, end: int | None = None, chunk_size: int = _MIB
    ) -> Iterator[bytes]:
        """Reads a blob, or a range of it, in pieces, without holding it in memory. All pieces are of one version.

        Args:
            key: a portable key.
            storage_type: one of the store's types.
            start, end: as for :meth:`get_bytes`.
            chunk_size: bytes of each piece but the last.

        Yields:
            The pieces.

        Raises:
            NotFoundError: there is no such blob (when the first piece is asked for).
            PreconditionFailedError: it was replaced meanwhile.
            ValueError: a negative bound (but for ``start=-n`` alone: the last ``n`` bytes), or a ``chunk_size`` below 1.
        """
        call = Call.about(self._core, "iter_bytes", key, storage_type)
        start, end = checked_range(start, end)
        check_count("chunk_size", chunk_size)
        return owned(rechunk(_stream(call, start, end), chunk_size), call)

    def exists(self, key: str, storage_type: str = "data") -> bool:
        """Tells whether there is a blob.

        Args:
            key: a portable key.
            storage_type: one of the store's types.

        Returns:
            ``False`` only if the blob is absent.

        Raises:
            StorageError: that cannot be told: a missing permission, a missing bucket, a network that is down.
        """
        route, path = self._core.locate(key, storage_type)
        try:
            run_once("exists", route, key, storage_type, route.backend.probe, path, absent_is_ok=True)
        except NotFoundError:
            return False
        return True

    def info(self, key: str, storage_type: str = "data") -> ObjectInfo:
        """Reads a blob's size, etag, time, headers and metadata, without its bytes.

        Args:
            key: a portable key.
            storage_type: one of the store's types.

        Returns:
            The info, with all of its fields.

        Raises:
            NotFoundError: there is no such blob.
        """
        route, path = self._core.locate(key, storage_type)
        return info_of(key, storage_type, run_once("info", route, key, storage_type, route.backend.stat, path))

    def set_metadata(
        self,
        key: str,
        storage_type: str = "data",
        *,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Replaces the given metadata and headers of a blob. The bytes stay, and do not pass through this process.

        Args:
            key: a portable key.
            storage_type: one of the store's types.
            metadata: all of the new metadata; ``{}``: none. ``None``, here and below: as it was.
            content_type, cache_control, content_encoding: as for :meth:`set`.
            if_match: an etag: fail unless it is the blob's, atomic against every other writer.

        Returns:
            The blob's new info. Its etag may be another one.

        Raises:
            NotFoundError: there is no such blob.
            PreconditionFailedError: ``if_match`` is not the etag.
            UnsupportedOperationError: the backend cannot change metadata.
            ValueError: nothing is given, or a value that is not allowed.
        """
        call = Call.about(self._core, "set_metadata", key, storage_type)
        changes = changes_of(content_type, cache_control, content_encoding, metadata)
        update = call.route.backend.update
        etag = check_etag(if_match)
        return call.info(call.run(lambda: update(call.path, changes, if_match=etag)))

    def delete(
        self, key: str, storage_type: str = "data", *, missing_ok: bool = False, if_match: str | None = None
    ) -> None:
        """Deletes the blob.

        Args:
            key: a portable key.
            storage_type: one of the store's types.
            missing_ok: do nothing where there is no such blob.
            if_match: an etag: delete only this version, atomic against every other writer.

        Raises:
            NotFoundError: there is no such blob, unless ``missing_ok``.
            PreconditionFailedError: ``if_match`` is not the etag.
            UnsupportedOperationError: ``if_match`` on a backend that cannot promise it.
        """
        route, path = self._core.locate(key, storage_type)
        delete = route.backend.delete
        if if_match is not None:
            delete = partial(delete, if_match=check_etag(if_match))
        try:
            run_once("delete", route, key, storage_type, delete, path, absent_is_ok=missing_ok)
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
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Copies a blob with its headers and metadata, inside the backend where it can.

        Args:
            key: the blob's key.
            new_key: the copy's key. Onto itself: nothing happens.
            storage_type: the blob's storage type.
            new_storage_type: the copy's; ``None``: the same.
            overwrite: ``False``: fail if there is a blob, atomic against every other writer.
            if_match: an etag: fail unless it is that of the blob to copy.

        Returns:
            The copy's info.

        Raises:
            NotFoundError: there is no such blob.
            AlreadyExistsError: ``overwrite=False`` met a blob.
            PreconditionFailedError: ``if_match`` is not the blob's etag.
            UnsupportedOperationError: the backend has no create-only copy.
        """
        return self._transfer("copy", key, new_key, storage_type, new_storage_type, overwrite, if_match)

    def move(
        self,
        key: str,
        new_key: str,
        storage_type: str = "data",
        *,
        new_storage_type: str | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Moves a blob with its headers and metadata.

        On ``memory://``, and on ``file://`` within one file system, this is one step. On a cloud it is a copy and then a delete,
        and a failure between them leaves both blobs.

        Args:
            key, new_key, storage_type, new_storage_type, overwrite: as for :meth:`copy`.
            if_match: an etag: fail unless it is that of the blob to move; only this version is deleted.

        Returns:
            The moved blob's info.

        Raises:
            NotFoundError, AlreadyExistsError, PreconditionFailedError: as for :meth:`copy`.
            UnsupportedOperationError: the backend has no create-only copy, or cannot delete on a condition.
        """
        return self._transfer("move", key, new_key, storage_type, new_storage_type, overwrite, if_match)

    def _transfer(
        self,
        name: str,
        key: str,
        new_key: str,
        storage_type: str,
        new_storage_type: str | None,
        overwrite: bool,
        if_match: str | None,
    ) -> ObjectInfo:
        source = Call.about(self._core, name, key, storage_type)
        target = Call.about(self._core, name, new_key, storage_type if new_storage_type is None else new_storage_type)
        if not isinstance(overwrite, bool):
            raise TypeError(f"overwrite must be a bool, not {type(overwrite).__name__}")
        check_etag(if_match)
        backend = source.route.backend
        if backend is not target.route.backend:
            with source.record() as record:
                _, info = carry(source, target, overwrite=overwrite, if_match=if_match)
                record.size = info.size
                if name == "move":
                    source.do(lambda: backend.delete(source.path, if_match=if_match))
                return info
        method = backend.copy if name == "copy" else backend.move

        def transfer() -> Stat:
            if source.path != target.path:
                return method(source.path, target.path, overwrite=overwrite, if_match=if_match)
            stat = backend.stat(source.path)
            if if_match not in (None, stat.etag):
                raise PreconditionFailedError
            if not overwrite:
                raise AlreadyExistsError
            return stat

        try:
            stat = source.run(transfer)
        except AlreadyExistsError as exc:
            exc.key, exc.storage_type = target.key, target.storage_type
            raise
        return target.info(stat)


def _stream(call: Call, start: int, end: int | None) -> Iterator[bytes]:
    """The pieces of a range of a blob, as the backend gives them."""
    if end is not None and end <= start:  # an empty one of a blob, which still has to be there
        call.run(call.route.backend.stat, call.path)
        return
    with call.record() as record:
        stat, chunks = call.do(call.route.backend.stream, call.path, start, end)
        begin = start if start >= 0 else max(0, stat.size + start)
        size = max(0, (stat.size if end is None else min(end, stat.size)) - begin)
        record.size = 0
        with closing(chunks):
            for chunk in call.each(exactly(chunks, size)):
                record.size += len(chunk)
                yield chunk


def carry(source: Call, target: Call, *, overwrite: bool, if_match: str | None) -> tuple[Stat, ObjectInfo]:
    """Copies a blob between two backends, through this process. Returns the version that was copied, and the copy.

    Without an event: it is a step of the user's call.
    """
    backend = source.route.backend
    stat, chunks = source.do(backend.stream, source.path, 0, None, if_match)
    with closing(chunks):
        if stat.metadata is None:  # Cloud Storage does not send it with the bytes
            described = source.do(backend.stat, source.path)
            if described.etag != stat.etag:
                source.fail(PreconditionFailedError())
            stat = described
        headers = (stat.content_type, stat.cache_control, stat.content_encoding, stat.metadata)
        options = put_options(target.key or "", *headers, overwrite)
        return stat, Upload(target, options, stat.size, event=False).run(source.each(exactly(chunks, stat.size)))
