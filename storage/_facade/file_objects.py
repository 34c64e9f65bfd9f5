"""The file objects of ``Storage.open``: a seekable reader of ranges, and a writer that publishes at ``close``."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

from storage._types import ObjectInfo

if TYPE_CHECKING:
    from typing_extensions import override
else:  # the package takes 8 ms to import

    def override(method):  # noqa: ANN001, ANN202
        return method


__all__ = ["BlobReader", "BlobWriter", "TextBlobWriter", "open_reader", "open_writer", "parse_mode"]

_FIRST_WINDOW: Final = 128 * 1024
_LAST_WINDOW: Final = 8 * 1024 * 1024


class _Upload(Protocol):
    @property
    def inherited(self) -> bool: ...
    def write(self, data: bytes) -> None: ...
    def commit(self) -> ObjectInfo: ...
    def abort(self) -> None: ...


def parse_mode(mode: str) -> tuple[str, bool]:
    """``("r", "w" or "x", is it text)``; else ``ValueError``."""
    if not isinstance(mode, str):
        raise TypeError(f"mode must be a str, not {type(mode).__name__}")
    letters = mode.replace("t", "", 1) if "b" not in mode else mode.replace("b", "", 1)
    if letters not in ("r", "w", "x"):
        raise ValueError(
            f"mode {mode!r}: use 'r', 'w' or 'x' with 'b' for bytes; a blob cannot be appended to or changed in place"
        )
    return letters, "b" not in mode


class BlobReader(io.RawIOBase):
    """Reads ranges of one version of a blob, on demand. Reading on fetches ever larger pieces, up to 8 MiB at a time.

    Args:
        fetch: ``fetch(start, end)`` gives the bytes of a range, all of one version.
        size: bytes of the blob.
        name: the key.
    """

    mode = "rb"

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, name: str) -> None:
        super().__init__()
        self.name = name
        self._fetch = fetch
        self._size = size
        self._position = 0
        self._window = b""
        self._window_start = 0
        self._next_window = _FIRST_WINDOW

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        self._check_open()
        return self._position

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check_open()
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        if whence not in bases:
            raise ValueError(f"whence={whence!r}: use 0 (start), 1 (position) or 2 (end)")
        position = bases[whence] + offset
        if position < 0:
            raise ValueError(f"cannot seek to {position}, before the start of the blob")
        self._position = position
        return position

    @override
    def readinto(self, buffer: Any) -> int:
        self._check_open()
        with memoryview(buffer).cast("B") as view:
            wanted = min(len(view), self._size - self._position)
            if wanted <= 0:
                return 0
            offset = self._position - self._window_start
            if not 0 <= offset < len(self._window):
                self._refill(wanted)
                offset = 0
            data = self._window[offset : offset + wanted]
            view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _refill(self, wanted: int) -> None:
        goes_on = self._position == self._window_start + len(self._window) and self._window
        self._next_window = min(self._next_window * 2, _LAST_WINDOW) if goes_on else _FIRST_WINDOW
        end = min(self._position + max(wanted, self._next_window), self._size)
        self._window = self._fetch(self._position, end)
        self._window_start = self._position

    @override
    def readall(self) -> bytes:
        self._check_open()
        data = self._fetch(self._position, self._size) if self._position < self._size else b""
        self._position += len(data)
        return data

    @override
    def close(self) -> None:
        self._window = b""
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")


class BlobWriter(io.BufferedIOBase):
    """Writes a blob that appears at ``close``. An exception inside ``with``, or being dropped unclosed, leaves the old one.

    Attributes:
        info: the new blob's ``ObjectInfo`` once it is closed.
    """

    mode = "wb"

    def __init__(self, upload: _Upload, name: str) -> None:
        super().__init__()
        self.name = name
        self.info: ObjectInfo | None = None
        self._upload: _Upload | None = upload
        self._position = 0

    @override
    def writable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._position

    @override
    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("the file is closed")
        upload = self._upload
        piece = data if isinstance(data, bytes) else bytes(memoryview(data))
        if upload is None:  # a write or the commit failed before: nothing can be published any more
            raise ValueError("the file is closed: an earlier write failed, and nothing was stored")
        try:
            upload.write(piece)
        except BaseException:
            self.abort()
            raise
        self._position += len(piece)
        return len(piece)

    @override
    def close(self) -> None:
        upload, self._upload = self._upload, None
        try:
            if upload is not None:
                try:
                    self.info = upload.commit()
                except BaseException:
                    upload.abort()
                    raise
        finally:
            super().close()

    def abort(self) -> None:
        """Closes without storing anything."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.abort()

    @override
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
        self.close()

    def __del__(self) -> None:
        # Half a blob must not be published because a program forgot it: unlike a file's, its finaliser never commits.
        upload = getattr(self, "_upload", None)
        if upload is not None:
            self.abort()
            if not upload.inherited:
                message = f"unclosed blob {self.name!r}: nothing was stored; close it"
                warnings.warn(message, ResourceWarning, stacklevel=2)
            super().close()


class TextBlobWriter(io.TextIOWrapper):
    """A :class:`BlobWriter` for text."""

    def __init__(self, raw: BlobWriter, encoding: str, errors: str | None, newline: str | None) -> None:
        self._blob = raw
        super().__init__(raw, encoding, errors, newline)

    @property
    def info(self) -> ObjectInfo | None:
        """The new blob's ``ObjectInfo`` once it is closed."""
        return self._blob.info

    @override
    def close(self) -> None:
        if self.closed:
            return
        try:
            self.flush()
        except BaseException:  # the last piece was not taken: the others must not be published
            self._blob.abort()
            self._discard()
            raise
        super().close()

    @override
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._blob.abort()
            self._discard()
            return
        self.close()

    def _discard(self) -> None:
        try:
            super().close()
        except ValueError:  # what was still buffered has nowhere to go, which is what was asked for
            self._blob.close()

    def __del__(self) -> None:
        if getattr(self, "_blob", None) is not None and self._blob._upload is not None:  # noqa: SLF001
            self._blob.__del__()
            self._discard()


def open_reader(
    raw: BlobReader, *, text: bool, encoding: str | None, errors: str | None, newline: str | None
) -> io.BufferedReader[BlobReader] | io.TextIOWrapper:
    """A buffered file over ``raw``, which decodes where ``text``."""
    buffered = io.BufferedReader(raw, 64 * 1024)
    return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline) if text else buffered


def open_writer(
    raw: BlobWriter, *, text: bool, encoding: str | None, errors: str | None, newline: str | None
) -> BlobWriter | TextBlobWriter:
    """``raw``, or a file that encodes into it where ``text``."""
    return TextBlobWriter(raw, encoding or "utf-8", errors, newline) if text else raw
