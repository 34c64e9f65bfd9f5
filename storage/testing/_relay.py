"""HTTP/1.1 messages passed on as they are, at a pace: what the fault proxy is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

PIECE = 64 * 1024


class EndedError(Exception):
    """A peer closed where more was due."""


@dataclass
class Head:
    first: str
    fields: list[tuple[str, str]]
    raw: bytes
    lower: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.lower = {name.lower(): value for name, value in self.fields}

    def without(self, name: str) -> bytes:
        kept = "".join(f"{key}: {value}\r\n" for key, value in self.fields if key.lower() != name)
        return f"{self.first}\r\n{kept}\r\n".encode("latin-1")


class Pace:
    """Lets bytes pass at a rate."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_at = 0.0

    def passed(self, count: int) -> None:
        if self._rate is None:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + count / self._rate
        if self._free_at > now:
            time.sleep(self._free_at - now)


def read_head(file: BinaryIO) -> Head | None:
    """The next request's or answer's head; ``None``: the peer closed between two."""
    lines: list[bytes] = []
    while True:
        line = file.readline(PIECE)
        if not line:
            if lines:
                raise EndedError
            return None
        if line in (b"\r\n", b"\n"):
            break
        lines.append(line)
    first, *rest = (line.decode("latin-1").rstrip("\r\n") for line in lines)
    pairs = [tuple(line.split(":", 1)) for line in rest]
    return Head(first, [(pair[0], pair[1].strip()) for pair in pairs], b"".join(lines) + b"\r\n")


def relay_body(
    source: BinaryIO, headers: Mapping[str, str], send: Callable[[bytes], object], pace: Pace, *, answer: bool = False
) -> bool:
    """Passes a body on; ``False``: it ended with the connection."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        _relay_chunks(source, send, pace)
    elif "content-length" in headers:
        copy(source, int(headers["content-length"]), send, pace)
    elif answer:
        while piece := source.read1(PIECE):  # type: ignore[attr-defined]
            pace.passed(len(piece))
            send(piece)
        return False
    return True


def _relay_chunks(source: BinaryIO, send: Callable[[bytes], object], pace: Pace) -> None:
    while True:
        line = source.readline(PIECE)
        if not line:
            raise EndedError
        send(line)
        size = int(line.split(b";")[0], 16)
        if size:
            copy(source, size, send, pace)
        trailer = source.readline(PIECE)
        while not size and trailer not in (b"\r\n", b""):
            send(trailer)
            trailer = source.readline(PIECE)
        send(trailer)
        if not size:
            return


def copy(source: BinaryIO, count: int, send: Callable[[bytes], object], pace: Pace) -> None:
    while count:
        piece: bytes = source.read1(min(count, PIECE))  # type: ignore[attr-defined]
        if not piece:
            raise EndedError
        count -= len(piece)
        pace.passed(len(piece))
        send(piece)
