"""``Storage.sync_to``: what is copied, between which places, and what a sync says of itself."""

from __future__ import annotations

import os
import threading
from collections import Counter
from datetime import timedelta

import pytest

from storage import (
    AlreadyExistsError,
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
    InvalidStorageTypeError,
    Storage,
    SyncError,
)
from storage._sync.pace import Limiter
from storage.backends.filesystem import _system
from tests.filesystem.helpers import leftovers
from tests.sync.stores import BLOBS, Faulty, aged, contents, events, filled, make_md5_store, rested, store_of

# ---- copying --------------------------------------------------------------------------------------------------------


def test_everything_goes_along():
    """Bytes, headers and metadata of every type arrive, small blobs and those that are written in pieces."""
    source, target = store_of(), store_of()
    filled(source, BLOBS)
    big = bytes(range(256)) * 20_000
    source.set("big", iter([big[:3_000_000], big[3_000_000:]]), "tmp", content_type="x/y", metadata={"who": "é"})
    source.set(
        "r.json", "{}", "result", cache_control="no-store", content_encoding="gzip", metadata={"a": "1", "b": ""}
    )
    result = source.sync_to(target)
    assert contents(target) == contents(source)
    assert (result.copied, result.copied_bytes, result.same) == (7, 10 + len(big) + 2, 0)
    assert result.compared == {}


def test_again_does_nothing():
    """A second run copies nothing, and says by what it compared."""
    source, target = rested(filled(store_of(), BLOBS)), store_of()
    source.sync_to(target)
    before = contents(target), [info.etag for info in target.iter_info()]
    result = source.sync_to(target)
    assert (result.copied, result.same, result.compared) == (0, 5, {"size and time": 5})
    assert (contents(target), [info.etag for info in target.iter_info()]) == before


def test_what_differs_is_copied():
    """Another size or a newer source is copied; what only the destination has stays."""
    source, target = filled(store_of(), BLOBS), store_of()
    source.sync_to(target)
    target.set("only here", "x")
    source.set("a", "9")
    source.set("a/b", "longer")
    target.set("z/é ü", "shorter")
    result, seen = events(source, target)
    assert contents(target) == {**contents(source), ("data", "only here"): contents(target)["data", "only here"]}
    reasons = {event.key: event.reason for event in seen if event.action == "copied"}
    # A change so soon after the copy is beyond what times can tell: then the bytes were compared.
    assert reasons.pop("a") in ("the source is newer", "other bytes")
    assert reasons == {"a/b": "another size", "z/é ü": "another size"}
    assert (result.copied, result.same, result.deleted) == (3, 2, 0)


def test_one_type():
    """A storage type that is named is synced alone."""
    source, target = filled(store_of(), BLOBS), store_of()
    source.set("t", "1", "tmp")
    assert source.sync_to(target, "tmp").copied == 1
    assert target.list() == []
    assert target.list(storage_type="tmp") == ["t"]


def test_a_type_that_the_destination_has_not():
    """Every type of the source must have a place; nothing is copied before that is known."""
    source, target = filled(store_of(), BLOBS), Storage("memory://", storage_types={"data": "x/"})
    with pytest.raises(InvalidStorageTypeError, match="'tmp'"):
        source.sync_to(target)
    assert target.list() == []
    assert source.sync_to(target, "data").copied == 5


def test_filters():
    """What is not included, or excluded, is neither copied nor deleted."""
    source, target = filled(store_of(), {"a.csv": "1", "a.txt": "1", "tmp/b.csv": "1"}), store_of()
    filled(target, {"old.csv": "1", "old.txt": "1", "tmp/old.csv": "1"})
    result = source.sync_to(target, delete=True, include=["*.csv"], exclude=["tmp/"])
    assert target.list() == ["a.csv", "old.txt", "tmp/old.csv"]
    assert (result.copied, result.deleted) == (1, 1)


def test_prefix():
    """What does not start with the prefix is neither copied nor deleted; the rest keeps its whole key."""
    source, target = (
        filled(store_of(), {"a/1": "1", "ab": "2", "b": "3"}),
        filled(store_of(), {"a/old": "1", "old": "1"}),
    )
    result = source.sync_to(target, prefix="a", delete=True)
    assert target.list() == ["a/1", "ab", "old"]
    assert (result.copied, result.deleted) == (2, 1)
    with pytest.raises(InvalidKeyError):
        source.sync_to(target, prefix="/")


