"""How fast ``storage serve`` gives a large blob away, beside ``python -m http.server`` on the same file."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from urllib.parse import urlsplit

from benchmarks.measure import Bar, Plan, Row, in_turn
from benchmarks.servers import ROOT
from storage import Storage

MIB = 1024 * 1024
OURS, THEIRS = "storage serve", "http.server"


def run(plan: Plan) -> None:
    size = plan.size(256, 32) * MIB
    row = Row(
        "serve.large",
        f"{size // MIB} MiB by a signed URL of a directory on disk, one client",
        "what the loopback takes: both send the file from the kernel",
        [OURS],
        [Bar(OURS, 2.0, THEIRS, "wall")],
    )
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as room:
        url = f"file://{room}/s"
        with _started("-m", "storage.cli", "serve", "--url", url, "--port", "0") as line:
            store = Storage(f"{url}?fsync=false&serve_url={line.strip()}")
            store.set("large", (os.urandom(MIB) for _ in range(size // MIB)))
            with _started("-m", "http.server", "0", "--bind", "127.0.0.1", "-d", f"{room}/s/data") as said:
                plain = f"http://127.0.0.1:{said.split('port ')[1].split()[0]}/large"
                contestants = [
                    (OURS, lambda _: _fetch(store.get_signed_url("large"), size)),
                    (THEIRS, lambda _: _fetch(plain, size)),
                ]
                in_turn(row, contestants, rounds=plan.rounds(9), calls=1)


@contextlib.contextmanager
def _started(*command: str) -> Iterator[str]:
    """A program that prints one line when it is ready, and the line."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline()
        finally:
            process.terminate()


def _fetch(url: str, size: int) -> None:
    """Downloads, and keeps nothing: no HTTP client stands in the way."""
    parts = urlsplit(url)
    buffer = bytearray(MIB)
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=60) as connection:
        connection.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        count = 0
        while received := connection.recv_into(buffer):
            count += received
    if count <= size:
        raise ValueError(f"{count} bytes came")
