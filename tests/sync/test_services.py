"""Syncs between files, S3 and Cloud Storage, on real servers."""

from __future__ import annotations

import random
import time

import pytest
from urllib3.util.retry import Retry

from storage import BucketNotFoundError, ConfigurationError, Storage, SyncError, UnavailableError
from storage.testing.faults import LOST, RESET, RESET_BODY, TRUNCATE, FaultProxy, Randomly, answer
from tests.emulators.gcs import gcs  # noqa: F401
from tests.emulators.s3 import moto_s3, seaweedfs  # noqa: F401
from tests.sync.stores import contents, filled

# Among them what sorts otherwise on SeaweedFS, what is a folder too, and what needs two requests.
KEYS = ("a", "a/b", "a-b", "a/c/d", "a.b", "a0", "é/ü x", "100%", "z/+&?#", "😀")


def sizes_and_bytes():
    dice = random.Random(3)
    return {key: dice.randbytes(dice.choice([0, 10, 3000])) for key in KEYS} | {"big": dice.randbytes(9_000_000)}


@pytest.fixture(params=["s3"])
def s3(request, seaweedfs):  # noqa: F811
    """A store in SeaweedFS, through each driver."""
    with Storage(seaweedfs.url(scheme=request.param), auth=seaweedfs.auth) as store:
        yield store


@pytest.fixture
def cloud(gcs):  # noqa: F811
    """A store in Cloud Storage."""
    with Storage(gcs.url(), auth=gcs.account()) as store:
        yield store


def test_from_files_over_s3_and_gcs_to_files(tmp_path, s3, cloud):
    """Everything arrives through three services as it was, is there already at a second run, and goes where it is gone."""
    source = filled(Storage(tmp_path / "from"), sizes_and_bytes())
    source.set("m", "x", "tmp", content_type="x/y", cache_control="no-store", metadata={"who": "é", "n": ""})
    back = Storage(tmp_path / "to")
    hops = [(source, s3), (s3, cloud), (cloud, back)]
    for left, right in hops:
        result = left.sync_to(right, concurrency=4)
        assert (result.copied, result.failed) == (len(KEYS) + 2, 0)
    assert contents(back) == contents(source)
    for left, right in hops:
        again = left.sync_to(right, delete=True)
        assert (again.copied, again.deleted, again.same) == (0, 0, len(KEYS) + 2)
    source.delete_many(["a", "a/b", "é/ü x"])
    for left, right in hops:
        assert left.sync_to(right, delete=True).deleted == 3
    assert contents(back) == contents(source)


def test_checksums_between_two_places_of_one_kind(seaweedfs):  # noqa: F811
    """Two S3 stores are compared by their MD5s: a destination that was changed is found, though it is newer."""
    ours, theirs = (Storage(seaweedfs.url(), auth=seaweedfs.auth) for _ in range(2))
    filled(ours, {"a": "1", "b": "2"})
    ours.sync_to(theirs)
    theirs.set("a", "x")
    result = ours.sync_to(theirs)
    assert theirs.get("a") == "1"
    assert result.same == 1


def test_one_bucket_by_two_names(seaweedfs):  # noqa: F811
    """A bucket is known again, by another name of its server too, where a path lies in another; a sync to itself does nothing."""
    url = seaweedfs.url("same-place", query="&types=data:")
    by_name = url.replace("127.0.0.1", "localhost")
    ours = filled(Storage(url, auth=seaweedfs.auth), {"a": "1"})
    inside = by_name.replace("same-place", "same-place/in")
    for other in (url, url.replace("s3://", "s3+boto3://"), url.replace("same-place", "same-place/in"), inside):
        with pytest.raises(ConfigurationError, match="one place"):
            ours.sync_to(Storage(other, auth=seaweedfs.auth))
    before = ours.info("a")
    result = ours.sync_to(Storage(by_name, auth=seaweedfs.auth), delete=True)
    assert (result.copied, result.deleted, result.same) == (0, 0, 1)
    assert ours.info("a") == before
    assert ours.sync_to(Storage(seaweedfs.url("same-place-2"), auth=seaweedfs.auth), "data").copied == 1


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_ready_backends_know_their_bucket(scheme):
    """A store that is made from a backend is the place that its backend is, whatever server that is at."""
    url = f"{scheme}://bucket?endpoint_url=http://127.0.0.1:9&types=data:p/"
    theirs = Storage(backend=Storage(url).backend, storage_types={"data": "p/in/"})
    with pytest.raises(ConfigurationError, match="one place"):
        Storage(url).sync_to(theirs)


def test_buckets_of_one_name(seaweedfs, moto_s3):  # noqa: F811
    """A mirror on another server, in a bucket of the same name, is another place, also when it is as young as some blob."""
    ours = Storage(seaweedfs.url("mirrored"), auth=seaweedfs.auth)
    theirs = Storage(moto_s3.url("mirrored"), auth=moto_s3.auth)
    ours.set("old", "1")
    time.sleep(1.2)
    ours.set("a", "2")
    assert ours.sync_to(theirs).copied == 2
    assert ours.sync_to(theirs).same == 2


def test_a_bucket_that_is_not_there(seaweedfs, tmp_path):  # noqa: F811
    """A missing bucket is an error on either side, and deletes nothing."""
    target = filled(Storage(tmp_path), {"a": "1"})
    missing = Storage(seaweedfs.url(bucket="no-such-bucket"), auth=seaweedfs.auth)
    with pytest.raises(BucketNotFoundError):
        missing.sync_to(target, delete=True)
    with pytest.raises(BucketNotFoundError):
        target.sync_to(missing)
    assert target.list() == ["a"]


def test_faults_of_the_network(seaweedfs, tmp_path):  # noqa: F811
    """Through a network that breaks requests and answers no wrong byte arrives, and runs that are repeated get to the end."""
    source = filled(Storage(tmp_path / "from"), {f"{n:03}": random.Random(n).randbytes(20_000) for n in range(10)})
    rates = {RESET: 0.1, LOST: 0.1, TRUNCATE: 0.1, RESET_BODY: 0.1, answer(503): 0.1}
    with FaultProxy(seaweedfs.endpoint_url, plan=Randomly(rates, seed=5)) as proxy:
        url = seaweedfs.url("faults", endpoint_url=proxy.url)
        failures = 0
        for target in (Storage(url, auth=seaweedfs.auth, retries=Retry(1, backoff_factor=0)), Storage(tmp_path / "to")):
            for _ in range(30):
                try:
                    if not source.sync_to(target).copied:
                        break
                except (SyncError, UnavailableError):
                    failures += 1
            source = target
    assert failures
    with Storage(seaweedfs.url("faults"), auth=seaweedfs.auth) as there:
        assert contents(there) == contents(Storage(tmp_path / "from")) == contents(Storage(tmp_path / "to"))


@pytest.mark.parametrize("scheme", ["s3"])
def test_large_copies_are_not_read_back(seaweedfs, tmp_path, scheme, monkeypatch):  # noqa: F811
    """A blob in parts is verified by its etag, without a second transfer."""
    source = filled(Storage(tmp_path), {"big": random.Random(1).randbytes(23_456_789)})
    with Storage(seaweedfs.url(scheme=scheme), auth=seaweedfs.auth) as target:
        monkeypatch.setattr(type(target.backend), "stream", None)
        assert source.sync_to(target, "data").copied == 1
        assert target.info("big").etag.partition("-")[2]
        monkeypatch.undo()
        assert target.get_bytes("big") == source.get_bytes("big")
