"""The methods of ``Storage`` for the caller's files: ``set_file``, ``get_file``, ``open``."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from functools import partial
from typing import IO, Any, BinaryIO, Literal, TextIO, overload

from storage._backend import PutOptions
from storage._facade.atomic_file import atomic_write
from storage._facade.call import Call
from storage._facade.core import Facade
from storage._facade.download import CallerFault, Sink, download, whole_range
from storage._facade.options import put_options
from storage._facade.upload import Upload
from storage._facade.values import ReadableFile, file_chunks
from storage._stop import Stop
from storage._types import ObjectInfo
from storage.exceptions import PreconditionFailedError


class Files(Facade):
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
            content_type, cache_control, content_encoding, metadata, overwrite, if_match: as for :meth:`set`.

        Returns:
            The new blob's info.

        Raises:
            OSError: the caller's own file cannot be read; like any exception of ``file_obj`` and ``progress`` it comes bare.
            StorageError: as for :meth:`set`.
        """
        call = Call.about(self._core, "set_file", key, storage_type)
        options = put_options(key, content_type, cache_control, content_encoding, metadata, overwrite, if_match)
        return store_file(call, options, file_obj, progress)

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
        call = Call.about(self._core, "get_file", key, storage_type)
        if not isinstance(file_obj, (str, os.PathLike)):
            if not hasattr(file_obj, "write"):
                raise TypeError(f"file_obj must be a file name or a binary file object, not {type(file_obj).__name__}")
            return write_out(call, Sink(file_obj, progress))
        return write_new_file(call, partial(atomic_write, file_obj), progress)

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
        """Opens a blob as a file object, for reading or writing.

        Args:
            key: a portable key.
            mode: ``rb``, ``r``: seekable, reads ranges on demand, all of one version, and ahead where it is read from the front.
                ``wb``, ``w``: streams; the blob appears at ``close``, and an exception inside ``with`` leaves the old one.
                ``xb``, ``x``: the same with ``overwrite=False``.
            storage_type: one of the store's types.
            encoding: of text; ``None``: UTF-8.
            errors: how text is decoded or encoded where it cannot be, as for Python's ``open``.
            newline: how line ends are treated in text, as for Python's ``open``.
            content_type, cache_control, content_encoding, metadata, overwrite, if_match: as for :meth:`set`; when writing.

        Returns:
            A binary file object, or a text one where the mode has no ``b``.

        Raises:
            NotFoundError: reading, and there is no such blob.
            PreconditionFailedError: while reading: the blob was replaced meanwhile; at ``close``: as for :meth:`set`.
            ValueError: a mode or option that is not valid.
        """
        from storage._facade import file_objects as _files  # only here: an import of the package is to stay cheap

        letter, text = _files.parse_mode(mode)
        if not text and not (encoding is errors is newline is None):
            raise ValueError(f"mode {mode!r} is binary: encoding, errors and newline are for text")
        call = Call.about(self._core, "open", key, storage_type)
        if letter == "r":
            writing = (content_type, cache_control, content_encoding, metadata, if_match)
            if not overwrite or any(option is not None for option in writing):
                raise ValueError(f"mode {mode!r} reads: content_type, metadata and the like are for writing")
            backend = call.route.backend
            stat = call.run(backend.stat, call.path)
            reader = _files.BlobReader(
                partial(_fetch, call, stat.etag), stat.size, key, parallel=backend.parallel_from is not None
            )
            buffered = io.BufferedReader(reader, _files.BUFFER)
            return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline) if text else buffered
        options = put_options(
            key, content_type, cache_control, content_encoding, metadata, overwrite and letter != "x", if_match
        )
        writer = _files.BlobWriter(Upload(call, options), key)
        return _files.TextBlobWriter(writer, encoding or "utf-8", errors, newline) if text else writer


def store_file(
    call: Call,
    options: PutOptions,
    file_obj: str | os.PathLike[str] | ReadableFile,
    progress: Callable[[int], object] | None,
) -> ObjectInfo:
    """As ``set_file``, whose other arguments were checked."""
    chunk_size = call.route.backend.chunk_size
    if isinstance(file_obj, (str, os.PathLike)):
        with open(file_obj, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return Upload(call, options, size).run(file_chunks(file, chunk_size), progress)
    if not hasattr(file_obj, "read"):
        raise TypeError(f"file_obj must be a file name or a binary file object, not {type(file_obj).__name__}")
    return Upload(call, options).run(file_chunks(file_obj, chunk_size), progress)


def _fetch(call: Call, etag: str, start: int, end: int, stop: Stop | None) -> list[bytes]:
    """A range of an open blob; where it can be stopped, in pieces, so that little more comes then."""
    backend = call.route.backend

    def read() -> bytes:
        return whole_range(backend.get(call.path, start, end, etag), end - start)

    if stop is None:
        return [call.do(read)]
    pieces = []
    stat, chunks = call.do(backend.stream, call.path, start, end, etag)
    with closing(chunks):
        if stat.etag != etag:
            call.fail(PreconditionFailedError())
        for chunk in call.each(chunks):
            pieces.append(chunk)
            if stop.is_set():
                break
    return pieces


def write_out(call: Call, sink: Sink) -> ObjectInfo:
    """Writes the blob of a call to a sink; an exception of the caller's own file comes as it is."""
    try:
        return call.info(call.run(download, call.route.backend, call.path, sink))
    except CallerFault as fault:
        raise fault.error from None


def write_new_file(
    call: Call,
    new_file: Callable[[], AbstractContextManager[BinaryIO]],
    progress: Callable[[int], object] | None,
) -> ObjectInfo:
    """As ``write_out``, to a file that nobody sees before it is whole; so a blob that is replaced meanwhile is read once more."""
    try:
        with new_file() as file:
            return write_out(call, Sink.new_file(file, progress))
    except PreconditionFailedError:
        with new_file() as file:
            return write_out(call, Sink.new_file(file, progress))
