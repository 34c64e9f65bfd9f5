"""Which blobs a sync takes for equal, in whatever order they are listed, and what a dry run tells."""

from __future__ import annotations

import hashlib

import pytest

from tests.sync.stores import BLOBS, Faulty, actions, contents, events, filled, make_md5_store, rested, store_of

# ---- comparing ------------------------------------------------------------------------------------------------------


def test_equal_checksums_need_no_time():
    """Two services whose etags are MD5s are compared by them, whatever their clocks say."""
    source, target = store_of(make_md5_store()), store_of(make_md5_store())
    filled(target, {"a": "same", "b": "diff"})
    filled(source, {"a": "same", "b": "DIFF"})
    result = source.sync_to(target)
    assert (result.copied, result.same) == (1, 1)
    assert target.get("b") == "DIFF"
    assert sum(result.compared.values()) == 2
    assert "size and time" not in result.compared


def test_other_headers_of_the_same_bytes_are_copied():
    """Bytes that were written again with other headers are noticed where the source is newer."""
    source, target = store_of(make_md5_store()), store_of(make_md5_store())
    filled(source, {"a": "1", "b": "1"})
    source.sync_to(target)
    source.set("a", "1", metadata={"new": "x"})
    source.set("b", "1")
    result, seen = events(source, target)
    assert target.info("a").metadata == {"new": "x"}
    assert (result.copied, result.same, result.compared) == (1, 1, {"checksum": 2})
    assert [event.reason for event in seen if event.action == "copied"] == ["other headers"]


def test_etags_that_only_look_like_checksums():
    """A store whose etags look like MD5s and are not (encrypted buckets) is found out, and not copied again and again."""

    class Encrypted(Faulty):
        def put(self, path, data, options):
            super().put(path, data, options)
            data, stat = self._blobs[path]
            stat = stat._replace(etag=hashlib.md5(b"secret" + data).hexdigest())
            self._blobs[path] = (data, stat)
            return stat

    blobs = {str(number): f"{number:03}" for number in range(50)}
    source, target = rested(filled(store_of(make_md5_store()), blobs)), store_of(Encrypted())
    source.sync_to(target, concurrency=1)
    assert contents(target) == contents(source)
    result = source.sync_to(target, concurrency=1)
    assert (result.copied, result.same) == (0, 50)
    assert result.compared == {"content": 1, "size and time": 49}


def test_checksums_that_differ_at_a_newer_destination():
    """A destination that was changed by somebody is brought back, though it is newer, where checksums can tell."""
    source, target = store_of(make_md5_store()), store_of(make_md5_store())
    filled(source, {"a": "1", "b": "2", "c": "3"})
    source.sync_to(target)
    filled(target, {"a": "x", "b": "y"})
    result = source.sync_to(target, concurrency=1)
    assert contents(target) == contents(source)
    assert (result.copied, result.same) == (2, 1)


def test_checksum_does_not_trust_time():
    """With ``checksum`` a changed destination is found by reading, where the services have no common checksum."""
    source, target = rested(filled(store_of(), BLOBS)), store_of()
    source.sync_to(target)
    target.set("a", "x")
    assert source.sync_to(target).copied == 0  # it is newer
    result, seen = events(source, target, checksum=True)
    assert target.get("a") == "1"
    assert (result.copied, result.same, result.compared) == (1, 4, {"content": 5})
    assert actions(seen) >= {("copied", "data", "a"), ("same", "data", "a/b")}


# ---- dry runs -------------------------------------------------------------------------------------------------------


def test_dry_run_does_nothing_and_tells_all():
    """A dry run says exactly what the next run does, and changes nothing."""
    source, target = filled(store_of(), BLOBS), store_of()
    filled(target, {"a": "x", "gone": "1", "gone/2": "22"})
    before = contents(target)
    planned, would = events(source, target, delete=True, dry_run=True)
    assert contents(target) == before
    assert planned.dry_run
    done, did = events(source, target, delete=True)
    assert actions(would) == actions(did)
    assert {(e.key, e.size, e.reason) for e in would if e.key} == {(e.key, e.size, e.reason) for e in did if e.key}
    assert (planned.copied, planned.copied_bytes, planned.deleted) == (done.copied, done.copied_bytes, done.deleted)


# ---- listings out of order ------------------------------------------------------------------------------------------


def depth_first(path):
    """SeaweedFS's order: a folder's content before what follows its name."""
    return path.split("/")


@pytest.mark.parametrize("side", ["source", "target", "both"])
def test_listings_out_of_order(side):
    """Merged as they come, such listings would copy everything again and delete what is alive."""
    blobs = {f"{folder}{name}": "1" for folder in ("", "a/", "a-/", "a.", "b") for name in ("a", "b-", "b/c", "z")}
    ours, theirs = Faulty(), Faulty()
    source, target = filled(store_of(ours), blobs), filled(store_of(theirs), {"a/old": "1", "a-old": "1", "zz/1": "1"})
    ours.order = depth_first if side in ("source", "both") else None
    theirs.order = depth_first if side in ("target", "both") else None
    result = source.sync_to(target, delete=True)
    assert (result.copied, result.deleted) == (len(blobs), 3)
    assert contents(target) == contents(source)
    theirs.deletes.clear()
    again = source.sync_to(target, delete=True)
    assert (again.copied, again.deleted, again.same) == (0, 0, len(blobs))
    assert theirs.deletes == []
