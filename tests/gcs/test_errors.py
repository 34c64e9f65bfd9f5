"""Every status and reason that Cloud Storage answers with, and every exception of the layers below, is one of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import google.auth.exceptions as auth
import pytest
import requests.exceptions as http
import urllib3.exceptions as wire
from google.api_core.exceptions import from_http_status
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from requests import Response

from storage import Storage
from storage import exceptions as ours
from storage.backends import BlobOrBucketMissing
from storage.backends.gcs._errors import classify, verdict
from tests.gcs.conftest import Proxied, answer

# status, reason, message -> what it is. https://cloud.google.com/storage/docs/json_api/v1/status-codes
ANSWERS: list[tuple[int, str, str, type[ours.StorageError]]] = [
    (400, "invalid", "Invalid argument.", ours.ConfigurationError),
    (400, "required", "Required parameter: project", ours.ConfigurationError),
    (
        400,
        "userProjectMissing",
        "Bucket is a requester pays bucket but no user project provided.",
        ours.ConfigurationError,
    ),
    (400, "invalid", "Disallowed unicode characters present in object name 'a'", ours.InvalidKeyError),
    (400, "invalid", "The maximum object length is 1024 characters, but got a name with 2000.", ours.InvalidKeyError),
    (400, "invalid", 'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "mnG7TA==".', ours.IntegrityError),
    (400, "invalid", 'Provided MD5 hash "x" doesn\'t match calculated MD5 hash "y".', ours.IntegrityError),
    (401, "required", "Anonymous caller does not have storage.objects.get access.", ours.AuthenticationError),
    (401, "authError", "Invalid Credentials", ours.AuthenticationError),
    (403, "forbidden", "x does not have storage.objects.get access.", ours.PermissionDeniedError),
    (403, "insufficientPermissions", "Insufficient Permission", ours.PermissionDeniedError),
    (403, "accountDisabled", "The billing account is disabled.", ours.PermissionDeniedError),
    (403, "retentionPolicyNotMet", "Object is subject to a retention policy.", ours.PermissionDeniedError),
    (403, "rateLimitExceeded", "The rate limit is exceeded.", ours.UnavailableError),
    (403, "userRateLimitExceeded", "The user's rate limit is exceeded.", ours.UnavailableError),
    (403, "quotaExceeded", "The quota is exceeded.", ours.UnavailableError),
    (404, "notFound", "No such object: bucket/a", ours.NotFoundError),
    (404, "notFound", "The specified bucket does not exist.", ours.BucketNotFoundError),
    (404, "notFound", "Not Found", BlobOrBucketMissing),
    (405, "methodNotAllowed", "Method Not Allowed", ours.UnsupportedOperationError),
    (408, "", "Request Timeout", ours.StorageTimeoutError),
    (409, "conflict", "The operation conflicts with another.", ours.UnavailableError),
    (410, "gone", "The upload session is gone.", ours.UnavailableError),
    (411, "required", "Length Required", ours.ConfigurationError),
    (412, "conditionNotMet", "A precondition did not hold.", ours.PreconditionFailedError),
    (413, "uploadTooLarge", "Payload Too Large", ours.ConfigurationError),
    (423, "locked", "The object is locked.", ours.PermissionDeniedError),
    (429, "rateLimitExceeded", "Too many requests.", ours.UnavailableError),
    (429, "", "Too Many Requests", ours.UnavailableError),
    (499, "", "Client Closed Request", ours.UnavailableError),
    (500, "backendError", "Backend Error", ours.UnavailableError),
    (501, "notImplemented", "Not Implemented", ours.UnsupportedOperationError),
    (502, "", "Bad Gateway", ours.UnavailableError),
    (503, "backendError", "Backend Error", ours.UnavailableError),
    (504, "", "Gateway Timeout", ours.StorageTimeoutError),
    (507, "", "another 5xx", ours.UnavailableError),
    (418, "", "another 4xx", ours.ConfigurationError),
]


def body(status: int, reason: str, message: str) -> bytes:
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return json.dumps({"error": {"code": status, "message": message, "errors": errors}}).encode()


@pytest.mark.parametrize("status,reason,message,kind", ANSWERS, ids=[f"{n}-{row[0]}" for n, row in enumerate(ANSWERS)])
def test_answers(status: int, reason: str, message: str, kind: type[ours.StorageError]) -> None:
    """What an answer's status, reason and message make of it."""
    assert classify(from_http_status(status, message, errors=[{"reason": reason}])) is kind


