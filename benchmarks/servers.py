"""The servers that the benchmarks run against, in processes of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from storage.testing import _fake_gcs, _seaweedfs
from storage.testing._processes import Launch, free_ports, shared_server
from tests.emulators.s3 import S3Server
from tests.http.certificates import Authority

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def seaweedfs() -> Iterator[S3Server]:
    """A SeaweedFS server of its own."""
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as room, _seaweedfs.running(Path(room)) as facts:
        yield S3Server(facts["endpoint_url"])


@contextlib.contextmanager
def seaweedfs_with_tls() -> Iterator[tuple[S3Server, str, Path]]:
    """A SeaweedFS server of its own, the URL where it speaks TLS, and the certificate of the authority that vouches for it."""
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as name:
        room = Path(name)
        authority = Authority(room)
        certificate, key = authority.files("127.0.0.1")

        def launch(data: Path) -> Launch:
            plain = _seaweedfs.launch(data)
            (port,) = free_ports(1)
            more = [f"-s3.cert.file={certificate}", f"-s3.key.file={key}", f"-s3.port.https={port}"]
            return replace(
                plain, argv=[*plain.argv, *more], facts={**plain.facts, "secure": f"https://127.0.0.1:{port}"}
            )

        with shared_server("seaweedfs", room, launch) as facts:
            yield S3Server(facts["endpoint_url"]), facts["secure"], authority.bundle


@contextlib.contextmanager
def fake_gcs() -> Iterator[tuple[str, str]]:
    """The endpoint and the bucket of fake-gcs-server."""
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as room, _fake_gcs.running(Path(room)) as facts:
        yield facts["url"], _fake_gcs.BUCKET


@contextlib.contextmanager
def sink(size: int) -> Iterator[tuple[str, str]]:
    """The endpoint and a bucket of a server that answers as Cloud Storage does and keeps nothing; a download has ``size`` bytes.

    The emulator takes quadratic time for large uploads.
    """
    with _line(sys.executable, "-m", "tests.gcs.sink", str(size)) as url:
        yield url, "bucket"


@contextlib.contextmanager
def shaped(target: str, *, latency: float = 0.0, bandwidth: float | None = None) -> Iterator[str]:
    """The URL of a proxy that adds ``latency`` seconds a round trip, and holds a connection to ``bandwidth`` bytes a second."""
    argv = [sys.executable, "-m", "storage.testing.faults", target, "--latency", str(latency)]
    if bandwidth is not None:
        argv += ["--bandwidth", str(bandwidth)]
    with _line(*argv) as url:
        yield url


@contextlib.contextmanager
def _line(*argv: str) -> Iterator[str]:
    """The first line that a program prints; it is ended afterwards."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
