"""What the driver makes of answers that no server of the tests gives: told by a proxy with nothing behind it."""

from __future__ import annotations

import pytest
from obstore import exceptions as rust
from urllib3 import exceptions as urllib3_exceptions
from urllib3.util.retry import Retry

import storage as s
from storage import Storage
from storage.backends.obstore import _stores
from storage.backends.obstore._errors import classify
from storage.testing.faults import RESET, FaultProxy, answer

AUTH = {"access_key_id": "AKIASTUB", "secret_access_key": "stub-secret"}
BLOB = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT"}


@pytest.fixture(scope="module")
def _stub():
    with FaultProxy("http://127.0.0.1:9") as proxy:
        url = f"s3+obstore://bucket/p?region=us-east-1&endpoint_url={proxy.url}"
        with Storage(url, AUTH, 0, timeout=5) as store:
            yield proxy, store


@pytest.fixture
def proxy(_stub):
    proxy, _ = _stub
    proxy.plan = None
    proxy.requests.clear()
    return proxy


@pytest.fixture
def store(_stub, proxy):
    """One try for each request."""
    return _stub[1]


def error(status, code=""):
    return answer(status, f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode() if code else b"")


def listing(*keys, more=False, extra=""):
    entries = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
    return answer(200, f"<ListBucketResult>{truncated}{entries}{extra}</ListBucketResult>".encode())


def methods(proxy):
    return [request.method for request in proxy.requests]


# ---- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status, code, kind",
    [
        (404, "NoSuchKey", s.NotFoundError),
        (404, "NoSuchBucket", s.BucketNotFoundError),
        (403, "AccessDenied", s.PermissionDeniedError),
        (403, "InvalidAccessKeyId", s.AuthenticationError),
        (403, "NeverHeardOf", s.PermissionDeniedError),
        (400, "ExpiredToken", s.AuthenticationError),
        (400, "KeyTooLongError", s.InvalidKeyError),
        (400, "BadDigest", s.IntegrityError),
        (418, "NeverHeardOf", s.StorageError),
        (501, "NeverHeardOf", s.UnsupportedOperationError),
        (503, "SlowDown", s.UnavailableError),
        (507, "NeverHeardOf", s.UnavailableError),
        (504, "", s.StorageTimeoutError),
        (301, "PermanentRedirect", s.ConfigurationError),
        (307, "", s.ConfigurationError),
    ],
)
def test_code(store, proxy, status, code, kind):
    """Each answer is its class, whether the Rust library or the driver itself asked, and shows no secret."""
    proxy.plan = lambda _: error(status, code)
    for call in (lambda: store.get("k"), lambda: store.set("k", "v"), store.list):
        with pytest.raises(s.StorageError) as caught:
            call()
        assert type(caught.value) is kind
        assert "stub-secret" not in f"{caught.value!r}"


@pytest.mark.parametrize(
    "exc, kind",
    [
        (rust.NotModifiedError("m"), s.PreconditionFailedError),
        (rust.UnauthenticatedError("m"), s.AuthenticationError),
        (rust.PermissionDeniedError("m"), s.PermissionDeniedError),
        (rust.AlreadyExistsError("m"), s.AlreadyExistsError),
        (rust.JoinError("m"), s.UnavailableError),
        (rust.GenericError("m"), s.StorageError),
        (urllib3_exceptions.ReadTimeoutError(None, "u", "m"), s.StorageTimeoutError),  # type: ignore[arg-type]
        (urllib3_exceptions.ConnectTimeoutError("m"), s.StorageTimeoutError),
        (urllib3_exceptions.ProtocolError("m"), s.UnavailableError),
        (urllib3_exceptions.LocationParseError("u"), s.ConfigurationError),
        (s.NotFoundError("ours"), s.NotFoundError),
        (FileNotFoundError(2, "the user's own"), None),
        (ValueError("the user's own"), None),
    ],
)
def test_exceptions_without_an_answer(exc, kind):
    """Where there was no answer the class of the exception says what it is; what is not theirs has none."""
    assert classify(exc) is kind


@pytest.mark.parametrize(
    "told, kind",
    [
        (error(403, "SignatureDoesNotMatch"), s.AuthenticationError),
        (error(404, "NoSuchKey"), s.PermissionDeniedError),
        (answer(200, b"x", BLOB), s.PermissionDeniedError),
    ],
)
def test_head_without_a_body(store, proxy, told, kind):
    """A HEAD that is refused does not say why: a GET does. 403 never reads as absent."""
    proxy.plan = lambda request: error(403) if request.method == "HEAD" else told
    for call in (store.exists, store.info, store.delete):
        with pytest.raises(s.PermissionDeniedError) as caught:
            call("k")
        assert type(caught.value) is kind


def test_a_bucket_that_may_not_be_looked_at(store, proxy):
    """A bare 404 is an absent blob where the bucket may not be asked for; setup makes nothing of a refusal."""
    proxy.plan = lambda request: error(404) if "/p/" in request.target else error(403)
    assert store.exists("k") is False
    with pytest.raises(s.PermissionDeniedError):
        store.setup(create_bucket=True)
    assert "PUT" not in methods(proxy)


