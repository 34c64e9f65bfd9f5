"""Answers the PUT of a blob, after its URL was verified."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from storage._backend import Backend, PutOptions, Stat, Writer
from storage._content_types import guess_content_type
from storage._metadata import check_header
from storage._url_signing import Grant, RefusedError
from storage.server._http import Request
from storage.server._threads import finish_in_thread, in_thread


async def upload(backend: Backend, grant: Grant, request: Request, max_bytes: int, stall_seconds: float) -> Stat:
    """Stores the body of the request: all of it or nothing.

    Raises:
        RefusedError: the body is not what was announced, or the headers cannot be; nothing was stored.
        StalledError: the client has gone away; nothing was stored.
    """
    options = _options(grant, request)
    wanted = _md5(request)
    size = _length(request)
    if size is not None and size > max_bytes:
        raise RefusedError(413, f"the body has {size} bytes, at most {max_bytes} are taken")

    async def pieces() -> AsyncIterator[bytes]:
        more = True
        while more:
            data, more = await request.read(stall_seconds)
            yield data

    return await Body(backend, grant.path, options, size, max_bytes, wanted).store(pieces())


class Body:
    """A body as it comes: a small one is kept for one ``put``, any other goes to a writer in pieces."""

    def __init__(
        self, backend: Backend, path: str, options: PutOptions, size: int | None, max_bytes: int, md5: bytes | None
    ) -> None:
        self._backend, self._path, self._options = backend, path, options
        self._size, self._max_bytes = size, max_bytes
        self._wanted = md5
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._writer: Writer | None = None
        self._count = 0
        self._pending = bytearray()

    async def store(self, pieces: AsyncIterator[bytes]) -> Stat:
        """Stores all of ``pieces``; on any exception, also of theirs, nothing."""
        try:
            async for data in pieces:
                self._take(data)
                if len(self._pending) >= self._backend.chunk_size:
                    await in_thread(self._flush)
            return await in_thread(self._finish)
        except BaseException:
            await finish_in_thread(self._abort)
            raise

    def _take(self, data: bytes) -> None:
        """The next bytes; refuses them where they are too many."""
        self._count += len(data)
        if self._count > self._max_bytes:
            raise RefusedError(413, f"the body has more than {self._max_bytes} bytes, which is all that is taken")
        if self._size is not None and self._count > self._size:
            raise RefusedError(400, f"the body has more bytes than its Content-Length, {self._size}")
        self._pending += data

    def _flush(self) -> None:
        """Writes what is pending. Blocks."""
        if self._writer is None:
            self._writer = self._backend.writer(self._path, self._options, self._size)
        data, self._pending = self._pending, bytearray()
        self._hash(data)
        self._writer.write(memoryview(data))

    def _finish(self) -> Stat:
        """Publishes all of it, if it is what was announced. Blocks."""
        if self._size is not None and self._count != self._size:
            raise RefusedError(400, f"the body ended after {self._count} of {self._size} bytes; nothing was stored")
        self._hash(self._pending)
        if self._wanted is not None and self._md5.digest() != self._wanted:
            raise RefusedError(400, "the body does not match its Content-MD5; nothing was stored, send it again")
        if self._writer is None:
            return self._backend.put(self._path, bytes(self._pending), self._options)
        self._writer.write(memoryview(self._pending))
        stat = self._writer.commit()
        self._writer = None
        return stat

    def _hash(self, data: bytearray) -> None:
        if self._wanted is not None:
            self._md5.update(data)

    def _abort(self) -> None:
        """Discards all of it, unless it was published. Blocks."""
        if self._writer is not None:
            self._writer.abort()


def _options(grant: Grant, request: Request) -> PutOptions:
    """The options to store with: from the request's headers, as at S3. Those that are bound have been checked."""
    content_type = _checked(request, "content-type") or guess_content_type(grant.path)
    overwrite, if_match = grant.overwrite, request.one("if-match")
    condition = request.one("if-none-match")
    if condition is not None:
        if condition != "*":
            raise RefusedError(400, "an upload takes no If-None-Match but '*'")
        overwrite = False
    if if_match is not None:
        if not overwrite:
            raise RefusedError(400, "If-Match and If-None-Match: * exclude each other; send one of them")
        if len(if_match) < 2 or if_match[0] != '"' or if_match[-1] != '"':
            raise RefusedError(400, "If-Match must be one etag in double quotes")
        if_match = if_match[1:-1]
    encoding = _checked(request, "content-encoding")
    return PutOptions(content_type, _checked(request, "cache-control"), encoding, {}, overwrite, if_match)


def _checked(request: Request, name: str) -> str | None:
    value = request.one(name)
    if not value:
        return None
    try:
        return check_header(name, value)
    except ValueError as exc:
        raise RefusedError(400, f"the header {exc}") from None


def _md5(request: Request) -> bytes | None:
    text = request.one("content-md5")
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise RefusedError(400, "Content-MD5 must be 16 bytes in base64")
    return digest


def _length(request: Request) -> int | None:
    """The length of the body in bytes; ``None``: it comes in chunks, and its length is not known."""
    if "transfer-encoding" in request.headers:
        return None
    text: Any = request.one("content-length")
    if text is None:
        raise RefusedError(411, "an upload needs Content-Length, or Transfer-Encoding: chunked")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise RefusedError(413 if text.isascii() and text.isdigit() else 400, "this Content-Length cannot be")
    return int(text)
