"""``executor=``: syncs, deletes and calls of a function by other processes, which may die at any moment."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta

import anyio
import anyio.to_thread
import pytest

from storage import (
    AsyncStorage,
    BucketNotFoundError,
    ConfigurationError,
    InvalidKeyError,
    KeyRange,
    PermissionDeniedError,
    Storage,
    SyncError,
    SyncEvent,
    UnavailableError,
)
from storage._facade.core import core_of
from storage._sync import pace as pace_module
from storage._sync import spreading, work
from storage._sync import stores as sync_stores
from storage._sync.journal import Done, Journal
from storage._sync.pace import Abandoned, Pace
from storage._sync.work import SyncWork
from storage.backends.memory import MemoryBackend
from tests.sync.stores import Faulty, aged, contents, filled, rested, store_of

SPAWN = multiprocessing.get_context("spawn")  # workers that know nothing but what they are sent


@pytest.fixture(scope="module")
def pool():
    """Two processes."""
    with ProcessPoolExecutor(2, SPAWN) as executor:
        yield executor


@pytest.fixture
def threads():
    """Four threads of this process, which see its memory."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of a few blobs, in this process."""
    monkeypatch.setattr(work, "_SYNCED", work.Limit(compared=20, jobs=7, size=10**9))
    monkeypatch.setattr(work, "_DELETED", 7)
    monkeypatch.setattr(work, "_MAPPED", 7)


def blobs(count):
    dice = random.Random(3)
    return {f"{number % 7}/{number:05}": "x" * dice.choice([0, 1, 100]) for number in range(count)}


def files(directory, count):
    """A store of files, older than any copy."""
    store = filled(Storage(f"file://{directory}?fsync=false"), blobs(count))
    store.set("t", "1", "tmp", metadata={"m": "é"})
    aged(directory)
    return store


# ---- syncing -------------------------------------------------------------------------------------------------------


def test_a_process_pool(tmp_path, pool):
    """Everything goes along, and the second run finds it done; the journal is gone at the end."""
    source, target = files(tmp_path / "a", 300), Storage(f"file://{tmp_path}/b?fsync=false")
    seen: list[SyncEvent] = []
    moved: list[int] = []
    result = source.sync_to(target, executor=pool, report=seen.append, progress=moved.append)
    assert (result.copied, result.same, result.failed, result.resumed) == (301, 0, 0, 0)
    assert sum(moved) == result.copied_bytes > 0
    assert contents(target) == contents(source)
    last = seen[-1]
    assert {event.action for event in seen} == {"ranges"}
    assert (last.count, last.blobs, last.size) == (last.total, 301, result.copied_bytes)
    again = source.sync_to(target, executor=pool)
    assert (again.copied, again.same) == (0, 301)


def test_deletes_come_in_a_second_pass(threads, small_pieces):
    """What the source has not is deleted, after all copies, in every range, also beyond the source's own keys."""
    source, theirs = rested(filled(store_of(), blobs(100))), Faulty()
    old = {f"{folder}/old{number}": "1" for folder in ("0", "3", "zz") for number in range(10)}
    target = filled(store_of(theirs), old)
    order: list[str] = []
    delete, put = theirs.delete, theirs.put
    theirs.delete = lambda path, **options: (order.append("delete"), delete(path, **options))
    theirs.put = lambda path, data, options: (
        path.startswith("data/") and order.append("put"),
        put(path, data, options),
    )[1]
    result = source.sync_to(target, delete=True, executor=threads)
    assert (result.copied, result.deleted, result.same, result.kept) == (100, 30, 0, 0)
    assert contents(target) == contents(source)
    copies = [number for number, what in enumerate(order) if what == "put"]
    deletes = [number for number, what in enumerate(order) if what == "delete"]
    assert max(copies) < min(deletes)


