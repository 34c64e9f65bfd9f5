"""Which way requests go, with which endpoint, certificates and tokens; and what a process has to load for it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import google.oauth2.credentials
import pytest
from google.auth import environment_vars
from google.auth.compute_engine import _metadata
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Client
from google.oauth2 import service_account
from urllib3.util.retry import Retry

from storage import AuthenticationError, ConfigurationError, Storage, StorageTimeoutError, UnavailableError
from storage._retry import Timeout
from storage._urls import StorageURL
from storage.backends._http import Pool
from storage.backends.gcs import create
from storage.backends.gcs._credentials import SCOPES, TokenRequest
from storage.backends.gcs._requests import Connection
from storage.backends.gcs._requests_wire import RequestsWire
from storage.backends.gcs._settings import Settings
from storage.testing.faults import LOST, RESET, STALL, TRUNCATE, FaultProxy
from tests.emulators.gcs import READER, WRITER, GCSServer
from tests.emulators.relays import ForwardProxy, TLSEnd
from tests.gcs.conftest import Proxied, answer
from tests.http.certificates import Authority

TIMEOUT = Timeout(5, 5)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine of tests may have set decides nothing here."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name)


def connection(**settings: Any) -> Connection:
    return Connection(Settings("bucket", **settings), TIMEOUT)


def anonymous() -> Any:
    make: Any = AnonymousCredentials
    return make()


# ---- where to ------------------------------------------------------------------------------------------------------------

ENDPOINTS: dict[str, tuple[dict[str, str], str | None]] = {
    "nothing": ({}, None),
    "a URL": ({}, "https://storage.example"),
    "an emulator": ({"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"}, None),
    "an emulator, and a URL": ({"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"}, "http://127.0.0.1:8"),
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_endpoint_is_the_sdks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is chosen as google-cloud-storage chooses it, and its client, if it is asked for, has the same."""
    environment, url = ENDPOINTS[name]
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    theirs = Client(
        project="p", credentials=anonymous(), client_options={"api_endpoint": url} if url else None
    ).api_endpoint
    assert connection(credentials=anonymous, endpoint_url=url).endpoint == theirs
    backend = create(StorageURL.parse(f"gs://bucket{f'?endpoint_url={url}' if url else ''}"), auth=anonymous())
    assert backend.client.api_endpoint == theirs
    backend.close()


def test_the_scopes_are_the_sdks() -> None:
    """A token that is fetched for this driver serves what its client does."""
    assert SCOPES == Client.SCOPE


def test_another_universe(gcs: GCSServer) -> None:
    """Credentials of another universe are sent to its own service, or to an endpoint in it, and to no other."""

    def make() -> Any:
        credentials: Any = service_account.Credentials.from_service_account_info(
            {**gcs.account(), "universe_domain": "example.com"}
        )
        return credentials

    assert connection(credentials=make).endpoint == "https://storage.example.com"
    assert connection(credentials=make, endpoint_url="https://eu.storage.example.com").is_google
    for url in ("http://127.0.0.1:9", "https://storage.googleapis.com", "https://notexample.com"):
        with pytest.raises(ConfigurationError, match="universe"):
            connection(credentials=make, endpoint_url=url)
    backend = create(StorageURL.parse("gs://bucket"), auth=make())
    assert backend.client.universe_domain == "example.com"
    assert backend.client.api_endpoint == "https://storage.example.com"


def test_an_emulator_that_is_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without a scheme is a ConfigurationError, which the SDK's own words would not be."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9")
    with Storage("gs://bucket") as store, pytest.raises(ConfigurationError, match="http://"):
        store.get("a")


