"""The servers that the benchmarks run against, in processes of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from storage.testing._fake_gcs import launch as _emulator
from storage.testing._processes import shared_server
from storage.testing._seaweedfs import launch as _seaweedfs
from tests.servers.gcs import BUCKET as GCS_BUCKET
from tests.servers.s3 import S3Server

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def seaweedfs() -> Iterator[S3Server]:
    """A SeaweedFS server of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="storage-bench-") as room,
        shared_server("seaweedfs", Path(room), _seaweedfs) as facts,
    ):
        yield S3Server(facts["endpoint_url"])


@contextlib.contextmanager
def fake_gcs() -> Iterator[tuple[str, str]]:
    """The endpoint and the bucket of fake-gcs-server."""
    with (
        tempfile.TemporaryDirectory(prefix="storage-bench-") as room,
        shared_server("fake-gcs", Path(room), _emulator) as facts,
    ):
        yield facts["url"], GCS_BUCKET


@contextlib.contextmanager
def shaped(target: str, *, latency: float = 0.0, bandwidth: float | None = None) -> Iterator[str]:
    """The URL of a proxy that adds ``latency`` seconds a round trip, and holds a connection to ``bandwidth`` bytes a second."""
    argv = [sys.executable, "-m", "storage.testing.faults", target, "--latency", str(latency)]
    if bandwidth is not None:
        argv += ["--bandwidth", str(bandwidth)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
