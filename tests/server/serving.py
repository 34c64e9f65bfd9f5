"""Helpers: an application called as it is or on a socket of its own, and HTTP as raw as it has to be."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
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


@contextlib.contextmanager
def serve(*options, lines=1):
    """The command in a process of its own; yields it and the lines it printed."""
    command = [sys.executable, "-X", "dev", "-m", "storage.cli", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, [process.stdout.readline().strip() for _ in range(lines)]
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


async def call(app, method, target, pairs, pieces, root_path="", *, leave=False):
    """One request to an ASGI application; its status and body."""
    path, query = target
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if leave else {"type": "http.request", "body": b"", "more_body": False})
    sent = []

    async def receive():
        if messages:
            return messages.pop(0)
        return await asyncio.Future()  # the client stays

    async def answer(message):
        sent.append(message)

    raw = path.encode("utf-8", "surrogatepass")
    scope = {
        "type": "http", "method": method, "path": root_path + raw.decode("utf-8", "replace"), "raw_path": raw,
        "root_path": root_path,
        "query_string": query.encode("utf-8", "surrogatepass"), "client": ("127.0.0.1", 1), "scheme": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
    }  # fmt: skip
    await app(scope, receive, answer)
    assert sent[0]["type"] == "http.response.start"
    assert sent[-1] == {**sent[-1], "type": "http.response.body", "more_body": False}
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:]), sent[0]["headers"]


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
