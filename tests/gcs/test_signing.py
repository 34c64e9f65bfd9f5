"""Signed requests: every option is under the signature, whoever makes it; checked by code that shares nothing with what signs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import google.auth.credentials
import google.auth.transport.requests
import google.oauth2.credentials
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from google.auth import compute_engine, impersonated_credentials
from google.auth.compute_engine import _metadata
from google.oauth2 import service_account
from urllib3.util.retry import Retry

from storage import SigningError, Storage, StorageTimeoutError, UnavailableError
from storage._urls import StorageURL
from storage.backends import SignOptions
from storage.backends.gcs import _signing, create
from storage.testing._http import send, send_request
from storage.testing.faults import LOST, RESET, STALL, FaultProxy
from tests.emulators.gcs import IAM_ACCOUNT, WRITER, GCSServer
from tests.emulators.gcs_v4 import canonical_request, verify
from tests.gcs.conftest import answer

VECTORS = json.loads((Path(__file__).parent / "data" / "v4_vectors.json").read_text(encoding="utf-8"))
NAMED = pytest.mark.parametrize("vector", VECTORS["tests"], ids=[each["description"] for each in VECTORS["tests"]])
# Ours are made for one blob, by path, at the endpoint of the client: the vectors of that kind. (Where there is a port, the
# vectors sign the host without it; a server that checks the Host header that it gets, as the SDK assumes, needs it.)
OURS = [
    each
    for each in VECTORS["tests"]
    if each["method"] in ("GET", "PUT") and "object" in each and not each["object"].startswith("/")
    and not {"headers", "queryParameters", "urlStyle"} & set(each) and urlsplit(each["expectedUrl"]).port is None
]  # fmt: skip


# ---- the public vectors ----------------------------------------------------------------------------------------------


@NAMED
def test_the_checker_agrees_with_the_public_vectors(vector: dict[str, Any]) -> None:
    """Each published URL passes the check, for its own canonical request, and not a second after it expires."""
    parts = urlsplit(vector["expectedUrl"])
    # The vectors sign the bare host, also where the URL has a port.
    headers = {name.lower(): value for name, value in vector.get("headers", {}).items()} | {
        "host": parts.hostname or ""
    }
    signed = parse_qs(parts.query)["X-Goog-SignedHeaders"][0]
    canonical = canonical_request(vector["method"], parts.path, parts.query, headers, signed)
    if vector["description"] == "Universe domain with virtual hosted style":
        # Its canonical request has the path of another style; its signature, checked below, is over that of its URL.
        vector["expectedCanonicalRequest"] = vector["expectedCanonicalRequest"].replace("/test-bucket/", "/")
    assert canonical == vector["expectedCanonicalRequest"]
    keys: Any = {VECTORS["account"]: load_pem_public_key(VECTORS["publicKey"].encode())}
    began = datetime.fromisoformat(vector["timestamp"].replace("Z", "+00:00"))
    covered = {name: value for name, value in headers.items() if name in signed.split(";")}
    last = began + timedelta(seconds=int(vector["expiration"]) - 1)
    assert verify(vector["method"], parts.path, parts.query, covered, keys, last) is None
    late = verify(vector["method"], parts.path, parts.query, covered, keys, last + timedelta(seconds=1))
    assert late is not None
    assert late.code == "ExpiredToken"
    other = verify("DELETE", parts.path, parts.query, covered, keys, last)
    assert other is not None
    assert other.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("vector", OURS, ids=[each["description"] for each in OURS])
def test_the_driver_signs_as_the_vectors_do(
    vector: dict[str, Any], gcs: GCSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the same moment, account and blob the driver makes the published URL, up to the signature of another key."""
    assert len(OURS) >= 7
    began = datetime.fromisoformat(vector["timestamp"].replace("Z", "+00:00"))
    monkeypatch.setattr(_signing, "now", lambda: began)
    auth = {**gcs.account(), "client_email": VECTORS["account"]}
    parts = urlsplit(vector["expectedUrl"])
    backend = create(
        StorageURL.parse(f"gs://{vector['bucket']}?endpoint_url={parts.scheme}://{parts.netloc}"), auth=auth
    )
    request = backend.sign(vector["object"], SignOptions(vector["method"], int(vector["expiration"])))
    backend.close()
    unsigned, _, _ = request.url.partition("&X-Goog-Signature=")
    assert unsigned == vector["expectedUrl"].partition("&X-Goog-Signature=")[0]
    assert request.expires_at == began + timedelta(seconds=int(vector["expiration"]))


# ---- what is bound ---------------------------------------------------------------------------------------------------


