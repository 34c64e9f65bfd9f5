"""In how much memory a large file is served."""

from __future__ import annotations

import os
import threading
import urllib.request
from pathlib import Path

import pytest

from storage import Storage
from tests.server.serving import serve

SIZE = 256 * 1024 * 1024


def fetch(url):
    """Downloads, keeps nothing; how many bytes came."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return sum(iter(lambda: len(answer.read(1024 * 1024)), 0))


def peak_mebibytes(process):
    """The most memory that a process has had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_large_file(tmp_path):
    """The server's memory does not grow with the file, nor much with eight clients at once."""
    url = f"file://{tmp_path}/s"
    with serve("--url", url) as (process, (address,)):
        store = Storage(f"{url}?fsync=false&serve_url={address}")
        store.set("small", b"x" * 2_000_000)
        assert fetch(store.get_signed_url("small")) == 2_000_000
        before = peak_mebibytes(process)
        store.set("large", (os.urandom(1024 * 1024) for _ in range(256)))
        assert fetch(store.get_signed_url("large")) == SIZE
        assert peak_mebibytes(process) - before < 16
        threads = [threading.Thread(target=fetch, args=(store.get_signed_url("large"),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert peak_mebibytes(process) - before < 64
