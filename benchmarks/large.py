"""Large blobs: parallel transfers where each connection is held to a rate, and the memory they take."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Call, Plan, Row, in_turn
from benchmarks.peers import Peer, opened, s3
from benchmarks.servers import ROOT, fake_gcs, seaweedfs, shaped
from tests.servers.s3 import S3Server

MIB = 1024 * 1024
DOWN, UP = 40e6, 15e6  # bytes a second for each connection; up, the server takes no more than about ten times this


def run(plan: Plan) -> None:
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as room, seaweedfs() as server:
        transfers(plan, server, Path(room))
        memory(plan, server, Path(room))


def transfers(plan: Plan, server: S3Server, room: Path) -> None:
    """The blob and the files are the same for all; files are on the disk."""
    size = plan.size(256, 48) * MIB
    source = room / "source"
    source.write_bytes(os.urandom(size))
    for what, rate in (("down", DOWN), ("up", UP)):
        with shaped(server.endpoint_url, bandwidth=rate) as endpoint:
            kinds = [s3.Ours, s3.OursObstore, s3.Boto3, s3.Boto3OneConnection, s3.Obstore, s3.S3fs, s3.Minio]
            peers, failed = opened(kinds, server, endpoint)
            if what == "down":
                direct, _ = opened([s3.Boto3], server, server.endpoint_url)
                direct[0].upload("large", str(source))
            row = Row(
                f"large.{what}",
                f"s3, each connection held to {rate / 1e6:.0f} MB/s: {size // MIB} MiB {what}",
                f"one connection: {size / rate:.1f} s",
                [peers[0].name, peers[1].name],
                failed=failed,
            )
            in_turn(
                row, [(peer.name, _call(peer, what, room)) for peer in peers], rounds=plan.rounds(2), calls=1, warm=0
            )


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
store.get("warm")
store.list()
before = peak()
store.set_file("large", path) if call == "set_file" else store.get_file("large", path)
print(peak() - before)
"""


def memory(plan: Plan, server: S3Server, room: Path) -> None:
    """How far the peak of a fresh process grows over what it is after small calls, on every driver."""
    size = plan.size(1024, 128) * MIB
    source = room / "source"
    with source.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    row = Row(
        "large.memory",
        f"peak memory of set_file and get_file of {size // MIB} MiB",
        "what is in flight",
        ["storage s3://"],
    )
    with fake_gcs() as (endpoint, bucket):
        stores = {
            "file://": (f"file://{room}/store?fsync=false", None),
            "s3://": (server.url("memory"), server.auth),
            "s3+obstore://": (server.url("memory-obstore", scheme="s3+obstore"), server.auth),
            "gs://": (f"gs://{bucket}/memory?endpoint_url={endpoint}&anonymous=true", None),
        }
        import json

        for name, (url, auth) in stores.items():
            if name == "gs://":
                # The emulator's memory is this machine's, and its chunked uploads are quadratic.
                source = room / "smaller"
                source.write_bytes(os.urandom(min(size, 128 * MIB)))
            for call in ("set_file", "get_file"):
                path = str(source if call == "set_file" else room / "target")
                done = subprocess.run(
                    [sys.executable, "-c", _PROBE, json.dumps([url, auth, call, path])],
                    check=False,
                    capture_output=True, text=True, cwd=ROOT, timeout=300,
                )  # fmt: skip
                if done.returncode:
                    row.failed[f"{name} {call}"] = done.stderr.strip().splitlines()[-1][:160]
                else:
                    row.facts[f"{name} {call}"] = {"mib": int(done.stdout) / 1024, "of": source.stat().st_size // MIB}
    row.save()
    for name, fact in row.facts.items():
        print(f"  {name:28} {fact['mib']:8.1f} MiB of {fact['of']}")
