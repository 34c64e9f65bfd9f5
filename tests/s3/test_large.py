"""Large blobs: parts, ranges, copies, and what is left of them when they fail."""

from __future__ import annotations

import io
import random
import subprocess
import sys

import pytest

from storage import AlreadyExistsError, Storage, UnavailableError
from storage.testing.faults import LOST, RESET, TRUNCATE, FaultProxy, Randomly, answer
from tests.s3.conftest import at_once

PART = 5 * 1024 * 1024


def uploads(store: Storage) -> list[str]:
    """The uploads in parts that are under way below the store's prefix."""
    prefix = store._core.routes["data"].prefix
    found = store.backend.client.list_multipart_uploads(Bucket="bucket", Prefix=prefix).get("Uploads", [])
    return [upload["Key"] for upload in found if upload["Key"].startswith(prefix)]


@pytest.mark.parametrize("which", ["moto_s3", "seaweedfs"])
@pytest.mark.parametrize("how", ["part", "complete", "source", "exists"])
def test_a_failed_upload_leaves_no_parts(open_store, request, which, how) -> None:
    """An upload that fails, at whichever step, is aborted, and what was there before is there still."""
    server = request.getfixturevalue(which)
    with FaultProxy(server.endpoint_url) as proxy:
        store = open_store(proxy.url, retries=at_once(1))
        store.set("k", "old", metadata={"a": "b"})

        def source():
            for number in range(4):
                if number == 3 and how == "source":
                    raise RuntimeError("the source broke")
                yield bytes(PART)

        if how == "part":
            proxy.plan = lambda r: answer(500) if "partNumber=3" in r.target else None
        elif how == "complete":
            proxy.plan = lambda r: answer(500) if r.method == "POST" and "uploadId" in r.target else None
        expected = {"source": RuntimeError, "exists": AlreadyExistsError}.get(how, UnavailableError)
        with pytest.raises(expected):
            store.set("k", source(), overwrite=how != "exists")
        assert any("uploads" in r.target for r in proxy.requests)
        proxy.plan = None
        assert uploads(store) == []
        assert store.get("k") == "old"
        assert store.info("k").metadata == {"a": "b"}


def test_faulty_network(open_store, proxy) -> None:
    """Many parts and ranges through a faulty network come out as they went in."""
    proxy.plan = Randomly({RESET: 0.03, LOST: 0.03, TRUNCATE: 0.05, answer(503): 0.03}, seed=3)
    store = open_store(proxy.url, retries=at_once(8))
    data = random.Random(1).randbytes(32 * 1024 * 1024 + 17)
    store.set_file("k", io.BytesIO(data))
    down = io.BytesIO()
    store.get_file("k", down)
    assert down.getvalue() == data
    assert b"".join(store.iter_bytes("k")) == data


@pytest.mark.parametrize("which", ["moto_s3", "seaweedfs"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_copy_in_parts(open_store, request, which, overwrite) -> None:
    """A copy above the limit of CopyObject goes in parts, with headers and metadata."""
    server = request.getfixturevalue(which)
    store = open_store(server.endpoint_url)
    data = random.Random(2).randbytes(2 * PART + 1000)
    source = store.set("k", data, content_type="text/x", cache_control="no-store", metadata={"a": "ü"})
    store.backend._copier.limit = store.backend._copier.part = PART
    copy = store.copy("k", "k2", overwrite=overwrite)
    assert store.get_bytes("k2") == data
    info = store.info("k2")
    assert (info.size, info.content_type, info.cache_control, info.metadata) == (
        len(data),
        "text/x",
        "no-store",
        {"a": "ü"},
    )
    assert copy.etag == info.etag != source.etag
    with pytest.raises(AlreadyExistsError):
        store.copy("k", "k2", overwrite=False)
    assert uploads(store) == []


def test_copy_of_a_source_that_is_replaced(open_store, seaweedfs) -> None:
    """A source that changes between the look at it and the copy is copied as it is then, never as a mix."""
    with FaultProxy(seaweedfs.endpoint_url) as proxy:
        store = open_store(proxy.url)
        store.set("k", "old", metadata={"v": "1"})

        def replace(request):
            if request.method == "PUT" and "x-amz-copy-source" in request.headers:
                proxy.plan = None
                store.set("k", "newer", metadata={"v": "2"})

        proxy.plan = replace
        info = store.copy("k", "k2")
        assert (store.get("k2"), info.size, info.metadata) == ("newer", 5, {"v": "2"})


def test_headers_of_others_are_kept_by_copies(open_store, seaweedfs) -> None:
    """What other programs attached to a blob goes along, also with a create-only copy."""
    store = open_store(seaweedfs.endpoint_url)
    prefix = store._core.routes["data"].prefix
    client = store.backend.client
    client.put_object(
        Bucket="bucket",
        Key=f"{prefix}k",
        Body=b"1",
        ContentDisposition="attachment",
        ContentLanguage="en",
        Metadata={"X": "y"},
    )
    for target, overwrite in (("a", True), ("b", False)):
        store.copy("k", target, overwrite=overwrite)
        head = client.head_object(Bucket="bucket", Key=prefix + target)
        assert head["ContentDisposition"] == "attachment"
        assert head["ContentLanguage"] == "en"
        assert store.info(target).metadata == {"x": "y"}


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["up", "down"])
def test_memory_of_a_gigabyte(seaweedfs, tmp_path, direction) -> None:
    """1 GiB up or down, by name, takes at most 64 MiB more memory than the process had, part buffers included."""
    program = f"""
import os, resource, sys
from pathlib import Path
from storage import Storage
store = Storage({seaweedfs.url("big")!r}, {seaweedfs.auth!r})
store.set("warm", bytes(6_000_000)); store.get_bytes("warm")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
name = Path({str(tmp_path / "file")!r})
if {direction!r} == "up":
    with name.open("wb") as file:
        file.truncate(1 << 30)
    assert store.set_file("big", name).size == 1 << 30
else:
    assert store.get_file("big", name).size == name.stat().st_size == 1 << 30
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    if direction == "down":
        with Storage(seaweedfs.url("big"), seaweedfs.auth) as store, open(tmp_path / "source", "wb+") as file:
            file.truncate(1 << 30)
            store.set_file("big", file)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 64, f"{done.stdout} MiB"
