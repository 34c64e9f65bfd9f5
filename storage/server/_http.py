"""``Request`` and ``Response``: an HTTP request as ASGI hands it over, and the answer to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import anyio

from storage._url_signing import RefusedError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# A refused client may still send so much before its connection is closed: one that sends does not read the answer.
_DRAIN_BYTES = 16 * 1024 * 1024
_DRAIN_SECONDS = 5.0
_UNCLEAR = "it is not clear where this body ends; send Content-Length, or, over HTTP/1.1, Transfer-Encoding: chunked"


class StalledError(Exception):
    """The client took too long, or has gone away."""


class Request:
    """One request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._ended = False
        self._stalled = False
        self.method: str = scope["method"]
        self.version: str = scope.get("http_version", "1.1")
        self.path = _path(scope)
        self.logged_path = _logged_path(scope)
        self.query = scope.get("query_string", b"").decode("latin-1")  # without the question mark
        self.client = scope["client"][0] if scope.get("client") else "-"
        self.head_bytes = len(scope.get("raw_path") or b"") + len(self.query)  # of target and headers
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self.head_bytes += len(name) + len(value)
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip(" \t"))
        self.headers: Mapping[str, Sequence[str]] = headers  # names in lower case, each with all of its values

    def check_length(self) -> None:
        """Refuses a body whose end a proxy may see elsewhere, and so take a part of it for a request (RFC 9112, 6.1)."""
        coding = self.headers.get("transfer-encoding")
        if coding is not None and (
            [value.lower() for value in coding] != ["chunked"]
            or "content-length" in self.headers
            or self.version == "1.0"
        ):
            raise RefusedError(400, _UNCLEAR, [("connection", "close")])

    def header(self, name: str) -> str | None:
        """The value of a header; several are joined, as HTTP has it."""
        values = self.headers.get(name)
        return None if values is None else ", ".join(values)

    def one(self, name: str) -> str | None:
        """The value of a header that may be given once; refuses a request that gives it more often."""
        values = self.headers.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise RefusedError(400, f"the header {name} is given {len(values)} times; send it once")
        return values[0]

    async def read(self, seconds: float) -> tuple[bytes, bool]:
        """The next piece of the body, and whether there is more.

        Raises:
            RefusedError: 408: nothing came for ``seconds``.
            StalledError: the client has gone away.
        """
        message: Message | None = None
        with anyio.move_on_after(seconds):
            message = await self._receive()
        if message is None:
            self._stalled = True
            raise RefusedError(408, f"nothing of the body came for {seconds:g} seconds; send it again")
        if message["type"] == "http.disconnect":
            self._ended = True
            raise StalledError
        self._ended = not message.get("more_body", False)
        return message.get("body", b""), not self._ended

    async def gone(self) -> None:
        """Returns once the client has gone away."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def drain(self) -> bool:
        """Reads what is left of the body, within ``_DRAIN_BYTES`` and ``_DRAIN_SECONDS``. Returns whether all of it has come."""
        announced = self.header("content-length")
        if self._ended or ("transfer-encoding" not in self.headers and announced in (None, "0")):
            return True
        if self._stalled:
            return False
        is_long = announced is not None and (not announced.isdigit() or len(announced) > len(str(_DRAIN_BYTES)))
        if is_long or self.header("expect") is not None:
            # The client sends the body only after an interim answer, or the body is too long anyway.
            return False
        count = 0
        with anyio.move_on_after(_DRAIN_SECONDS):
            while count < _DRAIN_BYTES:
                try:
                    data, more = await self.read(_DRAIN_SECONDS)
                except (RefusedError, StalledError):
                    return False
                if not more:
                    return True
                count += len(data)
        return False


class Response:
    """The answer to one request. Its attributes are for the log."""

    def __init__(self, send: Send, method: str, common: Sequence[tuple[str, str]] = ()) -> None:
        self._send = send
        self._bodiless = method == "HEAD"
        self.common = list(common)
        self.status = 0  # the answer has not begun
        self.sent = 0  # bytes of the body
        self.complete = False  # whether all of it was handed to the server

    async def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Sends the status, these headers, and those that every answer has."""
        self.status = status
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in [*headers, *self.common]]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def body(self, data: bytes | memoryview, *, more: bool, seconds: float | None = None) -> None:
        """Sends a piece of the body; ``StalledError``: the client did not read for ``seconds``."""
        if self._bodiless:
            data = b""
        done = False
        with anyio.move_on_after(seconds):
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
            done = True
        if not done:
            raise StalledError
        self.sent += len(data)
        self.complete = not more

    async def whole(self, status: int, headers: Sequence[tuple[str, str]] = (), text: str = "") -> None:
        """Sends an answer of one line of text, or without a body."""
        data = f"{text}\n".encode() if text else b""
        kind = [("content-type", "text/plain; charset=utf-8")] if text else []
        length = [] if status in (204, 304) else [("content-length", str(len(data)))]
        await self.start(status, [*kind, *length, *headers])
        await self.body(data, more=False)


def _logged_path(scope: Scope) -> str:
    """The path for the log: printable, without the query or any signature."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    raw = raw.partition(b"?")[0]
    # A client may have encoded the question mark, also more than once: then the path holds what the query should.
    before, plain = None, raw
    while before != plain:
        before, plain = plain, unquote_to_bytes(plain)
    at = plain.lower().find(b"signature")
    return ascii((raw if at < 0 else plain[:at] + b"signature...").decode("latin-1"))[1:-1]


def _path(scope: Scope) -> str | None:
    """The decoded path below the mount, without the first slash; ``None``: it is not UTF-8, though servers decode it loosely."""
    path: str = scope["path"]
    raw = scope.get("raw_path")
    if raw is not None:
        data = unquote_to_bytes(raw.partition(b"?")[0])
        # An outer application may have cut `path` and left `raw_path` as it was.
        if data.decode(errors="replace") == path:
            try:
                path = data.decode()
            except UnicodeDecodeError:
                return None
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root + "/"):
        path = path[len(root) :]
    return path.removeprefix("/")
