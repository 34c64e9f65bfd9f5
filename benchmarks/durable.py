"""Writes that are on the disk when they return, where fsync costs what a journal costs."""

from __future__ import annotations

import os
import tempfile

from benchmarks.measure import Bar, Call, Plan, Row, in_turn
from benchmarks.peers import Peer, opened
from benchmarks.peers.local import BareSync, EightThreads, EightThreadsReadBack, OursFileSync
from storage import Storage

KIB = os.urandom(1024)
OURS, BARE, THREADS, READ_BACK = OursFileSync.name, BareSync.name, EightThreads.name, EightThreadsReadBack.name


def run(plan: Plan) -> None:
    with tempfile.TemporaryDirectory(prefix="storage-bench-") as root:
        where = f"a directory on {_filesystem(root)}, with fsync"
        peers, failed = opened([OursFileSync, BareSync, EightThreads, EightThreadsReadBack], root)
        one(plan, where, peers, failed)
        many(plan, where, root, peers, failed)


def _filesystem(path: str) -> str:
    """The kind of file system that holds ``path``."""
    kinds = {}
    with open("/proc/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, place, kind, *_ = line.split()
            kinds[place] = kind
    path = os.path.realpath(path)
    while path not in kinds:
        path = os.path.dirname(path)
    return kinds[path]


def one(plan: Plan, where: str, peers: list[Peer], failed: dict[str, str]) -> None:
    row = Row(
        "local.fsync.set",
        f"{where}: set, 1 KiB",
        "fsync of file and directory",
        [OURS],
        [Bar(OURS, 1.2, BARE, "wall")],
        failed=dict(failed),
    )
    calls = [(peer.name, _put(peer)) for peer in peers if peer.name in (OURS, BARE)]
    in_turn(row, calls, rounds=plan.rounds(25), calls=100)


def _put(peer: Peer) -> Call:
    return lambda number: peer.put(f"one/x/y/{number % 5000}", KIB)


def many(plan: Plan, where: str, root: str, peers: list[Peer], failed: dict[str, str]) -> None:
    """Divided by their number: the time of one blob."""
    count = plan.size(2_000, 200)
    source = Storage("memory://?types=data:")
    items = {f"many/{number % 20:02}/{number:05}": bytes(4096) for number in range(count)}
    source.set_many(items)
    # A sync reads each copy back before it gets its name, so those that it is compared with do so, too.
    for what, same in (("set_many", THREADS), ("sync", READ_BACK)):
        row = Row(
            f"local.fsync.{what}",
            f"{where}: {what} of {count:,} blobs of 4 KiB (per blob)",
            "what eight threads that do the same system calls take",
            [OURS],
            [Bar(OURS, 1.3, same, "wall")],
            failed=dict(failed),
        )
        calls: list[tuple[str, Call]] = [
            (peer.name, lambda number, peer=peer: _fresh(peer, items, number))  # type: ignore[misc]
            for peer in peers
            if peer.name != (READ_BACK if what == "set_many" else OURS)
        ]
        if what == "sync":
            calls.insert(0, (OURS, lambda number: source.sync_to(_store(f"{root}/synced-{number}"))))
        in_turn(row, calls, rounds=plan.rounds(3), calls=1, warm=1, save=False)
        row.per(dict.fromkeys(row.samples, count))
        row.save()


def _fresh(peer: Peer, items: dict[str, bytes], number: int) -> object:
    """Writes the blobs where none are yet."""
    return peer.set_many({f"{number}/{key}": data for key, data in items.items()})


def _store(path: str) -> Storage:
    return Storage(f"file://{path}?types=data:")
