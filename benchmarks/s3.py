"""S3 without latency: one small blob, plain and over TLS, listings, and deleting many."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import Bar, Call, Plan, Row, in_turn, prepared
from benchmarks.peers import Peer, opened, s3
from benchmarks.servers import seaweedfs_with_tls
from tests.emulators.s3 import S3Server

KIB = os.urandom(1024)
OURS = s3.Ours.name


def run(plan: Plan) -> None:
    with seaweedfs_with_tls() as (server, secure, bundle):
        bars = [Bar(OURS, 1.0, "obstore"), Bar(OURS, 0.15, "boto3")]
        measured = {"set": bars, "get": bars, "exists": bars}
        small("s3.small", "s3, 1 KiB, no latency", s3.SMALL, (server, server.endpoint_url), plan, measured)
        os.environ["AWS_CA_BUNDLE"] = str(bundle)
        kinds = [s3.Ours, s3.Boto3, s3.Obstore, s3.Pyreqwest]
        small("s3.tls", "s3 over TLS, 1 KiB, no latency", kinds, (server, secure), plan, measured)
        del os.environ["AWS_CA_BUNDLE"]
        listing(plan, server)
        deleting(plan, server)


def small(
    name: str, where: str, kinds: Sequence[Any], args: tuple[Any, ...], plan: Plan, bars: dict[str, list[Bar]]
) -> None:
    """The four calls on 1 KiB, without latency: what remains is the client's CPU, and the server's time."""
    peers, failed = opened(list(kinds), *args)
    rounds, calls = plan.rounds(25), plan.size(20, 10)
    for what in ("set", "get", "exists", "delete"):
        row = Row(
            f"{name}.{what}",
            f"{where}: {what}",
            "the server's own time (wall)",
            [peers[0].name],
            bars.get(what, []),
            failed=dict(failed),
        )
        homes = {peer.name: f"small-{number}" for number, peer in enumerate(peers)}

        def prepare(peer: Peer, what: str = what, homes: dict[str, str] = homes) -> Call:
            return _call(peer, what, homes[peer.name], rounds * calls + 10, peers[0])

        in_turn(row, prepared(row, peers, prepare), rounds=rounds, calls=calls)


def _call(peer: Peer, what: str, home: str, count: int, filler: Peer) -> Call:
    kind = type(peer)
    if what == "set":
        return lambda number: peer.put(f"{home}/set-{number}", KIB)
    if what == "delete":
        if kind.delete is Peer.delete:
            raise NotImplementedError
        filler.set_many({f"{home}/gone-{number}": KIB for number in range(count)})
        return lambda number: peer.delete(f"{home}/gone-{number}")
    if kind.put is not Peer.put:
        peer.put(f"{home}/one", KIB)
    else:  # it only reads: what the first contestant has put
        home = "small-0"
    if what == "get":
        return lambda _: peer.get(f"{home}/one")
    return lambda _: peer.exists(f"{home}/one")


def listing(plan: Plan, server: S3Server) -> None:
    """Pages of 1,000 keys. Divided by their number: the cost of one key."""
    count = plan.size(10_000, 2_000)
    kinds = [s3.Ours, s3.Boto3, s3.Obstore, s3.Expat, s3.OpenDAL, s3.Minio]
    peers, failed = opened(kinds, server, server.endpoint_url)
    peers[0].set_many({f"list/{number:06}": b"" for number in range(count)})
    row = Row(
        "s3.list",
        f"s3, no latency: list {count:,} keys (per key)",
        "the server's time to make the pages (wall)",
        [OURS],
        [Bar(OURS, 1.5, s3.Expat.name)],
        failed=failed,
    )

    def call(peer: Peer) -> Call:
        def run(_: int) -> None:
            found = peer.count("list/")
            assert found == count, f"{found} keys of {count}"

        return run

    calls = prepared(row, peers, call)
    in_turn(row, calls, rounds=plan.rounds(9), calls=1, warm=1, save=False)
    row.per(dict.fromkeys(row.samples, count))
    row.save()


def deleting(plan: Plan, server: S3Server) -> None:
    """A thousand keys in one call. Divided by their number: the cost of one key."""
    count, rounds = 1_000, plan.rounds(5)
    peers, failed = opened([s3.Ours, s3.Boto3, s3.Obstore], server, server.endpoint_url)
    row = Row(
        "s3.delete_many",
        f"s3, no latency: delete {count:,} blobs (per blob)",
        "the server's time (wall)",
        [OURS],
        [Bar(OURS, 2.0, "obstore")],
        failed=failed,
    )

    def prepare(peer: Peer) -> Call:
        home = f"gone-{peers.index(peer)}"
        batches = [[f"{home}/{batch}/{number:04}" for number in range(count)] for batch in range(rounds + 1)]
        for batch in batches:
            peers[0].set_many(dict.fromkeys(batch, b"x"))
        return lambda number: peer.delete_many(batches[number])

    in_turn(row, prepared(row, peers, prepare), rounds=rounds, calls=1, warm=1, save=False)
    row.per(dict.fromkeys(row.samples, count))
    row.save()
