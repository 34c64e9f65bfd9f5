"""Stores of a hundred million keys, which are made up: how far workers scale, and what the process that leads them holds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import pytest

from storage import Storage
from storage._sync.work import SyncWork
from storage._sync_types import SyncResult
from storage._types import KeyRange
from storage.backends import Stat
from storage.backends.memory import MemoryBackend
from tests.sync.key_spaces import SPACES, Space, numbers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


class MadeUp(MemoryBackend):
    """Keys that are computed when they are listed, each page after so many seconds."""

    concurrency = 32  # as that of a service

    def __init__(self, space: Space, latency: float = 0.0, page: int = 1000) -> None:
        super().__init__()
        self.space, self._latency, self._most = space, latency, page
        self.asked = 0

    def scan(self, prefix: str, *, start_after=None, end_before=None, page_size: int = 1000, **_: Any):
        stat, page_size = Stat(1, "etag", LONG_AGO), min(page_size, self._most)
        while True:
            self.asked += 1
            time.sleep(self._latency)
            keys = self.space.keys(start_after, end_before, page_size)
            yield [(key, stat) for key in keys]
            if len(keys) < page_size:
                return
            start_after = keys[-1]

    def stat(self, path: str) -> Stat:
        return Stat(1, "etag", LONG_AGO)


def made_up(backend: MadeUp) -> Storage:
    """A store of these keys, of one type."""
    return Storage(backend=backend, storage_types={"data": ""})


def one(store, key):
    return 1


def pages_a_second(workers, keys):
    """How fast so many workers list so many keys, twenty to a page and 40 milliseconds each; with the split before."""
    backend = MadeUp(Space([("img_", keys, numbers(12, ".jpg"))]), latency=0.04, page=20)
    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as executor:
        assert sum(1 for _ in made_up(backend).map_keys(one, executor=executor)) == keys
    return keys / 20 / (time.perf_counter() - began)


def test_sixteen_workers():
    """Through latency, sixteen workers list at least twelve times as fast as one."""
    assert pages_a_second(16, 300_000) >= 12 * pages_a_second(1, 20_000)


class Answers(ThreadPoolExecutor):
    """Answers for the workers of a sync at once: a hundred thousand keys to a piece, all the same on both sides."""

    def __init__(self, space: Space) -> None:
        super().__init__(16)
        self._space = space
        self.pieces = 0

    def submit(self, fn, /, task):
        def run(_: SyncWork, keys: KeyRange) -> tuple[SyncResult, KeyRange | None]:
            self.pieces += 1
            first = self._space.rank(keys.start_after)
            end = len(self._space) if keys.end_before is None else self._space.rank(keys.end_before)
            count = min(end - first, 100_000)
            rest = KeyRange(self._space.key(first + count - 1), keys.end_before) if first + count < end else None
            return SyncResult(same=count, digest=f"{first:064x}"), rest

        SyncWork.run = run
        future: Future = Future()
        future.set_result(fn(task))
        return future


def led(name: str) -> dict[str, Any]:
    """Leads a sync of a made-up store; the result, and how far the process grew."""

    def peak() -> int:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    space = SPACES[name]()
    source, target = (made_up(MadeUp(space)) for _ in range(2))
    small = Storage("memory://")
    small.sync_to(Storage("memory://"), executor=ThreadPoolExecutor(1))  # all that is imported once
    before = peak()
    executor = Answers(space)
    result = source.sync_to(target, "data", executor=executor)
    ranges = source.split_keys("", 1000)
    return {
        "same": result.same,
        "keys": len(space),
        "pieces": executor.pieces,
        "ranges": len(ranges),
        "grown": peak() - before,
    }


def test_the_leader_stays_small():
    """A sync of a hundred million blobs, and a split into a thousand ranges, take the process that leads less than 64 MiB."""
    program = f"import json; from {__name__} import led; print(json.dumps(led('one hot prefix')))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["same"] == found["keys"] >= 99_000_000
    assert found["pieces"] >= 1_000
    assert found["ranges"] > 900
    assert found["grown"] < 64 * 1024, f"{found['grown']:,} KiB"