def test_a_path_is_a_plain_folder(tmp_path):
    """As on the command line: files stand where their keys say, of type data alone, and nothing else is left behind."""
    source = filled(store_of(), {"a/b.txt": "1"})
    source.set("t", "1", "tmp")
    assert source.sync_to(tmp_path / "out").copied == 1
    assert [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")] == ["a", "a/b.txt"]
    with pytest.raises(InvalidStorageTypeError):
        source.sync_to(tmp_path / "out", "tmp")


def test_a_digest_proves_a_mirror():
    """Stores whose blobs are all the same by their checksum have one digest; any other blob gives another, or none."""
    a, b, c = (store_of(make_md5_store()) for _ in range(3))
    rested(filled(a, BLOBS))
    a.set("t", "1", "tmp")
    assert a.sync_to(b).digest is None  # nothing was compared
    a.sync_to(c)
    proof = a.sync_to(b, checksum=True, dry_run=True, delete=True)
    assert (proof.copied, proof.deleted, proof.same) == (0, 0, 6)
    assert proof.digest
    assert b.sync_to(c, checksum=True).digest == proof.digest
    a.set("t", "2", "tmp")
    a.sync_to(b)
    other = a.sync_to(b, checksum=True).digest
    assert other not in (None, proof.digest)
    target = store_of()
    a.sync_to(target)
    read = a.sync_to(target, checksum=True)
    assert read.compared == {"content": 6}
    assert read.digest == other
    rested(a)
    assert a.sync_to(target).digest is None  # times prove nothing


@pytest.mark.parametrize("concurrency", [1, 8])
def test_concurrency(concurrency):
    """So many blobs at once, and not more."""
    gate, most, now = threading.Lock(), 0, 0

    class Counting(Faulty):
        def put(self, path, data, options):
            nonlocal most, now
            with gate:
                now += 1
                most = max(most, now)
            threading.Event().wait(0.002)
            with gate:
                now -= 1
            return super().put(path, data, options)

    source, target = filled(store_of(), {str(number): "x" for number in range(80)}), Counting()
    assert source.sync_to(store_of(target), concurrency=concurrency).copied == 80
    assert most <= concurrency
    assert (most > 1) is (concurrency > 1)


def test_wrong_arguments():
    """A mistake is an error before anything is done."""
    source, target = filled(store_of(), BLOBS), store_of()
    for options in ({"concurrency": 0}, {"bwlimit": 0}, {"bwlimit": -1}, {"include": [""]}):
        with pytest.raises(ValueError, match="concurrency|bwlimit|include"):
            source.sync_to(target, **options)
    with pytest.raises(TypeError, match="Storage"):
        source.sync_to("memory://x")
    with pytest.raises(InvalidStorageTypeError):
        source.sync_to(target, "other")
    assert target.list() == []


def test_progress_counts_the_bytes():
    """``progress`` gets every byte that is copied, one call at a time."""
    source, target = filled(store_of(), BLOBS), store_of()
    moved: list[int] = []
    source.sync_to(target, progress=moved.append)
    assert sum(moved) == 10


def test_events_tell_totals_first():
    """``planned`` comes before the first blob, with the number of blobs and bytes, so that a bar has an end."""
    _, seen = events(filled(store_of(), BLOBS), store_of())
    planned = [event for event in seen if event.action == "planned"]
    assert [(event.count, event.size) for event in planned] == [(5, 10)]
    assert seen.index(planned[0]) < min(seen.index(event) for event in seen if event.action == "copied")


@pytest.mark.parametrize("name", ["report", "progress"])
def test_exceptions_of_callbacks_end_it(name):
    """What a callback raises comes out bare, and nothing more is copied."""
    source, target = filled(store_of(), {str(number): "x" for number in range(100)}), store_of()

    def fail(value):
        if isinstance(value, int) or value.action == "copied":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        source.sync_to(target, concurrency=2, **{name: fail})
    assert len(target.list()) < 5


def test_bwlimit():
    """The limiter lets pass so many bytes a second, of all threads together, without ever waiting for nothing."""
    waits: list[float] = []
    clock = iter([0.0, 0.0, 0.0, 5.0]).__next__
    limiter = Limiter(100, waits.append, clock)
    for _ in range(3):
        limiter.take(50)
    assert waits == [0.5]
    assert Limiter(None, waits.append).take(10**9) is None
    assert waits == [0.5]


def test_bwlimit_slows_a_sync():
    """A sync with ``bwlimit`` takes the time that its bytes need."""
    import time

    source, target = filled(store_of(), {str(number): "x" * 1000 for number in range(10)}), store_of()
    began = time.monotonic()
    source.sync_to(target, bwlimit=50_000)
    # 10 kB are copied, and as many are read back; the last piece is let go without waiting.
    assert time.monotonic() - began > 0.3


def test_foreign_headers_are_a_failure_of_one_blob():
    """A blob whose headers the library may not write is named, and the others are copied."""
    backend = Faulty()
    source, target = filled(store_of(backend), BLOBS), store_of()
    data, stat = backend._blobs["data/a"]
    backend._blobs["data/a"] = (data, stat._replace(metadata={"No_Name": "x"}))
    with pytest.raises(SyncError, match="'a'") as caught:
        source.sync_to(target)
    assert [(f.storage_type, f.key) for f in caught.value.result.failures] == [("data", "a")]
    assert caught.value.result.copied == 4


# ---- places ---------------------------------------------------------------------------------------------------------


def test_the_same_store_is_refused(tmp_path):
    """A store is not synced to itself, by whatever name, nor into itself, nor around itself."""
    (tmp_path / "s").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "s")
    inside = f"file://{tmp_path}/s"
    shared = Storage("memory://sync-same-place")
    pairs = [
        (shared, shared),
        (shared, Storage("memory://sync-same-place")),
        (shared, Storage("memory://sync-same-place/data")),
        (Storage("memory://sync-same-place/data"), shared),
        (Storage(inside), Storage(inside)),
        (Storage(inside), Storage(tmp_path / "link")),
        (Storage(inside), Storage(inside + "/data")),
        (Storage(inside + "/data"), Storage(inside)),
        (Storage(inside), Storage(tmp_path, storage_types={"data": "s/data/x", "tmp": "t", "result": "r"})),
    ]
    for source, target in pairs:
        with pytest.raises(ConfigurationError, match="one place, or one is inside the other"):
            source.sync_to(target)