def test_every_option_is_under_the_signature(gcs: GCSServer, store: Storage) -> None:
    """The names of the bound headers are signed, and the headers to send are exactly those and their values."""
    request = store.sign_upload(
        "a b/é", content_type="text/csv", content_length=4, content_md5="CY9rzUYh03PK3k6DJie09g==", overwrite=False
    )
    parts = urlsplit(request.url)
    query = parse_qs(parts.query)
    assert query["X-Goog-SignedHeaders"] == [
        "content-md5;content-type;host;x-goog-content-length-range;x-goog-if-generation-match"
    ]
    assert request.headers == {
        "Content-Type": "text/csv",
        "Content-MD5": "CY9rzUYh03PK3k6DJie09g==",
        "x-goog-content-length-range": "4,4",
        "x-goog-if-generation-match": "0",
    }
    public: Any = load_pem_private_key(gcs.keys[WRITER].encode(), None).public_key()
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": parts.netloc}
    assert verify("PUT", parts.path, parts.query, headers, {WRITER: public}, datetime.now(timezone.utc)) is None
    for name in request.headers:
        without = {key: value for key, value in headers.items() if key != name.lower()}
        assert verify("PUT", parts.path, parts.query, without, {WRITER: public}, datetime.now(timezone.utc)) is not None
        changed = {**headers, name.lower(): "other"}
        assert verify("PUT", parts.path, parts.query, changed, {WRITER: public}, datetime.now(timezone.utc)) is not None


def test_signing_offline(gcs: GCSServer) -> None:
    """With a key nothing is asked of anybody: it works where there is no network at all."""
    with Storage("gs://some-bucket/x", auth=gcs.account()) as store:
        url = store.get_signed_url("a", expires_in=timedelta(days=7))
    assert url.startswith("https://storage.googleapis.com/some-bucket/x/data/a?")
    assert parse_qs(urlsplit(url).query)["X-Goog-Expires"] == ["604800"]


# ---- without a key ---------------------------------------------------------------------------------------------------


@pytest.fixture
def keyless(gcs: GCSServer) -> Any:
    """Credentials that the strict proxy knows and that hold no key."""
    account = service_account.Credentials.from_service_account_info(gcs.account(), scopes=["x"])
    account.refresh(google.auth.transport.requests.Request())
    return google.oauth2.credentials.Credentials(account.token)


