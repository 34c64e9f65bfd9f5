"""``open("rb")``: from front to back through a slow network, and what a reader that jumps moves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Bar, Plan, Row, in_turn
from benchmarks.peers import opened, s3
from benchmarks.servers import seaweedfs, shaped
from storage._backend import Download
from tests.emulators.s3 import S3Server

MIB = 1024 * 1024
RATE, LATENCY = 40e6, 0.03  # bytes a second for each connection; seconds a round trip
OURS, FILE = 'storage s3://, open("rb")', "storage s3://, get_file"


def run(plan: Plan) -> None:
    size = plan.size(256, 48) * MIB
    with seaweedfs() as server, tempfile.TemporaryDirectory(prefix="storage-bench-") as room:
        source = Path(room) / "source"
        source.write_bytes(os.urandom(size))
        direct = s3.Ours(server, server.endpoint_url)
        direct.upload("large", str(source))
        front_to_back(plan, server, room, size)
        jumping(direct, size)


def front_to_back(plan: Plan, server: S3Server, room: str, size: int) -> None:
    with shaped(server.endpoint_url, latency=LATENCY, bandwidth=RATE) as endpoint:
        peers, failed = opened([s3.Ours, s3.Boto3OneConnection, s3.Obstore], server, endpoint)
        row = Row(
            "open.front",
            f"s3, 30 ms, each connection held to {RATE / 1e6:.0f} MB/s: {size // MIB} MiB from front to back, 1 MiB at a time",
            f"one connection: {size / RATE:.1f} s",
            [OURS, FILE],
            [Bar(OURS, 1.25, FILE, "wall")],
            failed=failed,
        )

        def read(peer: Any) -> None:
            found = peer.read("large")
            assert found == size, f"{found} bytes"

        names = {s3.Ours.name: OURS, s3.Boto3OneConnection.name: "boto3, get_object"}
        calls = [(names.get(peer.name, peer.name), lambda _, peer=peer: read(peer)) for peer in peers]  # type: ignore[misc]
        calls.append((FILE, lambda _: peers[0].download("large", f"{room}/target")))
        in_turn(row, calls, rounds=plan.rounds(3), calls=1, warm=0)


def jumping(peer: s3.Ours, size: int) -> None:
    """As a reader of Parquet does: the footer, then columns whole and columns in pieces."""
    moved = _counted(peer)
    places = [(size - 64 * 1024, 64 * 1024), *_columns(size, 3 * MIB), *_columns(size, 300 * 1024)]
    with peer.store.open("large") as file:
        for start, length in places:
            file.seek(start)
            assert len(file.read(length)) == length
    row = Row("open.jump", "s3: bytes that come for a footer and columns of a large blob", "the bytes that are read")
    row.facts = {
        "read": sum(length for _, length in places) / MIB,
        "moved": sum(moved) / MIB,
        "moved by one window at a time": _one_window(places, size) / MIB,
    }
    row.bars = [Bar("moved", 1.1, "moved by one window at a time", "fact")]
    row.save()


def _columns(size: int, piece: int) -> Iterator[tuple[int, int]]:
    for column in range(size // (9 * MIB)):
        for start in range(0, 3 * MIB, piece):
            yield column * 9 * MIB + start, min(piece, 3 * MIB - start)


def _counted(peer: s3.Ours) -> list[int]:
    """The sizes of all that comes from the backend of ``peer`` from now on."""
    backend: Any = peer.store.backend
    moved: list[int] = []
    get, stream = backend.get, backend.stream

    def counted_get(*args: Any) -> bytes:
        data: bytes = get(*args)
        moved.append(len(data))
        return data

    class Chunks:
        def __init__(self, chunks: Any) -> None:
            self._chunks, self.close = chunks, chunks.close

        def __iter__(self) -> Chunks:
            return self

        def __next__(self) -> bytes:
            chunk: bytes = next(self._chunks)
            moved.append(len(chunk))
            return chunk

    def counted_stream(*args: Any) -> Download:
        stat, chunks = stream(*args)
        return Download(stat, Chunks(chunks))

    backend.get, backend.stream = counted_get, counted_stream
    return moved


def _one_window(places: list[tuple[int, int]], size: int) -> int:
    """The bytes that come for one window after the other: 128 KiB, twice as much where a reader goes on, up to 8 MiB."""
    moved = begin = end = window = 0
    for start, length in places:
        position = start
        while position < start + length:
            if not begin <= position < end:
                window = min(2 * window, 8 * MIB) if position == end and window else MIB // 8
                begin, end = position, min(position + max(window, start + length - position), size)
                moved += end - begin
            position = min(start + length, end)
    return moved