ONE_OF_EACH = {kind: row for row in reversed(ANSWERS) if (kind := row[3]) is not BlobOrBucketMissing and row[0] != 404}


@pytest.mark.parametrize(
    "status,reason,message,kind", ONE_OF_EACH.values(), ids=[kind.__name__ for kind in ONE_OF_EACH]
)
def test_answers_reach_the_caller(
    proxied: Proxied, status: int, reason: str, message: str, kind: type[ours.StorageError]
) -> None:
    """The same through the whole library, from every kind of call, with the SDK's exception as the cause."""
    store = proxied.open(retries=0)
    proxied.honest.set("a", b"x" * 1000)
    calls: list[Callable[[Storage], object]] = [
        lambda s: s.set("a", b"1"),
        lambda s: s.get("a"),
        lambda s: s.info("a"),
        lambda s: s.exists("a"),
        lambda s: s.delete("a"),
        lambda s: s.copy("a", "b"),
        lambda s: s.list(),
        lambda s: list(s.iter_info()),
        lambda s: list(s.iter_bytes("a")),
        lambda s: s.delete_many(["a", "b"]),
    ]
    for call in calls:
        # To every try: the SDK answers a 401 with a new token and another one.
        fault = answer(status, body(status, reason, message), {"Content-Type": "application/json"})
        proxied.proxy.plan = lambda _, fault=fault: fault
        with pytest.raises(kind) as caught:
            call(store)
        assert type(caught.value).__module__ == "storage.exceptions"
        assert type(caught.value.__cause__).__module__.startswith("google.")
    assert proxied.honest.get_bytes("a") == b"x" * 1000
    store.close()


XML = [
    (404, "NoSuchBucket", ours.BucketNotFoundError),
    (404, "NoSuchKey", ours.NotFoundError),
    (404, "NoSuchUpload", ours.UnavailableError),
    (403, "AccessDenied", ours.PermissionDeniedError),
    (400, "BadDigest", ours.IntegrityError),
    (400, "ExpiredToken", ours.AuthenticationError),
    (503, "SlowDown", ours.UnavailableError),
]


@pytest.mark.parametrize("status,code,kind", XML)
def test_answers_of_the_xml_api(proxied: Proxied, status: int, code: str, kind: type[ours.StorageError]) -> None:
    """A code of the XML API says as much as a reason of the JSON API."""
    store = proxied.open(retries=0)
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()
    proxied.proxy.script(answer(status, text, {"Content-Type": "application/xml"}))
    with pytest.raises(kind, match=r"so it is|blob|bucket"):
        store.get("a")
    store.close()


def test_404_asks_for_the_bucket_only_where_it_is_open(proxied: Proxied) -> None:
    """Google's own words tell a missing blob from a missing bucket; an emulator's "Not Found" takes one look more."""
    with pytest.raises(ours.NotFoundError):
        proxied.store.get("a")
    assert len(proxied.seen()) == 1
    proxied.proxy.script(answer(404, b"Not Found"))
    with pytest.raises(ours.NotFoundError):
        proxied.store.get("a")
    assert len(proxied.seen()) == 2
    proxied.proxy.script(answer(404, b"Not Found"), answer(404, b"Not Found"))
    with pytest.raises(ours.BucketNotFoundError):
        proxied.store.get("a")
    proxied.proxy.script(answer(404, b"Not Found"), answer(403, b""))
    with pytest.raises(ours.NotFoundError):
        proxied.store.get("a")


def made(status: int) -> Response:
    response = Response()
    response.status_code = status
    return response


