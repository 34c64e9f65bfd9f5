"""Failures half way through a write, a copy or a batch: what is sent next, and what the caller is told."""

from __future__ import annotations

import gc
import io
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import boto3
import pytest

import storage as s
from storage import Storage
from storage.backends import PutOptions
from storage.testing.faults import RESET, Fault, FaultProxy, Request, answer
from tests.s3.conftest import at_once

PARTS = bytes(6_000_000)  # two parts
ETAG, OTHER = '"e"', '"other"'
MARK = "x-amz-meta-storage--nonce"
AUTH = {"access_key_id": "AKIASTUB", "secret_access_key": "stub-secret"}
Plan = Callable[[Request], "Fault | None"]


def error(status: int, code: str = "") -> Fault:
    return answer(status, f"<Error><Code>{code}</Code></Error>".encode() if code else b"")


def blob(data: bytes = b"value", etag: str = ETAG, headers: Mapping[str, str] | None = None) -> Fault:
    """The answer that a blob of these bytes gives to GET and HEAD."""
    return answer(200, data, {"ETag": etag, "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT", **(headers or {})})


def copied(kind: str = "CopyObjectResult") -> Fault:
    return answer(200, f"<{kind}><ETag>{OTHER}</ETag></{kind}>".encode())


def is_copy(request: Request) -> bool:
    return "x-amz-copy-source" in request.headers


def shape(request: Request) -> str:
    """The method and what of an upload it is about."""
    _, _, query = request.target.partition("?")
    what = [name for name in ("uploads", "partNumber", "uploadId") if name in query]
    return " ".join([request.method, *what[:1]])


@pytest.fixture
def proxy(stub: tuple[FaultProxy, Storage]) -> FaultProxy:
    """No server is behind it."""
    return stub[0]


@pytest.fixture
def store(proxy: FaultProxy) -> Iterator[Storage]:
    """A store that tries a second time, at once."""
    url = f"s3://bucket/p?region=us-east-1&endpoint_url={proxy.url}"
    with Storage(url, AUTH, at_once(1), timeout=5) as store:
        yield store


