"""Signatures and requests, byte for byte as botocore makes them."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.utils import percent_encode

from storage._retry import Timeout
from storage.backends.s3._calls import Call, query
from storage.backends.s3._checksums import upload_headers
from storage.backends.s3._documents import Part, complete_upload, delete_objects
from storage.backends.s3._gate import Gate
from storage.backends.s3._sdk_client import SharedClient
from storage.backends.s3._sdk_wire import SdkWire
from storage.backends.s3._settings import Settings
from storage.backends.s3._sigv4 import EMPTY, UNSIGNED, Keys, canonical_request, sign
from storage.testing._tables import KEYS

REGIONS = ("us-east-1", "eu-central-1", "il-central-1", "cn-north-1", "mars-north-9", "x")
HOSTS = ("bucket.s3.eu-central-1.amazonaws.com", "127.0.0.1:9000", "[::1]:8333", "minio.local")
SECRETS = ("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "test/secret+key-that-must-never-be-seen", "ü")
VALUES = ("text/plain", "a  b", "a   b  c", "=?UTF-8?B?w7w=?=", "x" * 200, "a\tb", '"quoted"', "*", "k=v; w=x", "ÿ")
NAMES = (
    "content-type",
    "content-md5",
    "cache-control",
    "content-encoding",
    "if-match",
    "if-none-match",
    "range",
    "x-amz-acl",
    "x-amz-checksum-crc32",
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-meta-a",
    "x-amz-meta-storage--nonce",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
)


def a_query(dice: random.Random) -> str:
    parameters = {"prefix": dice.choice(KEYS), "delimiter": "/", "max_keys": "7", "start_after": dice.choice(KEYS)}
    chosen = {name: value for name, value in parameters.items() if dice.random() < 0.5}
    return dice.choice(("", "uploads=", "delete=", query(partNumber="3", uploadId="a/b+c=&d"), query(**chosen)))


def as_headers(lines: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in lines.removesuffix("\n").split("\n"))  # type: ignore[misc]


@pytest.mark.parametrize("calls", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_thousands_of_calls(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Canonical request, signature and headers are botocore's, whatever is signed, by whom, when and where."""
    moment = datetime.fromtimestamp(0, timezone.utc)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
    dice = random.Random(2026)
    for _ in range(calls):
        stamp = dice.randrange(0, 4_000_000_000)
        moment = datetime.fromtimestamp(stamp, timezone.utc).replace(tzinfo=None)
        method, region, host = (
            dice.choice(("GET", "PUT", "HEAD", "DELETE", "POST")),
            dice.choice(REGIONS),
            dice.choice(HOSTS),
        )
        keys = Keys(f"AKIA{dice.randrange(9)}", dice.choice(SECRETS), dice.choice((None, "token/with+=", "t" * 900)))
        path = f"{dice.choice(('', '/bucket', '/base/b.c'))}/{quote(dice.choice(KEYS))}"
        text = a_query(dice)
        headers = {name: dice.choice(VALUES) for name in dice.sample(NAMES, dice.randrange(6))}
        body = dice.randbytes(dice.choice((0, 0, 7, 100)))
        # A checksum over TLS takes the place of the body's hash, for uploads.
        unsigned = "content-md5" in headers and method == "PUT" and dice.random() < 0.5
        scheme = "https" if unsigned else "http"
        request = AWSRequest(method, f"{scheme}://{host}{path}{'?' if text else ''}{text}", dict(headers), body)
        request.context["has_streaming_input"] = unsigned
        signer = S3SigV4Auth(Credentials(keys.access_key, keys.secret_key, keys.token), "s3", region)
        signer.add_auth(request)
        payload = request.headers["X-Amz-Content-SHA256"]
        assert payload == UNSIGNED if unsigned else payload == EMPTY if not body else len(payload) == 64

        ours = {"host": host, **headers}
        lines = sign(method, path, text, ours, payload, keys=keys, region=region, now=stamp + 0.9)
        theirs = {name.lower(): value for name, value in request.headers.items()}
        assert {"host": host, **theirs} == as_headers(lines)
        signed, _, _ = lines.partition("authorization:")
        del request.headers["Authorization"]
        assert canonical_request(
            method, path, text, signed, ";".join(sorted(ours)), payload
        ) == signer.canonical_request(request)


def test_a_key_is_quoted_as_botocore_quotes_it() -> None:
    """Every key of the table, and every character of the first plane, stands in a path as botocore writes it."""
    for key in (*KEYS, *("".join(map(chr, range(start, start + 64))) for start in range(0x20, 0xD000, 64))):
        assert quote(key, errors="surrogateescape") == percent_encode(key, safe="/~")


# ---- whole requests ----------------------------------------------------------------------------------------------------

