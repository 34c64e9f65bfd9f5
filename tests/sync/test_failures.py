"""Blobs that cannot be copied, and syncs that are interrupted."""

from __future__ import annotations

import pytest

from storage import (
    IntegrityError,
    PreconditionFailedError,
    SyncError,
    UnavailableError,
)
from storage.testing._base import still_running
from tests.sync.stores import BLOBS, Faulty, contents, filled, store_of

# ---- failures -------------------------------------------------------------------------------------------------------


def test_one_failure_does_not_stop_the_others():
    """Everything else is copied, and the error lists what was not, with the reason."""
    backend = Faulty()
    source, target = filled(store_of(backend), BLOBS), store_of()
    backend.broken = {"data/a", "data/a/b"}
    with pytest.raises(SyncError, match="2 of the blobs failed") as caught:
        source.sync_to(target)
    result = caught.value.result
    assert {(f.key, type(f.error)) for f in result.failures} == {("a", UnavailableError), ("a/b", UnavailableError)}
    assert (result.copied, result.failed) == (3, 2)
    assert set(target.list()) == set(BLOBS) - {"a", "a/b"}
    backend.broken = set()
    assert source.sync_to(target).copied == 2


def test_a_copy_that_is_corrupt_is_made_again():
    """Other bytes of the right length at the destination are noticed, and replaced."""
    backend = Faulty()
    source, target = filled(store_of(), BLOBS), store_of(backend)
    backend.corrupt = ["data/a", "data/a/b"]
    assert source.sync_to(target).copied == 5
    assert contents(target) == contents(source)


def test_a_copy_that_stays_corrupt_is_removed():
    """A wrong copy would pass for the blob at the next run: it is removed, and the failure named."""
    backend = Faulty()
    source, target = filled(store_of(), BLOBS), store_of(backend)
    backend.corrupt = ["data/a", "data/a"]
    with pytest.raises(SyncError) as caught:
        source.sync_to(target)
    assert [(f.key, type(f.error)) for f in caught.value.result.failures] == [("a", IntegrityError)]
    assert not target.exists("a")
    assert source.sync_to(target).copied == 1
    assert contents(target) == contents(source)


def test_a_blob_that_goes_meanwhile():
    """A blob that is deleted at the source after it was listed is no failure."""
    backend = Faulty()
    source, target = filled(store_of(backend), {"a": "1", "b": "2"}), store_of()
    backend.on_stream = lambda _path, _count: source.delete("b", missing_ok=True)
    result = source.sync_to(target, concurrency=1)
    assert (result.copied, result.vanished) == (1, 1)


def test_a_blob_that_changes_while_it_is_copied():
    """The copy would be newer than the change, and never be looked at again: so it is made again at once."""
    backend = Faulty()
    source, target = filled(store_of(backend), {"a": "old"}), store_of()
    backend.on_stream = lambda _path, count: count == 1 and source.set("a", "new")
    assert source.sync_to(target).copied == 1
    assert target.get("a") == "new"


def test_a_blob_that_never_rests():
    """One that changes all the time is a failure, and the next run finds that it differs."""
    backend = Faulty()
    source, target = filled(store_of(backend), {"a": "000"}), store_of()
    backend.on_stream = lambda _path, count: source.set("a", f"{count:03}")
    with pytest.raises(SyncError) as caught:
        source.sync_to(target)
    assert isinstance(caught.value.result.failures[0].error, PreconditionFailedError)
    backend.on_stream = None
    assert source.sync_to(target).copied == 1
    assert target.get("a") == source.get("a")


def test_many_failures_are_counted_and_not_all_kept():
    """The list of failures is bounded, their number is not."""
    backend = Faulty()
    source = filled(store_of(backend), {str(number): "1" for number in range(1_005)})
    backend.broken = set(backend._blobs)
    with pytest.raises(SyncError) as caught:
        source.sync_to(store_of())
    assert (caught.value.result.failed, len(caught.value.result.failures)) == (1_005, 1_000)


def test_the_error_survives_pickling():
    """A sync in a worker process reports what failed."""
    import pickle

    backend = Faulty()
    source = filled(store_of(backend), BLOBS)
    backend.broken = {"data/a"}
    with pytest.raises(SyncError) as caught:
        source.sync_to(store_of())
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (str(twin), twin.result.failed, twin.result.failures[0].key) == (str(caught.value), 1, "a")


# ---- interruptions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4])
def test_interrupted_and_run_again(concurrency):
    """Interrupted three times on the way it goes on each time where it stopped, and ends with the same blobs."""
    blobs = {f"{number % 7}/{number}": str(number) for number in range(400)}
    source, target = filled(store_of(), blobs), store_of()
    copied = 0
    for _ in range(3):
        count = 0

        def interrupt(event):
            nonlocal count
            count += event.action == "copied"
            if count == 100:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            source.sync_to(target, concurrency=concurrency, report=interrupt)
        assert copied + 100 <= len(list(target.iter_list())) <= copied + 100 + concurrency
        copied = len(list(target.iter_list()))
    result = source.sync_to(target, concurrency=concurrency)
    assert (result.copied, result.same) == (400 - copied, copied)
    assert contents(target) == contents(source)


def test_an_interruption_leaves_no_thread():
    """Nothing runs on after the exception."""
    source = filled(store_of(), {str(number): "x" for number in range(100)})
    with pytest.raises(KeyboardInterrupt):
        source.sync_to(store_of(), concurrency=8, report=_interrupt_at_copies)
    assert not still_running("storage-batch")


def _interrupt_at_copies(event):
    if event.action == "copied":
        raise KeyboardInterrupt
