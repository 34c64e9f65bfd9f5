"""The strict proxy is as strict as it is meant to be: what the proofs stand on. Each request is one that a wrong driver sends."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from storage import Storage
from tests.emulators.gcs import BUCKET, GCSServer

MIB = 1024 * 1024


class Raw:
    """Requests of an authorised client, past the driver."""

    def __init__(self, server: GCSServer, store: Storage) -> None:
        self.base = server.endpoint_url
        self.http: Any = store.backend.client._http
        self.store = store
        self.name = store._core.routes["data"].prefix + "a"
        self.object = f"{self.base}/storage/v1/b/{BUCKET}/o/{quote(self.name, safe='')}"
        self.upload = f"{self.base}/upload/storage/v1/b/{BUCKET}/o"

    def __call__(self, method: str, url: str, body: bytes = b"", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, url, data=body, headers=named, allow_redirects=False)


@pytest.fixture
def raw(gcs: GCSServer, store: Storage) -> Raw:
    return Raw(gcs, store)


@pytest.mark.parametrize("wanted", ["0", "12345"])
def test_generations(raw: Raw, wanted: str) -> None:
    """A generation that does not match is a 412 for every kind of request, and nothing is done."""
    raw.store.set("a", "old")
    query = f"ifGenerationMatch={wanted}"
    assert raw("DELETE", f"{raw.object}?{query}").status_code == 412
    assert raw("GET", f"{raw.object}?{query}").status_code == 412
    assert raw("GET", f"{raw.object}?alt=media&{query}").status_code == 412
    target = f"{raw.object}/rewriteTo/b/{BUCKET}/o/{quote(raw.name, safe='')}"
    assert raw("POST", f"{target}?{query}").status_code == 412
    begun = raw("POST", f"{raw.upload}?uploadType=resumable&{query}", json.dumps({"name": raw.name}).encode())
    assert begun.status_code == 412
    assert raw.store.get("a") == "old"


def test_a_condition_is_checked_when_an_upload_ends(raw: Raw) -> None:
    """Also where it held when the upload began."""
    begun = raw(
        "POST", f"{raw.upload}?uploadType=resumable&ifGenerationMatch=0", json.dumps({"name": raw.name}).encode()
    )
    raw.store.set("a", "first")
    ended = raw("PUT", begun.headers["Location"], b"second", Content_Range="bytes 0-5/6")
    assert ended.status_code == 412
    assert raw.store.get("a") == "first"


def test_resumable_uploads(raw: Raw) -> None:
    """Chunks that are no multiple of 256 KiB, leave a gap, or are not as long as they say are refused; wrong checksums too."""
    begun = raw("POST", f"{raw.upload}?uploadType=resumable", json.dumps({"name": raw.name}).encode())
    url = begun.headers["Location"]
    assert raw("PUT", url, b"x" * 1000, Content_Range="bytes 0-999/*").status_code == 400
    assert raw("PUT", url, b"x" * 10, Content_Range="bytes 262144-262153/262154").status_code == 400
    assert raw("PUT", url, b"x" * 9, Content_Range="bytes 0-9/10").status_code == 400
    assert raw("PUT", url, b"", Content_Range="bytes */*").status_code == 308
    assert raw("PUT", url, b"x", Content_Range="bytes 0-0/1", X_Goog_Hash="crc32c=AAAAAA==").status_code == 400
    assert not raw.store.exists("a")
    assert raw("DELETE", url).status_code == 499
    assert raw("PUT", url, b"x", Content_Range="bytes 0-0/1").status_code == 404


def test_multipart_uploads(raw: Raw) -> None:
    """Preconditions, small parts, unknown parts and wrong checksums are refused."""
    url = f"{raw.base}/{BUCKET}/{quote(raw.name, safe='')}"
    assert raw("POST", f"{url}?uploads", x_goog_if_generation_match="0").status_code == 400
    upload = raw("POST", f"{url}?uploads").text.partition("<UploadId>")[2].partition("<")[0]
    part = f"{url}?uploadId={upload}&partNumber="
    assert raw("PUT", f"{part}1", b"x", X_Goog_Hash="crc32c=AAAAAA==").status_code == 400
    tags = [raw("PUT", f"{part}{number}", b"x" * 1000).headers["ETag"] for number in (1, 2)]

    def complete(*listed: tuple[int, str]) -> Any:
        parts = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>" for number, tag in listed)
        return raw(
            "POST", f"{url}?uploadId={upload}", f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        )

    assert "EntityTooSmall" in complete((1, tags[0]), (2, tags[1])).text
    assert "InvalidPartOrder" in complete((2, tags[1]), (1, tags[0])).text
    assert "InvalidPart" in complete((1, '"other"')).text
    assert not raw.store.exists("a")
    assert complete((2, tags[1])).status_code == 200
    assert raw.store.info("a").size == 1000
    assert "NoSuchUpload" in complete((2, tags[1])).text


def test_what_was_not_asked_for_does_not_come(raw: Raw) -> None:
    """``fields`` shapes the answer: a driver that forgets a field it needs fails."""
    raw.store.set("a", "1")
    assert raw("GET", f"{raw.object}?fields=size").json() == {"size": "1"}
    listed = raw("GET", f"{raw.base}/storage/v1/b/{BUCKET}/o?prefix={quote(raw.name)}&fields=items(name)").json()
    assert listed["items"] == [{"name": raw.name}]


def test_gzip_is_unpacked_for_who_does_not_accept_it(raw: Raw) -> None:
    """As the service does: a driver that forgets ``Accept-Encoding`` gets other bytes than were stored."""
    import gzip

    data = gzip.compress(b"hello", mtime=0)
    raw.store.set("a", data, content_encoding="gzip")
    plain = raw("GET", f"{raw.object}?alt=media", Accept_Encoding="identity")
    assert plain.content == b"hello"
    assert raw.store.get_bytes("a") == data
