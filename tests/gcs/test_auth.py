"""Credentials of every kind, endpoints, projects; no secret is ever shown; nothing is asked before the first operation."""

from __future__ import annotations

import json
import pickle
import socket
import threading
import traceback
from pathlib import Path
from typing import Any

import google.auth.credentials
import pytest
from google.oauth2 import service_account

from storage import (
    AuthenticationError,
    ConfigurationError,
    InvalidKeyError,
    NotFoundError,
    PermissionDeniedError,
    Storage,
)
from storage._urls import StorageURL
from storage.backends.gcs import GCSBackend, create
from storage.testing._races import in_child
from tests.emulators.gcs import PUBLIC_BUCKET, READER, GCSServer


def works(store: Storage) -> bool:
    with store:
        store.set("a", "1")
        return store.get("a") == "1"


def test_kinds_of_auth(gcs: GCSServer, tmp_path: Path) -> None:
    """Credentials, a mapping, a path as str or PathLike."""
    info = gcs.account()
    file = tmp_path / "account.json"
    file.write_text(json.dumps(info))
    token: Any = service_account.Credentials.from_service_account_info(info)
    signed: Any = token.with_always_use_jwt_access(True)
    for auth in (info, file, str(file), token, signed):
        assert works(Storage(gcs.url(), auth=auth))


def test_application_default_credentials(gcs: GCSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``auth`` the SDK's own chain is asked."""
    file = tmp_path / "account.json"
    file.write_text(json.dumps(gcs.account()))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    assert works(Storage(gcs.url()))


def test_a_file_of_credentials_that_cannot_be_read(
    gcs: GCSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an AuthenticationError that names the file, where google-auth lets the system's own error out."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
    with Storage(gcs.url()) as store:
        for call in (lambda: store.get("a"), lambda: store.get_signed_url("a"), lambda: store.set("a", "")):
            with pytest.raises(AuthenticationError, match=str(tmp_path)):
                call()


def test_no_credentials_at_all(gcs: GCSServer) -> None:
    """Nothing found is an AuthenticationError, at the first operation."""
    with Storage(gcs.url()) as store, pytest.raises(AuthenticationError, match="credentials"):
        store.get("a")


def test_emulator_host(gcs: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """STORAGE_EMULATOR_HOST names the server, without credentials, as it does for the SDK; ``endpoint_url`` wins over it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.emulator_url)
    assert works(Storage(f"gs://{gcs.bucket}/env"))
    assert works(Storage(gcs.url(), auth=gcs.account()))
    with Storage(gcs.url(query="&anonymous=true")) as store, pytest.raises(AuthenticationError):
        store.set("a", "1")


def test_the_emulator_without_the_strict_proxy(gcs: GCSServer) -> None:
    """The driver works on a bare fake-gcs-server, large blobs included: it asks for nothing that this lacks."""
    with Storage(gcs.url(endpoint_url=gcs.emulator_url, query="&anonymous=true")) as store:
        store.set("large", b"x" * (6 * 1024 * 1024), overwrite=False)
        store.copy("large", "copy")
        assert store.list() == ["copy", "large"]
        assert store.get_bytes("copy", start=6 * 1024 * 1024 - 1) == b"x"
        store.delete_many(["copy", "large", "absent"])
        assert store.list() == []


def test_anonymous(gcs: GCSServer) -> None:
    """Anonymous access reads what is public; the rest is an AuthenticationError, in the service's own words."""
    url = gcs.url(bucket=PUBLIC_BUCKET, query="&anonymous=true")
    with Storage(url) as store:
        assert store.list() == []
        with pytest.raises(NotFoundError):
            store.get("a")
        with pytest.raises(AuthenticationError, match="Anonymous caller"):
            store.set("a", "1")
    with pytest.raises(ConfigurationError, match="anonymous"):
        Storage(url, auth=gcs.account())


def test_wrong_and_weak_credentials(gcs: GCSServer) -> None:
    """A key that is not the account's is an AuthenticationError; an account without the right a PermissionDeniedError."""
    stranger = {**gcs.account(), "client_email": "stranger@x.iam.gserviceaccount.com"}
    with Storage(gcs.url(), auth=stranger) as store, pytest.raises(AuthenticationError):
        store.get("a")
    with Storage(gcs.url(), auth=gcs.account(READER)) as store:
        assert not store.exists("a")
        with pytest.raises(PermissionDeniedError) as caught:
            store.set("a", "1")
        assert not isinstance(caught.value, AuthenticationError)


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"type": "service_account"},
        {"type": "authorized_user", "client_id": "x", "client_secret": "SECRET", "refresh_token": "SECRET"},
        {"client_email": "a@b", "token_uri": "https://x", "private_key": "SECRET that is no key"},
        {"client_email": "a@b", "token_uri": "https://x", "private_key": None},
        "/no/such/file.json",
        b"bytes",
        7,
        ["SECRET"],
    ],
    ids=["empty", "bare", "user", "no-pem", "none", "no-file", "bytes", "int", "list"],
)
def test_auth_that_is_none(auth: Any) -> None:
    """A ConfigurationError that says what is allowed, at construction, with no secret in it or its traceback's causes."""
    with pytest.raises(ConfigurationError) as caught:
        Storage("gs://bucket", auth=auth)
    assert "service" in str(caught.value)
    assert caught.value.__cause__ is None
    assert "SECRET" not in "".join(traceback.format_exception_only(caught.value))
    assert "SECRET" not in repr(caught.value)


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    """Neither is what stands in it repeated."""
    file = tmp_path / "account.json"
    file.write_text("SECRET")
    with pytest.raises(ConfigurationError, match="JSON") as caught:
        Storage("gs://bucket", auth=file)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "query",
    ["?region=x", "?anonymous=yes", "?endpoint_url=localhost", "?project=", "?keys=cooked", "?service_account_email="],
)
def test_query_parameters_that_cannot_be(query: str) -> None:
    """A ConfigurationError that names the parameter."""
    with pytest.raises(ConfigurationError, match=query[1:].partition("=")[0]):
        Storage(f"gs://bucket{query}")


