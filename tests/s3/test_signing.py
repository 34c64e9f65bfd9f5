"""Presigned requests, tried with a plain HTTP client on a server that checks them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import RefreshableCredentials

from storage import SigningError, Storage

EMPTY_MD5 = base64.b64encode(hashlib.md5(b"").digest()).decode()
BODY = b"hello"
MD5 = base64.b64encode(hashlib.md5(BODY).digest()).decode()


def send(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None):
    """One request by a client that knows nothing of AWS."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


@pytest.fixture
def store(open_store, seaweedfs) -> Storage:
    return open_store(seaweedfs.endpoint_url)


def test_download(store) -> None:
    """A URL gives the blob, with the headers that it was signed for."""
    store.set("a b/ü.txt", BODY, content_type="text/plain", cache_control="no-store")
    request = store.sign_download("a b/ü.txt", content_disposition='attachment; filename="x y"', content_type="text/x")
    assert (request.method, dict(request.headers)) == ("GET", {})
    status, body, headers = send("GET", request.url)
    assert (status, body) == (200, BODY)
    assert headers["Content-Disposition"] == 'attachment; filename="x y"'
    assert headers["Content-Type"] == "text/x"
    assert send("HEAD", request.url)[0] == 403
    assert send("HEAD", store.sign_download("a b/ü.txt", method="HEAD").url)[0] == 200
    assert send("GET", store.get_signed_url("none"))[0] == 404


UPLOADS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "content_type": ({"content_type": "text/x"}, {"Content-Type": "text/x"}),
    "content_length": ({"content_length": len(BODY)}, {"Content-Length": str(len(BODY))}),
    "content_md5": ({"content_md5": MD5}, {"Content-MD5": MD5}),
    "overwrite": ({"overwrite": False}, {"If-None-Match": "*"}),
}
OTHERS = {"Content-Type": "text/y", "Content-Length": "4", "Content-MD5": EMPTY_MD5, "If-None-Match": '"x"'}


@pytest.mark.parametrize("name", [*UPLOADS, "all", "none"])
def test_upload(store, name) -> None:
    """``headers`` is exactly what must be sent: with them it works, and without any one of them, or with another value, not."""
    chosen = UPLOADS.values() if name == "all" else [UPLOADS[name]] if name in UPLOADS else []
    options = {key: value for given, _ in chosen for key, value in given.items()}
    expected = {key: value for _, headers in chosen for key, value in headers.items()}
    request = store.sign_upload("k", **options)
    assert (request.method, dict(request.headers)) == ("PUT", expected)
    signed = parse_qs(urlsplit(request.url).query)["X-Amz-SignedHeaders"][0].split(";")
    assert sorted(signed) == sorted(["host", *(header.lower() for header in expected)])
    for header in expected:
        altered = {**expected, header: OTHERS[header]}
        body = BODY[:4] if header == "Content-Length" else BODY
        assert 400 <= send("PUT", request.url, altered, body)[0] < 500, header
        if header != "Content-Length":  # http.client sends that one by itself
            missing = {key: value for key, value in expected.items() if key != header}
            assert send("PUT", request.url, missing, BODY)[0] == 403, header
    assert not store.exists("k")
    assert send("PUT", request.url, expected, BODY)[0] == 200
    assert store.get_bytes("k") == BODY
    if "content_type" in options:
        assert store.info("k").content_type == "text/x"
    if "overwrite" in options:
        assert send("PUT", request.url, expected, BODY)[0] == 412


def test_a_body_that_does_not_match_its_md5(store) -> None:
    """A body other than the one that was signed for is refused."""
    request = store.sign_upload("k", content_md5=MD5)
    assert send("PUT", request.url, request.headers, b"other")[0] == 400
    assert not store.exists("k")


@pytest.mark.parametrize("alter", ["signature", "expiry", "key", "type", "verb", "date"])
def test_altered(store, alter) -> None:
    """A URL that is altered in any way is refused, and changes nothing."""
    store.set("k", "old")
    store.set("k2", "old")
    for request in (store.sign_download("k"), store.sign_upload("k")):
        url, method = request.url, request.method
        if alter == "signature":
            url = url[:-1] + ("0" if url[-1] != "0" else "1")
        elif alter == "expiry":
            url = url.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000")
        elif alter == "key":
            url = url.replace("/data/k?", "/data/k2?")
        elif alter == "type":
            url = url.replace("/data/k?", "/tmp/k?")
        elif alter == "date":
            url = url.replace("X-Amz-Date=20", "X-Amz-Date=19")
        else:
            method = "DELETE" if method == "GET" else "GET"
        assert (url, method) != (request.url, request.method)
        assert 400 <= send(method, url, request.headers, b"new" if method == "PUT" else None)[0] < 500
    assert (store.get("k"), store.get("k2")) == ("old", "old")


def test_expired(store) -> None:
    """A URL works until ``expires_at``, and no longer."""
    store.set("k", "v")
    request = store.sign_download("k", expires_in=2)
    now = datetime.now(timezone.utc)
    assert now < request.expires_at <= now + timedelta(seconds=2)
    assert send("GET", request.url)[0] == 200
    time.sleep(max(0.0, (request.expires_at - datetime.now(timezone.utc)).total_seconds()) + 1.1)
    assert send("GET", request.url)[0] == 403


def test_no_longer_than_the_credentials() -> None:
    """``expires_at`` is no later than the end of credentials that are known to end."""
    end = datetime.now(timezone.utc) + timedelta(hours=2)
    fresh = {"access_key": "AKIA", "secret_key": "s", "token": "t", "expiry_time": end.isoformat()}
    auth = RefreshableCredentials.create_from_metadata(fresh, lambda: fresh, "test")
    with Storage("s3://b?region=us-east-1", auth) as store:
        assert store.sign_download("k", expires_in=86_400).expires_at == end
        assert store.sign_download("k", expires_in=600).expires_at < end
        assert "X-Amz-Security-Token=t" in store.get_signed_url("k")


@pytest.mark.parametrize("query", ["", "&anonymous=true"])
def test_no_credentials(query) -> None:
    """Who has no credentials cannot sign, and is told what to do."""
    with Storage(f"s3://b?region=us-east-1{query}") as store, pytest.raises(SigningError, match="auth"):
        store.get_signed_url("k")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-south-2", "cn-north-1", "il-central-1"])
def test_every_region_has_version_4(region) -> None:
    """No region gets the old signature, which binds nothing, and each its own host: newer ones refuse the global one."""
    with Storage(f"s3://bucket?region={region}", {"access_key_id": "AKIA", "secret_access_key": "s"}) as store:
        query = parse_qs(urlsplit(store.sign_upload("k", content_type="a/b").url).query)
        signed = [store.sign_upload("k").url, store.get_signed_url("k"), store.sign_form("k").url]
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    host = "bucket.s3.amazonaws.com" if region == "us-east-1" else f"bucket.s3.{region}.{suffix}"
    assert {urlsplit(url).hostname for url in signed} == {host}
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Credential"][0].split("/")[2:4] == [region, "s3"]
    assert query["X-Amz-SignedHeaders"] == ["content-type;host"]
    assert not [name for name in query if "checksum" in name.lower()]
