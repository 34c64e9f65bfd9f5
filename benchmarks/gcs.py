"""Large blobs on ``gs://`` beside google-cloud-storage's transfer manager, where each connection is held to a rate.

Against a server that keeps nothing, because the emulator has no uploads in parts and takes quadratic time for chunks::

    python -m benchmarks.gcs [--quick]
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Call, Plan, Row, children_cpu, in_turn
from benchmarks.servers import ROOT, shaped
from storage import Storage

MIB = 1024 * 1024
RATE = 40e6  # bytes a second for each connection
BUCKET = "bucket"


def run(plan: Plan) -> None:
    size = plan.size(256, 48) * MIB
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as room, _sink(size) as url:
        source, target = Path(room) / "source", str(Path(room) / "target")
        source.write_bytes(bytes(size))
        with shaped(url, bandwidth=RATE) as endpoint:
            for what in ("down", "up"):
                row = Row(
                    f"large.gs.{what}",
                    f"gs, each connection held to {RATE / 1e6:.0f} MB/s: {size // MIB} MiB {what}",
                    f"one connection: {size / RATE:.1f} s",
                    ["storage gs://"],
                )
                calls = _contestants(endpoint, what, str(source), target)
                in_turn(row, calls, rounds=plan.rounds(3), calls=1, warm=0, cpu_clock=_cpu)


def _cpu() -> float:
    # The transfer manager's processes are children, whose time counts once they have ended.
    return sum(os.times()[:2]) + children_cpu()


@contextlib.contextmanager
def _sink(size: int) -> Iterator[str]:
    argv = [sys.executable, "-m", "tests.gcs.sink", str(size)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _contestants(endpoint: str, what: str, source: str, target: str) -> list[tuple[str, Call]]:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage as google
    from google.cloud.storage import transfer_manager

    ours = Storage(f"gs://{BUCKET}/bench?endpoint_url={endpoint}&anonymous=true")
    ours.backend.parallel_uploads = True  # type: ignore[attr-defined]
    client: Any = google.Client("project", AnonymousCredentials(), client_options={"api_endpoint": endpoint})
    bucket = client.bucket(BUCKET)
    if what == "down":
        return [
            ("storage gs://", lambda _: ours.get_file("large", target)),
            (
                "transfer_manager, 8 threads",
                lambda _: transfer_manager.download_chunks_concurrently(
                    bucket.blob("large"), target, worker_type="thread"
                ),
            ),
            (
                "transfer_manager, 8 processes",
                lambda _: transfer_manager.download_chunks_concurrently(bucket.blob("large"), target),
            ),
            ("google-cloud-storage, 1 connection", lambda _: bucket.blob("large").download_to_filename(target)),
        ]
    return [
        ("storage gs://", lambda _: ours.set_file("large", source)),
        (
            "transfer_manager, 8 threads",
            lambda _: transfer_manager.upload_chunks_concurrently(source, bucket.blob("large"), worker_type="thread"),
        ),
        (
            "transfer_manager, 8 processes",
            lambda _: transfer_manager.upload_chunks_concurrently(source, bucket.blob("large")),
        ),
        (
            "google-cloud-storage, 1 connection",
            lambda _: bucket.blob("large").upload_from_filename(source, checksum=None),
        ),
    ]


if __name__ == "__main__":
    run(Plan(quick="--quick" in sys.argv))