def test_setup_names_the_region(proxy):
    """A bucket is made where the store says it is."""
    proxy.plan = lambda request: error(404) if request.method == "HEAD" else answer(200)
    url = f"s3+obstore://bucket?region=eu-west-1&endpoint_url={proxy.url}"
    with Storage(url, AUTH, 0) as store:
        assert store.setup(create_bucket=True) == ["created the bucket 'bucket'"]
    assert methods(proxy) == ["HEAD", "PUT"]
    assert int(proxy.requests[-1].headers["content-length"]) > 0


# ---- listings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Log in first<br></html>",
        b"<html></html>",
        b"",
        b"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    ],
    ids=["broken", "page", "nothing", "nameless", "endless"],
)
def test_what_is_no_listing(store, proxy, body):
    """It is unavailable, and not an empty listing or a shorter one."""
    proxy.plan = lambda _: answer(200, body)
    with pytest.raises(s.UnavailableError):
        store.list()


def test_a_listing_is_asked_for_again(proxy):
    """A page that was cut, or that something between answered, is a fault like any other."""
    url = f"s3+obstore://bucket/p?region=us-east-1&endpoint_url={proxy.url}"
    proxy.script(answer(200, b"<html></html>"), RESET, listing("p/data/a"))
    with Storage(url, AUTH, Retry(2, backoff_factor=0)) as store:
        assert store.list() == ["a"]


def test_a_server_that_knows_no_tokens(store, proxy):
    """Its next page begins after the last key of this one."""
    proxy.script(listing("p/data/a", "p/data/b", more=True), listing("p/data/c"))
    assert list(store.iter_list()) == ["a", "b", "c"]
    assert "start-after=p%2Fdata%2Fb" in proxy.requests[1].target


def test_a_page_of_folders_that_begins_inside_one(store, proxy):
    """The folder that a listing goes on in has been given already, and is not given again."""
    folders = "".join(f"<CommonPrefixes><Prefix>p/data/{name}/</Prefix></CommonPrefixes>" for name in "bc")
    proxy.plan = lambda _: listing(extra=folders)
    pages = store.backend.scan("p/data/", start_after="p/data/b/x", delimiter=True)
    assert [path for page in pages for path, _ in page] == ["p/data/c/"]


# ---- reading -----------------------------------------------------------------------------------------------------------


def test_a_range_behind_the_end(store, proxy):
    """A stream of it is empty, if the blob is the version that was asked for."""
    proxy.plan = lambda request: answer(200, b"value", BLOB) if request.method == "HEAD" else error(416, "InvalidRange")
    stat, chunks = store.backend.stream("p/data/k", 9, None, "e")
    assert (stat.size, list(chunks)) == (5, [])
    with pytest.raises(s.PreconditionFailedError):
        store.backend.stream("p/data/k", 9, None, "another")


# ---- writing and deleting ----------------------------------------------------------------------------------------------


def test_conditions_beside_metadata_named_after_headers(store, proxy):
    """What the Rust library cannot say goes in a request of the driver's own, with the condition, and once."""
    proxy.plan = lambda _: answer(200, b"", {"ETag": '"new"'})
    assert store.set("k", b"v", metadata={"content-type": "x"}, overwrite=False).etag == "new"
    assert store.set("k", b"v", metadata={"content-type": "x"}, if_match="old").etag == "new"
    first, second = (request.headers for request in proxy.requests)
    assert (first["if-none-match"], first["x-amz-meta-content-type"]) == ("*", "x")
    assert (second["if-match"], "if-none-match" in second) == ('"old"', False)


def test_no_room_for_a_mark(store, proxy):
    """Metadata that fill S3's limit are sent as they are."""
    proxy.plan = lambda _: answer(200, b"", {"ETag": '"new"'})
    store.set("k", b"v", metadata={"a" * 48: "v" * 2000}, overwrite=False)
    store.set("k", b"v", metadata={"a": "v"}, overwrite=False)
    marks = [[name for name in request.headers if "nonce" in name] for request in proxy.requests]
    assert [len(found) for found in marks] == [0, 1]


def test_a_lost_creation_of_what_is_gone_again(proxy):
    """Nobody is told that the blob exists."""
    proxy.plan = lambda request: error(404) if request.method == "HEAD" else error(412, "PreconditionFailed")
    proxy.script(RESET)
    url = f"s3+obstore://bucket/p?region=us-east-1&endpoint_url={proxy.url}"
    with Storage(url, AUTH, 1) as store, pytest.raises(s.UnavailableError, match="unknown"):
        store.set("k", b"v", overwrite=False)