def test_a_url_without_a_bucket() -> None:
    """A ConfigurationError that says how to write it."""
    with pytest.raises(ConfigurationError, match="gs://BUCKET"):
        Storage("gs:///prefix")


def test_another_universe(gcs: GCSServer) -> None:
    """Credentials of one universe do not serve a client of another: a ConfigurationError, not an SDK's ValueError."""
    auth = {**gcs.account(), "universe_domain": "example.com"}
    with Storage(gcs.url(), auth=auth) as store, pytest.raises(ConfigurationError, match=r"example\.com"):
        store.get("a")


def test_all_schemes(gcs: GCSServer) -> None:
    """``gs``, ``gcs`` and ``gs+google`` are one driver."""
    for scheme in ("gs", "gcs", "gs+google"):
        with Storage(gcs.url("s").replace("gs:", f"{scheme}:", 1), auth=gcs.account()) as store:
            assert isinstance(store.backend, GCSBackend)
            store.set("a", scheme)
            assert store.get("a") == scheme


def test_construction_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the service nor the machine: no name is looked up and no connection opened."""

    def nobody(*args: object, **kwargs: object) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    monkeypatch.setattr(socket.socket, "connect", nobody)
    monkeypatch.setattr(socket.socket, "connect_ex", nobody)
    monkeypatch.delenv("NO_GCE_CHECK", raising=False)
    with Storage("gs://bucket/prefix?project=p") as store:
        assert repr(store)
        assert repr(store.backend)


def test_one_client_for_all_threads(gcs: GCSServer) -> None:
    """However many threads come first at once, one client and one pool are made, the pool with room for all of them."""
    backend = create(StorageURL.parse(gcs.url()), auth=gcs.account())
    gate = threading.Barrier(16)
    found: list[tuple[Any, Any]] = []

    def take() -> None:
        gate.wait()
        found.append((backend.client, backend._session.connection))

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(id(client), id(connection)) for client, connection in found}) == 1
    assert found[0][1].wire._connections >= backend.concurrency
    backend.close()
    assert backend.client is not found[0][0]
    backend.close()


def test_the_client_is_the_sdks(gcs: GCSServer) -> None:
    """``Storage.backend.client`` is a google-cloud-storage client that works."""
    with Storage(gcs.url("c"), auth=gcs.account()) as store:
        store.set("a", "1")
        blob = store.backend.client.bucket(gcs.bucket).blob("c/data/a")
        assert blob.download_as_bytes() == b"1"


def test_pickling(gcs: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store without explicit credentials can be pickled, and so can its backend; with them it would write a secret."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.emulator_url)
    with Storage(f"gs://{gcs.bucket}/p", retries=1) as store:
        store.set("a", "1")
        copy = pickle.loads(pickle.dumps(store))
        assert copy.get("a") == "1"
        copy.close()
        backend = pickle.loads(pickle.dumps(store.backend))
        assert backend.get("p/data/a") == b"1"
        backend.close()
    for thing in (Storage(gcs.url(), auth=gcs.account()), Storage(gcs.url(), auth=gcs.account()).backend):
        with pytest.raises(TypeError, match="auth"):
            pickle.dumps(thing)


def test_no_secret_is_shown(gcs: GCSServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither key nor token in a ``repr``, in this library's log, or in a traceback with all its causes."""
    caplog.set_level("DEBUG", logger="storage")
    secret = gcs.account()["private_key"].splitlines()[5]
    with Storage(gcs.url(), auth=gcs.account()) as store:
        store.set("a", "1")
        with pytest.raises(NotFoundError) as caught:
            store.get("absent")
        token = store.backend.client._credentials.token
        assert token
        shown = [repr(store), repr(store.backend), *traceback.format_exception(caught.value)]
        shown += [record.getMessage() for record in caplog.records]
        assert all(secret not in text and token not in text for text in shown)


