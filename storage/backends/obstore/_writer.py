"""Blobs written in pieces: parts that go up while more is written, or one request where a condition must hold."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from storage.backends._protocol import Stat
from storage.exceptions import UnsupportedOperationError

__all__ = ["MAX_WHOLE", "Counted", "PartsWriter", "WholeWriter"]

MAX_WHOLE = 48 * 1024 * 1024
"""Bytes of the largest blob that a :class:`WholeWriter` holds."""


class _AbortedError(Exception):
    """Ends an upload from the inside: the Rust library then aborts it and leaves no parts."""


class _Feed:
    """Hands pieces from the thread that writes to the one that uploads, one at a time, so that memory is bounded."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._piece: bytes | None = None
        self._ended = self._aborted = self._finished = False

    def give(self, piece: bytes) -> bool:
        """Waits until ``piece`` has room. ``False``: the upload has failed, and nobody will take it."""
        with self._changed:
            self._changed.wait_for(lambda: self._piece is None or self._finished)
            if self._finished:
                return False
            self._piece = piece
            self._changed.notify_all()
            return True

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Called by the uploading thread when it is done, well or not."""
        with self._changed:
            self._finished = True
            self._piece = None
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._piece is not None or self._ended or self._aborted)
            if self._aborted:
                raise _AbortedError
            piece, self._piece = self._piece, None
            self._changed.notify_all()
            if piece is None:
                raise StopIteration
            return piece


class PartsWriter:
    """Uploads in parallel parts, in a thread that pulls what is written.

    Args:
        upload: ``upload(pieces)`` stores all the pieces as one blob, or raises and leaves nothing.
    """

    def __init__(self, upload: Callable[[Iterator[bytes]], Stat]) -> None:
        self._process = os.getpid()
        self._feed = feed = _Feed()
        self._outcome: dict[str, Any] = {}
        # It knows the feed and not the writer, so that a writer that is dropped can say so.
        self._thread = threading.Thread(
            target=_run, args=(upload, feed, self._outcome), name="storage-upload", daemon=True
        )
        self._thread.start()

    def write(self, data: bytes | memoryview) -> None:
        if not self._feed.give(bytes(data)):
            self._raise()

    def commit(self) -> Stat:
        self._feed.end()
        self._thread.join()
        if "stat" not in self._outcome:
            self._raise()
        return self._outcome["stat"]  # type: ignore[no-any-return]

    def abort(self) -> None:
        self._feed.abort()
        self._thread.join()

    def _raise(self) -> None:
        raise self._outcome["error"]

    def __del__(self) -> None:
        # An interrupt may come before it is set. A child after fork has the feed, but not the thread, and a lock as it was.
        if hasattr(self, "_feed") and os.getpid() == self._process:
            self._feed.abort()


def _run(upload: Callable[[Iterator[bytes]], Stat], feed: _Feed, outcome: dict[str, Any]) -> None:
    try:
        outcome["stat"] = upload(feed)
    except BaseException as exc:
        outcome["error"] = exc
    finally:
        feed.finish()


class WholeWriter:
    """Keeps what is written and stores it in one request, where the Rust library cannot say it in parts.

    Args:
        store: ``store(data)`` stores a whole blob.
        size: how many bytes will probably come.
    """

    def __init__(self, store: Callable[[bytes], Stat], size: int | None) -> None:
        self._store = store
        self._data = bytearray()
        _check_size(size or 0)

    def write(self, data: bytes | memoryview) -> None:
        _check_size(len(self._data) + len(data))
        self._data += data

    def commit(self) -> Stat:
        data, self._data = self._data, bytearray()
        return self._store(data)  # type: ignore[arg-type]

    def abort(self) -> None:
        self._data = bytearray()


def _check_size(size: int) -> None:
    if size > MAX_WHOLE:
        raise UnsupportedOperationError(
            f"s3+obstore:// sends a blob with overwrite=False, with if_match, or with metadata named after a header in one piece "
            f"of at most {MAX_WHOLE:,} bytes, which it holds in memory; write this one through s3://"
        )


class Counted:
    """Pieces, and how many bytes they have had."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self.size += len(piece)
        return piece
