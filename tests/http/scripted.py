"""A server that does on each connection what a test says, and answers that come in pieces of chosen sizes."""

from __future__ import annotations

import http.client
import io
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from typing_extensions import Self

from storage.backends import _http
from storage.backends._http import Pool, _connection, _dial

__all__ = ["Peer", "Server", "by_http_client", "coming", "ok", "pool_of"]


def ok(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A well-formed answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._file = sock.makefile("rb")

    def head(self) -> bytes:
        """The head of the next request; ``b""``: the client has closed the connection."""
        lines = b""
        while line := self._file.readline():
            lines += line
            if line == b"\r\n":
                return lines
        return b""

    def request(self) -> tuple[bytes, bytes]:
        """Head and body of the next request."""
        head = self.head()
        lengths = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        return head, self._file.read(int(lengths[0])) if lengths else b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait_for_the_end(self) -> None:
        """Returns when the client has closed its end."""
        with suppress(OSError):
            while self.sock.recv(65536):
                pass

    def reset(self) -> None:
        """Closes with a reset, as a crashed server does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._file.close()
        self.sock.close()


class Server:
    """Runs the n-th script for the n-th connection, the last one for all that follow.

    A script gets a :class:`Peer`; its connection is closed when it returns. What it raises, but for broken connections, is raised
    when the server ends.

    Attributes:
        port: on 127.0.0.1.
        accepted: how many connections there were.
        requests: head and body of each request that was answered by :meth:`answering`.
    """

    def __init__(self, *scripts: Callable[[Peer], Any], tls: ssl.SSLContext | None = None) -> None:
        self._scripts, self._tls = scripts, tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self.requests: list[tuple[bytes, bytes]] = []
        self._raised: list[BaseException] = []
        self._peers: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for sock in self._peers:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        if self._raised:
            raise self._raised[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.accepted, len(self._scripts) - 1)]
            self.accepted += 1
            self._peers.append(sock)
            thread = threading.Thread(target=self._run, args=(sock, script))
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket, script: Callable[[Peer], Any]) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            peer = Peer(sock)
            try:
                script(peer)
            finally:
                peer.close()
        except OSError:
            sock.close()  # the client went away, as some tests want it to
        except BaseException as exc:
            sock.close()
            self._raised.append(exc)

    def answering(self, *answers: bytes) -> Callable[[Peer], None]:
        """A script that gives one answer a request, and closes the connection after the last."""

        def script(peer: Peer) -> None:
            for answer in answers:
                head, body = peer.request()
                if not head:
                    return
                self.requests.append((head, body))
                peer.send(answer)

        return script


@contextmanager
def pool_of(port: int, **options: Any) -> Iterator[Pool]:
    """A pool for a server on 127.0.0.1."""
    defaults: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 5}
    pool = Pool("https" if options.get("tls") else "http", options.pop("host", "127.0.0.1"), port, **defaults | options)
    try:
        yield pool
    finally:
        pool.close()


class _Pieces(socket.socket):
    """A socket whose ``recv`` gives at most the next of ``sizes`` bytes."""

    sizes: Iterator[int] = itertools.repeat(1 << 20)

    def recv(self, size: int, flags: int = 0) -> bytes:
        return super().recv(min(size, next(self.sizes)), flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return super().recv_into(buffer, min(nbytes, next(self.sizes)), flags)


@contextmanager
def coming(monkeypatch: Any, data: bytes, sizes: Iterable[int] = (), *, closes: bool = True) -> Iterator[Pool]:
    """A pool whose only connection gives ``data`` for an answer, in pieces of at most ``sizes`` bytes, the last size repeated."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.sendall(data)
    if closes:
        theirs.shutdown(socket.SHUT_WR)
    sock = _Pieces(fileno=ours.detach())
    chosen = list(sizes) or [1 << 20]
    sock.sizes = itertools.chain(chosen, itertools.repeat(chosen[-1]))
    dialled = iter([sock])

    def dial(server: _dial.Server) -> socket.socket:
        try:
            sock = next(dialled)
        except StopIteration:
            raise _http.ConnectError("there is one connection only") from None
        _dial.let_wait(sock, server.read_timeout)
        return sock

    monkeypatch.setattr(_connection, "dial", dial)
    pool = Pool("http", "scripted", 80, connect_timeout=1, read_timeout=0.2)
    try:
        yield pool
    finally:
        pool.close()
        sock.close()
        theirs.close()


class _Given:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def by_http_client(data: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer as the standard library reads it; raises what it raises."""
    answer = http.client.HTTPResponse(_Given(data), method=method)  # type: ignore[arg-type]
    try:
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        answer.close()
