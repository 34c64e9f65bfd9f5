"""What others do to either store while a sync is at it, and what a stream may not tell."""

from __future__ import annotations

from threading import Event

import pytest

from storage import IntegrityError, PermissionDeniedError, PreconditionFailedError, Storage, SyncError
from storage._sync.copying import Copier
from storage._sync.pace import Abandoned
from storage.backends import Download
from tests.emulators.s3 import moto_s3, seaweedfs  # noqa: F401
from tests.sync.stores import Faulty, contents, filled, store_of


class Meanwhile(Faulty):
    """A destination to which something is done after each write: ``after_put(path)``."""

    after_put = staticmethod(lambda path: None)

    def put(self, path, data, options):
        stat = super().put(path, data, options)
        self.after_put(path)
        return stat


class Laconic(Faulty):
    """A source whose streams tell no metadata, and may give fewer bytes than they say: ``missing``."""

    missing = 0

    def stream(self, path, start=0, end=None, if_match=None):
        stat, chunks = super().stream(path, start, end, if_match)
        data = b"".join(chunks)
        return Download(stat._replace(metadata=None), (piece for piece in [data[: len(data) - self.missing]]))


def failures(caught):
    return [(failure.key, type(failure.error)) for failure in caught.value.result.failures]


def test_a_stream_that_tells_no_metadata():
    """They are asked for, and belong to the bytes that were read."""
    backend = Laconic()
    source, target = store_of(backend), store_of()
    source.set("a", "old", metadata={"version": "1"})
    backend.on_stream = lambda _, count: count == 1 and source.set("a", "new", metadata={"version": "2"})
    assert source.sync_to(target).copied == 1
    assert contents(target) == contents(source)
    assert target.info("a").metadata == {"version": "2"}


def test_a_stream_that_ends_early():
    """Fewer bytes than the source said are no blob: nothing is stored, and the failure is named."""
    backend = Laconic()
    backend.missing = 1
    source, target = filled(store_of(backend), {"a": "12345"}), store_of()
    with pytest.raises(SyncError) as caught:
        source.sync_to(target)
    assert failures(caught) == [("a", IntegrityError)]
    assert target.list() == []


def test_a_source_that_goes_after_it_was_read():
    """Its copy is whole; that it is gone is for the next run to see."""
    backend = Faulty()
    source, target = filled(store_of(backend), {"a": "1"}), store_of()
    backend.on_stream = lambda _path, _count: source.delete("a")
    assert source.sync_to(target).copied == 1
    assert target.get("a") == "1"
    assert source.sync_to(target, delete=True).deleted == 1


def test_a_copy_that_somebody_deletes():
    """It is made again."""
    backend = Meanwhile()
    source, target = filled(store_of(), {"a": "1"}), store_of(backend)
    deletes = iter([True])
    backend.after_put = lambda _: next(deletes, False) and target.delete("a")
    assert source.sync_to(target).copied == 1
    assert target.get("a") == "1"


def test_a_copy_that_somebody_replaces_each_time():
    """It cannot be verified: after some tries that is a failure, and theirs stands."""
    backend = Meanwhile()
    source, target = filled(store_of(), {"a": "1"}), store_of(backend)

    def replace(path):
        _, stat = backend._blobs[path]
        backend._blobs[path] = (b"theirs", stat._replace(etag=f"theirs-{stat.etag}", size=6))

    backend.after_put = replace
    with pytest.raises(SyncError) as caught:
        source.sync_to(target)
    assert failures(caught) == [("a", PreconditionFailedError)]
    assert target.get("a") == "theirs"


def test_what_is_to_be_deleted_is_gone_already():
    """Somebody else did it: that is fine."""

    class Slow(Faulty):
        def delete(self, path):
            super().delete(path)
            super().delete(path)

    source, target = filled(store_of(), {"a": "1"}), filled(store_of(Slow()), {"old": "1"})
    assert source.sync_to(target, delete=True).failed == 0
    assert target.list() == ["a"]


def test_a_source_whose_bucket_may_not_be_looked_at():
    """What can refuse is there."""

    class Guarded(Faulty):
        def bucket_exists(self):
            raise PermissionDeniedError("no")

    source, target = filled(store_of(Guarded()), {"a": "1"}), store_of()
    assert source.sync_to(target).copied == 1


def test_large_blobs_wait_no_longer_than_the_sync():
    """Whoever waits for its turn when all of it ends gives up."""
    stop = Event()
    copier = Copier(lambda _: None, stop, large_at_once=1)
    with copier._turn(large=True):
        stop.set()
        with pytest.raises(Abandoned), copier._turn(large=True):
            pass
    with copier._turn(large=True):
        pass


def test_two_buckets_of_one_name(moto_s3, seaweedfs):  # noqa: F811
    """At two servers they are two places: empty, with a blob that the other has not, and with one it has another of."""
    ours = Storage(moto_s3.url("two-places"), moto_s3.auth)
    theirs = Storage(seaweedfs.url("two-places"), seaweedfs.auth)
    with ours, theirs:
        assert ours.sync_to(theirs, "data").copied == 0
        ours.set("a", "1")
        assert ours.sync_to(theirs, "data").copied == 1
        ours.set("a", "22")
        assert ours.sync_to(theirs, "data").copied == 1
        assert theirs.get("a") == "22"


def test_a_long_listing_tells_how_far_it_is(monkeypatch):
    """Before anything is copied, so that nobody takes a long look for a standstill."""
    monkeypatch.setattr("storage._sync.engine._TELL_EVERY", 2)
    source, seen = filled(store_of(), {f"{number}": "1" for number in range(5)}), []
    source.sync_to(store_of(), report=seen.append)
    assert [event.count for event in seen if event.action == "listed"] == [2, 4]
    assert [event.action for event in seen][:3] == ["listed", "listed", "planned"]