def test_raw_keys(gcs: GCSServer) -> None:
    """With ``keys=raw`` what others wrote can be read and removed; a name that would address something else is refused."""
    with Storage(gcs.url("raw", query="&keys=raw"), auth=gcs.account()) as store:
        for key in ("a//b", "folder/", "x/../y", "./z", "back\\slash", "\x7f", "%2e%2e"):
            store.set(key, key.encode())
            assert store.get_bytes(key) == key.encode()
            assert key in store.list()
            store.delete(key)
        assert store.list() == []
    backend = create(StorageURL.parse(gcs.url("", query="&keys=raw")), auth=gcs.account())
    for path in (".", "..", "", "\ud800"):
        for call in (backend.get, backend.stat, backend.delete):
            with pytest.raises(InvalidKeyError):
                call(path)
        assert isinstance(backend.delete_batch([path])[path], InvalidKeyError)
    assert backend.bucket_exists()
    backend.close()


def test_lint_counts_what_has_no_portable_key(gcs: GCSServer) -> None:
    """``doctor`` learns how many objects cannot be reached."""
    with Storage(gcs.url("lint", query="&keys=raw"), auth=gcs.account()) as store:
        assert list(store.backend.find_foreign_names("lint/")) == []
        store.set_many({"a//b": b"1", "ok": b"1", "folder/": b""})
        assert list(store.backend.find_foreign_names("lint/data/")) == [
            "1 folder markers (keys that end in a slash)",
            "1 blobs whose names are no portable keys",
        ]


def test_credentials_of_the_caller_are_used_as_they_are(gcs: GCSServer) -> None:
    """A credentials object may be of a class of one's own."""

    class Own(google.auth.credentials.Credentials):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self._inner = inner

        def refresh(self, request: Any) -> None:
            self._inner.refresh(request)
            self.token = self._inner.token

    inner: Any = service_account.Credentials.from_service_account_info(gcs.account(), scopes=["x"])
    assert works(Storage(gcs.url(), auth=Own(inner)))


def test_a_forked_child_makes_a_client_of_its_own(gcs: GCSServer) -> None:
    """Parent and child share no connection, whoever used the store before."""
    with Storage(gcs.url(), auth=gcs.account()) as store:
        store.set("a", "1")
        mine = id(store.backend.client)

        def child() -> str:
            return f"{id(store.backend.client) != mine} {store.get('a')}"

        assert in_child(child)() == "True 1"
        assert id(store.backend.client) == mine
        assert store.get("a") == "1"