def test_a_failure_deletes_nothing(threads, small_pieces, monkeypatch):
    """One blob that fails stops no other, is named, and nothing is deleted."""
    backend = Faulty()
    source, target = filled(store_of(backend), blobs(50)), filled(store_of(), {"old": "1"})
    backend.broken = {"data/1/00001"}
    seen: list[SyncEvent] = []
    monkeypatch.setattr(work, "_PATIENCE", 0)
    with pytest.raises(SyncError) as caught:
        source.sync_to(target, delete=True, executor=threads, report=seen.append)
    result = caught.value.result
    assert (result.copied, result.failed, result.deleted) == (49, 1, 0)
    assert [(failure.storage_type, failure.key) for failure in result.failures] == [("data", "1/00001")]
    assert [event.key for event in seen if event.action == "failed"] == ["1/00001"]
    assert target.get("old") == "1"
    assert target.list(storage_type="tmp") == []  # the run ended: its journal is gone
    backend.broken = set()
    assert source.sync_to(target, delete=True, executor=threads).deleted == 1
    assert contents(target) == contents(source)


def test_dry_run(threads):
    """Nothing is changed, no journal is written, and the counts say what would be done."""
    source, theirs = filled(store_of(), blobs(30)), Faulty()
    target = filled(store_of(theirs), {"old": "1"})
    before = dict(theirs._blobs)
    result = source.sync_to(target, delete=True, dry_run=True, executor=threads)
    assert (result.copied, result.deleted, result.dry_run) == (30, 1, True)
    assert theirs._blobs == before


def test_a_plain_folder_has_no_journal(tmp_path, pool):
    """A target without the type ``tmp`` is synced too, and nothing is left beside its files."""
    source = files(tmp_path / "a", 40)
    assert source.sync_to(tmp_path / "out", executor=pool).copied == 40
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == list("0123456")


def test_prefix_filters_and_digest(threads, small_pieces):
    """The choice of keys, and the proof of a mirror, are those of a sync without an executor."""
    source, target = rested(filled(store_of(), blobs(60))), store_of()
    options = {"prefix": "1/", "exclude": ["*5"]}
    result = source.sync_to(target, "data", **options, executor=threads)
    assert result.copied == len(target.list()) == sum(key.startswith("1/") and key[-1] != "5" for key in blobs(60))
    proof = source.sync_to(target, "data", **options, checksum=True, executor=threads)
    assert proof.digest == source.sync_to(target, "data", **options, checksum=True).digest
    assert proof.digest


