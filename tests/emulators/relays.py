"""What stands between a client and a server: a forward proxy as companies have them (also as a program), and an end of TLS."""

from __future__ import annotations

import select
import socket
import ssl
import sys
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from typing_extensions import Self

__all__ = ["ForwardProxy", "TLSEnd"]

_PIECE = 64 * 1024


class _Relay:
    """Listens on 127.0.0.1, a thread for each connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._guarded, args=(client,), daemon=True).start()

    def _guarded(self, client: socket.socket) -> None:
        with client, suppress(OSError, ValueError):
            self.serve(client)

    def serve(self, client: socket.socket) -> None:
        raise NotImplementedError


def _both_ways(client: socket.socket, server: socket.socket, *, once: bool = False) -> None:
    """Passes bytes on until the server has no more; ``once``: and says that no further request is taken."""

    # In one thread: an end of TLS is not for two at once, one of which reads while the other writes.
    sources = [client, server]
    while True:
        for source in _readable(sources):
            piece = source.recv(_PIECE)
            if source is server:
                if not piece:
                    return
                if once:
                    line, end, rest = piece.partition(b"\r\n")
                    piece, once = (line + b"\r\nConnection: close" + end + rest), False
                client.sendall(piece)
                continue
            try:
                if not piece:
                    raise OSError
                server.sendall(piece)
            except (
                OSError
            ):  # the client has no more, or the server takes no more: what it answers is passed on all the same
                sources = [server]
                with suppress(OSError):
                    server.shutdown(socket.SHUT_WR)


def _readable(sources: list[socket.socket]) -> list[socket.socket]:
    """Waits until one of them has something. What TLS has decrypted already, nothing shows from outside."""
    held: list[socket.socket] = [each for each in sources if isinstance(each, ssl.SSLSocket) and each.pending()]
    return held or select.select(sources, [], [])[0]


class ForwardProxy(_Relay):
    """A proxy for plain HTTP: one request a connection, passed on to the host that it names.

    Attributes:
        url: for ``HTTP_PROXY``.
        targets: what was asked for, as ``METHOD URL``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.url: str = f"http://127.0.0.1:{self.port}"
        self.targets: list[str] = []

    def serve(self, client: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = client.recv(_PIECE)
            if not piece:
                return
            data += piece
        line, _, rest = data.partition(b"\r\n")
        method, target, _ = line.decode().split(" ")
        self.targets.append(f"{method} {target}")
        parts = urlsplit(target)
        path = f"{parts.path}{'?' if parts.query else ''}{parts.query}"
        with socket.create_connection((parts.hostname or "", parts.port or 80)) as server:
            server.sendall(f"{method} {path} HTTP/1.1\r\nConnection: close\r\n".encode() + rest)
            _both_ways(client, server, once=True)


class TLSEnd(_Relay):
    """Takes TLS and passes on what is in it.

    Args:
        port: where to, on 127.0.0.1.
        context: of a server.
    """

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._to, self._context = port, context
        super().__init__()

    def serve(self, client: socket.socket) -> None:
        with (
            self._context.wrap_socket(client, server_side=True) as secure,
            socket.create_connection(("127.0.0.1", self._to)) as server,
        ):
            _both_ways(secure, server)


def main() -> None:
    """Serves as a proxy; prints its URL, and ends with standard input."""
    with ForwardProxy() as proxy:
        print(proxy.url, flush=True)  # noqa: T201 (what the program is for)
        sys.stdin.read()


if __name__ == "__main__":
    main()
