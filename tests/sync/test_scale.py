"""Many blobs: killed on the way, against rclone, and in memory that does not grow."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from storage import Storage, SyncError
from tests.cli.conftest import environment, program
from tests.emulators.gcs import gcs  # noqa: F401
from tests.emulators.s3 import seaweedfs  # noqa: F401
from tests.sync.stores import aged, contents, digests, fill, filled, store_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

COUNT = 20_000


def sync_with_kills(source, target, env, kills, seconds):
    """Kills the sync ``kills`` times, each time after it has copied some more, then lets it end; returns the summaries."""
    done = []
    while True:
        with subprocess.Popen(
            program("sync", source, target, "--type", "data", "--json", "--concurrency", "16"),
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                copied = 0
                for line in process.stdout:
                    event = json.loads(line)
                    if event["action"] == "summary":
                        done.append(event)
                    copied += event["action"] == "copied"
                    if kills and copied == seconds:
                        process.kill()
                        break
                process.stdout.close()
                err = process.stderr.read()
            except BaseException:
                process.kill()
                raise
        if process.returncode == 0:
            return done
        assert process.returncode == -9, err
        assert kills
        kills -= 1


@pytest.mark.marathon
@pytest.mark.timeout(5400)  # fake-gcs-server looks through all of its blobs for each request
def test_a_chain_of_services_with_kills(tmp_path, seaweedfs, gcs):  # noqa: F811
    """20,000 files over S3 and Cloud Storage to files again, killed three times on the way, end byte for byte the same."""
    wanted = fill(tmp_path / "from", COUNT)
    env = environment(
        AWS_ACCESS_KEY_ID=seaweedfs.access_key,
        AWS_SECRET_ACCESS_KEY=seaweedfs.secret_key,
    )
    gcs.make_bucket("chain")
    places = [
        str(tmp_path / "from"),
        seaweedfs.url("chain", scheme="s3+boto3", query="&types=data:"),
        # Without the strict proxy, which would verify 80,000 signatures: this is not about them.
        gcs.url("chain", bucket="chain", endpoint_url=gcs.emulator_url, query="&anonymous=true&types=data:"),
        str(tmp_path / "to"),
    ]
    for number in range(3):
        (summary,) = sync_with_kills(places[number], places[number + 1], env, kills=1, seconds=4_000)
        assert summary["copied"] < COUNT  # the killed run's work was not done again
        assert summary["copied"] + summary["same"] == COUNT
    assert digests(tmp_path / "to") == wanted


def test_through_memory_with_interruptions(tmp_path):
    """20,000 blobs from files through memory to files, interrupted three times, end the same; so do their headers."""
    source, middle, target = Storage(tmp_path / "a"), store_of(), Storage(f"file://{tmp_path}/b?fsync=false")
    dice = random.Random(5)
    with Storage(f"file://{tmp_path}/a?fsync=false") as quick:
        for number in range(COUNT):
            headers = {"metadata": {"n": str(number)}} if number % 10 == 0 else {}
            quick.set(f"{number % 50}/{number}", dice.randbytes(number % 3000), **headers)
    aged(tmp_path / "a")
    for left, right in ((source, middle), (middle, target)):
        for limit in (3_000, 5_000, 7_000):
            count = 0

            def interrupt(event, limit=limit):
                nonlocal count
                count += event.action == "copied"
                if count == limit:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                left.sync_to(right, report=interrupt, concurrency=4)
        result = left.sync_to(right)
        assert result.same >= 15_000
        assert result.same + result.copied == COUNT
    assert contents(target) == contents(source)


def test_the_same_as_rclone(tmp_path, seaweedfs):  # noqa: F811
    """What rclone and this make of the same files in S3, and of that in files again, is the same."""
    wanted = fill(tmp_path / "from", 2_000)
    env = environment(
        AWS_ACCESS_KEY_ID=seaweedfs.access_key,
        AWS_SECRET_ACCESS_KEY=seaweedfs.secret_key,
        RCLONE_CONFIG="/dev/null",
        RCLONE_S3_PROVIDER="SeaweedFS",
        RCLONE_S3_ENDPOINT=seaweedfs.endpoint_url,
        RCLONE_S3_REGION=seaweedfs.region,
        RCLONE_S3_ENV_AUTH="true",
    )
    rclone = str(Path(sys.executable).with_name("rclone"))
    ours = seaweedfs.url("by-storage", query="&types=data:")
    theirs = seaweedfs.url("by-rclone", query="&types=data:")
    commands = [
        program("sync", str(tmp_path / "from"), ours),
        [rclone, "sync", str(tmp_path / "from"), f":s3:{seaweedfs.bucket}/by-rclone"],
        # Each brings back what the other has copied.
        program("sync", theirs, str(tmp_path / "storage-back")),
        [rclone, "sync", f":s3:{seaweedfs.bucket}/by-storage", str(tmp_path / "rclone-back")],
    ]
    for command in commands:
        subprocess.run(command, env=env, check=True, capture_output=True)
        # A destination that is hardly newer is compared with its metadata, and rclone writes some of its own.
        time.sleep(11)
    assert digests(tmp_path / "storage-back") == digests(tmp_path / "rclone-back") == wanted
    with Storage(ours, auth=seaweedfs.auth) as left, Storage(theirs, auth=seaweedfs.auth) as right:
        result = left.sync_to(right, delete=True)
    assert (result.copied, result.deleted, result.same) == (0, 0, 2_000)
    assert result.compared["checksum"] > 1_900


GROWTH = """
import os, resource, sys
from storage import Storage
from storage.backends import Stat
from storage.backends.memory import MemoryBackend
from datetime import datetime, timedelta, timezone
from itertools import chain