def test_listings_that_fail(threads, monkeypatch):
    """Permission that is missing ends the sync at once; a service that does not answer, after some tries."""
    monkeypatch.setattr(work, "_PATIENCE", 0)
    backend = Faulty()
    source, target = filled(store_of(backend), blobs(30)), filled(store_of(), {"old": "1"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SyncWork, "run", lambda self, keys: (_ for _ in ()).throw(PermissionDeniedError("no")))
        with pytest.raises(PermissionDeniedError):
            source.sync_to(target, delete=True, executor=threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SyncWork, "run", lambda self, keys: (_ for _ in ()).throw(UnavailableError("down")))
        with pytest.raises(UnavailableError, match="5 times in a row"):
            source.sync_to(target, delete=True, executor=threads)
    assert target.get("old") == "1"
    backend.there = False
    with pytest.raises(BucketNotFoundError):
        source.sync_to(target, delete=True, executor=threads)


# ---- what is sent --------------------------------------------------------------------------------------------------


def test_credentials_are_never_sent(pool, monkeypatch):
    """An explicit ``auth`` is refused before anything is done, with the remedy; threads need nothing sent."""
    secret = {"access_key_id": "KEY", "secret_access_key": "TOPSECRET"}
    url = "s3://bucket?region=us-east-1&endpoint_url=http://127.0.0.1:9"
    store, other = Storage(url, auth=secret), Storage("s3://other?region=us-east-1&endpoint_url=http://127.0.0.1:9")
    calls = [
        lambda: store.delete_prefix("x", executor=pool),
        lambda: list(store.map_keys(len, executor=pool)),
        lambda: store.sync_to(other, executor=pool),
        lambda: other.sync_to(store, executor=pool),
    ]
    monkeypatch.setattr("storage._sync.run.check_there", lambda pair: None)
    for call in calls:
        with pytest.raises(ConfigurationError, match="explicit auth.*environment.*initializer") as caught:
            call()
        assert "TOPSECRET" not in str(caught.value)


def test_private_memory_is_refused(pool):
    """A store that only this process has cannot be sent; the message names that alone."""
    with pytest.raises(ConfigurationError, match="private to this process.*memory://NAME") as caught:
        store_of().sync_to(store_of(), executor=pool)
    assert "credentials" not in str(caught.value)


def test_workers_that_see_another_store(tmp_path, pool, monkeypatch):
    """Named memory is empty in another process, as a directory is on another machine: nothing is done with what is not there."""
    source = filled(Storage("memory://executors-elsewhere"), blobs(20))
    target = filled(Storage(f"file://{tmp_path}/b?fsync=false"), {"old": "1"})
    with pytest.raises(UnavailableError, match="another store for this worker"):
        source.sync_to(target, delete=True, executor=pool)
    assert target.list() == ["old"]
    with pytest.raises(UnavailableError, match="another store for this worker"):
        source.delete_prefix("1", executor=pool)
    with pytest.raises(UnavailableError, match="another store for this worker"):
        list(source.map_keys(length, executor=pool))
    here = files(tmp_path / "a", 5)
    with pytest.raises(UnavailableError, match="another store for this worker"):
        here.sync_to(Storage("memory://executors-target"), executor=pool)


def test_a_worker_opens_a_store_once(tmp_path, pool):
    """However many tasks bring it."""
    store = files(tmp_path / "a", 40)
    ids = {(pid, identity) for _, (pid, identity) in store.map_keys(identity_of, executor=pool)}
    assert len(ids) == len({pid for pid, _ in ids})


def identity_of(store, key):
    return os.getpid(), id(store)


# ---- resuming ------------------------------------------------------------------------------------------------------


class Inline(ThreadPoolExecutor):
    """An executor that runs everything at once, here."""

    def __init__(self, workers=1):
        super().__init__(workers)

    def submit(self, function, /, *args):
        future: Future = Future()
        future.set_result(function(*args))
        return future


class Dying(Inline):
    """An executor whose workers are killed: after so many pieces it is broken."""

    def __init__(self, pieces):
        super().__init__()
        self.pieces = pieces

    def submit(self, function, /, *args):
        if self.pieces == 0:
            raise RuntimeError("broken")
        self.pieces -= 1
        return super().submit(function, *args)


@pytest.mark.parametrize("pieces", [1, 3, 10])
def test_a_killed_run_is_taken_up(small_pieces, threads, pieces):
    """What was journaled is not looked at again; what was not is; and the journal of another choice of keys says nothing."""
    source, theirs = rested(filled(store_of(), blobs(100))), Faulty()
    target = store_of(theirs)
    with pytest.raises(UnavailableError, match="make a new one and call again"):
        source.sync_to(target, executor=Dying(pieces))
    there = len(target.list())
    assert len([key for key in target.list(storage_type="tmp") if "/ranges/" in key]) == pieces
    assert source.sync_to(target, prefix="1/", executor=threads).resumed == 0
    theirs.streams.clear()
    result = source.sync_to(target, executor=threads)
    assert result.resumed == pieces
    assert result.copied + result.same <= 100 - there + 15
    assert contents(target) == contents(source)
    assert target.list(storage_type="tmp") == []


def killed_after(ranges, source, target):
    """A program of its own: a sync that kills its process after so many ranges; 0: that ends, and prints its result."""
    with ThreadPoolExecutor(1) as executor:

        def kill(event):
            if event.count == ranges:
                os.kill(os.getpid(), signal.SIGKILL)

        result = Storage(source).sync_to(Storage(target), executor=executor, report=kill)
    print(json.dumps([result.resumed, result.copied, result.same]))  # noqa: T201


def elsewhere(ranges, source, target, machine):
    """Runs ``killed_after`` as on a machine of this name: nothing but the two stores is the same."""
    folders = {name: machine / name for name in ("home", "temp", "work")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    program = (
        f"import socket; socket.gethostname = lambda: {machine.name!r}; from {__name__} import killed_after; "
        f"killed_after({ranges}, {source.backend.location!r}, {target.backend.location!r})"
    )
    places = {"HOME": folders["home"], "TMPDIR": folders["temp"], "XDG_DATA_HOME": folders["home"]}
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | {k: str(v) for k, v in places.items()}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folders["work"], env=env, capture_output=True, text=True, check=False
    )


def test_resumed_on_another_machine(tmp_path):
    """All that a run needs to go on with a killed one is in the target: no file, folder, host or process of the first one."""
    source, target = files(tmp_path / "a", 200), Storage(f"file://{tmp_path}/b")
    killed = elsewhere(3, source, target, tmp_path / "first")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    there = len(target.list())
    assert 0 < there < 200
    shutil.rmtree(tmp_path / "first")
    ended = elsewhere(0, source, target, tmp_path / "second")
    assert ended.returncode == 0, ended.stderr
    resumed, copied, same = json.loads(ended.stdout)
    assert resumed >= 3
    assert copied + same < 200
    assert contents(target) == contents(source)
    assert target.list(storage_type="tmp") == ["t"]


def test_two_runs_that_finish_a_range_at_once():
    """The journal takes one entry, create-only; the other run takes the range for done, and both read it once."""
    backend = MemoryBackend()
    journals = [Journal(sync_stores.Store(core_of(Storage(backend=backend))), "one-sync") for _ in range(2)]
    both, tried = threading.Barrier(2), []
    put = backend.put

    def put_at_once(path, data, options):
        tried.append(options.overwrite)
        both.wait(20)
        return put(path, data, options)

    backend.put = put_at_once
    done = Done("data", KeyRange("a", "b\0"), f"{1:064x}")
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda journal: journal.write(done), journals))
    assert tried == [False, False]
    assert [journal.read() for journal in journals] == [[done], [done]]


