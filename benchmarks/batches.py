"""Many small blobs through a round trip of 30 ms, beside a loop of the same calls one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import Bar, Call, Plan, Row, in_turn
from benchmarks.peers import Peer, gcs, opened, s3
from benchmarks.servers import fake_gcs, seaweedfs, shaped

KIB = os.urandom(1024)
LATENCY = 0.03


def run(plan: Plan) -> None:
    with seaweedfs() as server, shaped(server.endpoint_url, latency=LATENCY) as endpoint:
        batches("s3", [s3.Ours, s3.Obstore, s3.FastS3], [s3.Boto3, s3.Ours], (server, endpoint), plan)
    with fake_gcs() as (url, bucket), shaped(url, latency=LATENCY) as endpoint:
        batches("gs", [gcs.Ours, gcs.Gcsfs], [gcs.Google, gcs.Ours], (endpoint, bucket), plan)


def batches(name: str, kinds: Sequence[Any], alone: Sequence[Any], args: tuple[Any, ...], plan: Plan) -> None:
    """``kinds`` make all calls at once, ``alone`` some of them in a loop."""
    count, sample = plan.size(2_000, 400), plan.size(30, 10)
    peers, failed = opened(list(kinds), *args)
    loops, _ = opened(list(alone), *args)
    items = {f"batch/{number:05}": KIB for number in range(count)}
    keys = list(items)
    ours, sequential = peers[0].name, f"{loops[0].name}, one by one"
    for what in ("set", "get"):
        bars = [Bar(ours, 1 / 35, sequential, "wall")]
        if name == "s3":
            bars.append(Bar(ours, 1.0, s3.Obstore.name, "wall"))
        row = Row(
            f"{name}.batch.{what}",
            f"{name}, 30 ms of latency: {what}_many of {count:,} blobs of 1 KiB (per blob)",
            "30 ms divided by how many are in flight; one by one: 30 ms",
            [ours],
            bars,
            failed=dict(failed),
        )
        calls = [(peer.name, _many(peer, what, items)) for peer in peers]
        calls += [(f"{peer.name}, one by one", _one_by_one(peer, what, keys[:sample])) for peer in loops]
        in_turn(row, calls, rounds=plan.rounds(4), calls=1, warm=1, save=False)
        row.per({peer.name: count for peer in peers} | {f"{peer.name}, one by one": sample for peer in loops})
        row.bars.append(Bar(f"{ours}, one by one", 0.06, by="wall"))
        row.save()


def _many(peer: Peer, what: str, items: dict[str, bytes]) -> Call:
    keys = list(items)
    if what == "set":
        return lambda _: peer.set_many(items)

    def get(_: int) -> None:
        found = peer.get_many(keys)
        assert found == len(keys) * len(KIB), f"{found} bytes"

    return get


def _one_by_one(peer: Peer, what: str, keys: list[str]) -> Call:
    def loop(_: int) -> None:
        for key in keys:
            if what == "set":
                peer.put(key, KIB)
            else:
                peer.get(key)

    return loop
