"""Parses an answer's head, and bodies in chunks: llhttp, with the checks that it leaves out."""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from storage.backends._http._errors import ProtocolError

__all__ = ["CHUNKED", "MAX_HEAD", "UNTIL_CLOSE", "Parser"]

MAX_HEAD: Final = 64 * 1024  # bytes: of an answer's head, and of what a chunked body holds between two pieces of data
_MAX_HEADERS: Final = 256
_BEGINNINGS: Final = (b"HTTP/1.1 ", b"HTTP/1.0 ")
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

_ONE: Final = ord("1")
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

    __slots__ = ("_llhttp", "_pieces", "_silent", "complete", "extra", "headers", "keep_alive", "length", "status")

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.status = 0
        self.length = 0
        self.keep_alive = False
        self.complete = self.extra = False
        self._pieces: list[bytes] = []
        self._silent = 0
        self._llhttp = HttpResponseParser(self)

    # ---- what llhttp calls: not for each header, which takes longer than to split a head that it has found well formed

    def on_message_begin(self) -> None:
        self.extra = self.complete

    def on_headers_complete(self) -> None:
        self.status = self._llhttp.get_status_code()

    def on_body(self, data: bytes) -> None:
        if not self.extra:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        self.complete = True

    # ---- what the connection calls -----------------------------------------------------------------------------

    def head(self, data: bytes, method: str) -> None:
        """Parses a whole head: ``data`` ends with its first empty line.

        Raises:
            ProtocolError: it is none, or does not say clearly where its body ends.
        """
        self.status = self._silent = 0
        self.complete = self.extra = False
        self._pieces = []
        if data[:9] not in _BEGINNINGS:
            raise ProtocolError(f"the answer begins with {data[:9]!r}, which is not HTTP/1.1")
        # As new: after a HEAD, or a body that it was not given, llhttp waits for bytes that do not come.
        self._llhttp.__init__(self)  # type: ignore[misc]
        self._feed(data)
        status = self.status
        if not status or self._pieces:
            raise ProtocolError("the head of the answer ends in a way that is not HTTP/1.1")
        headers = self.headers = _split(data)
        encoding = headers.get("transfer-encoding")
        connection = headers.get("connection")
        if data[7] == _ONE:
            self.keep_alive = connection is None or "close" not in connection.lower()
        else:
            self.keep_alive = connection is not None and connection.lower() == "keep-alive"
            if encoding is not None:
                raise ProtocolError("the answer is HTTP/1.0 with a Transfer-Encoding")
        if encoding is not None and encoding.lower() != "chunked":
            raise ProtocolError(f"the answer has a Transfer-Encoding {encoding[:40]!r}, which was not asked for")
        if method == "HEAD" or status < 200 or status in {204, 304}:
            self.length = 0
        elif encoding is not None:
            self.length = CHUNKED
        else:
            length = headers.get("content-length")
            if length is None:
                self.length, self.keep_alive = UNTIL_CLOSE, False
            else:
                self.length = int(length)

    def chunked(self, data: bytes) -> list[bytes]:
        """The pieces of the body in ``data``, the next bytes of a chunked one; ``complete`` says whether that was all.

        Raises:
            ProtocolError: they are not well formed.
        """
        self._pieces = pieces = list[bytes]()
        try:
            self._feed(data)
        except ProtocolError:
            if not self.complete:
                raise
            self.extra = True  # rubbish behind the end
        # Sizes and trailers without end would be collected without end.
        self._silent = 0 if pieces else self._silent + len(data)
        if self._silent > MAX_HEAD:
            raise ProtocolError(f"the answer has more than {MAX_HEAD} bytes between two chunks")
        return pieces

    def _feed(self, data: bytes) -> None:
        try:
            self._llhttp.feed_data(data)
        except HttpParserUpgrade:
            raise ProtocolError("the answer changes the protocol, which was not asked for") from None
        except HttpParserError as exc:
            raise ProtocolError(f"the answer is not well-formed HTTP/1.1: {exc}") from None


def _split(head: bytes) -> dict[str, str]:
    """The headers of a head that llhttp has found well formed: no line is folded or ends with one character."""
    lines = head.decode("latin-1").split("\r\n")
    if len(lines) > _MAX_HEADERS + 3:
        raise ProtocolError(f"the answer has more than {_MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        key = name.lower()
        if key in headers:
            if key in _SINGLE:
                raise ProtocolError(f"the answer has two headers {key!r}")
            headers[key] = f"{headers[key]}, {value.strip(_BLANKS)}"
        else:
            headers[key] = value.strip(_BLANKS)
    return headers