META = {"x-amz-meta-a": "b", "x-amz-meta-u": "=?UTF-8?B?w7w=?="}
DATA = b"value of the blob"
DELETE = ["a b", "<&>", "ü"]
PARTS = [Part(1, '"e1"'), Part(2, '"e2"')]
CALLS = [
    *(Call("get_object", "GET", key) for key in KEYS),
    Call("get_object", "GET", "k", "", {"range": "bytes=-5", "if-match": '"e"'}),
    Call("head_object", "HEAD", "k", "", {"if-match": '"e"'}),
    Call("head_bucket", "HEAD"),
    Call("put_object", "PUT", "k", "", {"content-type": "text/x", "cache-control": "no-store", **META}, DATA),
    Call(
        "put_object",
        "PUT",
        "k",
        "",
        {"content-type": "text/x", "if-none-match": "*", **upload_headers(DATA, "md5")},
        DATA,
    ),
    Call("put_object", "PUT", "k", "", {"content-type": "text/x", "if-match": '"e"'}),
    Call("delete_object", "DELETE", "k", "", {"if-match": '"e"'}),
    Call(
        "delete_objects",
        "POST",
        None,
        "delete=",
        upload_headers(delete_objects(DELETE), "md5"),
        delete_objects(DELETE),
        lambda: {"Delete": {"Quiet": True, "Objects": [{"Key": key} for key in DELETE]}},
    ),
    Call(
        "list_objects_v2",
        "GET",
        None,
        query(list_type="2", encoding_type="url", prefix="a b/ü", max_keys="7", delimiter="/", start_after="a+b"),
    ),
    Call(
        "list_objects_v2",
        "GET",
        None,
        query(list_type="2", encoding_type="url", prefix="p", continuation_token="1/x+y=="),
    ),
    Call("create_multipart_upload", "POST", "k", "uploads=", {"content-type": "text/x", **META}),
    Call("upload_part", "PUT", "k", query(partNumber="3", uploadId="u/+="), upload_headers(DATA, "md5"), DATA),
    Call(
        "upload_part_copy",
        "PUT",
        "k",
        query(partNumber="3", uploadId="u"),
        {"x-amz-copy-source": quote("bucket/a b/ü?"), "x-amz-copy-source-range": "bytes=0-9"},
    ),
    Call(
        "complete_multipart_upload",
        "POST",
        "k",
        query(uploadId="u"),
        {"if-none-match": "*"},
        complete_upload(PARTS),
        lambda: {"MultipartUpload": {"Parts": [{"PartNumber": part.number, "ETag": part.etag} for part in PARTS]}},
    ),
    Call("abort_multipart_upload", "DELETE", "k", query(uploadId="u")),
    Call(
        "copy_object",
        "PUT",
        "k",
        "",
        {
            "x-amz-copy-source": quote("bucket/a b/ü?%"),
            "x-amz-copy-source-if-match": '"e"',
            "x-amz-metadata-directive": "REPLACE",
            "content-type": "text/x",
            "if-none-match": "*",
            **META,
        },
    ),
]
# What boto3 sends besides, for statistics, and what is said by the transport.
BESIDES = {
    "accept-encoding",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "authorization",
    "content-length",
    "host",
    "user-agent",
}


class Caught(Exception):
    """Ends a request before it is sent."""


def sent_by_boto3(shared: SharedClient, call: Call) -> tuple[str, str, dict[str, str], bytes]:
    caught: list[Any] = []

    def catch(request: Any, **_: Any) -> AWSResponse:
        caught.append(request)
        raise Caught

    events = shared.get().meta.events
    events.register("before-send.s3", catch)
    try:
        with pytest.raises(Caught):
            SdkWire(shared.get, "bucket").send(call)
    finally:
        events.unregister("before-send.s3", catch)
    (request,) = caught
    parts = urlsplit(request.url)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
    }
    body = request.body.read() if hasattr(request.body, "read") else request.body or b""
    return request.method, f"{parts.path}?{parts.query}", headers, bytes(body)


def sent_by_us(gate: Gate, call: Call, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, dict[str, str], bytes]:
    caught: list[Any] = []

    def catch(method: str, target: str, lines: str, body: bytes = b"", **_: Any) -> None:
        caught.append((method, target, as_headers(lines), bytes(body)))
        raise Caught

    wire: Any = gate.wire()
    monkeypatch.setattr(wire._pool, "request", catch)
    with pytest.raises(Caught):
        wire.send(call)
    method, target, headers, body = caught[0]
    return method, target if "?" in target else f"{target}?", headers, body


SETTINGS = Settings(
    "bucket",
    Timeout(5, 5),
    {"access_key_id": "AKIA", "secret_access_key": "s", "session_token": "t"},
    "eu-west-1",
    "http://127.0.0.1:9",
)


@pytest.fixture(scope="module")
def shared() -> SharedClient:
    """One client for all these tests: making one takes 100 ms."""
    return SharedClient(SETTINGS)


@pytest.mark.parametrize("call", CALLS, ids=[f"{number}-{call.name}" for number, call in enumerate(CALLS)])
def test_requests_are_those_of_boto3(call: Call, shared: SharedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways send the same method, target, headers and body."""
    ours = sent_by_us(Gate(SETTINGS), call, monkeypatch)
    theirs = sent_by_boto3(shared, call)
    assert ours[0] == theirs[0]
    path, _, text = ours[1].partition("?")
    their_path, _, their_text = theirs[1].partition("?")
    assert path == their_path
    assert sorted(parse_qsl(text, keep_blank_values=True)) == sorted(parse_qsl(their_text, keep_blank_values=True))

    def plain(headers: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in headers.items() if name not in BESIDES and name != "x-amz-date"}

    ours_plain, theirs_plain = plain(ours[2]), plain(theirs[2])
    if call.document is not None:  # the same said in other words
        for headers in (ours_plain, theirs_plain):
            for name in ("content-type", "content-md5", "x-amz-content-sha256"):
                headers.pop(name, None)
        assert len(ours[3]) == len(theirs[3]) or b"xmlns" in theirs[3]
    else:
        assert ours[3] == theirs[3]
    assert ours_plain == theirs_plain