def test_two_runs_at_once(small_pieces, threads):
    """A run goes on although another one of the same sync ended after it had begun, and removed the journal of both."""
    source, target = rested(filled(store_of(), blobs(100))), store_of()

    class Late(ThreadPoolExecutor):
        other = None

        def submit(self, function, /, *args):
            if self.other is None:
                self.other = source.sync_to(target, executor=threads)
            return super().submit(function, *args)

    with Late(2) as late:
        result = source.sync_to(target, executor=late)
    assert (late.other.copied, result.copied, result.same) == (100, 0, 100)
    assert contents(target) == contents(source)
    assert target.list(storage_type="tmp") == []


def test_an_old_journal_counts_no_more(small_pieces, threads):
    """Ranges that were done more than a day ago are compared again."""
    source, theirs = rested(filled(store_of(), blobs(100))), Faulty()
    target = store_of(theirs)
    with pytest.raises(UnavailableError):
        source.sync_to(target, executor=Dying(5))
    rested(target, timedelta(hours=25).total_seconds())
    key = target.list()[0]
    source.set(key, "changed since")
    assert source.sync_to(target, executor=threads).resumed == 0
    assert target.get(key) == "changed since"


def test_the_journal_is_no_part_of_a_sync(small_pieces, threads):
    """Neither copied nor deleted, as source and as target."""
    a, b, c = rested(filled(store_of(), blobs(30))), store_of(), store_of()
    with pytest.raises(UnavailableError):
        a.sync_to(b, executor=Dying(3))
    journal = b.list(storage_type="tmp")
    assert journal
    assert b.sync_to(c, delete=True).copied == len(b.list())
    assert c.list(storage_type="tmp") == []
    assert c.sync_to(b, "tmp", delete=True).deleted == 0
    assert b.list(storage_type="tmp") == journal


def test_callbacks_that_raise(threads, small_pieces):
    """They end the sync, come out bare, and what was done stays in the journal."""
    source, target = filled(store_of(), blobs(100)), store_of()

    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        source.sync_to(target, executor=threads, report=fail)
    assert any("/ranges/" in key for key in target.iter_list(storage_type="tmp"))


# ---- killed workers ------------------------------------------------------------------------------------------------


def test_a_range_that_kills_its_worker():
    """It is given up after some tries, and does not go on for ever."""
    tries = 0

    class Killed(Inline):
        def submit(self, function, /, *args):
            nonlocal tries
            tries += 1
            future: Future = Future()
            future.set_exception(OSError("killed"))
            return future

    with pytest.raises(UnavailableError, match="5 times in a row.*OSError: killed"):
        filled(store_of(), {"a": "1"}).delete_prefix("a", executor=Killed())
    assert tries == 5


