"""Answers GET and HEAD of a blob, after its URL was verified."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import closing
from typing import NamedTuple

import anyio

from storage._backend import Backend, Chunks, Stat
from storage._content_types import DEFAULT_CONTENT_TYPE
from storage._url_signing import Grant, RefusedError
from storage.exceptions import PreconditionFailedError
from storage.server._http import Request, Response
from storage.server._ranges import evaluate, http_date, parse_range
from storage.server._threads import finish_in_thread, in_thread

# Bytes handed to the server at once: enough that threads and events cost little, few enough for many clients.
_PIECE = 1024 * 1024
_TRIES = 5
_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "range")
_PRINTABLE = re.compile(r"[\x20-\x7e]+").fullmatch
# A blob may have been uploaded by a stranger: shown as a page it has an origin of its own, and may load and run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; sandbox"


class _Opened(NamedTuple):
    """A blob about to be sent: its status, headers, and the pieces of the body."""

    status: int
    headers: list[tuple[str, str]]
    pieces: Generator[bytes, None, None]
    first: bytes
    length: int


async def download(backend: Backend, grant: Grant, request: Request, response: Response, stall_seconds: float) -> None:
    """Sends the blob or the part of it that was asked for, or the refusal of that."""
    opened = await in_thread(_open, backend, grant, request)
    try:
        await response.start(opened.status, opened.headers)
        if grant.method == "HEAD" or opened.length <= len(opened.first):
            await response.body(opened.first, more=False)
            return
        failure: Exception | None = None
        # An ASGI server tells that the client is gone only where `receive` is awaited.
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_when_gone, request, group.cancel_scope)
            try:
                await _send(opened, response, stall_seconds)
            except Exception as exc:  # raised below: a task group would wrap it
                failure = exc
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
    finally:
        if opened.length > len(opened.first):
            await finish_in_thread(opened.pieces.close)


async def _cancel_when_gone(request: Request, scope: anyio.CancelScope) -> None:
    await request.gone()
    scope.cancel()


async def _send(opened: _Opened, response: Response, stall_seconds: float) -> None:
    left = opened.length
    piece: bytes | None = opened.first
    while piece is not None:
        left -= len(piece)
        await response.body(piece, more=left > 0, seconds=stall_seconds)
        if left <= 0:
            return
        piece = await in_thread(next, opened.pieces, None)


def _open(backend: Backend, grant: Grant, request: Request) -> _Opened:
    if grant.method == "GET" and not any(name in request.headers for name in _CONDITIONS):
        stat, chunks = backend.stream(grant.path)
        return _body(200, _headers(stat, grant, stat.size), chunks, stat.size)
    for _ in range(_TRIES):
        stat = backend.stat(grant.path)
        status = evaluate(request.headers, stat)
        if status == 412:
            raise PreconditionFailedError
        if status == 304:
            return _Opened(304, _validators(stat), _pieces(None), b"", 0)
        if grant.method == "HEAD":
            return _Opened(200, _headers(stat, grant, stat.size), _pieces(None), b"", 0)
        try:
            return _open_version(backend, grant, request, stat)
        except PreconditionFailedError:
            continue  # replaced since `stat`: the range is counted anew
    raise RefusedError(409, "the blob is being replaced again and again; try later")


def _open_version(backend: Backend, grant: Grant, request: Request, stat: Stat) -> _Opened:
    """The blob, or the range of it that is asked for, of just this version."""
    span = parse_range(request.headers, stat)
    if span is None:
        _, chunks = backend.stream(grant.path, if_match=stat.etag)
        return _body(200, _headers(stat, grant, stat.size), chunks, stat.size)
    start, end = span
    if start >= end:
        reason = f"the blob has {stat.size} bytes, and this range has none of them"
        raise RefusedError(416, reason, [("content-range", f"bytes */{stat.size}")])
    _, chunks = backend.stream(grant.path, start, end, stat.etag)
    headers = [*_headers(stat, grant, end - start), ("content-range", f"bytes {start}-{end - 1}/{stat.size}")]
    return _body(206, headers, chunks, end - start)


def _body(status: int, headers: list[tuple[str, str]], chunks: Chunks, length: int) -> _Opened:
    pieces = _pieces(chunks)
    first = next(pieces, b"")
    if len(first) == length:
        pieces.close()
    return _Opened(status, headers, pieces, first, length)


def _pieces(chunks: Chunks | None) -> Generator[bytes, None, None]:
    """The same bytes in pieces of at most ``_PIECE`` bytes; closes ``chunks`` when it is closed."""
    if chunks is None:
        return
    with closing(chunks):
        for chunk in chunks:
            if len(chunk) <= _PIECE:
                yield chunk
                continue
            view = memoryview(chunk)
            for start in range(0, len(view), _PIECE):
                yield bytes(view[start : start + _PIECE])


def _validators(stat: Stat) -> list[tuple[str, str]]:
    return [
        ("etag", f'"{stat.etag}"'),
        ("last-modified", http_date(stat.last_modified)),
        ("cache-control", _header(stat.cache_control) or "private, no-store"),
    ]


def _headers(stat: Stat, grant: Grant, length: int) -> list[tuple[str, str]]:
    headers = [
        ("content-type", _header(grant.content_type) or _header(stat.content_type) or DEFAULT_CONTENT_TYPE),
        ("content-length", str(length)),
        ("accept-ranges", "bytes"),
        *_validators(stat),
        ("content-security-policy", _POLICY),
        ("referrer-policy", "no-referrer"),
    ]
    disposition, encoding = _header(grant.content_disposition), _header(stat.content_encoding)
    if disposition is not None:
        headers.append(("content-disposition", disposition))
    if encoding is not None:
        headers.append(("content-encoding", encoding))
    return headers


def _header(value: str | None) -> str | None:
    """``value``, or ``None`` where no header can have it: other programs may have written the blob's."""
    return value if value is not None and _PRINTABLE(value) else None
