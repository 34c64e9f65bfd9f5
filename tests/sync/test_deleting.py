"""What a sync deletes, and when it deletes nothing."""

from __future__ import annotations

import pytest

from storage import (
    BucketNotFoundError,
    Storage,
    SyncError,
    UnavailableError,
)
from tests.sync.stores import BLOBS, Faulty, contents, filled, store_of


def test_delete():
    """With ``delete`` the destination becomes what the source is; without, nothing is ever deleted."""
    source, target = filled(store_of(), BLOBS), filled(store_of(), {"old": "1", "a/old": "1"})
    assert source.sync_to(target).deleted == 0
    assert set(target.list()) == {*BLOBS, "old", "a/old"}
    result = source.sync_to(target, delete=True)
    assert contents(target) == contents(source)
    assert result.deleted == 2


def test_delete_asks_the_source_again():
    """A blob that the source got after it was listed is not deleted at the destination."""
    backend = Faulty()
    source, target = filled(store_of(backend), {"x": "1"}), filled(store_of(), {"late": "old", "gone": "1"})
    backend.on_stream = lambda _path, _count: source.set("late", "new")  # while something else is copied
    result = source.sync_to(target, delete=True)
    assert target.get("late") == "old"
    assert (result.deleted, result.kept) == (1, 1)
    assert not target.exists("gone")


def test_a_listing_that_fails_deletes_nothing():
    """A source's listing that ends early proves nothing about the rest."""
    backend = Faulty()
    source, target = filled(store_of(backend), BLOBS), filled(store_of(), {**BLOBS, "old": "1"})
    for number in range(len(BLOBS)):
        backend.cut_after = number
        with pytest.raises(UnavailableError):
            source.sync_to(target, delete=True)
        assert set(target.list()) == {*BLOBS, "old"}


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_source_that_is_gone_deletes_nothing(when):
    """Without its bucket the source says of every key that it is not there: that proves nothing."""
    backend = Faulty()
    source, target = store_of(backend), filled(store_of(), {"x": "1", "y": "1"})
    if when == "before":
        backend.there = False
        with pytest.raises(BucketNotFoundError):
            source.sync_to(target, delete=True)
    else:
        with pytest.raises(SyncError) as caught:
            source.sync_to(target, delete=True, report=lambda _event: setattr(backend, "there", False))
        assert all(isinstance(f.error, BucketNotFoundError) for f in caught.value.result.failures)
    assert target.list() == ["x", "y"]


def test_a_missing_directory_deletes_nothing(tmp_path):
    """A directory that is not there is an empty store to every other call, and none to a sync."""
    target = filled(store_of(), {"x": "1"})
    with pytest.raises(BucketNotFoundError):
        Storage(tmp_path / "typo").sync_to(target, delete=True)
    assert target.list() == ["x"]


def test_a_failure_keeps_what_would_be_deleted():
    """As long as a blob could not be copied, what is there under another key may be its only copy."""
    backend = Faulty()
    source, target = filled(store_of(backend), BLOBS), filled(store_of(), {"old name of a": "1"})
    backend.broken.add("data/a")
    with pytest.raises(SyncError) as caught:
        source.sync_to(target, delete=True)
    assert caught.value.result.kept == 1
    assert set(target.list()) == {*BLOBS, "old name of a"} - {"a"}
    backend.broken.clear()
    assert source.sync_to(target, delete=True).deleted == 1