@pytest.fixture(params=["straight", "through boto3"])
def aws(request: pytest.FixtureRequest, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """A store that takes the stub for AWS."""
    if request.param == "straight":
        there = urlsplit(proxy.url)
        address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", (there.hostname, there.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address])
    else:  # boto3 is asked where there is a proxy
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
    url = "s3://bucket/p?region=us-east-1&endpoint_url=http://s3.us-east-1.amazonaws.com"
    with Storage(url, AUTH, at_once(1), timeout=5) as store:
        assert ("through boto3" in store.backend.way) == (request.param != "straight")  # type: ignore[attr-defined]
        yield store


class Upload:
    """A plan: an upload in parts that goes well, but for what ``complete`` and ``head`` answer.

    ``nonce`` is the mark that the upload was begun with.
    """

    def __init__(self, complete: list[Fault], head: Plan) -> None:
        self._complete, self._head = complete, head
        self.nonce: dict[str, str] = {}

    def __call__(self, request: Request) -> Fault | None:
        kind = shape(request)
        if kind == "POST uploads":
            self.nonce = {name: value for name, value in request.headers.items() if name == MARK}
            body = b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"
            return answer(200, body)
        if kind == "PUT partNumber":
            return copied("CopyPartResult") if is_copy(request) else answer(200, b"", {"ETag": ETAG})
        if kind == "POST uploadId":
            return self._complete.pop(0)
        return self._head(request) if request.method == "HEAD" else answer(204)


COMPLETED = answer(200, f"<CompleteMultipartUploadResult><ETag>{OTHER}</ETag></CompleteMultipartUploadResult>".encode())
GONE = error(404, "NoSuchUpload")

# ---- one request -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head, kind", [(404, s.UnavailableError), (403, s.PermissionDeniedError)])
def test_a_lost_create_that_cannot_be_looked_at(store, proxy, head, kind) -> None:
    """A create whose answer was lost, of a blob that is gone again or may not be seen: nobody is told that it exists."""
    proxy.plan = lambda request: error(head) if request.method == "HEAD" else error(412, "PreconditionFailed")
    proxy.script(RESET)
    with pytest.raises(kind) as caught:
        store.set("k", "v", overwrite=False)
    assert type(caught.value) is kind
    assert [request.method for request in proxy.requests][:3] == ["PUT", "PUT", "HEAD"]


def test_delete_that_somebody_else_did_meanwhile(store, proxy) -> None:
    """A server that says so to whoever comes second has done what was asked; one that refuses has not."""
    proxy.plan = lambda request: blob() if request.method == "HEAD" else error(404, "NoSuchKey")
    store.delete("k")
    proxy.plan = lambda request: blob() if request.method == "HEAD" else error(403, "AccessDenied")
    with pytest.raises(s.PermissionDeniedError):
        store.delete("k")


def test_a_head_that_is_refused_while_the_get_says_something_else(store, proxy) -> None:
    """What a HEAD was refused with stands where the GET that asks why meets another answer."""
    proxy.plan = lambda request: error(403) if request.method == "HEAD" else error(404, "NoSuchKey")
    with pytest.raises(s.PermissionDeniedError):
        store.info("k")


@pytest.mark.parametrize("stored, told", [("aws-chunked,gzip", "gzip"), ("aws-chunked", None), ("br", "br")])
def test_how_an_upload_travelled_is_no_encoding_of_the_blob(store, proxy, stored, told) -> None:
    """Some servers keep ``aws-chunked``; nobody could decode a blob by it."""
    proxy.plan = lambda _: blob(headers={"Content-Encoding": stored})
    assert store.info("k").content_encoding == told


def test_a_writer_that_got_little(store, proxy) -> None:
    """What turns out to be less than a part goes up in one request."""
    proxy.plan = lambda _: answer(200, b"", {"ETag": ETAG})
    writer = store.backend.writer("p/data/k", PutOptions("text/plain"))
    writer.write(b"va")
    writer.write(b"lue")
    assert writer.commit().size == 5
    assert [shape(request) for request in proxy.requests] == ["PUT"]


# ---- uploads in parts --------------------------------------------------------------------------------------------------


def test_a_completion_whose_answer_was_lost(store, proxy) -> None:
    """An upload that is gone at the second try was completed by the first, if the blob carries its mark."""
    plan = proxy.plan = Upload([RESET, GONE], lambda _: blob(PARTS, headers=plan.nonce))
    info = store.set_file("k", io.BytesIO(PARTS), metadata={"a": "b"})
    assert (info.size, info.etag) == (len(PARTS), "e")
    assert plan.nonce


@pytest.mark.parametrize(
    "head, kind",
    [
        (blob(headers={MARK: "another's"}), s.UnavailableError),
        (error(404), s.UnavailableError),
        (error(403), s.PermissionDeniedError),
    ],
)
def test_a_completion_that_nobody_can_tell_about(store, proxy, head, kind) -> None:
    """Where the blob is another's, gone, or hidden, the outcome is unknown, and the parts are given up."""
    proxy.plan = Upload([RESET, GONE], lambda _: head)
    with pytest.raises(kind) as caught:
        store.set_file("k", io.BytesIO(PARTS))
    assert type(caught.value) is kind
    assert "DELETE uploadId" in [shape(request) for request in proxy.requests]


@pytest.mark.parametrize("answered, warnings", [(error(403, "AccessDenied"), 1), (GONE, 0)])
def test_parts_that_cannot_be_taken_back(store, proxy, caplog, answered, warnings) -> None:
    """The caller is told why the upload failed; the log, that parts are left, where any are."""
    upload = Upload([], lambda _: None)
    proxy.plan = lambda request: (
        error(500)
        if shape(request) == "PUT partNumber"
        else answered
        if request.method == "DELETE"
        else upload(request)
    )
    with caplog.at_level(logging.WARNING, "storage.s3"), pytest.raises(s.UnavailableError):
        store.set_file("k", io.BytesIO(PARTS))
    assert len([record for record in caplog.records if "could not be aborted" in record.getMessage()]) == warnings


def test_bytes_that_go_up_in_parts_and_fail(store, proxy) -> None:
    """Bytes in memory above 20 MiB travel in parts too, which are taken back."""
    upload = Upload([], lambda _: None)
    proxy.plan = lambda request: error(403, "AccessDenied") if "partNumber=2" in request.target else upload(request)
    with pytest.raises(s.PermissionDeniedError):
        store.set("k", bytes(21 * 1024 * 1024))
    assert shape(proxy.requests[-1]) == "DELETE uploadId"


# ---- copies ------------------------------------------------------------------------------------------------------------


def test_a_source_that_never_rests(store, proxy) -> None:
    """A copy begins anew where its source was replaced, four times in all, and says then why it gave up."""
    proxy.plan = lambda request: blob() if request.method == "HEAD" else error(412, "PreconditionFailed")
    with pytest.raises(s.PreconditionFailedError, match="again and again"):
        store.copy("k", "k2")
    assert [request.method for request in proxy.requests] == ["HEAD", "PUT"] * 4


def test_a_copy_that_is_refused(store, proxy) -> None:
    """Whatever else the server says is what the caller is told."""
    proxy.plan = lambda request: blob() if request.method == "HEAD" else error(403, "AccessDenied")
    for overwrite in (True, False):
        with pytest.raises(s.PermissionDeniedError):
            store.copy("k", "k2", overwrite=overwrite)


def test_create_only_copy_through_the_client(store, proxy) -> None:
    """A read that breaks off is made again, and a source that was replaced meanwhile is read as it is now."""
    bodies = [RESET, error(412, "PreconditionFailed"), blob(b"newer", OTHER)]
    heads = [blob(), blob(b"newer", OTHER)]

    def plan(request: Request) -> Fault | None:
        queue = {"HEAD": heads, "GET": bodies}.get(request.method)
        return queue.pop(0) if queue is not None else answer(200, b"", {"ETag": OTHER})

    proxy.plan = plan
    assert store.copy("k", "k2", overwrite=False).size == 5
    assert [request.method for request in proxy.requests] == ["HEAD", "GET", "GET", "HEAD", "GET", "PUT"]
    assert proxy.requests[-1].headers["if-none-match"] == "*"


LARGE = bytes(9 * 1024 * 1024)  # more than goes through the client


def test_create_only_copy_of_a_larger_blob_stays_in_the_server(store, proxy) -> None:
    """It is copied as a part of an upload, whose completion carries the condition."""
    proxy.plan = Upload([COMPLETED], lambda _: blob(LARGE))
    assert store.copy("k", "k2", overwrite=False).etag == "other"
    assert [shape(request) for request in proxy.requests] == [
        "HEAD",
        "POST uploads",
        "PUT partNumber",
        "POST uploadId",
    ]
    assert proxy.requests[2].headers["x-amz-copy-source-if-match"] == ETAG
    assert proxy.requests[3].headers["if-none-match"] == "*"


@pytest.mark.parametrize(
    "status, kind", [(412, s.PreconditionFailedError), (403, s.PermissionDeniedError), (500, s.UnavailableError)]
)
def test_a_copy_in_parts_that_fails(store, proxy, status, kind) -> None:
    """Its parts are taken back, and it begins anew only where the source was replaced."""
    upload = Upload([], lambda _: blob(LARGE))
    proxy.plan = lambda request: error(status) if is_copy(request) else upload(request)
    with pytest.raises(kind) as caught:
        store.copy("k", "k2", overwrite=False)
    assert type(caught.value) is kind
    shapes = [shape(request) for request in proxy.requests]
    assert shapes.count("POST uploads") == shapes.count("DELETE uploadId") == (4 if status == 412 else 1)


def test_create_only_copy_at_aws(aws, proxy) -> None:
    """AWS knows the condition: one request, tried again, with the blob's own headers."""
    proxy.plan = lambda request: (
        blob(headers={"Content-Disposition": "attachment", "x-amz-meta-a": "b"})
        if request.method == "HEAD"
        else copied()
    )
    proxy.script(error(503, "SlowDown"), when=is_copy)
    info = aws.copy("k", "k2", overwrite=False)
    assert (info.etag, info.metadata) == ("other", {"a": "b"})
    assert [request.method for request in proxy.requests] == ["HEAD", "PUT", "PUT"]
    headers = proxy.requests[-1].headers
    assert (headers["if-none-match"], headers["x-amz-copy-source-if-match"]) == ("*", ETAG)
    assert (headers["x-amz-metadata-directive"], headers["content-disposition"]) == ("REPLACE", "attachment")


@pytest.mark.parametrize(
    "later, kind", [(ETAG, s.AlreadyExistsError), (OTHER, s.PreconditionFailedError)], ids=["target", "source"]
)
def test_which_condition_failed_at_aws(aws, proxy, later, kind) -> None:
    """One status says that either condition failed: a look at the source tells which."""
    heads = [blob(), blob(etag=later)] * 4
    proxy.plan = lambda request: heads.pop(0) if request.method == "HEAD" else error(412, "PreconditionFailed")
    with pytest.raises(kind) as caught:
        aws.copy("k", "k2", overwrite=False)
    assert type(caught.value) is kind
    assert len(heads) == (6 if later == ETAG else 0)


# ---- batches and listings ----------------------------------------------------------------------------------------------


def deleted(**codes: str) -> Fault:
    errors = "".join(f"<Error><Key>p/data/{key}</Key><Code>{code}</Code></Error>" for key, code in codes.items())
    return answer(200, f"<DeleteResult>{errors}</DeleteResult>".encode())


def test_a_batch_asks_again_for_what_may_be_mended(store, proxy) -> None:
    """Of a batch, only the keys that the server had no time for are asked for again."""
    proxy.script(deleted(b="SlowDown"), deleted())
    store.delete_many(["a", "b", "c"])
    first, second = (int(request.headers["content-length"]) for request in proxy.requests)
    assert second < first


def test_a_batch_that_is_never_mended(store, proxy) -> None:
    """When the tries are used up, the key that is left is told."""
    proxy.plan = lambda _: deleted(b="SlowDown")
    with pytest.raises(s.UnavailableError) as caught:
        store.delete_many(["a", "b", "c"])
    assert caught.value.key == "b"
    assert len(proxy.requests) == 2


def test_keys_that_xml_cannot_say(proxy) -> None:
    """They are deleted one by one."""
    url = f"s3://bucket/p?region=us-east-1&keys=raw&endpoint_url={proxy.url}"
    proxy.plan = lambda request: blob() if request.method == "HEAD" else answer(204)
    with Storage(url, AUTH, 0) as store:
        store.delete_many(["a", "b\x01"])
    assert sorted(request.target for request in proxy.requests if request.method == "DELETE") == [
        "/bucket/p/data/a",
        "/bucket/p/data/b%01",
    ]


def test_a_key_that_no_request_can_hold(proxy) -> None:
    """A lone surrogate under ``keys=raw``: an InvalidKeyError, and nothing is sent."""
    url = f"s3://bucket/p?region=us-east-1&keys=raw&endpoint_url={proxy.url}"
    with Storage(url, AUTH, 0) as store:
        for call in (store.get, store.exists, store.info, lambda key: store.set(key, ""), store.get_signed_url):
            with pytest.raises(s.InvalidKeyError, match="cannot hold such a key"):
                call("a\ud800")
    assert proxy.requests == []


def test_a_server_that_knows_no_tokens(store, proxy) -> None:
    """Its next page begins after the last key of this one."""

    def page(*names: str, more: str) -> Fault:
        keys = "".join(f"<Contents><Key>p/data/{name}</Key></Contents>" for name in names)
        return answer(200, f"<ListBucketResult><IsTruncated>{more}</IsTruncated>{keys}</ListBucketResult>".encode())

    proxy.script(page("a", "b", more="true"), page("c", more="false"))
    assert list(store.iter_list()) == ["a", "b", "c"]
    assert "start-after=p%2Fdata%2Fb" in proxy.requests[1].target


def test_a_page_of_folders_that_begins_inside_one(store, proxy) -> None:
    """The folder that a listing goes on in has been given already, and is not given again."""
    folders = "".join(f"<CommonPrefixes><Prefix>p/data/{name}/</Prefix></CommonPrefixes>" for name in "bc")
    proxy.plan = lambda _: answer(200, f"<ListBucketResult><Name>b</Name>{folders}</ListBucketResult>".encode())
    pages = store.backend.scan("p/data/", start_after="p/data/b/x", delimiter=True)
    assert [path for page in pages for path, _ in page] == ["p/data/c/"]


def test_an_entry_without_a_key(store, proxy) -> None:
    """A listing that names no key is no listing, and not a shorter one."""
    body = b"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>"
    proxy.plan = lambda _: answer(200, body)
    with pytest.raises(s.UnavailableError):
        store.list()


def test_sweep_goes_through_every_page(store, proxy) -> None:
    """The uploads of each page are ended, and the next page begins where this one says."""

    def page(key: str, more: str) -> Fault:
        old = f"<Upload><Key>{key}</Key><UploadId>u</UploadId><Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>"
        markers = "<NextKeyMarker>km</NextKeyMarker><NextUploadIdMarker>um</NextUploadIdMarker>"
        body = (
            f"<ListMultipartUploadsResult><IsTruncated>{more}</IsTruncated>{markers}{old}</ListMultipartUploadsResult>"
        )
        return answer(200, body.encode())

    proxy.plan = lambda request: (
        answer(204)
        if request.method == "DELETE"
        else page("b", "false")
        if "key-marker=km" in request.target
        else page("a", "true")
    )
    assert store.backend.sweep() == ["ended 2 uploads that nobody completed in 7 days"]
    ended = [request.target for request in proxy.requests if request.method == "DELETE"]
    assert ended == ["/bucket/a?uploadId=u", "/bucket/b?uploadId=u"]


# ---- setup -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted", [{"create_bucket": True}, {"cors_origins": ["https://a.example"]}, {"tmp_days": 3}], ids=str
)
def test_a_setup_that_is_refused_changes_nothing(store, proxy, wanted) -> None:
    """Rules that may not be read are not taken for none, nor is the bucket for absent."""
    proxy.plan = lambda _: error(403, "AccessDenied")
    with pytest.raises(s.PermissionDeniedError):
        store.setup(**wanted)
    assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}