def test_if_match_on_an_absent_blob(store, proxy):
    """AWS answers If-Match on an absent key with 404; the contract says a precondition failed."""
    proxy.plan = lambda _: error(404, "NoSuchKey")
    for metadata in (None, {"content-type": "x"}):
        with pytest.raises(s.PreconditionFailedError) as caught:
            store.set("k", b"v", if_match="e", metadata=metadata)
        assert type(caught.value) is s.PreconditionFailedError


def test_one_key_of_a_batch(store, proxy):
    """The answer about one key hides those about the others: each is deleted again, and told for itself."""
    refused = (
        b"<DeleteResult><Error><Key>p/data/b</Key><Code>AccessDenied</Code><Message>m</Message></Error></DeleteResult>"
    )

    def plan(request):
        if request.method == "POST":
            return answer(200, refused)
        return error(403, "AccessDenied") if request.target.endswith("/b") else answer(204)

    proxy.plan = plan
    with pytest.raises(s.PermissionDeniedError) as caught:
        store.delete_many(["a", "b", "c"])
    assert caught.value.key == "b"
    assert [request.target.rpartition("/")[2] for request in proxy.requests if request.method == "DELETE"] == [*"abc"]


def test_a_batch_that_is_refused(store, proxy):
    """Where all of it failed, nothing is tried key by key."""
    proxy.plan = lambda _: error(403, "AccessDenied")
    with pytest.raises(s.PermissionDeniedError):
        store.delete_many(["a", "b"])
    assert methods(proxy) == ["POST"]


# ---- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query, auth, word",
    [
        ("anonymous=true", AUTH, "anonymous=true and auth"),
        ("profile=me", AUTH, "profile and auth"),
        ("", {**AUTH, "session_token": 5}, "session_token"),
    ],
)
def test_what_excludes_each_other(query, auth, word):
    """Is refused at once."""
    with pytest.raises(s.ConfigurationError, match=word) as caught:
        Storage(f"s3+obstore://bucket?{query}", auth)
    assert "stub-secret" not in str(caught.value)


def test_the_endpoint_of_the_environment(monkeypatch):
    """It is taken as botocore takes it: checked, and left where it is to be ignored."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with Storage("s3+obstore://bucket", AUTH) as store:
        assert store.get_signed_url("k").startswith("http://127.0.0.1:9/bucket/")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    with Storage("s3+obstore://bucket", AUTH) as store:
        assert store.get_signed_url("k").startswith("https://bucket.s3.us-east-1.amazonaws.com/")
    monkeypatch.delenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "ftp://127.0.0.1")
    with (
        Storage("s3+obstore://bucket", AUTH) as store,
        pytest.raises(s.ConfigurationError, match="AWS_ENDPOINT_URL_S3"),
    ):
        store.get("k")


@pytest.mark.parametrize("query, kind", [("sse=AES256", "AES256"), ("sse_kms_key_id=key-1", "aws:kms")])
def test_every_write_asks_for_encryption(proxy, query, kind):
    """Whether the Rust library, the driver itself or whoever has a signed URL writes; a key's name alone means aws:kms."""
    proxy.plan = lambda _: answer(200, b"", {"ETag": '"new"'})
    url = f"s3+obstore://bucket?region=us-east-1&endpoint_url={proxy.url}&{query}"
    with Storage(url, AUTH, 0) as store:
        store.set("k", b"v")
        store.set("k", b"v", metadata={"content-type": "x"})
        sent = [request.headers for request in proxy.requests] + [store.sign_upload("k").headers]
    key = "key-1" if kind == "aws:kms" else None
    for headers in sent:
        assert headers["x-amz-server-side-encryption"] == kind
        assert headers.get("x-amz-server-side-encryption-aws-kms-key-id") == key


def test_a_proxy_of_the_environment(proxy, monkeypatch):
    """The driver's own requests go through it too."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    proxy.plan = lambda request: listing("data/a") if "list-type" in request.target else answer(200, b"value", BLOB)
    with Storage("s3+obstore://bucket?region=us-east-1&endpoint_url=http://s3.example.test", AUTH, 0) as store:
        assert store.list() == ["a"]
        assert store.get("a") == "value"
    assert [request.target.partition("?")[0] for request in proxy.requests] == [
        "http://s3.example.test/bucket",
        "http://s3.example.test/bucket/data/a",
    ]


def test_an_address_in_brackets():
    """An IPv6 host stands in a signed URL as it must."""
    with Storage("s3+obstore://bucket?region=us-east-1&endpoint_url=http://[::1]:9000", AUTH) as store:
        assert store.get_signed_url("k").startswith("http://[::1]:9000/bucket/data/k?")


def test_a_forked_child_is_refused(store, monkeypatch):
    """Every way in says so at once, and closing says nothing. (The fork itself is in ``test_driver``.)"""
    monkeypatch.setattr(_stores._process, "forked", False)
    monkeypatch.setattr(_stores._process, "used", True)
    _stores._after_fork()
    for call in (lambda: store.get("k"), store.list, lambda: store.set("k", b"", overwrite=False)):
        with pytest.raises(s.UnsupportedOperationError, match="'spawn'"):
            call()
    store.backend.close()