def test_an_endpoint_with_a_path(gcs: GCSServer) -> None:
    """Everything is below it, also where an upload goes on."""

    class Below(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            body = json.dumps({"kind": "storage#objects"}).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    seen: list[str] = []
    with serving(Below) as url, Storage(f"gs://bucket?anonymous=true&endpoint_url={url}/base/") as store:
        assert store.list() == []
    assert seen[0].startswith("/base/storage/v1/b/bucket/o?")


# ---- which way -------------------------------------------------------------------------------------------------------------


def test_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and client certificates take a session of requests; a proxy that does not serve the host is none."""
    assert isinstance(connection(anonymous=True).wire, Pool)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert isinstance(connection(anonymous=True).wire, RequestsWire)
    assert isinstance(connection(anonymous=True, endpoint_url="http://127.0.0.1:8").wire, Pool)
    monkeypatch.setenv("NO_PROXY", "googleapis.com")
    assert isinstance(connection(anonymous=True).wire, Pool)
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    assert isinstance(connection(anonymous=True).wire, RequestsWire)


@pytest.mark.parametrize("mode,host", [("auto", "storage.mtls"), ("always", "storage.mtls"), ("never", "storage")])
def test_client_certificates(monkeypatch: pytest.MonkeyPatch, mode: str, host: str) -> None:
    """google-auth's own session presents them, at the host that google-cloud-storage would choose."""
    asked: list[object] = []

    def configure(self: Any, source: object = None) -> None:
        asked.append(self)
        self._is_mtls = True

    monkeypatch.setattr(AuthorizedSession, "configure_mtls_channel", configure)
    monkeypatch.setenv("GOOGLE_API_USE_CLIENT_CERTIFICATE", "true")
    monkeypatch.setenv("GOOGLE_API_USE_MTLS_ENDPOINT", mode)
    made = connection(anonymous=True)
    assert isinstance(made.wire, RequestsWire)
    assert asked
    assert made.endpoint == made.wire.origin == f"https://{host}.googleapis.com"
    theirs = Client(project="p", credentials=anonymous())
    assert made.endpoint == theirs._connection.get_api_base_url_for_mtls()
    assert connection(anonymous=True, endpoint_url="https://storage.example").endpoint == "https://storage.example"
    assert isinstance(connection(anonymous=True, endpoint_url="http://127.0.0.1:9").wire, Pool)


def test_through_a_proxy(gcs: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs and tokens both go through the proxy that the environment names; large ones, and refusals, too."""
    with ForwardProxy() as proxy, Storage(gcs.url(), auth=gcs.account()) as store:
        monkeypatch.setenv("http_proxy", proxy.url)
        data = os.urandom(20 * 1024 * 1024)
        etag = store.set("a", data).etag
        assert store.get_bytes("a") == data
        assert store.get_bytes("a", start=5, end=9) == data[5:9]
        assert b"".join(store.iter_bytes("a")) == data
        assert not store.exists("b")
        store.copy("a", "b", if_match=etag)
        store.delete_many(["a", "b"])
        assert store.list() == []
        named = {urlsplit(target.split(" ")[1]).path.split("/")[1] for target in proxy.targets}
    assert named >= {"token", "storage", "upload", "download", "batch"}


def test_faults_behind_a_proxy(proxied: Proxied, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session of requests is asked again as the other way is, and says as little of an upload."""
    with ForwardProxy() as relay:
        monkeypatch.setenv("http_proxy", relay.url)
        store = proxied.open(retries=2)
        store.set("a", b"x" * 1000)
        for fault in (RESET, LOST, TRUNCATE, answer(503)):
            proxied.proxy.script(fault, when=lambda r: "alt=media" in r.target)
            assert store.get_bytes("a") == b"x" * 1000
        proxied.proxy.plan = lambda r: RESET if r.method == "PUT" else None
        with pytest.raises(UnavailableError) as caught:
            store.set("a", io.BytesIO(bytes(9 * 1024 * 1024)))
        assert "upload_id" not in f"{caught.value!r} {caught.value.__cause__!r}"
        store.close()
        slow = proxied.open(retries=0, timeout=(2, 0.3))
        proxied.proxy.plan = lambda _: STALL
        with pytest.raises(StorageTimeoutError):
            slow.get("a")
        slow.close()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    store = proxied.open(retries=1)
    with pytest.raises(UnavailableError):
        store.get("a")
    store.close()


# ---- TLS -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proxy", [False, True])
def test_certificates(gcs: GCSServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: bool) -> None:
    """A server is trusted by the bundles that requests would use; a stranger is asked once, and told nothing."""
    authority = Authority(tmp_path)
    port = urlsplit(gcs.endpoint_url).port or 0
    if proxy:  # for another host, so that only the way is the other one
        monkeypatch.setattr("storage.backends.gcs._requests.needs_requests", lambda _: True)
    with TLSEnd(port, authority.server()) as end:
        url = gcs.url("tls", endpoint_url=f"https://127.0.0.1:{end.port}")
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", *(() if proxy else ("SSL_CERT_FILE",))):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(variable, str(authority.bundle))
                with Storage(url, auth=gcs.account()) as store:
                    store.set("a", b"1")
                    assert store.get("a") == "1"
        with (
            Storage(url, auth=gcs.account(), retries=Retry(5, backoff_factor=60)) as store,
            pytest.raises(UnavailableError, match=r"(?i)certificate"),
        ):
            store.get("a")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    with (
        TLSEnd(port, authority.server("other.example")) as end,
        Storage(gcs.url("tls", endpoint_url=f"https://127.0.0.1:{end.port}"), auth=gcs.account()) as store,
        pytest.raises(UnavailableError, match=r"(?i)certificate"),
    ):
        store.get("a")


def test_a_bundle_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with (
        Storage("gs://bucket?anonymous=true") as store,
        pytest.raises(ConfigurationError, match=r"/no/such/bundle\.pem"),
    ):
        store.get("a")


# ---- tokens ----------------------------------------------------------------------------------------------------------------


class Counted(Credentials):  # type: ignore[misc]
    """Credentials whose tokens last as long as they are told."""

    def __init__(self, tokens: Iterator[str], seconds: float | None = None) -> None:
        super().__init__()
        self._tokens, self._seconds = tokens, seconds
        self.refreshed: list[str] = []
        self.lock = threading.Lock()

    def refresh(self, request: Any) -> None:
        with self.lock:
            self.token = next(self._tokens)
            self.refreshed.append(self.token)
            if self._seconds is not None:
                self.expiry = datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(seconds=self._seconds)


def good_token(server: GCSServer, email: str = WRITER) -> str:
    credentials: Any = service_account.Credentials.from_service_account_info(server.account(email), scopes=["x"])
    credentials.refresh(TokenRequest(TIMEOUT))
    return str(credentials.token)


def test_a_token_that_has_ended(proxied: Proxied) -> None:
    """A 401 is answered with another token, once; a second one is the truth."""
    good = good_token(proxied.server)
    credentials = Counted(iter(["bad", good, "bad", "worse", "worst"]))
    url = proxied.server.url(proxied.prefix, endpoint_url=proxied.proxy.url)
    with Storage(url, auth=credentials) as store:
        store.set("a", "1")
        assert store.get("a") == "1"
        assert credentials.refreshed == ["bad", good]
        credentials.token = "bad"
        proxied.proxy.requests.clear()
        with pytest.raises(AuthenticationError):
            store.get("a")
        assert len(proxied.proxy.requests) == 2


def test_tokens_that_end_during_a_run(gcs: GCSServer) -> None:
    """Each call looks whether its token still serves."""
    good = good_token(gcs)
    credentials = Counted(iter([good] * 100), seconds=1)  # google-auth renews well before the end
    with Storage(gcs.url(), auth=credentials) as store:
        for number in range(5):
            store.set("a", str(number))
            assert store.get("a") == str(number)
    assert len(credentials.refreshed) == 10


def test_one_token_for_all_threads(gcs: GCSServer) -> None:
    """64 threads that begin at once wait for one token, and each gets its own blob."""
    credentials = Counted(iter([good_token(gcs)]))
    with Storage(gcs.url(), auth=gcs.account()) as honest, Storage(honest_url(honest, gcs), auth=credentials) as store:
        honest.set_many({f"k{n}": f"value {n}" for n in range(64)})
        start = threading.Barrier(64)

        def read(number: int) -> bool:
            start.wait()
            return all(store.get(f"k{n % 64}") == f"value {n % 64}" for n in range(number, number + 10))

        with ThreadPoolExecutor(64) as pool:
            assert all(pool.map(read, range(64)))
    assert len(credentials.refreshed) == 1


def honest_url(store: Storage, server: GCSServer) -> str:
    return server.url(urlsplit(str(store._core.url)).path.strip("/"))


def test_tokens_that_cannot_be_fetched(gcs: GCSServer) -> None:
    """A token endpoint that is down is the service's failure, after the retries; one that is slow a timeout."""
    with FaultProxy(gcs.endpoint_url) as proxy:
        auth = {**gcs.account(), "token_uri": f"{proxy.url}/token"}
        proxy.script(RESET, answer(503), LOST)
        with Storage(gcs.url("t"), auth=auth, retries=Retry(3, backoff_factor=0)) as store:
            store.set("a", "1")
        proxy.plan = lambda _: RESET
        with Storage(gcs.url("t"), auth=auth, retries=0) as store, pytest.raises(UnavailableError):
            store.get("a")
        proxy.plan = lambda _: answer(200, b"<html>")
        with (
            Storage(gcs.url("t"), auth=auth, retries=0) as store,
            pytest.raises((UnavailableError, AuthenticationError)),
        ):
            store.get("a")


@pytest.fixture
def metadata_server(gcs: GCSServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A machine of Google's, as far as google-auth asks one."""
    token, seen = good_token(gcs), []
    answers: dict[str, Any] = {
        "/computeMetadata/v1/project/project-id": "project-of-the-machine",
        "/computeMetadata/v1/instance/service-accounts/default/": {"email": WRITER, "scopes": ["x"]},
        "/computeMetadata/v1/universe/universe-domain": "googleapis.com",
        "/computeMetadata/v1/universe/universe_domain": "googleapis.com",  # as older versions ask for it
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            seen.append(path)
            found = answers.get(path, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"})
            body = (found if isinstance(found, str) else json.dumps(found)).encode()
            self.send_response(200)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Type", "application/text" if isinstance(found, str) else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with serving(Handler) as url:
        host = url.removeprefix("http://")
        monkeypatch.setenv("CLOUDSDK_CONFIG", "/no/such/directory")
        monkeypatch.setenv("GCE_METADATA_IP", host)
        monkeypatch.setattr(
            _metadata, "_GCE_METADATA_HOST", host
        )  # google-auth reads the environment when it is imported
        if hasattr(_metadata, "_NO_GCE_CHECK"):
            monkeypatch.setattr(_metadata, "_NO_GCE_CHECK", False)
        else:  # an older version, whose URLs are made when it is imported
            monkeypatch.setattr(_metadata, "_METADATA_IP_ROOT", url)
            others = (_metadata.get.__defaults__ or ())[1:]
            monkeypatch.setattr(_metadata.get, "__defaults__", (f"{url}/computeMetadata/v1/", *others))
        yield seen


def test_the_machines_own_account(gcs: GCSServer, metadata_server: list[str]) -> None:
    """Without ``auth`` and files the machine is asked, over this driver's transport: for an account, and for tokens."""
    with Storage(gcs.url()) as store:
        store.set("a", "1")
        assert store.get("a") == "1"
    # Older versions of google-auth name the account.
    tokens = {f"/computeMetadata/v1/instance/service-accounts/{name}/token" for name in ("default", WRITER)}
    assert tokens.intersection(metadata_server)


def test_a_person_with_a_quota_project(proxied: Proxied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``gcloud auth application-default login`` leaves works, and says whose quota is used."""
    file = tmp_path / "adc.json"
    file.write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "id",
                "client_secret": "s",
                "refresh_token": "r",
                "quota_project_id": "project-that-pays",
            }
        )
    )
    monkeypatch.setenv(environment_vars.CREDENTIALS, str(file))
    token = good_token(proxied.server)
    asked: list[Mapping[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            body = json.dumps({"access_token": token, "expires_in": 3600}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    with serving(Handler) as url:
        monkeypatch.setattr(google.oauth2.credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{url}/token")
        with Storage(proxied.server.url(proxied.prefix, endpoint_url=proxied.proxy.url)) as store:
            store.set("a", "1")
    assert asked[0]["refresh_token"] == ["r"]
    headers = proxied.proxy.requests[-1].headers
    assert headers["x-goog-user-project"] == "project-that-pays"
    assert headers["user-agent"].startswith("storage-facade")


def test_what_is_sent_of_a_reader(gcs: GCSServer) -> None:
    """Two stores with two accounts share nothing."""
    with (
        Storage(gcs.url("two"), auth=gcs.account()) as writer,
        Storage(gcs.url("two"), auth=gcs.account(READER)) as reader,
    ):
        writer.set("a", "1")
        assert reader.get("a") == "1"
        with pytest.raises(Exception, match="reader@"):
            reader.set("a", "2")


class serving:  # noqa: N801 (used as a function)
    """A server of ``handler`` on 127.0.0.1; gives its URL."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


# ---- what is loaded --------------------------------------------------------------------------------------------------------

HEAVY = ("google.cloud", "google.api_core", "requests", "urllib3", "grpc", "certifi", "email", "secrets")
LOADED = """
    import json, sys
    from storage import Storage
    url, auth = sys.argv[1], json.loads(sys.argv[2])
    with Storage(url, auth=auth) as store:
        store.set("a", b"1")
        assert store.get("a") == "1"
        assert store.exists("a") and not store.exists("absent")
        store.list()
        store.delete("a")
        {more}
    print(" ".join(name for name in {heavy} if name in sys.modules))
"""


def loaded(url: str, auth: Mapping[str, Any] | None, more: str = "") -> set[str]:
    code = textwrap.dedent(LOADED).format(heavy=(*HEAVY, "google.auth"), more=more)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, url, json.dumps(auth)],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_what_small_calls_load(gcs: GCSServer) -> None:
    """An emulator needs no package of Google's; a service account google-auth alone; signing neither; the client the SDK."""
    plain = gcs.url(endpoint_url=gcs.emulator_url, query="&anonymous=true")
    assert loaded(plain, None) == set()
    assert loaded(gcs.url(), gcs.account(), 'store.get_signed_url("a")') <= {"google.auth", "email"}
    assert loaded(plain, None, "store.backend.client") >= {"google.cloud", "requests"}
