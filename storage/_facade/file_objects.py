"""The file objects of ``Storage.open``: a seekable reader, and a writer that publishes at ``close``."""

from __future__ import annotations

import errno
import io
import warnings
from contextlib import suppress
from typing import Any, Final

from storage._facade.read_ahead import Fetch, Windows
from storage._facade.upload import Upload
from storage._fork import check_owner, forks
from storage._types import ObjectInfo

BUFFER: Final = 64 * 1024
"""Bytes that small reads of an open blob are served from."""


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
    """Reads one version of a blob, in the ranges that :class:`Windows` chooses. It belongs to the process that opened it."""

    mode = "rb"

    def __init__(self, fetch: Fetch, size: int, name: str, *, parallel: bool) -> None:
        super().__init__()
        self.name = name
        self._size = size
        self._position = 0
        self._begun = forks.count
        self._windows = Windows(fetch, size, parallel=parallel)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check_open()
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        if whence not in bases:
            raise ValueError(f"whence={whence!r}: use 0 (start), 1 (position) or 2 (end)")
        position = bases[whence] + offset
        if position < 0:
            raise OSError(errno.EINVAL, f"cannot seek to {position}, before the start of the blob")  # as a file on disk
        self._position = position
        if not self._windows.has(position):
            self._windows.clear()
        return position

    def readinto(self, buffer: Any) -> int:
        self._check_open()
        with memoryview(buffer).cast("B") as view:
            wanted = min(len(view), self._size - self._position)
            if wanted <= 0:
                return 0
            data = self._windows.at(self._position, wanted)
            count = len(data)
            view[:count] = data
        self._position += count
        return count

    def readall(self) -> bytes:
        self._check_open()
        data = self._windows.rest(self._position)
        self._position += len(data)
        return data

    def close(self) -> None:
        # The threads of a parent are not there, and their locks are as they were at the fork.
        if self._begun == forks.count:
            self._windows.close()
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")
        check_owner(self._begun, repr(self.name))


class BlobWriter(io.BufferedIOBase):
    """Writes a blob that appears at ``close``. An exception inside ``with``, or being dropped unclosed, leaves the old one.

    Attributes:
        info: the new blob's ``ObjectInfo`` once it is closed.
    """

    mode = "wb"

    def __init__(self, upload: Upload, name: str) -> None:
        super().__init__()
        self.name = name
        self.info: ObjectInfo | None = None
        self._upload: Upload | None = upload
        self._position = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more can be published: it was, or a write failed, or it was aborted."""
        return self._upload is None

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

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

    def close(self) -> None:
        upload, self._upload = self._upload, None
        try:
            if upload is not None:
                self.info = upload.run(())
        finally:
            super().close()

    def abort(self) -> None:
        """Closes without storing anything."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.abort()

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
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
                with suppress(ImportError):  # the interpreter may be ending
                    import logging

                    # Python hides the warning below, unless it is asked to show it.
                    logging.getLogger("storage").warning(message)
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

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
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
        if hasattr(self, "_blob") and not self._blob.ended:
            self._blob.__del__()
            self._discard()