@pytest.fixture
def iam(gcs: GCSServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """IAM, behind a proxy that can break it."""
    with FaultProxy(gcs.endpoint_url) as proxy:
        monkeypatch.setattr(_signing, "IAM_URL", proxy.url + "/v1/projects/-/serviceAccounts/{email}:signBlob")
        yield proxy


def test_signing_through_iam(gcs: GCSServer, keyless: Any, iam: FaultProxy) -> None:
    """Credentials without a key sign as the account that is named; the URL works, and says whose it is."""
    url = gcs.url(query=f"&service_account_email={IAM_ACCOUNT}")
    with Storage(url, auth=keyless) as store:
        answered = send_request(store.sign_upload("a", content_type="text/x", overwrite=False), b"hello")
        assert answered.status == 200
        signed = store.get_signed_url("a", content_disposition="inline")
        assert send("GET", signed).body == b"hello"
        assert IAM_ACCOUNT in parse_qs(urlsplit(signed).query)["X-Goog-Credential"][0]
        assert send("GET", signed.replace("data/a", "data/b")).status == 403
    assert [request.method for request in iam.requests] == ["POST", "POST"]
    assert all(request.headers["authorization"] == f"Bearer {keyless.token}" for request in iam.requests)


def test_iam_is_asked_again(gcs: GCSServer, keyless: Any, iam: FaultProxy) -> None:
    """A signature is tried as often as ``retries`` say, and then the service is unavailable."""
    url = gcs.url(query=f"&service_account_email={IAM_ACCOUNT}")
    with Storage(url, auth=keyless, retries=Retry(total=3, backoff_factor=0)) as store:
        iam.script(answer(503), RESET, LOST)
        assert IAM_ACCOUNT.replace("@", "%40") in store.get_signed_url("a")
        assert len(iam.requests) == 4
        iam.plan = lambda _: answer(503)
        with pytest.raises(UnavailableError):
            store.get_signed_url("a")
        assert len(iam.requests) == 8
    with Storage(url, auth=keyless, retries=0, timeout=(2, 0.3)) as store:
        iam.plan = lambda _: STALL
        began = time.monotonic()
        with pytest.raises(StorageTimeoutError):
            store.get_signed_url("a")
        assert time.monotonic() - began < 20


def test_iam_refuses(gcs: GCSServer, keyless: Any, iam: FaultProxy) -> None:
    """An account that may not be signed as is a SigningError that names the role; asked once."""
    url = gcs.url(query="&service_account_email=stranger@x.iam.gserviceaccount.com")
    refused = pytest.raises(SigningError, match=r"stranger@x.*serviceAccountTokenCreator")
    with Storage(url, auth=keyless) as store, refused:
        store.get_signed_url("a")
    assert len(iam.requests) == 1


def test_iam_signs_for_twelve_hours(gcs: GCSServer, keyless: Any, iam: FaultProxy) -> None:
    """Google's own keys are promised for no longer; nothing is asked."""
    with Storage(gcs.url(query=f"&service_account_email={IAM_ACCOUNT}"), auth=keyless) as store:
        store.get_signed_url("a", expires_in=12 * 3600)
        assert len(iam.requests) == 1
        with pytest.raises(SigningError, match="43200"):
            store.get_signed_url("a", expires_in=12 * 3600 + 1)
    assert len(iam.requests) == 1


def test_an_account_named_beside_a_key(gcs: GCSServer, iam: FaultProxy) -> None:
    """The account that is named signs: through IAM where it is another than the key's."""
    with Storage(gcs.url(query=f"&service_account_email={WRITER}"), auth=gcs.account()) as store:
        store.get_signed_url("a", expires_in=timedelta(days=7))
        assert iam.requests == []
    with Storage(gcs.url(query=f"&service_account_email={IAM_ACCOUNT}"), auth=gcs.account()) as store:
        store.set("a", "1")
        assert send("GET", store.get_signed_url("a")).body == b"1"


def test_a_machine_of_googles(gcs: GCSServer, keyless: Any, iam: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that learns its account's name with its first token signs as that account."""
    info = {"email": IAM_ACCOUNT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
    monkeypatch.setattr(_metadata, "get_service_account_info", lambda *args, **kwargs: info)
    expiry = datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(hours=1)
    monkeypatch.setattr(_metadata, "get_service_account_token", lambda *args, **kwargs: (keyless.token, expiry))
    monkeypatch.setattr(_metadata, "get_universe_domain", lambda *args, **kwargs: "googleapis.com")
    credentials: Any = compute_engine.Credentials()
    with Storage(gcs.url(), auth=credentials) as store:
        store.set("a", "1")
        assert send("GET", store.get_signed_url("a")).body == b"1"
    assert len(iam.requests) == 1


def test_impersonated_credentials(gcs: GCSServer, keyless: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that act as an account sign as it, with this library's retries, for twelve hours at most."""
    tries: list[bytes] = []
    key: Any = load_pem_private_key(gcs.keys[WRITER].encode(), None)

    def sign_bytes(self: object, message: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding
        from google.auth.exceptions import TransportError

        tries.append(message)
        if len(tries) < 3:
            raise TransportError("503")
        return bytes(key.sign(message, padding.PKCS1v15(), hashes.SHA256()))

    monkeypatch.setattr(impersonated_credentials.Credentials, "sign_bytes", sign_bytes)
    credentials: Any = impersonated_credentials.Credentials(keyless, WRITER, ["x"])
    credentials.token = keyless.token
    credentials.expiry = datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(hours=1)
    with Storage(gcs.url("i"), auth=gcs.account()) as honest:
        honest.set("a", "1")
    with Storage(gcs.url("i"), auth=credentials, retries=Retry(total=3, backoff_factor=0)) as store:
        assert send("GET", store.get_signed_url("a")).body == b"1"
        assert len(tries) == 3
        with pytest.raises(SigningError, match="43200"):
            store.get_signed_url("a", expires_in=timedelta(days=1))


def test_who_cannot_sign(gcs: GCSServer, keyless: Any) -> None:
    """Credentials without key and name, and none at all: a SigningError that says what to do, for every method."""
    for store in (Storage(gcs.url(), auth=keyless), Storage(gcs.url(query="&anonymous=true"))):
        for call in (store.get_signed_url, store.get_upload_url, store.sign_download, store.sign_upload):
            with pytest.raises(SigningError, match="service_account_email="):
                call("a")
        store.close()


# ---- secrets ---------------------------------------------------------------------------------------------------------


def test_signatures_are_shown_nowhere(store: Storage, caplog: pytest.LogCaptureFixture) -> None:
    """No signature in a ``repr`` or in this library's log."""
    caplog.set_level("DEBUG", logger="storage")
    request = store.sign_upload("a", content_md5="CY9rzUYh03PK3k6DJie09g==")
    signature = parse_qs(urlsplit(request.url).query)["X-Goog-Signature"][0]
    assert signature not in repr(request)
    assert any("sign_upload" in record.getMessage() for record in caplog.records)
    assert all(signature not in record.getMessage() for record in caplog.records)
