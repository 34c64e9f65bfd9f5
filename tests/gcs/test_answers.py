"""What the driver makes of answers that no server of the tests gives: told by a proxy with nothing behind it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from urllib3.util.retry import Retry

from storage import ConfigurationError, IntegrityError, PermissionDeniedError, Storage, UnavailableError
from storage.backends import PutOptions
from storage.backends.gcs._headers import checksum, encoded_crc
from storage.testing.faults import RESET, TRUNCATE, Fault, FaultProxy, Request
from tests.gcs.conftest import Proxied, answer

MIB = 1024 * 1024
DATE = "2026-11-22T19:05:11.000Z"


@pytest.fixture
def store(proxy: FaultProxy) -> Iterator[Storage]:
    """It asks twice, at once, and needs no token."""
    url = f"gs://bucket/p?anonymous=true&project=p&endpoint_url={proxy.url}"
    with Storage(url, retries=Retry(1, backoff_factor=0), timeout=5) as store:
        yield store


def said(status: int, body: dict[str, Any]) -> Fault:
    return answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def error(status: int) -> Fault:
    return said(status, {"error": {"code": status, "message": "words"}})


def resource(data: bytes, **changes: str) -> Fault:
    """A blob of these bytes, as the service describes it."""
    crc = encoded_crc(checksum(data))
    described = {"name": "p/data/k", "size": str(len(data)), "generation": "7", "timeCreated": DATE, "crc32c": crc}
    return said(200, {**described, "contentType": "text/plain", **changes})


def methods(proxy: FaultProxy) -> list[str]:
    return [request.method for request in proxy.requests]


def test_a_blob_that_was_stored_as_other_bytes(store: Storage, proxy: FaultProxy) -> None:
    """A small write whose blob has another checksum is an IntegrityError, and says both."""
    proxy.plan = lambda _: resource(b"value")
    assert store.set("k", b"value").etag == "7"
    proxy.plan = lambda _: resource(b"value", crc32c="AAAAAA==")
    with pytest.raises(IntegrityError, match="AAAAAA=="):
        store.set("k", b"value")


def test_a_session_is_begun_again(store: Storage, proxy: FaultProxy) -> None:
    """To begin an upload writes nothing, so it may be asked for twice."""
    data = bytes(9 * MIB)

    def plan(request: Request) -> Fault:
        if request.method == "POST":
            return answer(200, b"", {"Location": f"{proxy.url}/upload/session"})
        if "/*" in request.headers["content-range"]:
            return answer(308, b"", {"Range": f"bytes=0-{8 * MIB - 1}"})
        return resource(data)

    proxy.plan = plan
    proxy.script(error(503))
    assert store.set("k", io.BytesIO(data)).size == len(data)
    assert methods(proxy) == ["POST", "POST", "PUT", "PUT"]


def test_a_writer_in_parts_that_got_little(store: Storage, proxy: FaultProxy) -> None:
    """What turns out to be less than a part goes up in one request; headers go along where it is more."""
    proxy.plan = lambda _: resource(b"value")
    store.backend.parallel_uploads = True  # type: ignore[attr-defined]
    writer = store.backend.writer("p/data/k", PutOptions("text/plain"))
    writer.write(b"value")
    assert writer.commit().size == 5
    assert methods(proxy) == ["POST"]
    proxy.requests.clear()
    proxy.plan = lambda request: (
        error(403) if "?uploads" not in request.target else answer(200, b"<UploadId>U</UploadId>")
    )
    with pytest.raises(PermissionDeniedError):
        store.set("k", io.BytesIO(bytes(9 * MIB)), cache_control="no-store", content_encoding="gzip")
    headers = proxy.requests[0].headers
    assert (headers["cache-control"], headers["content-encoding"]) == ("no-store", "gzip")
    assert methods(proxy)[-1] == "DELETE"


def test_parts_whose_blob_cannot_be_looked_at(store: Storage, proxy: FaultProxy) -> None:
    """A completion whose answer was lost, and a look that is refused: the outcome is unknown."""
    ends = [RESET, error(404)]

    def plan(request: Request) -> Fault:
        if "?uploads" in request.target:
            return answer(200, b"<UploadId>U</UploadId>")
        if request.method == "PUT":
            return answer(200, b"", {"ETag": '"e"'})
        return ends.pop(0) if request.method == "POST" else error(403)

    proxy.plan = plan
    store.backend.parallel_uploads = True  # type: ignore[attr-defined]
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        store.set("k", io.BytesIO(bytes(9 * MIB)))


def test_a_server_that_knows_no_ranges(store: Storage, proxy: FaultProxy) -> None:
    """It sends everything: what was not asked for is left out."""
    data = bytes(range(256)) * (12 * 1024)
    proxy.plan = lambda _: answer(
        200, data, {"X-Goog-Generation": "7", "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT"}
    )
    start = len(data) - 100
    assert store.get_bytes("k", start=start) == data[start:]


def test_a_blob_that_ends_before_its_range(proxied: Proxied) -> None:
    """What is left of a body that was cut, and is past the end when it is asked for: no shorter blob is given."""
    proxied.honest.set("a", bytes(3 * MIB))
    # Nothing after what came, says the service: of a blob of that length, of its true one, or without a word.
    for size, words in (
        ("*/100", "ended after"),
        (f"*/{3 * MIB}", "begins past the end"),
        (None, "begins past the end"),
    ):
        end = answer(416, b"", {"Content-Range": f"bytes {size}"} if size else None)
        proxied.proxy.script(TRUNCATE, end, when=lambda request: "alt=media" in request.target)
        with pytest.raises(IntegrityError, match=words):
            proxied.store.get_bytes("a")


def test_a_range_past_the_end(proxied: Proxied) -> None:
    """It is empty, also where the service does not say how long the blob is; else it is another blob's answer."""
    proxied.honest.set("a", b"0123456789")
    for size in ("bytes */10", None):
        end = answer(416, b"<html>", {"Content-Range": size} if size else None)
        proxied.proxy.script(end, when=lambda request: "alt=media" in request.target)
        assert proxied.store.get_bytes("a", start=10) == b""
        for start, stop in ((9, None), (0, None), (2, 5)):
            proxied.proxy.script(end, when=lambda request: "alt=media" in request.target)
            with pytest.raises(IntegrityError, match="begins past the end"):
                proxied.store.get_bytes("a", start=start, end=stop)


