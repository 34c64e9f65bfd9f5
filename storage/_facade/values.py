"""Turns the values that ``set`` takes into bytes. Exceptions of the caller's own objects pass through unchanged."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

BytesLike = bytes | bytearray | memoryview


class ReadableFile(Protocol):
    """A file object to read from, binary or text."""

    def read(self, size: int, /) -> Any:
        """Up to ``size`` bytes or characters; empty at the end."""


Value = str | BytesLike | ReadableFile | Iterable[BytesLike]


def whole(value: Any) -> bytes | None:
    """``value`` as ``bytes`` of its own where it is text or bytes already; ``None`` where it has to be read."""
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as exc:
            raise ValueError(
                f"value: character {exc.start} is a lone surrogate, which UTF-8 cannot hold; pass bytes"
            ) from exc
    try:
        return bytes(memoryview(value))
    except TypeError:
        return None


def chunks_of(value: Any, size: int) -> Iterator[bytes]:
    """The bytes of a file object or an iterable of bytes, in pieces of exactly ``size`` bytes but for the last.

    Anything else is a ``TypeError`` at once, before anything is read.
    """
    if hasattr(value, "read"):
        return file_chunks(value, size)
    if isinstance(value, os.PathLike):
        raise TypeError(f"value is a path ({type(value).__name__}); set_file stores the file of that name")
    if isinstance(value, (dict, int)) or not isinstance(value, Iterable):
        raise TypeError(
            f"value must be a str, bytes-like, a file object or an iterable of bytes, not {type(value).__name__}"
        )
    return rechunk((as_bytes(item, "the iterable yielded") for item in value), size)


def file_chunks(file: ReadableFile, size: int) -> Iterator[bytes]:
    """The bytes of a file object from where it stands, text as UTF-8, in pieces of exactly ``size`` bytes but for the last."""
    return rechunk(iter(lambda: read_bytes(file.read(size)), b""), size)


def read_bytes(data: Any) -> bytes:
    """The result of a file object's ``read`` as ``bytes``, text as UTF-8; ``b""``: the end."""
    if data is None:
        raise BlockingIOError("the file object is non-blocking and has no data yet; pass a blocking one")
    return data.encode() if isinstance(data, str) else as_bytes(data, "read() of the file object returned")


def as_bytes(data: Any, who: str) -> bytes:
    """``data`` as ``bytes``; else a ``TypeError`` that says ``who`` gave it."""
    if isinstance(data, bytes):
        return data
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"{who} {type(data).__name__}, not bytes") from None


def rechunk(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of exactly ``size`` bytes but for the last; no empty ones."""
    buffer = bytearray()
    for piece in pieces:
        if not buffer and len(piece) == size:
            yield piece  # the usual case: nothing to copy
            continue
        buffer += piece
        while len(buffer) >= size:
            with memoryview(buffer) as view:
                part = bytes(view[:size])
            del buffer[:size]
            yield part
    if buffer:
        yield bytes(buffer)