# ---- deleting and mapping ------------------------------------------------------------------------------------------


def test_delete_prefix(tmp_path, pool):
    """Workers delete what starts with the prefix, and nothing else."""
    store = files(tmp_path / "a", 300)
    count = sum(key.startswith("3/") for key in blobs(300))
    assert store.delete_prefix("3/", executor=pool) == count
    assert not store.list("3/")
    assert len(list(store.iter_list())) == 300 - count
    assert store.delete_prefix("3/", executor=pool) == 0
    for prefix, error in (("", ValueError), ("/", InvalidKeyError)):
        with pytest.raises(error):
            store.delete_prefix(prefix, executor=pool)


def length(store, key):
    return len(store.get_bytes(key))


def length_of_tmp(store, key):
    return len(store.get_bytes(key, "tmp"))


def fail_at_three(store, key):
    if key == "3/00003":
        raise ZeroDivisionError(key)
    return 1


def test_map_keys(tmp_path, pool, threads, small_pieces):
    """Every key once, with its result; of a prefix and a type; a function's exception comes out bare."""
    store = files(tmp_path / "a", 300)
    wanted = {key: len(value) for key, value in blobs(300).items()}
    found = list(store.map_keys(length, executor=pool))
    assert len(found) == 300
    assert dict(found) == wanted
    assert dict(store.map_keys(lambda store, key: key, "1/", executor=threads)) == {
        key: key for key in wanted if key.startswith("1/")
    }
    assert list(store.map_keys(length_of_tmp, storage_type="tmp", executor=pool)) == [("t", 1)]
    with pytest.raises(ZeroDivisionError, match="3/00003"):
        list(store.map_keys(fail_at_three, executor=pool))
    with pytest.raises(InvalidKeyError):
        store.map_keys(length, "/", executor=pool)


def test_on_asyncio(threads, small_pieces):
    """``AsyncStorage`` has the same calls; the function gets a ``Storage``."""

    async def main():
        source, target = AsyncStorage("memory://"), AsyncStorage("memory://")
        await source.set_many(blobs(100))
        assert (await source.sync_to(target, executor=threads)).copied == 100
        ranges = await target.split_keys("", 5)
        assert len(ranges) > 1
        found = {key: size async for key, size in target.map_keys(length, executor=threads)}
        assert found == {key: len(value) for key, value in blobs(100).items()}
        assert await target.delete_prefix("1/", executor=threads) == sum(key.startswith("1/") for key in found)
        assert await target.list("1/") == []

    anyio.run(main)


def test_a_cancelled_call_waits_for_no_worker(threads):
    """It returns at once, and the worker ends what it has begun."""
    begun, release, ended = threading.Event(), threading.Event(), []

    def wait(store, key):
        begun.set()
        ended.append(release.wait(20))

    async def main():
        store = AsyncStorage("memory://")
        await store.set("a", "1")

        async def use():
            async for _ in store.map_keys(wait, executor=threads):
                pass

        async with anyio.create_task_group() as group:
            group.start_soon(use)
            await anyio.to_thread.run_sync(begun.wait)
            group.cancel_scope.cancel()
        assert ended == []
        release.set()

    anyio.run(main)


# ---- load ----------------------------------------------------------------------------------------------------------


def test_what_is_left_is_split_again(threads, small_pieces, monkeypatch):
    """One range with nearly all keys does not keep one worker busy while the others are idle."""
    monkeypatch.setattr(spreading, "ranges_for", lambda executor: 1)
    source, target = filled(store_of(), {f"a/{number:05}": "1" for number in range(2_000)}), store_of()
    workers = set()
    run = SyncWork.run

    def note(self, keys):
        workers.add(threading.get_ident())
        return run(self, keys)

    monkeypatch.setattr(SyncWork, "run", note)
    assert source.sync_to(target, "data", executor=threads).copied == 2_000
    assert len(workers) == 4


def test_the_limit_of_bytes_is_shared():
    """All workers together stay below ``bwlimit``."""
    shares = []

    class Noted(Inline):
        def submit(self, function, /, *args):
            shares.append(args[0].work.options.bwlimit)
            return super().submit(function, *args)

    source = filled(store_of(), {f"{number:05}": "1" for number in range(500)})
    source.sync_to(store_of(), "data", executor=Noted(4), bwlimit=1e9)
    assert shares[0] == 1e9 / 4
    assert max(shares) <= 1e9


