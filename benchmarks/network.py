"""One small blob, listings and batches on S3 and Cloud Storage."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import Call, Plan, Row, in_turn, prepared
from benchmarks.peers import Peer, gcs, opened, s3
from benchmarks.servers import fake_gcs, seaweedfs, shaped
from tests.servers.s3 import S3Server

KIB = os.urandom(1024)
LATENCY = 0.03


def run(plan: Plan) -> None:
    with seaweedfs() as server:
        small("s3", s3.ALL, (server, server.endpoint_url), plan, ["storage s3://", "storage s3+obstore://"])
        listing(plan, server)
        batches(plan, server)
    with fake_gcs() as (endpoint, bucket):
        small("gs", gcs.ALL, (endpoint, bucket), plan, ["storage gs://"])


def small(name: str, kinds: Sequence[Any], args: tuple[Any, ...], plan: Plan, ours: list[str]) -> None:
    """The four calls on 1 KiB, without latency: what remains is the client's CPU, and the server's time."""
    peers, failed = opened(list(kinds), *args)
    rounds, calls = plan.rounds(9), plan.size(20, 10)
    for what in ("set", "get", "exists", "delete"):
        row = Row(
            f"{name}.small.{what}",
            f"{name}, 1 KiB, no latency: {what}",
            "the server's own time (wall)",
            ours,
            failed=dict(failed),
        )
        homes = {peer.name: f"small-{number}" for number, peer in enumerate(peers)}

        def prepare(peer: Peer, what: str = what, homes: dict[str, str] = homes) -> Call:
            return _call(peer, what, homes[peer.name], rounds * calls + 10)

        contestants = prepared(row, peers, prepare)
        in_turn(row, contestants, rounds=rounds, calls=calls)


def _call(peer: Peer, what: str, home: str, count: int) -> Call:
    if what == "set":
        return lambda number: peer.put(f"{home}/set-{number}", KIB)
    if what == "delete":
        if type(peer).delete is Peer.delete:
            raise NotImplementedError
        for number in range(count):
            peer.put(f"{home}/gone-{number}", KIB)
        return lambda number: peer.delete(f"{home}/gone-{number}")
    peer.put(f"{home}/one", KIB)
    if what == "get":
        return lambda _: peer.get(f"{home}/one")
    return lambda _: peer.exists(f"{home}/one")


def listing(plan: Plan, server: S3Server) -> None:
    """Pages of 1,000 keys."""
    count = plan.size(10_000, 2_000)
    peers, failed = opened(s3.ALL, server, server.endpoint_url)
    filler = peers[1]
    filler.set_many({f"list/{number:06}": b"" for number in range(count)})
    row = Row(
        "s3.list",
        f"s3, no latency: list {count:,} keys",
        "the server's time to make ten pages (wall)",
        [peers[0].name, peers[1].name],
        failed=failed,
    )
    row.facts["count"] = count

    def call(peer: Peer) -> Call:
        def run(_: int) -> None:
            found = peer.count("list/")
            assert found == count, f"{found} keys of {count}"

        return run

    in_turn(row, [(peer.name, call(peer)) for peer in peers], rounds=plan.rounds(5), calls=1, warm=1)


def batches(plan: Plan, server: S3Server) -> None:
    """Many blobs through a round trip of 30 ms, beside a loop of the same calls one by one."""
    count = plan.size(2_000, 400)
    sample = plan.size(60, 20)
    with shaped(server.endpoint_url, latency=LATENCY) as endpoint:
        peers, failed = opened([s3.Ours, s3.OursObstore, s3.Obstore, s3.S3fs, s3.Boto3], server, endpoint)
        loops = [peer for peer in peers if isinstance(peer, (s3.Boto3, s3.OursObstore, s3.Ours))]
        items = {f"batch/{number:05}": KIB for number in range(count)}
        keys = list(items)
        for what in ("set", "get"):
            row = Row(
                f"s3.batch.{what}",
                f"s3, 30 ms of latency: {what} {count:,} blobs of 1 KiB at once (per blob)",
                "30 ms divided by how many are in flight; a loop: 30 ms",
                [peers[0].name, peers[1].name],
                failed=dict(failed),
            )
            row.facts["count"] = count

            def many(peer: Peer, what: str = what) -> Call:
                if what == "set":
                    return lambda _: peer.set_many(items)
                return lambda _: peer.get_many(keys)

            in_turn(row, [(peer.name, many(peer)) for peer in peers], rounds=plan.rounds(3), calls=1, warm=1)
            for who, samples in row.samples.items():
                row.samples[who] = [(wall / count, cpu / count) for wall, cpu in samples]
            alone = Row(
                f"s3.loop.{what}",
                f"s3, 30 ms of latency: {what} 1 KiB in a loop of {sample} (per blob)",
                "30 ms",
                [peers[0].name, peers[1].name],
            )

            def one(peer: Peer, what: str = what) -> Call:
                if what == "set":
                    return lambda number: peer.put(keys[number % count], KIB)
                return lambda number: peer.get(keys[number % count])

            in_turn(alone, [(peer.name, one(peer)) for peer in loops], rounds=plan.rounds(3), calls=sample // 3)
            row.save()
