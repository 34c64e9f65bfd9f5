"""Large blobs: parallel transfers where each connection is held to a rate, and the memory they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Bar, Call, Plan, Row, children_cpu, in_turn
from benchmarks.peers import Peer, gcs, opened, s3
from benchmarks.servers import ROOT, seaweedfs, shaped, sink
from tests.emulators.s3 import S3Server

MIB = 1024 * 1024
DOWN, UP = 40e6, 15e6  # bytes a second for each connection; up, the server takes no more than about ten times this
_MEMORY = 64  # MiB


def run(plan: Plan) -> None:
    size = plan.size(256, 48) * MIB
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as name, seaweedfs() as server:
        room = Path(name)
        (room / "source").write_bytes(os.urandom(size))
        s3.Ours(server, server.endpoint_url).upload("large", str(room / "source"))
        kinds = [s3.Ours, s3.Boto3, s3.Boto3OneConnection, s3.Obstore]
        for what, rate in (("down", DOWN), ("up", UP)):
            with shaped(server.endpoint_url, bandwidth=rate) as endpoint:
                bars = [
                    Bar(s3.Ours.name, 0.25, s3.Boto3OneConnection.name, "wall"),
                    Bar(s3.Ours.name, 1.0, s3.Boto3.name, "wall"),
                ]
                transfer("s3", what, rate, kinds, (server, endpoint), bars, plan, room, size)
        with sink(size) as (url, bucket):
            kinds = [gcs.OursInParts, gcs.Manager, gcs.Processes, gcs.Google]
            for what in ("down", "up"):
                with shaped(url, bandwidth=DOWN) as endpoint:
                    bars = [
                        Bar(gcs.Ours.name, 0.25, gcs.Google.name, "wall"),
                        Bar(gcs.Ours.name, 1.0, gcs.Processes.name, "wall"),
                    ]
                    transfer("gs", what, DOWN, kinds, (endpoint, bucket), bars, plan, room, size)
        memory(plan, server, room)


def transfer(
    name: str,
    what: str,
    rate: float,
    kinds: Sequence[Any],
    args: tuple[Any, ...],
    bars: list[Bar],
    plan: Plan,
    room: Path,
    size: int,
) -> None:
    """The blob and the files are the same for all; files are on the disk."""
    peers, failed = opened(list(kinds), *args)
    row = Row(
        f"large.{name}.{what}",
        f"{name}, each connection held to {rate / 1e6:.0f} MB/s: {size // MIB} MiB {what}",
        f"one connection: {size / rate:.1f} s",
        [peers[0].name],
        bars,
        failed=failed,
    )
    calls = [(peer.name, _call(peer, what, room)) for peer in peers]
    in_turn(row, calls, rounds=plan.rounds(2), calls=1, warm=0, cpu_clock=_cpu)


def _cpu() -> float:
    # The transfer manager's processes are children, whose time counts once they have ended.
    return sum(os.times()[:2]) + children_cpu()


def _call(peer: Peer, what: str, room: Path) -> Call:
    if what == "down":
        return lambda _: peer.download("large", str(room / "target"))
    return lambda _: peer.upload("up-" + "".join(filter(str.isalnum, peer.name)), str(room / "source"))


_PROBE = """
import json, sys
url, auth, call, path = json.loads(sys.argv[1])
from storage import Storage
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
store = Storage(url, auth)
store.set("warm", b"1" * 1000)
store.get_bytes("warm", end=1000)
before = peak()
if call == "set_file":
    store.set_file("large", path)
elif call == "get_file":
    store.get_file("large", path)
else:
    with store.open("large") as file:
        while file.read(1024 * 1024):
            pass
print(peak() - before)
"""


def memory(plan: Plan, server: S3Server, room: Path) -> None:
    """How far the peak of a fresh process grows over what it is after small calls, on every driver."""
    size = plan.size(1024, 128) * MIB
    source = room / "larger"
    with source.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    row = Row("memory", f"peak memory of set_file, get_file and open of {size // MIB} MiB, in MiB", "what is in flight")
    with sink(size) as (endpoint, bucket):
        stores = {
            "file://": (f"file://{room}/store?fsync=false", None),
            "s3://": (server.url("memory"), server.auth),
            "gs://": (f"gs://{bucket}/memory?endpoint_url={endpoint}&anonymous=true", None),
        }
        for name, (url, auth) in stores.items():
            for call in ("set_file", "get_file", "open"):
                path = str(source if call == "set_file" else room / "target")
                _probe(row, f"{name} {call}", [url, auth, call, path])
    row.save()


def _probe(row: Row, name: str, argument: list[Any]) -> None:
    row.bars.append(Bar(name, _MEMORY, by="fact", unit="MiB"))
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps(argument)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    if done.returncode:
        row.failed[name] = done.stderr.strip().splitlines()[-1][:160]
    else:
        row.facts[name] = int(done.stdout) / 1024
