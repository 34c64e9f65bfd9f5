"""The bars: how fast a large file is served, and in how much memory."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from storage import Storage

SIZE = 256 * 1024 * 1024


@contextlib.contextmanager
def started(*command):
    """A program that prints one line when it is ready."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as process:
        try:
            yield process, process.stdout.readline()
        finally:
            process.terminate()


def fetch(url):
    """Downloads, keeps nothing; seconds."""
    parts = urlsplit(url)
    buffer = bytearray(1024 * 1024)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        began = time.perf_counter()
        connection.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        count = 0
        while received := connection.recv_into(buffer):
            count += received
        assert count > SIZE
        return time.perf_counter() - began


def peak_mebibytes(process):
    """The most memory that a process has had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_large_file(tmp_path):
    """256 MiB: at least half as fast as ``python -m http.server`` on the same file; memory does not grow with the file."""
    url = f"file://{tmp_path}/s"
    with started("-m", "storage.cli", "serve", "--url", url, "--port", "0") as (process, line):
        store = Storage(f"{url}?fsync=false&serve_url={line.strip()}")
        store.set("small", b"x" * 2_000_000)
        with pytest.raises(AssertionError):
            fetch(store.get_signed_url("small"))
        before = peak_mebibytes(process)
        store.set("large", (os.urandom(1024 * 1024) for _ in range(256)))
        with started("-m", "http.server", "0", "--bind", "127.0.0.1", "-d", f"{tmp_path}/s/data") as (_, said):
            theirs = f"http://127.0.0.1:{said.split('port ')[1].split()[0]}/large"
            times = [(fetch(store.get_signed_url("large")), fetch(theirs)) for _ in range(7)]
        ours, others = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{SIZE / ours / 1e6:.0f} MB/s, http.server {SIZE / others / 1e6:.0f} MB/s")  # noqa: T201 (what the bar is about; pytest -s shows it)
        assert ours <= 2 * others
        assert peak_mebibytes(process) - before < 16
        threads = [threading.Thread(target=fetch, args=(store.get_signed_url("large"),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert peak_mebibytes(process) - before < 64