POOL: Any = None
EXCEPTIONS: list[tuple[BaseException, type[ours.StorageError], bool | None, bool]] = [
    # exception, what it is, whether it is tried again (None: yes, as without an answer), whether it may have been carried out
    (http.ConnectTimeout("x"), ours.StorageTimeoutError, None, True),
    (http.ReadTimeout("x"), ours.StorageTimeoutError, None, True),
    (http.ConnectionError("x"), ours.UnavailableError, None, True),
    (http.ConnectionError(wire.ProtocolError("x", TimeoutError("write"))), ours.StorageTimeoutError, None, True),
    (
        http.ConnectionError(wire.MaxRetryError(POOL, "/", wire.NewConnectionError(POOL, "x"))),
        ours.UnavailableError,
        None,
        False,
    ),
    (
        http.ConnectTimeout(wire.MaxRetryError(POOL, "/", wire.ConnectTimeoutError("x"))),
        ours.StorageTimeoutError,
        None,
        False,
    ),
    (http.SSLError("CERTIFICATE_VERIFY_FAILED"), ours.UnavailableError, False, False),
    (http.SSLError("UNEXPECTED_EOF_WHILE_READING"), ours.UnavailableError, None, True),
    (http.ProxyError("x"), ours.UnavailableError, None, True),
    (http.ChunkedEncodingError("x"), ours.UnavailableError, None, True),
    (http.ContentDecodingError("x"), ours.UnavailableError, None, True),
    (http.InvalidURL("x"), ours.ConfigurationError, False, False),
    (http.MissingSchema("x"), ours.ConfigurationError, False, False),
    (http.InvalidSchema("x"), ours.ConfigurationError, False, False),
    (wire.ProtocolError("x"), ours.UnavailableError, None, True),
    (wire.IncompleteRead(1, 2), ours.UnavailableError, None, True),
    (wire.ReadTimeoutError(POOL, "/", "x"), ours.StorageTimeoutError, None, True),
    (auth.DefaultCredentialsError("x"), ours.AuthenticationError, False, False),
    (auth.RefreshError("x"), ours.AuthenticationError, False, False),
    (auth.RefreshError("x", retryable=True), ours.UnavailableError, True, False),
    (auth.TransportError("x"), ours.UnavailableError, True, False),
    (auth.TransportError(http.ReadTimeout("x")), ours.StorageTimeoutError, True, False),
    (auth.MutualTLSChannelError("x"), ours.ConfigurationError, False, False),
    (auth.InvalidOperation("x"), ours.AuthenticationError, False, False),
    (auth.ReauthFailError("x"), ours.AuthenticationError, False, False),
]


@pytest.mark.parametrize(
    "exc,kind,again,sent", EXCEPTIONS, ids=[f"{n}-{type(row[0]).__name__}" for n, row in enumerate(EXCEPTIONS)]
)
def test_exceptions(exc: BaseException, kind: type[ours.StorageError], again: bool | None, sent: bool) -> None:
    """What an exception of requests, urllib3 or google-auth is, whether it is worth another try, and what it leaves open."""
    assert classify(exc) is kind
    found = verdict(exc)
    assert (found.retryable, found.sent, found.status) == (again, sent, None)


def test_exceptions_of_the_sdk_itself() -> None:
    """What a caller's own use of ``storage.backend.client`` may raise is known as well."""
    assert classify(DataCorruption(made(200), "x")) is ours.IntegrityError
    assert classify(InvalidResponse(made(503), "x")) is ours.UnavailableError
    assert classify(InvalidResponse(made(404), "x")) is BlobOrBucketMissing


def test_what_is_not_ours_stays_bare() -> None:
    """An exception of nobody's is a bug and is not dressed up as the service's."""
    assert classify(KeyError("x")) is None
    assert classify(ValueError("x")) is None
    assert classify(ours.SigningError("x")) is ours.SigningError


def test_an_answer_that_is_no_json(proxied: Proxied) -> None:
    """A proxy's login page instead of an answer is a failure of the service, not a bug."""
    store = proxied.open(retries=0)
    for call in (lambda: store.info("a"), lambda: store.set("a", b"1"), store.list):
        proxied.proxy.script(answer(200, b"<html>log in</html>"))
        with pytest.raises(ours.UnavailableError):
            call()
    store.close()
