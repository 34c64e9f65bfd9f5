"""Memory and directories: small blobs, and listings of 100,000."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import TMPFS, Bar, Call, Plan, Row, in_turn, prepared
from benchmarks.peers import Peer, opened
from benchmarks.peers.local import (
    FILE,
    MEMORY,
    Bare,
    FsspecFile,
    ObstoreLocal,
    ObstoreMemory,
    OpenDALFile,
    OursFile,
    OursMemory,
)  # fmt: skip

KIB = os.urandom(1024)


def run(plan: Plan) -> None:
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as root:
        ours, peer = OursMemory.name, ObstoreMemory.name
        bars = {what: [Bar(ours, most, peer)] for what, most in (("get", 1), ("exists", 1), ("set", 2), ("delete", 2))}
        small("local.memory", "memory, 1 KiB", MEMORY, root, bars, plan.rounds(25), plan.size(5_000, 1_000))
    with tempfile.TemporaryDirectory(prefix="storage-bench-", dir=TMPFS) as root:
        ours, bare = OursFile.name, Bare.name
        bars = {
            what: [Bar(ours, most, bare), Bar(ours, 1.0, ObstoreLocal.name)]
            for what, most in (("get", 2), ("exists", 4), ("set", 2.7), ("delete", 4))
        }
        where = f"a directory on {'tmpfs' if TMPFS else 'disk'}, fsync=false, 1 KiB"
        small("local.file", where, FILE, root, bars, plan.rounds(25), plan.size(300, 100))
    for shape, what in (("wide", "one directory"), ("deep", "1,000 directories")):
        with tempfile.TemporaryDirectory(prefix="storage-bench-", dir=TMPFS) as root:
            listing(plan, root, shape, what)


def small(
    name: str, where: str, kinds: Sequence[Any], root: str, bars: dict[str, list[Bar]], rounds: int, calls: int
) -> None:
    """The four calls on small blobs, under paths of four parts."""
    peers, failed = opened(list(kinds), root)
    limits = {
        "set": "memory: a lock and a dictionary; files: the bare calls",
        "get": "memory: a dictionary; files: open, read, close",
        "exists": "",
        "delete": "",
    }
    for what, limit in limits.items():
        row = Row(f"{name}.{what}", f"{where}: {what}", limit, [peers[0].name], bars[what], failed=dict(failed))
        contestants = prepared(row, peers, lambda peer, what=what: _call(peer, what, rounds * calls + 10))  # type: ignore[misc]
        in_turn(row, contestants, rounds=rounds, calls=calls)


def _call(peer: Peer, what: str, count: int) -> Call:
    if what == "set":
        return lambda number: peer.put(f"small/x/y/{number % 5000}", KIB)
    if what == "delete":

        def delete(number: int) -> object:
            return peer.delete(f"gone/x/y/{number}")

        for number in range(count):
            peer.put(f"gone/x/y/{number}", KIB)
        return delete

    keys = [f"small/x/y/{number}" for number in range(100)]
    for key in keys:
        peer.put(key, KIB)
    if what == "get":
        return lambda number: peer.get(keys[number % 100])
    return lambda number: peer.exists(keys[number % 100])


def listing(plan: Plan, root: str, shape: str, what: str) -> None:
    """All keys in order. Divided by their number: the cost of one key."""
    count = plan.size(100_000, 5_000)
    peers, failed = opened([OursFile, Bare, ObstoreLocal, OpenDALFile, FsspecFile], root)
    ours = OursFile.name
    homes = {
        "storage file://": "ours",
        "bare system calls": "bare",
        "obstore LocalStore": "obstore",
        "opendal fs": "opendal",
        "fsspec file": "fsspec",
    }
    for peer in peers:
        home = f"{root}/{homes[peer.name]}"
        for number in range(count):
            folder = f"{home}/list/{number % 1000:03}" if shape == "deep" else f"{home}/list"
            if number < (1000 if shape == "deep" else 1):
                os.makedirs(folder)
            os.close(os.open(f"{folder}/{number:06}", os.O_CREAT | os.O_WRONLY))
    row = Row(
        f"local.list.{shape}",
        f"a directory on {'tmpfs' if TMPFS else 'disk'}: list {count:,} keys of {what}, in order (per key)",
        "one getdents for some hundred names, and a sort",
        [ours],
        [Bar(ours, 0.5, ObstoreLocal.name), Bar(ours, 1.0, OpenDALFile.name), Bar(ours, 1.0, FsspecFile.name)],
        failed=failed,
    )

    def call(peer: Peer) -> Call:
        def run(_: int) -> None:
            found = peer.count("list/")
            assert found == count, f"{found} keys of {count}"

        return run

    in_turn(row, [(peer.name, call(peer)) for peer in peers], rounds=plan.rounds(3), calls=1, warm=1, save=False)
    row.per(dict.fromkeys(row.samples, count))
    row.save()