def test_neighbours_are_two_places(tmp_path):
    """A name that begins like another, two private stores, prefixes beside the types of the other store are other places."""
    pairs = [
        (Storage(tmp_path / "s"), Storage(tmp_path / "s2")),
        (Storage("memory://"), Storage("memory://")),
        (Storage("memory://sync-two/a"), Storage("memory://sync-two/ab")),
        (Storage("memory://sync-three"), Storage("memory://sync-three/sub")),
        (Storage(tmp_path / "s3"), Storage(tmp_path / "s3/sub")),
        (Storage("memory://sync-one"), Storage("memory://sync-one?types=data:x/,tmp:y/,result:z/")),
    ]
    for source, target in pairs:
        source.set("k", "1")
        assert source.sync_to(target).copied == 1


# ---- files ----------------------------------------------------------------------------------------------------------


def test_files_there_and_back(tmp_path):
    """Through directories everything comes back as it was."""
    source, back = filled(store_of(), BLOBS), store_of()
    source.set("m", b"\x00" * 3_000_000, "result", content_type="x/y", metadata={"who": "é"})
    there = Storage(tmp_path / "there")
    source.sync_to(there)
    aged(tmp_path / "there")
    (tmp_path / "plain").mkdir()
    plain = Storage(tmp_path / "plain", storage_types={"data": ""})
    there.sync_to(plain, "data")
    assert (tmp_path / "plain/z/é ü").read_text() == "4444"
    there.sync_to(back)
    assert contents(back) == contents(source)
    assert there.sync_to(plain, "data").copied == 0


def test_a_newer_file_is_copied(tmp_path):
    """A file that somebody edited in place is copied again, and one that was only looked at is not."""
    (tmp_path / "d").mkdir()
    path = tmp_path / "d/f.txt"
    path.write_text("old")
    aged(tmp_path)
    source, target = Storage(tmp_path / "d", storage_types={"data": ""}), store_of()
    source.sync_to(target, "data")
    path.read_text()
    assert source.sync_to(target, "data").copied == 0
    path.write_text("new")
    assert source.sync_to(target, "data").copied == 1
    assert target.get("f.txt") == "new"


def test_a_small_file_is_read_once_on_each_side(tmp_path, monkeypatch):
    """A blob of some KiB costs one read of the source, one of the copy, and one fsync each of file and directory."""
    counts = Counter()

    def counted(owner, name):
        call = getattr(owner, name)

        def count(*args):
            counts[name] += 1
            return call(*args)

        monkeypatch.setattr(owner, name, count)

    source, target = Storage(tmp_path / "a"), Storage(tmp_path / "b")
    source.set_many({f"k{number}": b"x" * 4096 for number in range(10)})
    target.set("first", "")  # makes the directories
    counted(os, "pread")
    counted(_system, "sync")
    assert source.sync_to(target).copied == 10
    assert counts == {"pread": 20, "sync": 20}


def test_a_small_file_that_is_not_what_was_written(tmp_path, monkeypatch):
    """It never gets its name: what stood there stands, nothing else stays, and the failure is named."""
    source, target = filled(Storage(tmp_path / "a"), {"a": "new", "b": "1"}), Storage(tmp_path / "b")
    target.set("a", "the old one")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, b"nex" if data == b"new" else data))
    with pytest.raises(SyncError) as caught:
        source.sync_to(target)
    assert [(failure.key, type(failure.error)) for failure in caught.value.result.failures] == [("a", IntegrityError)]
    assert contents(target).keys() == contents(source).keys()
    assert target.get("a") == "the old one"
    assert leftovers(tmp_path / "b") == []
    monkeypatch.undo()
    assert source.sync_to(target).copied == 1
    assert target.get("a") == "new"


def test_creating_only_is_no_part_of_it():
    """A blob that appears at the destination meanwhile is overwritten, as by ``set``."""
    source, target = filled(store_of(), BLOBS), filled(store_of(), {"a": "longer"})
    assert source.sync_to(target).failed == 0
    with pytest.raises(AlreadyExistsError):
        target.set("a", "x", overwrite=False)
    assert target.info("a").last_modified - source.info("a").last_modified >= timedelta()