# ---- setup -------------------------------------------------------------------------------------------------------------


def test_a_bucket_that_appears_meanwhile(store: Storage, proxy: FaultProxy) -> None:
    """Our own is fine, whoever made it; where the name is another's, that is told."""
    looks = [error(404), said(200, {"name": "bucket"}), error(404), error(404)]
    proxy.plan = lambda request: looks.pop(0) if request.method == "GET" else error(409)
    assert store.setup(create_bucket=True) == []
    with pytest.raises(UnavailableError):
        store.setup(create_bucket=True)
    assert looks == []


def test_rules_that_may_not_be_changed(store: Storage, proxy: FaultProxy) -> None:
    """The first refusal is told; only a change by somebody else is tried again."""
    proxy.plan = lambda request: said(200, {"metageneration": "1"}) if request.method == "GET" else error(403)
    with pytest.raises(PermissionDeniedError):
        store.setup(cors_origins=["https://a.example"])
    assert methods(proxy) == ["GET", "PATCH"]


def test_a_project_that_nobody_tells(proxy: FaultProxy) -> None:
    """A bucket is made in none: the error says how to give one."""
    proxy.plan = lambda _: error(404)
    with (
        Storage(f"gs://bucket?anonymous=true&endpoint_url={proxy.url}") as store,
        pytest.raises(ConfigurationError, match="project="),
    ):
        store.setup(create_bucket=True)
    assert methods(proxy) == ["GET"]
