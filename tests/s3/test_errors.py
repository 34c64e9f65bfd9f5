"""Every error that S3 can give is one of the contract's, and no secret is in it."""

from __future__ import annotations

import logging
import socket
from urllib.parse import quote

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3 import exceptions as urllib3_exceptions

import storage as s
from storage import Storage
from storage.backends.s3._errors import CODES, classify
from storage.testing.faults import RESET, STALL, FaultProxy, answer
from tests.s3.conftest import at_once

# What Amazon documents for the requests of this driver (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html),
# with the status that goes with it, and what each means to a caller.
TABLE = [
    (404, "NoSuchKey", s.NotFoundError),
    (404, "NoSuchVersion", s.NotFoundError),
    (404, "NoSuchBucket", s.BucketNotFoundError),
    (404, "NoSuchUpload", s.UnavailableError),
    (412, "PreconditionFailed", s.PreconditionFailedError),
    (409, "ConditionalRequestConflict", s.UnavailableError),
    (409, "OperationAborted", s.UnavailableError),
    (409, "InvalidBucketState", s.UnsupportedOperationError),
    (401, "UnauthorizedAccess", s.AuthenticationError),
    (403, "InvalidAccessKeyId", s.AuthenticationError),
    (403, "SignatureDoesNotMatch", s.AuthenticationError),
    (403, "RequestTimeTooSkewed", s.AuthenticationError),
    (403, "InvalidSecurity", s.AuthenticationError),
    (403, "NotSignedUp", s.AuthenticationError),
    (400, "ExpiredToken", s.AuthenticationError),
    (400, "InvalidToken", s.AuthenticationError),
    (400, "TokenRefreshRequired", s.AuthenticationError),
    (400, "AuthorizationHeaderMalformed", s.AuthenticationError),
    (400, "MissingSecurityHeader", s.AuthenticationError),
    (400, "CredentialsNotSupported", s.AuthenticationError),
    (403, "AccessDenied", s.PermissionDeniedError),
    (403, "AccountProblem", s.PermissionDeniedError),
    (403, "AllAccessDisabled", s.PermissionDeniedError),
    (403, "InvalidPayer", s.PermissionDeniedError),
    (403, "KMS.AccessDeniedException", s.PermissionDeniedError),
    (403, "InvalidObjectState", s.UnsupportedOperationError),
    (301, "PermanentRedirect", s.ConfigurationError),
    (400, "IllegalLocationConstraintException", s.ConfigurationError),
    (400, "InvalidBucketName", s.ConfigurationError),
    (400, "KMS.NotFoundException", s.ConfigurationError),
    (400, "KMS.DisabledException", s.ConfigurationError),
    (400, "KMS.AnyOtherException", s.ConfigurationError),
    (400, "InvalidEncryptionAlgorithmError", s.ConfigurationError),
    (400, "KeyTooLongError", s.InvalidKeyError),
    (400, "BadDigest", s.IntegrityError),
    (400, "InvalidDigest", s.IntegrityError),
    (400, "XAmzContentSHA256Mismatch", s.IntegrityError),
    (400, "XAmzContentChecksumMismatch", s.IntegrityError),
    (400, "IncompleteBody", s.IntegrityError),
    (400, "InvalidPart", s.IntegrityError),
    (400, "InvalidPartOrder", s.IntegrityError),
    (400, "EntityTooLarge", s.UnsupportedOperationError),
    (400, "EntityTooSmall", s.UnsupportedOperationError),
    (400, "MetadataTooLarge", s.UnsupportedOperationError),
    (400, "InvalidRequest", s.UnsupportedOperationError),
    (400, "InvalidArgument", s.UnsupportedOperationError),
    (400, "InvalidStorageClass", s.UnsupportedOperationError),
    (400, "MalformedXML", s.UnsupportedOperationError),
    (411, "MissingContentLength", s.UnsupportedOperationError),
    (405, "MethodNotAllowed", s.UnsupportedOperationError),
    (501, "NotImplemented", s.UnsupportedOperationError),
    (400, "RequestTimeout", s.StorageTimeoutError),
    (504, "GatewayTimeout", s.StorageTimeoutError),
    (500, "InternalError", s.UnavailableError),
    (503, "ServiceUnavailable", s.UnavailableError),
    (503, "SlowDown", s.UnavailableError),
    (429, "TooManyRequests", s.UnavailableError),
    (400, "ThrottlingException", s.UnavailableError),
    (400, "RequestLimitExceeded", s.UnavailableError),
    (507, "XMinioStorageFull", s.UnavailableError),
    # Codes of servers and proxies that nobody has written down.
    (500, "NeverHeardOf", s.UnavailableError),
    (502, "", s.UnavailableError),
    (507, "", s.UnavailableError),
    (520, "", s.UnavailableError),
    (403, "NeverHeardOf", s.PermissionDeniedError),
    (401, "", s.AuthenticationError),
    (418, "NeverHeardOf", s.StorageError),
]