class Clock:
    """Time that passes only where something waits."""

    def __init__(self):
        self.now = 0.0
        self.waits: list[float] = []

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now += seconds
        return False


def test_throttled_services_slow_all_down():
    """A refusal makes every call wait, longer each time, and no call fails; success shortens the waits."""
    clock = Clock()
    pace = Pace(6, clock.wait, lambda: clock.now)
    refused = iter([True] * 4)

    def call():
        if next(refused, False):
            raise UnavailableError("slow down")
        return "done"

    assert pace.run(call) == "done"
    assert len(clock.waits) == 4
    assert all(0.25 <= wait / 2**number <= 0.75 for number, wait in enumerate(clock.waits))
    before = pace._pause
    pace.run(call)
    assert pace._pause < before
    assert len(clock.waits) == 4


class Throttled(Faulty):
    """A store that takes 20 blobs in 0.1 seconds, and refuses the rest, as S3 does with 503 SlowDown."""

    def __init__(self):
        super().__init__()
        self.taken = deque([0.0] * 20, maxlen=20)
        self.refused = 0

    def put(self, path, data, options):
        now = time.monotonic()
        if now - self.taken[0] < 0.1 and path.startswith("data/"):
            self.refused += 1
            raise UnavailableError("503 SlowDown")
        self.taken.append(now)
        return super().put(path, data, options)


def test_a_service_that_asks_all_workers_to_slow_down(threads, small_pieces, monkeypatch):
    """No blob fails, and all workers together ask little more often than the service allows."""
    monkeypatch.setattr(pace_module, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(pace_module, "_LONGEST_PAUSE", 1.0)
    theirs = Throttled()
    source, target = rested(filled(store_of(), blobs(400))), store_of(theirs)
    result = source.sync_to(target, "data", executor=threads, concurrency=4)
    assert (result.copied, result.failed) == (400, 0)
    assert 0 < theirs.refused < 400


def test_a_dead_service_is_not_waited_for_again_and_again():
    """Once a call has failed for good, the next ones fail at once until one succeeds."""
    clock = Clock()
    pace = Pace(2, clock.wait, lambda: clock.now)
    calls = 0

    def call():
        nonlocal calls
        calls += 1
        raise UnavailableError("down")

    for tries in (3, 4, 5):
        with pytest.raises(UnavailableError):
            pace.run(call)
        assert calls == tries
    assert pace.run(lambda: 1) == 1
    with pytest.raises(UnavailableError):
        pace.run(call)
    assert calls == 8


def test_a_stopped_sync_waits_no_longer():
    """A pause ends when the sync does."""
    pace = Pace(2, lambda seconds: True, lambda: 0.0)

    def call():
        raise UnavailableError("down")

    with pytest.raises(Abandoned):
        pace.run(call)


def test_failures_can_be_sent():
    """Whatever a blob failed with comes back from the worker."""

    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a}{b}")

    assert str(pickle.loads(pickle.dumps(work._sendable(Odd(1, 2))))) == "Odd: 12"
    error = PermissionDeniedError("no", key="k")
    assert work._sendable(error) is error


def hide_a_folder(inode):
    """Makes this process unable to list a folder, whoever runs it."""
    scandir = os.scandir

    def refusing(fd):
        if os.fstat(fd).st_ino == inode:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return scandir(fd)

    os.scandir = refusing


def test_a_hidden_folder_is_no_success(tmp_path):
    """A folder that a worker cannot read fails the sync of all of it: what is in there would be missing, or deleted."""
    source = files(tmp_path / "a", 20)
    target = filled(Storage(f"file://{tmp_path}/b?fsync=false"), {"old": "1"})
    hidden = os.stat(tmp_path / "a/data/3").st_ino
    with (
        ProcessPoolExecutor(1, SPAWN, hide_a_folder, (hidden,)) as executor,
        pytest.raises(PermissionDeniedError),
    ):
        source.sync_to(target, delete=True, executor=executor)
    assert target.get("old") == "1"
