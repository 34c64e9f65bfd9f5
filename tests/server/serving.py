"""Helpers: an application on a socket of its own, and HTTP as raw as it has to be."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from urllib.parse import urlsplit

from storage.server._uvicorn import listen, make_server


@contextlib.contextmanager
def serving(app):
    """Serves ``app`` on 127.0.0.1 with our own server; yields the base URL."""
    listener = listen("127.0.0.1", 0)
    server = make_server(app)

    def run():
        loop = asyncio.new_event_loop()
        loop.run_until_complete(server.serve([listener]))
        loop.close()

    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield url
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


def moved(url, base):
    """A signed URL with another base."""
    parts = urlsplit(url)
    return f"{base}{parts.path}?{parts.query}"


def connect(url):
    """A socket to the server of a URL."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def head(method, url, *lines):
    """The bytes of a request up to its body."""
    parts = urlsplit(url)
    return "\r\n".join(
        [f"{method} {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", *lines, "", ""]
    ).encode()


def read_all(connection):
    """All that comes until the other side closes; a reset counts as that."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    return received


def status_of(answer):
    """The status in the bytes of an answer; 0: there was none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0
