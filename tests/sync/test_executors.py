"""``executor=``: syncs, deletes and calls of a function by other processes, which may die at any moment."""

from __future__ import annotations

import errno
import os
import pickle
import threading
import time
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor

import anyio
import anyio.to_thread
import pytest

from storage import (
    AsyncStorage,
    BucketNotFoundError,
    ConfigurationError,
    InvalidKeyError,
    PermissionDeniedError,
    Storage,
    SyncError,
    SyncEvent,
    UnavailableError,
)
from storage._sync import bulk, work
from storage._sync import pace as pace_module
from storage._sync.pace import Abandoned, Pace
from storage._sync.work import SyncWork
from tests.emulators.s3 import seaweedfs  # noqa: F401
from tests.sync.conftest import SPAWN
from tests.sync.executors import Inline, blobs, files
from tests.sync.stores import Faulty, contents, filled, make_md5_store, rested, store_of

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


def test_many_failures_come_back_as_a_few(threads, monkeypatch):
    """All failures are counted; each worker names so many of them at most."""
    monkeypatch.setattr(work, "_FAILURES", 3)
    monkeypatch.setattr(work, "_PATIENCE", 0)
    monkeypatch.setattr(bulk, "ranges_for", lambda executor: 2)
    backend = Faulty()
    source = filled(store_of(backend), blobs(100))
    backend.broken = set(backend._blobs)
    with pytest.raises(SyncError, match="100 of the blobs failed") as caught:
        source.sync_to(store_of(), executor=threads)
    assert (caught.value.result.failed, len(caught.value.result.failures)) == (100, 6)


def test_a_mirror_is_proved_by_listings_alone(threads, small_pieces):
    """Where both etags are MD5s no blob is read or asked for, but the samples that show each worker the right store."""
    ours, theirs = make_md5_store(), make_md5_store()
    source, target = rested(filled(store_of(ours), blobs(200)), 30), rested(filled(store_of(theirs), blobs(200)))
    asked = []
    for backend in (ours, theirs):
        backend.on_stream = lambda path, _: asked.append(path)
        backend.stat = lambda path, stat=backend.stat: (asked.append(path), stat(path))[1]
    proof = source.sync_to(target, checksum=True, executor=threads)
    assert (proof.same, proof.compared) == (200, {"checksum": 200})
    assert proof.digest == source.sync_to(target, checksum=True).digest
    assert proof.digest
    assert {path for path in asked if path.startswith("data/")} <= {f"data/{key}" for key in sorted(blobs(200))[:3]}
    target.set("0/00000", "other")
    assert source.sync_to(target, dry_run=True, checksum=True, executor=threads).copied == 1


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


def set_credentials(variables):
    os.environ.update(variables)


def test_workers_find_their_own_credentials(seaweedfs, tmp_path, monkeypatch):  # noqa: F811
    """What an initializer of the executor sets up serves its workers; without any they are refused, as the caller would be."""
    credentials = {"AWS_ACCESS_KEY_ID": seaweedfs.access_key, "AWS_SECRET_ACCESS_KEY": seaweedfs.secret_key}
    source = files(tmp_path / "a", 20)
    with (
        ProcessPoolExecutor(1, SPAWN) as without,
        ProcessPoolExecutor(1, SPAWN, set_credentials, (credentials,)) as executor,
    ):
        for one in (without, executor):
            one.submit(os.getpid).result()  # it starts before the caller's environment has any
        for name, value in credentials.items():
            monkeypatch.setenv(name, value)
        target = Storage(seaweedfs.url())
        with pytest.raises(PermissionDeniedError):
            source.sync_to(target, executor=without)
        assert source.sync_to(target, executor=executor).copied == 21
    assert contents(target) == contents(source)


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
    monkeypatch.setattr(bulk, "ranges_for", lambda executor: 1)
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
    pace = Pace(30, clock.wait, lambda: clock.now)
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


def test_a_blob_that_is_refused_while_others_are_not():
    """It is tried for as long as it takes, though the success of the others keeps the pauses short; but not for ever."""
    clock = Clock()
    pace = Pace(30, clock.wait, lambda: clock.now)
    calls = 0

    def call():
        nonlocal calls
        calls += 1
        for _ in range(20):
            pace.run(lambda: "another blob")
        raise UnavailableError("slow down")

    with pytest.raises(UnavailableError):
        pace.run(call)
    assert calls > 20
    assert 30 <= clock.now < 32


def test_a_dead_service_is_not_waited_for_again_and_again():
    """Once a call has failed for good, the next ones fail at once until one succeeds."""
    clock = Clock()
    pace = Pace(0.2, clock.wait, lambda: clock.now)
    calls = 0

    def call():
        nonlocal calls
        calls += 1
        raise UnavailableError("down")

    for tries in (2, 3, 4):
        with pytest.raises(UnavailableError):
            pace.run(call)
        assert calls == tries
    assert pace.run(lambda: 1) == 1
    with pytest.raises(UnavailableError):
        pace.run(call)
    assert calls == 6


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