COUNT = int(sys.argv[1])
WHEN = datetime(2026, 1, 1, tzinfo=timezone.utc)

class Made(MemoryBackend):
    "A store of COUNT blobs that takes no memory: each is made when it is listed or read."
    def __init__(self, disordered=False, every=1, when=WHEN):
        super().__init__()
        self.disordered, self.every, self.when = disordered, every, when
    def scan(self, prefix, **options):
        numbers = range(0, COUNT if prefix == "data/" else 0, self.every)
        half = len(numbers) // 2
        for number in chain(numbers[half:], numbers[:half]) if self.disordered else numbers:
            yield [(f"{prefix}{number:09}-with-a-name-of-some-length", Stat(1, str(number), self.when))]
    def stat(self, path):
        return Stat(1, str(int(path[5:14])), WHEN, "a/b", None, None, {})
    def stream(self, path, *args):
        from storage.backends import Download
        return Download(self.stat(path), (piece for piece in [b"x"]))
    def get(self, path, *args):
        return b"x"
    def put(self, path, data, options):
        return self.stat(path)
    def bucket_exists(self):
        return True
    def delete(self, path):
        pass

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

source = Storage(backend=Made(sys.argv[2] == "disordered"))
target = Storage(backend=Made(every=2, when=WHEN + timedelta(hours=1)))
before = peak()
result = source.sync_to(target, concurrency=4, report=lambda event: None)
assert result.copied == COUNT // 2, result
print(peak() - before)
"""


@pytest.mark.parametrize("order", ["ordered", "disordered"])
def test_memory_is_flat(order):
    """A sync of 200,000 blobs, half of them to be copied, takes as much memory as one of 1,000, give or take 8 MiB."""

    def growth(count):
        done = subprocess.run(
            [sys.executable, "-c", GROWTH, str(count), order],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert growth(200_000) - growth(1_000) < 8 * 1024 * 1024


def test_a_source_that_changes_all_the_while(tmp_path):
    """Writers change the source during many syncs; once they rest, one more sync makes both the same."""
    source, target = Storage(f"file://{tmp_path}/a?fsync=false"), store_of()
    filled(source, {f"{n:04}": "0000" for n in range(2_000)})
    stop = threading.Event()

    def write(seed):
        dice = random.Random(seed)
        while not stop.is_set():
            key = f"{dice.randrange(2_200):04}"
            if dice.random() < 0.2:
                source.delete(key, missing_ok=True)
            else:
                source.set(key, f"{dice.randrange(10_000):04}")  # always of the same size

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(15):
            with contextlib.suppress(SyncError):  # of a blob that does not rest
                source.sync_to(target, delete=True, concurrency=8)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    source.sync_to(target, delete=True)
    assert contents(target) == contents(source)