def test_a_bucket_that_appears_meanwhile(store, proxy) -> None:
    """Our own is fine, whoever made it; another's is not."""
    for code, kind in (("BucketAlreadyOwnedByYou", None), ("BucketAlreadyExists", s.PermissionDeniedError)):
        proxy.plan = lambda request, code=code: error(404) if request.method == "HEAD" else error(409, code)
        if kind is None:
            assert store.setup(create_bucket=True) == []
        else:
            with pytest.raises(kind):
                store.setup(create_bucket=True)


# ---- signing -----------------------------------------------------------------------------------------------------------


def test_credentials_that_cannot_be_had(tmp_path, monkeypatch) -> None:
    """A program that should tell them and fails: nothing can be signed, and that is what is said."""
    config = tmp_path / "config"
    config.write_text("[profile broken]\nregion = us-east-1\ncredential_process = /bin/false\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with Storage("s3://bucket?profile=broken") as store, pytest.raises(s.SigningError, match="cannot be had"):
        store.get_signed_url("k")


# Older versions of urllib3 leave the socket to a proxy that hangs up to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signing_where_the_region_cannot_be_asked(monkeypatch, proxy) -> None:
    """Without an answer about the bucket's region the URL is signed for the default one."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    proxy.plan = lambda _: RESET
    session = boto3.Session("AKIASTUB", "stub-secret")
    with Storage("s3://bucket", session, 0, timeout=5) as store:
        assert "%2Fus-east-1%2Fs3%2F" in store.get_signed_url("k")
    assert [request.method for request in proxy.requests] == ["CONNECT"]
    gc.collect()  # here, and not in another test
