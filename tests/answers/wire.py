"""A server in this process whose every answer is scripted, down to the bytes on the wire."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote, urlsplit

from typing_extensions import Self

__all__ = ["Answer", "End", "Request", "ScriptedServer", "Wire"]

BODILESS = (204, 304)


@dataclass(frozen=True)
class Request:
    """What a client sent. ``headers`` have names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """What a service says. ``Content-Length`` is added when it is written."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for given, value in self.headers if given.lower() == name.lower()), None)

    def without(self, *names: str) -> Answer:
        lower = {name.lower() for name in names}
        return replace(self, headers=[pair for pair in self.headers if pair[0].lower() not in lower])

    def having(self, *pairs: tuple[str, str]) -> Answer:
        """With these headers in place of those of the same names."""
        cut = self.without(*(name for name, _ in pairs))
        return replace(cut, headers=[*cut.headers, *pairs])

    def also(self, *pairs: tuple[str, str]) -> Answer:
        """With these headers besides those of the same names."""
        return replace(self, headers=[*self.headers, *pairs])

    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def raw(self, method: str) -> bytes:
        """On the wire, with a true length. The answer to a HEAD tells the length and has no body."""
        known = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in self.headers)
        whole = self if known or self.status in BODILESS else self.also(("Content-Length", str(len(self.body))))
        return whole.head() + (b"" if method == "HEAD" or self.status in BODILESS else self.body)


class End:
    """What becomes of the connection after an answer."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    STALL = "stall"


@dataclass(frozen=True)
class Wire:
    """Bytes to send, and then what."""

    data: bytes
    end: str = End.KEEP


class ScriptedServer:
    """Serves on 127.0.0.1, each connection in a thread: what ``script`` says to a request is sent as it is."""

    def __init__(self) -> None:
        self.script: Callable[[Request], Wire] = lambda request: Wire(b"", End.CLOSE)
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            open_ones = list(self._connections)
        for connection in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            thread = threading.Thread(target=self._serve, args=[connection], daemon=True)
            self._threads = [old for old in self._threads if old.is_alive()] + [thread]
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb", 1 << 16) as file, contextlib.suppress(OSError, ValueError):
                connection.settimeout(60)
                while (request := _read(file, connection)) is not None and self._answer(connection, request):
                    pass
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        wire = self.script(request)
        connection.sendall(wire.data)
        if wire.end == End.STALL:
            # Until the client has had enough: its end of the connection then closes.
            connection.recv(1)
        if wire.end == End.RESET:
            # With no time to linger, closing sends RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if wire.end == End.CLOSE:
            connection.shutdown(socket.SHUT_RDWR)
        return wire.end == End.KEEP


def _read(file: io.IOBase, connection: socket.socket) -> Request | None:
    """The next request; ``None``: the client is done."""
    first = file.readline()
    if not first.strip():
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while line := file.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if "100-continue" in headers.get("expect", ""):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" not in headers.get("transfer-encoding", ""):
        return Request(method, target, headers, file.read(int(headers.get("content-length", 0))))
    pieces = []
    while size := int(file.readline().split(b";")[0], 16):
        pieces.append(file.read(size))
        file.readline()
    while file.readline().strip():
        pass
    return Request(method, target, headers, b"".join(pieces))
