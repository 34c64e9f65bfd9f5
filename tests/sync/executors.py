"""Executors for tests, and stores for them."""

from __future__ import annotations

import random
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from storage import Storage
from tests.sync.stores import aged, filled

__all__ = ["Dying", "Inline", "blobs", "files"]


class Inline(ThreadPoolExecutor):
    """An executor that runs everything at once, here."""

    def __init__(self, workers: int = 1) -> None:
        super().__init__(workers)

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future


class Dying(Inline):
    """An executor whose workers are killed: after so many pieces it is broken."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.pieces == 0:
            raise RuntimeError("broken")
        self.pieces -= 1
        return super().submit(function, *args, **kwargs)


def blobs(count: int) -> dict[str, str]:
    dice = random.Random(3)
    return {f"{number % 7}/{number:05}": "x" * dice.choice([0, 1, 100]) for number in range(count)}


def files(directory: Path, count: int) -> Storage:
    """A store of files, older than any copy."""
    store = filled(Storage(f"file://{directory}?fsync=false"), blobs(count))
    store.set("t", "1", "tmp", metadata={"m": "é"})
    aged(directory)
    return store
