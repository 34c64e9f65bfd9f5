"""Stores with a fault, and what is in a store."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from storage import Storage, SyncEvent, SyncResult, UnavailableError
from storage._sync.copying import Copier, Pair
from storage.backends import Download, PutOptions, Stat
from storage.backends.memory import MemoryBackend

__all__ = [
    "BLOBS",
    "Faulty",
    "actions",
    "aged",
    "contents",
    "digests",
    "events",
    "fill",
    "filled",
    "make_md5_store",
    "note_copies",
    "rested",
    "store_of",
]

BLOBS = {"a": "1", "a-b": "22", "a/b": "333", "z/é ü": "4444", "empty": ""}


class Faulty(MemoryBackend):
    """A store in memory that can be told to go wrong.

    Attributes:
        order: the order of its listing, as a key function; ``None``: as it should be.
        scans: how many listings were begun.
        cut_after: a listing fails after so many blobs.
        corrupt: paths whose next write stores other bytes of the same length.
        broken: paths that cannot be read.
        on_stream: called with the path, and the number of times it was streamed, after its stream has been opened.
        there: whether the bucket is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.order: Callable[[str], Any] | None = None
        self.scans = 0
        self.cut_after: int | None = None
        self.corrupt: list[str] = []
        self.broken: set[str] = set()
        self.on_stream: Callable[[str, int], object] | None = None
        self.there = True
        self.streams: dict[str, int] = {}
        self.deletes: list[str] = []

    def scan(self, prefix: str, **options: Any) -> Iterator[list[tuple[str, Stat | None]]]:
        self.scans += 1
        pages = super().scan(prefix, **options)
        if self.order is not None:
            order = self.order
            rows = sorted((row for page in pages for row in page), key=lambda row: order(row[0]))
            pages = iter([rows[start : start + 7] for start in range(0, len(rows), 7)])
        count = 0
        for page in pages:
            for row in page:
                if count == self.cut_after:
                    raise UnavailableError
                count += 1
                yield [row]

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        if path in self.corrupt:
            self.corrupt.remove(path)
            data = bytes(byte ^ 1 for byte in data)
        return super().put(path, data, options)

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        if path in self.broken:
            raise UnavailableError
        download = super().stream(path, start, end, if_match)
        self.streams[path] = self.streams.get(path, 0) + 1
        if self.on_stream is not None:
            self.on_stream(path, self.streams[path])
        return download

    def delete(self, path: str, *, if_match: str | None = None) -> None:
        self.deletes.append(path)
        super().delete(path, if_match=if_match)

    def bucket_exists(self) -> bool:
        return self.there


def make_md5_store() -> Faulty:
    """A store whose etags are the MD5s of the bytes, as S3's are."""

    class Hashed(Faulty):
        def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
            super().put(path, data, options)
            data, stat = self._blobs[path]
            stat = stat._replace(etag=hashlib.md5(data).hexdigest())
            self._blobs[path] = (data, stat)
            return stat

    return Hashed()


def store_of(backend: MemoryBackend | None = None) -> Storage:
    """A store on ``backend``; without one, a private store in memory."""
    return Storage("memory://") if backend is None else Storage(backend=backend)


def filled(store: Storage, blobs: dict[str, str]) -> Storage:
    """``store`` with these blobs of type ``data``."""
    store.set_many(blobs)
    return store


def contents(store: Storage, *types: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    """All that is in a store: bytes, headers and metadata by type and key."""
    found = {}
    for name in types or store.storage_types:
        for key in store.iter_list(None, name):
            info = store.info(key, name)
            headers = (info.content_type, info.cache_control, info.content_encoding, dict(info.metadata or {}))
            found[name, key] = (store.get_bytes(key, name), *headers)
    return found


def aged(directory: Path, seconds: float = 10.0) -> None:
    """Makes all files of a directory older: what was written a moment before its copy is looked at twice."""
    when = time.time() - seconds
    for path in directory.rglob("*"):
        if path.is_file():
            os.utime(path, (when, when))


def rested(store: Storage, seconds: float = 10.0) -> Storage:
    """``store`` in memory, all its blobs older: what was written a moment before its copy is looked at twice."""
    backend = store.backend
    assert isinstance(backend, MemoryBackend)
    for path, (data, stat) in backend._blobs.items():
        backend._blobs[path] = (data, stat._replace(last_modified=stat.last_modified - timedelta(seconds=seconds)))
    return store


def fill(directory: Path, count: int) -> dict[str, str]:
    """Files of many sizes and depths, and what they are: digest by relative path."""
    dice = random.Random(11)
    wanted = {}
    for number in range(count):
        depth = "/".join(dice.choice(["a", "b c", "é", "a-b", "a.b"]) for _ in range(number % 3))
        name = f"{depth}/{number:05}.txt".lstrip("/")
        data = dice.randbytes(dice.choice([0, 30, 400, 4_000]) if number % 500 else 300_000)
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        wanted[name] = hashlib.sha256(data).hexdigest()
    aged(directory)
    return wanted


def digests(directory: Path) -> dict[str, str]:
    """What is in a folder, but for the library's own."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and ".storage~" not in path.parts
    }


def note_copies(log: str) -> None:
    """Has this process write the key of each copy that it begins into a file, a line each; several processes may share it."""
    copy = Copier.copy

    def noted(self: Copier, pair: Pair, key: str) -> int:
        with open(log, "a", buffering=1) as file:
            file.write(f"{key}\n")
        return copy(self, pair, key)

    Copier.copy = noted  # type: ignore[method-assign]


def events(source: Storage, target: Storage, **options: Any) -> tuple[SyncResult, list[SyncEvent]]:
    """The result and the events of a sync."""
    seen: list[SyncEvent] = []
    return source.sync_to(target, report=seen.append, **options), seen


def actions(seen: list[SyncEvent]) -> set[tuple[str, str | None, str]]:
    """What was done, and with which blob."""
    return {(event.action, event.storage_type, event.key) for event in seen if event.key is not None}
