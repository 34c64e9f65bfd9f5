"""Answers that are not what was asked for, or not the service's: never wrong bytes, never success, never a parser's exception."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import storage as s
from storage import Storage
from storage.testing.faults import RESET, Fault, FaultProxy, Request, answer
from tests.s3.conftest import at_once, stub_store

DATA = bytes(range(256)) * 16
ETAG = f'"{hashlib.md5(DATA).hexdigest()}"'
DATE = "Sun, 22 Nov 2026 19:05:11 GMT"
AUTH = {"access_key_id": "AKIASTUB", "secret_access_key": "stub-secret"}
HTML = b"<!DOCTYPE html><html><body><form>Log in first<br></form></body></html>"


@pytest.fixture
def proxy(stub: tuple[FaultProxy, Storage]) -> FaultProxy:
    """No server is behind it."""
    return stub[0]


@pytest.fixture
def store(stub: tuple[FaultProxy, Storage]) -> Storage:
    """One that tries once."""
    return stub[1]


def blob(data: bytes = DATA, status: int = 200, etag: str = ETAG, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(status, data, {"ETag": etag, "Last-Modified": DATE, **named})


def ranged(first: int, last: int, data: bytes | None = None, total: int = len(DATA), etag: str = ETAG) -> Fault:
    body = DATA[first : last + 1] if data is None else data
    return blob(body, 206, etag, Content_Range=f"bytes {first}-{last}/{total}")


# ---- ranges and versions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start, end", [(1000, 2000), (0, 10), (4000, None), (4090, 9000), (-10, None), (-9000, None)])
def test_a_server_that_ignores_ranges(proxy: FaultProxy, store: Storage, start: int, end: int | None) -> None:
    """The whole blob comes, and the bytes that were asked for are taken out of it."""
    proxy.plan = lambda _: blob()
    assert store.get_bytes("k", start=start, end=end) == DATA[start:end]
    assert b"".join(store.iter_bytes("k", start=start, end=end)) == DATA[start:end]


READS: dict[str, Callable[[Storage], bytes]] = {
    "get_bytes": lambda store: store.get_bytes("k", start=1000, end=2000),
    "iter_bytes": lambda store: b"".join(store.iter_bytes("k", start=1000, end=2000)),
}


@pytest.mark.parametrize(
    "fault",
    [
        ranged(0, 999),
        ranged(1000, 1499),
        ranged(1000, 1999, DATA[1000:1500]),
        ranged(1000, 1999, DATA[1000:2100]),
        ranged(1000, 2500),
        blob(DATA[1000:2000], 206),
        blob(DATA[1000:2000], 206, Content_Range="bytes */4096"),
        blob(DATA[1000:2000], 206, Content_Range="bytes 1000-1999/*"),
        blob(DATA[1000:2000], 206, Content_Range="pages 1000-1999/4096"),
    ],
)
@pytest.mark.parametrize("read", READS)
def test_another_range(proxy: FaultProxy, store: Storage, read: str, fault: Fault) -> None:
    """Bytes of another place, and fewer or more than were asked for, are an IntegrityError and no data."""
    proxy.plan = lambda _: fault
    with pytest.raises(s.IntegrityError):
        READS[read](store)


def test_a_server_that_ignores_conditions(proxy: FaultProxy, store: Storage) -> None:
    """A file that is read in ranges is of one version, also where nobody but this library compares etags."""
    large = DATA * 512  # 2 MiB
    replaced = False

    def plan(request: Request) -> Fault:
        etag = '"new"' if replaced else '"old"'
        if "range" not in request.headers:
            return blob(b"" if request.method == "HEAD" else large, etag=etag, Content_Length=str(len(large)))
        first, _, last = request.headers["range"].partition("=")[2].partition("-")
        begin, end = int(first), min(int(last or len(large)), len(large) - 1)
        return ranged(begin, end, large[begin : end + 1], len(large), etag)

    proxy.plan = plan
    with pytest.raises(s.PreconditionFailedError):
        store.backend.get("p/data/k", 0, 10, "new")
    assert store.backend.get("p/data/k", 0, 10, "old") == large[:10]
    replaced = True
    with pytest.raises(s.PreconditionFailedError):
        store.backend.stream("p/data/k", 0, 10, "old")


def test_past_the_end_of_another_version(proxy: FaultProxy, store: Storage) -> None:
    """That a range begins past the end is believed of the version that was asked for, and where it can be true."""
    proxy.plan = lambda request: blob(etag='"new"') if request.method == "HEAD" else answer(416)
    assert store.get_bytes("k", start=5000) == b""
    with pytest.raises(s.PreconditionFailedError):
        store.backend.get("p/data/k", 100, 200, "old")
    with pytest.raises(s.IntegrityError):
        store.backend.get("p/data/k", 100, 200, "new")
    assert store.backend.get("p/data/k", 5000, 6000, "new") == b""


# ---- checksums ---------------------------------------------------------------------------------------------------------

FLIPPED = bytes([DATA[0] ^ 1]) + DATA[1:]
CRC = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
SHA = base64.b64encode(hashlib.sha256(DATA).digest()).decode()


@pytest.mark.parametrize(
    "headers, noticed",
    [
        ({}, True),
        ({"etag": ETAG.upper()}, True),
        ({"etag": f"W/{ETAG}"}, True),
        ({"etag": '"e-1"', "x_amz_checksum_crc32": CRC}, True),
        ({"etag": '"e-1"', "x_amz_checksum_sha256": SHA, "x_amz_checksum_type": "FULL_OBJECT"}, True),
        ({"etag": '"e-1"', "x_amz_checksum_crc32": f"{CRC}-3", "x_amz_checksum_type": "COMPOSITE"}, False),
        ({"etag": '"e-1"'}, False),
        ({"x_amz_server_side_encryption": "aws:kms"}, False),
    ],
)
@pytest.mark.parametrize("read", ["get_bytes", "iter_bytes", "get_file"])
def test_a_flipped_byte_that_comes(proxy: FaultProxy, store: Storage, read: str, headers: Any, noticed: bool) -> None:
    """It is noticed where the service gives something to compare with, and true bytes are always taken."""

    def bytes_read() -> bytes:
        if read == "get_file":
            file = io.BytesIO()
            store.get_file("k", file)
            return file.getvalue()
        return store.get_bytes("k") if read == "get_bytes" else b"".join(store.iter_bytes("k"))

    proxy.plan = lambda _: blob(**headers)
    assert bytes_read() == DATA
    proxy.plan = lambda _: blob(FLIPPED, **headers)
    if noticed:
        with pytest.raises(s.IntegrityError):
            bytes_read()
    else:
        assert bytes_read() == FLIPPED


def test_a_flipped_byte_is_asked_for_again(proxy: FaultProxy) -> None:
    """What was spoilt on the way is right at the next try; where nobody wants the comparison there is none."""
    url = f"s3://bucket/p?region=us-east-1&endpoint_url={proxy.url}"
    with Storage(url, AUTH, at_once(1)) as store:
        proxy.script(blob(FLIPPED), blob())
        assert store.get_bytes("k") == DATA
        stored = f'"{hashlib.md5(FLIPPED).hexdigest()}"'
        proxy.script(blob(b"", etag=stored), blob(b""))
        assert store.set("k", DATA).etag == ETAG.strip('"')
        proxy.plan = lambda _: blob(b"", etag=stored)
        with pytest.raises(s.IntegrityError, match="checksums=false"):
            store.set("k", DATA)
    with Storage(f"{url}&checksums=false", AUTH, 0) as store:
        proxy.requests.clear()
        store.set("k", DATA)
        proxy.plan = lambda _: blob(FLIPPED)
        assert store.get_bytes("k") == FLIPPED
        assert "content-md5" not in proxy.requests[0].headers


def test_a_flipped_byte_that_is_sent(open_store, seaweedfs) -> None:
    """The server compares what came with the Content-MD5 that is sent along, and refuses another."""
    client = open_store(seaweedfs.endpoint_url).backend.client
    wrong = base64.b64encode(hashlib.md5(FLIPPED).digest()).decode()
    with pytest.raises(client.exceptions.ClientError, match="BadDigest"):
        client.put_object(Bucket="bucket", Key="flipped", Body=DATA, ContentMD5=wrong)


# ---- conditions --------------------------------------------------------------------------------------------------------


def test_a_delete_of_one_version(proxy: FaultProxy, store: Storage) -> None:
    """The condition goes along; what the server says of it is what the caller is told."""
    proxy.plan = lambda request: blob() if request.method == "HEAD" else answer(204)
    store.delete("k", if_match=ETAG.strip('"'))
    assert proxy.requests[-1].headers["if-match"] == ETAG
    with pytest.raises(s.PreconditionFailedError):
        store.delete("k", if_match="another")
    assert [request.method for request in proxy.requests] == ["HEAD", "DELETE", "HEAD"]
    for status in (412, 404):
        proxy.plan = lambda request, status=status: blob() if request.method == "HEAD" else answer(status)
        with pytest.raises(s.PreconditionFailedError):
            store.delete("k", if_match=ETAG.strip('"'))


def test_a_delete_of_one_version_whose_answer_is_lost(proxy: FaultProxy) -> None:
    """Nobody can tell who deleted it then, and nobody is told that he did not."""
    proxy.plan = lambda request: blob() if request.method == "HEAD" else answer(412)
    with Storage(f"s3://bucket/p?region=us-east-1&endpoint_url={proxy.url}", AUTH, at_once(1)) as store:
        proxy.script(RESET, when=lambda request: request.method == "DELETE")
        with pytest.raises(s.UnavailableError, match="unknown"):
            store.delete("k", if_match=ETAG.strip('"'))


@pytest.mark.parametrize(
    "told", [{"Server": "Ceph Object Gateway (squid)"}, {"x-amz-request-id": "tx00000e7b6a32c9a0b1c-00-z"}]
)
def test_a_server_that_compares_bare_etags(proxy: FaultProxy, told: dict[str, str]) -> None:
    """Ceph is given the etag without quotes, as it compares it, from its first refusal on; no other server is."""

    def plan(request: Request) -> Fault:
        if request.headers.get("if-match") == "old":
            return blob(b"", etag='"new"')
        return answer(412, b"<Error><Code>PreconditionFailed</Code></Error>", told)

    proxy.plan = plan
    url = f"s3://bucket/p?region=us-east-1&checksums=false&endpoint_url={proxy.url}"
    with Storage(url, AUTH, 0) as store:
        assert store.set("k", "v", if_match="old").etag == "new"
        assert store.set("k", "v", if_match="old").etag == "new"
        with pytest.raises(s.PreconditionFailedError):
            store.set("k", "v", if_match="stale")
    assert [request.headers["if-match"] for request in proxy.requests] == ['"old"', "old", "old", "stale"]
    assert all(len(name) <= len("x-amz-meta-") + 80 for request in proxy.requests for name in request.headers)
    told.clear()
    with Storage(url, AUTH, 0) as store, pytest.raises(s.PreconditionFailedError):
        store.set("k", "v", if_match="old")


@pytest.mark.parametrize("status", [501, 405])
def test_a_server_without_batches(proxy: FaultProxy, status: int) -> None:
    """It gets single deletes, and is asked for a batch once."""
    proxy.plan = lambda request: answer(status) if request.method == "POST" else answer(204)
    with Storage(f"s3://bucket/p?region=us-east-1&endpoint_url={proxy.url}", AUTH, 0) as store:
        store.delete_many(f"k{number}" for number in range(5))
        store.delete_many(["a", "b"])
    assert sorted(request.method for request in proxy.requests) == ["DELETE"] * 7 + ["POST"]


def test_a_reserved_name(store: Storage) -> None:
    """Nobody can give a blob the mark by which a write knows itself."""
    with pytest.raises(ValueError, match="storage--"):
        store.set("k", "v", metadata={"storage--nonce": "x"})


# ---- listings ----------------------------------------------------------------------------------------------------------


def page(keys: list[str], token: str) -> Fault:
    listed = "".join(f"<Contents><Key>p/data/{key}</Key></Contents>" for key in keys)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>"
    return answer(200, f"<ListBucketResult><IsTruncated>true</IsTruncated>{more}{listed}</ListBucketResult>".encode())


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_a_listing_that_goes_round(proxy: FaultProxy, store: Storage, length: int) -> None:
    """It ends in an error, however long the circle is."""

    def plan(request: Request) -> Fault:
        place = int(request.target.partition("continuation-token=")[2].partition("&")[0] or -1)
        following = (place + 1) % length
        return page([f"{following}{place}"], str(following))

    proxy.plan = plan
    with pytest.raises(s.UnavailableError, match="never ends"):
        for _ in store.iter_list():
            pass
    assert len(proxy.requests) <= 4 * length + 4


# ---- whatever comes ----------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Storage], object]] = {
    "set": lambda store: store.set("k", DATA),
    "create": lambda store: store.set("k", DATA, overwrite=False),
    "get": lambda store: store.get_bytes("k"),
    "range": lambda store: store.get_bytes("k", start=10, end=20),
    "suffix": lambda store: store.get_bytes("k", start=-5),
    "iter": lambda store: list(store.iter_bytes("k")),
    "info": lambda store: store.info("k"),
    "exists": lambda store: store.exists("k"),
    "delete": lambda store: store.delete("k"),
    "delete version": lambda store: store.delete("k", if_match="e"),
    "delete_many": lambda store: store.delete_many(["a", "b"]),
    "list": lambda store: store.list(limit=3),
    "infos": lambda store: [info for info, _ in zip(store.iter_info(), range(5), strict=False)],
    "dir": lambda store: [entry for entry, _ in zip(store.iter_dir(), range(5), strict=False)],
    "copy": lambda store: store.copy("k", "k2"),
    "create copy": lambda store: store.copy("k", "k2", overwrite=False),
    "move": lambda store: store.move("k", "k2"),
    "metadata": lambda store: store.set_metadata("k", metadata={"a": "b"}),
    "file": lambda store: store.set_file("k", io.BytesIO(bytes(6_000_000))),
    "get_file": lambda store: store.get_file("k", io.BytesIO()),
}
BODIES = (
    b"",
    HTML,
    b"{}",
    b"not xml",
    b"\xff\xfe<\x00",
    b"<Error/>",
    b"<Error><Code></Code></Error>",
    b"<Error><Code>InternalError</Code></Error>",
    b"<ListBucketResult><Contents><Key>p/data/a</Key><Size>-1</Size><ETag/><LastModified>never</LastModified></Contents>",
    b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    b"<ListBucketResult><Contents><Key>p/data/a</Key></Contents></ListBucketResult>",
    b"<DeleteResult><Error><Code>X</Code></Error></DeleteResult>",
    b"<DeleteResult><Error><Key>never asked</Key><Code>X</Code></Error></DeleteResult>",
    b"<CopyObjectResult/>",
    b"<CopyObjectResult><ETag>e</ETag><LastModified>2026-13-45T99:99:99Z</LastModified></CopyObjectResult>",
    b"<InitiateMultipartUploadResult/>",
    b"<CompleteMultipartUploadResult/>",
    b"<a>" * 5000,
    b'<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;&a;">]><Error><Code>&c;</Code></Error>',
    DATA,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "ETag": st.sampled_from(('"e"', "", '""', ETAG, "W/", '"' + "f" * 32 + '"')),
        "Last-Modified": st.sampled_from((DATE, "", "yesterday", "Sun, 99 Foo 2026 99:99:99 GMT", "1")),
        "Date": st.sampled_from((DATE, "soon")),
        "Content-Range": st.sampled_from(
            ("bytes 10-19/30", "bytes 0-4095/4096", "bytes 9-1/2", f"bytes {'9' * 30}-1/1", "x")
        ),
        "x-amz-request-id": st.just("R"),
        "x-amz-meta-a": st.sampled_from(("=?UTF-8?B?/w==?=", "\xff", "x")),
        "x-amz-checksum-crc32": st.sampled_from((CRC, "!", "AAAA")),
        "x-amz-bucket-region": st.sampled_from(("us-east-1", "mars-1")),
        "Retry-After": st.sampled_from(("0", "x", "-1")),
    },
)
STATUSES = st.sampled_from(
    (200, 200, 200, 201, 204, 206, 300, 301, 304, 307, 400, 401, 403, 404, 409, 412, 416, 500, 503, 599)
)


# Where an answer redirects boto3 is asked, which closes no connection whose answer it cannot read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(st.tuples(STATUSES, st.sampled_from(BODIES), HEADERS), min_size=1, max_size=3))
def test_malformed_answers(silent_proxy: FaultProxy, call: str, answers: list[Any]) -> None:
    """Whatever a server says, nothing but this library's exceptions comes out."""
    turn = 0

    def plan(_: Request) -> Fault:
        nonlocal turn
        status, body, headers = answers[turn % len(answers)]
        turn += 1
        return answer(status, b"" if status in (204, 304) else body, headers)

    silent_proxy.plan = plan
    with stub_store(silent_proxy) as store, contextlib.suppress(s.StorageError):
        CALLS[call](store)


@pytest.mark.parametrize(
    "call", [name for name in CALLS if name not in ("get", "iter", "get_file", "range", "suffix", "exists")]
)
def test_a_login_page(proxy: FaultProxy, store: Storage, call: str) -> None:
    """A page that somebody in between puts in the answer's place is no success, and says nothing about the blob."""
    proxy.plan = lambda request: answer(200, b"" if request.method == "HEAD" else HTML, {"Content-Type": "text/html"})
    with pytest.raises(s.UnavailableError):
        CALLS[call](store)


def test_what_is_elsewhere_leaves_no_connection_open(store: Storage) -> None:
    gate = store.backend._requests.gate  # type: ignore[attr-defined]
    closed: list[bool] = []
    gate._wire = SimpleNamespace(close=lambda: closed.append(True))
    gate.elsewhere("eu-west-1")
    assert closed == [True]
