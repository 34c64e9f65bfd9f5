"""Parses an answer's head, strictly; and bodies in chunks, with llhttp."""

from __future__ import annotations

import re
from functools import partial
from typing import Final, cast

from httptools import HttpParserError, HttpResponseParser

from storage.backends._http._errors import ProtocolError

MAX_HEAD: Final = 64 * 1024  # bytes: of an answer's head, and of what a chunked body holds between two pieces of data
_MAX_HEADERS: Final = 256
_MAX_LENGTH: Final = 18  # digits
_BEGINNINGS: Final = (b"HTTP/1.1 ", b"HTTP/1.0 ")
# A head as RFC 9112 has it: no space before a colon, no line that goes on with the one before, no control character but the tab.
# No part of it can match in two ways, so that a bad head takes no longer than a good one.
_HEAD: Final = re.compile(
    r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?"
    r"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*)*"
)
# Twice with one value is one too many: which one counts would be a guess.
_SINGLE: Final = frozenset(
    {
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
        "location",
        "transfer-encoding",
    }
)
_SWITCHING: Final = 101
_BLANKS: Final = " \t"

# How the length of a body is known, where it is not a number.
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2


class Parser:
    """Parses the answers of one connection, one after another.

    Attributes:
        status: of the last head.
        headers: of the last head: lower-case names; values that came more than once, joined by ``", "``.
        length: how many bytes of body follow, or ``CHUNKED``, or ``UNTIL_CLOSE``.
        keep_alive: whether the server will take another request on this connection.
        complete: whether a chunked body has ended.
        extra: whether more followed its end.
    """

    __slots__ = (
        "_llhttp",
        "_log",
        "_silent",
        "complete",
        "extra",
        "headers",
        "keep_alive",
        "length",
        "on_body",
        "on_message_begin",
        "on_message_complete",
        "status",
    )

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.status = 0
        self.length = 0
        self.keep_alive = False
        self.complete = self.extra = False
        self._silent = 0
        self._llhttp: HttpResponseParser
        self._log: list[bytes | None] = []  # pieces of a body; None: a message has begun or ended

    def head(self, data: bytes, method: str) -> None:
        """Parses a whole head, without the empty line at its end.

        Raises:
            ProtocolError: it is none, or does not say clearly where its body ends.
        """
        self.status = 0
        text = data.decode("latin-1")
        match = _HEAD.fullmatch(text)
        if match is None:
            if not data.startswith(_BEGINNINGS):
                raise ProtocolError(f"the answer begins with {data[:9]!r}, which is not HTTP/1.1")
            raise ProtocolError("the head of the answer is not well-formed HTTP/1.1")
        version, number = match.groups()
        self.status = status = int(number)
        if status == _SWITCHING:
            raise ProtocolError("the answer changes the protocol, which was not asked for")
        headers = self.headers = _split(text)
        length, connection = headers.get("content-length"), headers.get("connection")
        is_chunked = "transfer-encoding" in headers
        if is_chunked:
            _check_chunked(version, headers)
        elif length is not None and not (length.isdecimal() and len(length) <= _MAX_LENGTH):
            raise ProtocolError(f"the answer has a Content-Length {length[:40]!r}, which is no length")
        if version == "1":
            self.keep_alive = connection is None or "close" not in connection.lower()
        else:
            self.keep_alive = connection is not None and connection.lower() == "keep-alive"
        if method == "HEAD" or status < 200 or status in {204, 304}:
            self.length = 0
        elif is_chunked:
            self.length = CHUNKED
            self._begin_chunks(data)
        elif length is not None:
            self.length = int(length)
        else:
            self.length, self.keep_alive = UNTIL_CLOSE, False

    # ---- bodies in chunks --------------------------------------------------------------------------------------

    def _begin_chunks(self, head: bytes) -> None:
        self.complete = self.extra = False
        self._silent = 0
        log = self._log
        # What llhttp calls only notes that it was called, and is written in C: an interrupt that came in a function in Python
        # would be swallowed, or be replaced by whatever exception the caller is handling.
        self.on_message_begin = self.on_message_complete = partial(log.append, None)
        self.on_body = log.append
        self._llhttp = HttpResponseParser(self)
        self._feed(head + b"\r\n\r\n")

    def chunked(self, data: bytes) -> list[bytes]:
        """The pieces of the body in ``data``, the next bytes of a chunked one; ``complete`` says whether that was all.

        Raises:
            ProtocolError: they are not well formed.
        """
        try:
            self._feed(data)
        except ProtocolError:
            if None not in self._log:
                raise
            self.extra = True  # rubbish behind the end
        log = self._log
        if None in log:
            self.complete = True
            end = log.index(None)
            self.extra = self.extra or len(log) > end + 1
            del log[end:]
        pieces = cast("list[bytes]", log[:])
        # Sizes and trailers without end would be collected without end.
        self._silent = 0 if pieces else self._silent + len(data)
        if self._silent > MAX_HEAD:
            raise ProtocolError(f"the answer has more than {MAX_HEAD} bytes between two chunks")
        return pieces

    def _feed(self, data: bytes) -> None:
        self._log.clear()
        try:
            self._llhttp.feed_data(data)
        except HttpParserError as exc:
            raise ProtocolError(f"the answer is not well-formed HTTP/1.1: {exc}") from None


def _check_chunked(version: str, headers: dict[str, str]) -> None:
    encoding = headers["transfer-encoding"]
    if version == "0":
        raise ProtocolError("the answer is HTTP/1.0 with a Transfer-Encoding")
    if encoding.lower() != "chunked":
        raise ProtocolError(f"the answer has a Transfer-Encoding {encoding[:40]!r}, which was not asked for")
    if "content-length" in headers:
        raise ProtocolError("the answer has a Content-Length beside its Transfer-Encoding")


def _split(head: str) -> dict[str, str]:
    """The headers of a well-formed head."""
    lines = head.split("\r\n")
    if len(lines) > _MAX_HEADERS + 1:
        raise ProtocolError(f"the answer has more than {_MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        key = name.lower()
        if key in headers:
            if key in _SINGLE:
                raise ProtocolError(f"the answer has two headers {key!r}")
            headers[key] = f"{headers[key]}, {value.strip(_BLANKS)}"
        else:
            headers[key] = value.strip(_BLANKS)
    return headers