def error(status: int, code: str):
    body = (
        f"<Error><Code>{code}</Code><Message>words</Message><RequestId>R1</RequestId></Error>".encode() if code else b""
    )
    return answer(status, body, {"Content-Type": "application/xml"})


@pytest.mark.parametrize("status, code, kind", TABLE)
def test_code(stub, status, code, kind) -> None:
    """Each code is its class, whichever request gets it, with the key, the store and the SDK's exception."""
    proxy, store = stub
    proxy.plan = lambda _: error(status, code)
    calls = {
        "get": lambda: store.get("k"),
        "set": lambda: store.set("k", "v"),
        "list": store.list,
        "delete_many": lambda: store.delete_many(["k"]),
    }
    for name, call in calls.items():
        with pytest.raises(s.StorageError) as caught:
            call()
        assert type(caught.value) is kind, (name, caught.value)
        assert isinstance(caught.value.__cause__, boto.ClientError)
        assert caught.value.url == "s3://bucket/p"
        assert "stub-secret" not in f"{caught.value!r} {caught.value}"
        if name in ("get", "set"):
            assert caught.value.key == "k"


def test_everything_is_redirected(stub) -> None:
    """A server that redirects every request (from http to https, say) is a configuration error, told after a few requests."""
    proxy, store = stub
    proxy.plan = lambda _: answer(301, b"", {"Location": "https://elsewhere.invalid/"})
    with pytest.raises(s.ConfigurationError):
        store.get("k")
    assert len(proxy.requests) <= 3


def test_every_code_of_the_table_is_tested() -> None:
    """No code is in the drivers' table without being a class of the contract."""
    assert all(issubclass(kind, s.StorageError) for kind in CODES.values())
    assert {code for _, code, _ in TABLE if code and code not in ("NeverHeardOf", "KMS.AnyOtherException")} <= set(
        CODES
    )


