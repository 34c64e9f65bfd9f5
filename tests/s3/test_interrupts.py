"""Ctrl-C while a server says nothing: every kind of call ends soon, and sends nothing more."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

PROGRAM = """
import os, sys, tempfile
from storage import Storage

store = Storage({url!r}, {auth!r}, timeout=60)
large = os.path.join(tempfile.mkdtemp(), "large")
with open(large, "wb") as file:
    file.truncate(40 * 1024 * 1024)

def write():
    with store.open("k", "wb") as file:
        for _ in range(40):
            file.write(bytes(1024 * 1024))

print("begun", flush=True)
try:
    {call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
CALLS = {
    "set": "store.set('k', b'1')",
    "get": "store.get('k')",
    "set_file": "store.set_file('k', large)",
    "open wb": "write()",
    "get_file": "store.get_file('large', large + '.new')",
    "get_file to a file object": "store.get_file('large', open(os.devnull, 'wb'))",
    "set_many": "store.set_many({f'k{n}': b'1' for n in range(50)}, concurrency=4)",
    "get_many": "dict(store.get_many([f'k{n}' for n in range(50)], concurrency=4))",
    "delete_many": "store.delete_many([f'k{n}' for n in range(5000)], concurrency=4)",
}


class Stalling:
    """A server that begins uploads and the first answer of a large blob, and says nothing else."""

    def __init__(self):
        self.requests = []
        self.silent = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with suppress(OSError), connection, connection.makefile("rb") as file:
            while line := file.readline():
                method, target, _ = line.decode().split(" ", 2)
                headers = {}
                while (header := file.readline()) not in (b"\r\n", b""):
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                self.requests.append(f"{method} {target}")
                if method == "POST" and target.endswith("?uploads="):
                    body = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nx-amz-request-id: r\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                    )
                    continue
                if method == "DELETE":
                    connection.sendall(b"HTTP/1.1 204 No Content\r\nx-amz-request-id: r\r\n\r\n")
                    continue
                if "large" in target and "range" not in headers:
                    connection.sendall(
                        b'HTTP/1.1 200 OK\r\nx-amz-request-id: r\r\nETag: "e-9"\r\nContent-Length: 41943040\r\n'
                        b"Last-Modified: Thu, 26 Nov 2026 12:00:00 GMT\r\nContent-Type: a/b\r\n\r\n" + bytes(1000)
                    )
                self.silent.set()
                while connection.recv(65536):
                    pass
                return

    def close(self):
        self._listener.close()


@pytest.fixture
def server():
    stalling = Stalling()
    yield stalling
    stalling.close()


def interrupt(server, url, auth, name):
    """Has a process make the call, and interrupts it while the server says nothing."""
    program = PROGRAM.format(url=url, auth=auth, call=CALLS[name])
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert server.silent.wait(60)
            before = len(server.requests)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=45)
        finally:
            process.kill()
    assert time.monotonic() - began < 30, err
    assert out == "begun\ninterrupted\n", err
    late = [request for request in server.requests[before:] if not request.startswith("DELETE")]
    # What had been handed to a thread before the signal came may still have gone out.
    assert len(late) <= 10, late


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_ends_it(server, name):
    """At once, whatever ``timeout`` and ``retries`` would allow; only an upload that was begun is still called off."""
    url = f"s3://bucket?endpoint_url=http://127.0.0.1:{server.port}&region=us-east-1&types=data:"
    interrupt(server, url, {"access_key_id": "a", "secret_access_key": "b"}, name)