@pytest.mark.parametrize(
    "told, kind",
    [
        (error(403, "AccessDenied"), s.PermissionDeniedError),
        (error(403, "InvalidAccessKeyId"), s.AuthenticationError),
        (error(403, "SignatureDoesNotMatch"), s.AuthenticationError),
        (error(403, ""), s.PermissionDeniedError),
        (answer(200, b"x", {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT"}), s.PermissionDeniedError),
    ],
)
@pytest.mark.parametrize("call", ["exists", "info", "delete"])
def test_head_without_a_body(stub, call, told, kind) -> None:
    """A HEAD that is refused does not say why: a GET does. 403 never reads as absent."""
    proxy, store = stub
    proxy.plan = lambda request: error(403, "") if request.method == "HEAD" else told
    with pytest.raises(s.PermissionDeniedError) as caught:
        getattr(store, call)("k")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "bucket, kind",
    [(200, s.NotFoundError), (403, s.NotFoundError), (404, s.BucketNotFoundError), (503, s.UnavailableError)],
)
def test_head_404_asks_for_the_bucket(stub, bucket, kind) -> None:
    """A bare 404 is an absent blob, unless the bucket is absent; and if that may not be known, an absent blob.

    While the server cannot say, it is neither.
    """
    proxy, store = stub
    proxy.plan = lambda request: answer(404 if "/p/" in request.target else bucket)
    with pytest.raises(kind):
        store.info("k")
    if kind is s.NotFoundError:
        assert store.exists("k") is False
    else:
        with pytest.raises(kind):
            store.exists("k")


@pytest.mark.parametrize("status", [500, 503, 403])
def test_a_failing_server_is_not_an_absent_blob(stub, status) -> None:
    """``exists`` and ``missing_ok`` take absence for absence, and nothing else."""
    proxy, store = stub
    proxy.plan = lambda _: answer(status)
    with pytest.raises(s.StorageError):
        store.exists("k")
    with pytest.raises(s.StorageError):
        store.delete("k", missing_ok=True)


def test_if_match_on_an_absent_blob(stub) -> None:
    """AWS answers If-Match on an absent key with 404; the contract says a precondition failed."""
    proxy, store = stub
    proxy.plan = lambda _: error(404, "NoSuchKey")
    with pytest.raises(s.PreconditionFailedError) as caught:
        store.set("k", "v", if_match="e")
    assert not isinstance(caught.value, s.AlreadyExistsError)


def test_per_key_errors_of_a_batch(stub) -> None:
    """A key that DeleteObjects refuses is raised with its class and its key; one that is absent is fine."""
    proxy, store = stub
    body = (
        b"<DeleteResult><Error><Key>p/data/a</Key><Code>NoSuchKey</Code></Error>"
        b"<Error><Key>p/data/b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    )
    proxy.plan = lambda _: answer(200, body, {"Content-Type": "application/xml"})
    with pytest.raises(s.PermissionDeniedError) as caught:
        store.delete_many(["a", "b", "c"])
    assert caught.value.key == "b"
    assert len(proxy.requests) == 1


def test_error_inside_a_200(stub) -> None:
    """S3 may answer 200 to a copy or a completion and tell of a failure in the body: that is a failure."""
    proxy, store = stub
    head = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT"}
    proxy.plan = lambda request: (
        answer(200, b"", head)
        if request.method == "HEAD"
        else answer(200, b"<Error><Code>InternalError</Code></Error>")
    )
    with pytest.raises(s.UnavailableError):
        store.copy("a", "b")


def test_no_server() -> None:
    """A refused connection is unavailable."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"s3://bucket/p?region=us-east-1&endpoint_url=http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            Storage(url, {"access_key_id": "a", "secret_access_key": "b"}, 0) as store,
            pytest.raises(s.UnavailableError),
        ):
            store.get("k")


def test_no_answer(stub) -> None:
    """A server that does not answer in time is a StorageTimeoutError, which is a TimeoutError."""
    proxy, store = stub
    proxy.plan = lambda _: STALL
    with pytest.raises(TimeoutError) as caught:
        store.get("k")
    assert type(caught.value) is s.StorageTimeoutError


def test_reset(stub) -> None:
    """A reset connection is unavailable."""
    proxy, store = stub
    proxy.plan = lambda _: RESET
    with pytest.raises(s.UnavailableError):
        store.set("k", "v")


def test_garbage(stub) -> None:
    """An answer that is no XML where XML is due (a captive portal, say) is unavailable."""
    proxy, store = stub
    proxy.plan = lambda _: answer(200, b"<html>Log in first<br></html>")
    with pytest.raises(s.UnavailableError):
        store.list()
    with pytest.raises(s.UnavailableError):
        store.delete_many(["a"])


@pytest.mark.parametrize(
    "exc, kind",
    [
        (boto.NoCredentialsError(), s.AuthenticationError),
        (boto.PartialCredentialsError(provider="env", cred_var="x"), s.AuthenticationError),
        (boto.CredentialRetrievalError(provider="p", error_msg="m"), s.AuthenticationError),
        (boto.UnauthorizedSSOTokenError(), s.AuthenticationError),
        (boto.ProfileNotFound(profile="p"), s.ConfigurationError),
        (boto.NoRegionError(), s.ConfigurationError),
        (
            boto.InvalidChecksumConfigError(config_key="k", config_value="v", valid_options=["when_required"]),
            s.ConfigurationError,
        ),
        (boto.ParamValidationError(report="r"), s.ConfigurationError),
        (boto.EndpointConnectionError(endpoint_url="u"), s.UnavailableError),
        (boto.ConnectionClosedError(endpoint_url="u"), s.UnavailableError),
        (boto.ConnectTimeoutError(endpoint_url="u"), s.StorageTimeoutError),
        (boto.ReadTimeoutError(endpoint_url="u"), s.StorageTimeoutError),
        (boto.SSLError(endpoint_url="u", error=OSError("e")), s.UnavailableError),
        (boto.ProxyConnectionError(proxy_url="u"), s.UnavailableError),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), s.UnavailableError),
        (boto.ResponseStreamingError(error="e"), s.UnavailableError),
        (boto.FlexibleChecksumError(error_msg="m"), s.IntegrityError),
        (boto.BotoCoreError(), s.StorageError),
        (urllib3_exceptions.ProtocolError("p"), s.UnavailableError),
        (urllib3_exceptions.ReadTimeoutError(None, "u", "m"), s.StorageTimeoutError),  # type: ignore[arg-type]
        (ResponseParserError("no XML"), s.UnavailableError),
        (boto.ClientError({}, "AssumeRole"), s.AuthenticationError),
        (boto.ClientError({"ResponseMetadata": {"HTTPStatusCode": 503}}, "AssumeRole"), s.UnavailableError),  # type: ignore[typeddict-item]
        (s.NotFoundError("ours"), s.NotFoundError),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), s.InvalidKeyError),
        (ValueError("mine"), None),
        (OSError("mine"), None),
    ],
)
def test_exceptions_of_the_sdk(exc, kind) -> None:
    """What botocore and urllib3 raise without an answer has its class; what is not theirs has none."""
    assert classify(exc) is kind


@pytest.mark.parametrize("message, tries", [("CERTIFICATE_VERIFY_FAILED: self-signed", 1), ("EOF in violation", 3)])
def test_a_certificate_that_is_not_trusted(message, tries, monkeypatch) -> None:
    """It will not be at the next try either; a handshake that broke off may go through."""
    sent = []

    def fail(**_):
        sent.append(1)
        raise boto.SSLError(endpoint_url="u", error=OSError(message))

    auth = {"access_key_id": "a", "secret_access_key": "b"}
    with Storage("s3://bucket?region=us-east-1", auth, at_once(2)) as store:
        store.backend.client.meta.events.register("before-send.s3", fail)
        with pytest.raises(s.UnavailableError):
            store.get("k")
    assert len(sent) == tries


def test_no_credentials(stub, monkeypatch) -> None:
    """Without any credentials a call is an AuthenticationError, and nothing is sent."""
    proxy, _ = stub
    url = f"s3://bucket?region=us-east-1&endpoint_url={quote(proxy.url, safe=':/')}"
    with Storage(url, None, 0) as store, pytest.raises(s.AuthenticationError):
        store.get("k")
    assert proxy.requests == []


@pytest.mark.parametrize("source", ["web_identity_token_file", "credential_process"])
def test_credentials_whose_source_is_not_there(stub, monkeypatch, tmp_path, source) -> None:
    """A file or program that a profile or a variable names, and that is not there, is an AuthenticationError."""
    proxy, _ = stub
    absent = tmp_path / "absent"
    if source == "credential_process":
        config = tmp_path / "config"
        config.write_text(f"[default]\ncredential_process = {absent}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    else:
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(absent))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/of-mine")
    url = f"s3://bucket?region=us-east-1&endpoint_url={quote(proxy.url, safe=':/')}"
    with Storage(url, None, 0) as store:
        for call in (lambda: store.get("k"), lambda: store.set("k", "")):
            with pytest.raises(s.AuthenticationError, match="absent"):
                call()
        with pytest.raises(s.SigningError):
            store.get_signed_url("k")
    assert proxy.requests == []


def test_a_password_in_a_variable_is_not_repeated(monkeypatch) -> None:
    """botocore's message has the URL as it was given."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hunter2@127.0.0.1:1")
    auth = {"access_key_id": "a", "secret_access_key": "b"}
    with Storage("s3://bucket?region=us-east-1", auth, 0) as store, pytest.raises(s.UnavailableError) as caught:
        store.get("k")
    assert "127.0.0.1:1" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_nothing_secret_is_shown(stub, caplog) -> None:
    """Neither repr, nor messages, nor the log show a key, a token or a signed URL."""
    proxy, _ = stub
    auth = {"access_key_id": "AKIAX", "secret_access_key": "very-secret", "session_token": "tok-secret"}
    url = f"s3://bucket?region=us-east-1&endpoint_url={proxy.url}"
    caplog.set_level(logging.DEBUG, "storage")
    with Storage(url, auth, 0) as store:
        signed = store.get_signed_url("k")
        shown = [repr(store), repr(store.backend), repr(vars(store.backend)["_settings"]), repr(store.sign_upload("k"))]
        proxy.plan = lambda _: error(403, "SignatureDoesNotMatch")
        for call in (lambda: store.get("k"), lambda: store.exists("k"), store.list):
            with pytest.raises(s.StorageError) as caught:
                call()
            shown += [str(caught.value), repr(caught.value), str(caught.value.__cause__)]
    shown += [record.getMessage() for record in caplog.records]
    assert len(caplog.records) >= 4
    signature = signed.partition("X-Amz-Signature=")[2]
    assert signature
    for secret in ("very-secret", "tok-secret", signature, "X-Amz-Signature"):
        assert all(secret not in text for text in shown), secret


def test_proxy_type_is_what_tests_expect(stub) -> None:
    """The stub is asked, and nothing else: else these tests would prove nothing."""
    proxy, store = stub
    proxy.plan = lambda _: error(404, "NoSuchKey")
    assert isinstance(proxy, FaultProxy)
    with pytest.raises(s.NotFoundError):
        store.get("a b/ü")
    assert [(r.method, r.target) for r in proxy.requests] == [("GET", "/bucket/p/data/a%20b/%C3%BC")]
