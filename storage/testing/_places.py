"""Where the stores of the pytest fixtures are: memory, a directory, a real S3 server, an emulator of Cloud Storage."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from storage import Storage

if TYPE_CHECKING:
    from storage import AsyncStorage


class Place:
    """Makes URLs of stores that nobody had before, and empties them in the end.

    Args:
        make: the URL for a new name.
    """

    def __init__(self, make: Callable[[str], str]) -> None:
        self._make = make
        self._urls: list[str] = []

    def url(self) -> str:
        """The URL of an empty store."""
        self._urls.append(self._make(f"test-{secrets.token_hex(8)}"))
        return self._urls[-1]

    def empty(self) -> None:
        """Deletes every blob of the usual types."""
        for url in self._urls:
            with Storage(url) as store:
                for storage_type in store.storage_types:
                    store.delete_many(store.iter_list(storage_type=storage_type), storage_type)


def open_place(kind: str, tmp_path_factory: pytest.TempPathFactory) -> AbstractContextManager[Place]:
    """The place of ``kind``, a key of the table below. Skips the test if its server is not installed."""
    return _PLACES[kind](tmp_path_factory)


def close_now(store: AsyncStorage) -> None:
    """Closes an ``AsyncStorage`` where no event loop runs any more."""
    store._sync.close()  # noqa: SLF001 (closing it is a coroutine only because it may wait)


@contextmanager
def _memory(_tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(lambda name: f"memory://{name}")
    yield place
    place.empty()  # a named store stays as long as the process


@contextmanager
def _file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("storage")
    yield Place(lambda name: f"file://{quote(str(root))}/{name}?fsync=false")


@contextmanager
def _s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    from storage.testing import _seaweedfs
    from storage.testing._processes import run_directory

    _need(
        "boto3", _seaweedfs.find_program(), "@pytest.mark.storage('s3') needs boto3 and SeaweedFS", _seaweedfs.INSTALL
    )
    with _seaweedfs.running(run_directory(tmp_path_factory)) as facts, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", _seaweedfs.ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", _seaweedfs.SECRET_KEY)
        where = f"region={_seaweedfs.REGION}&endpoint_url={facts['endpoint_url']}"
        place = Place(lambda name: f"s3://{_seaweedfs.BUCKET}/{name}?{where}")
        yield place
        place.empty()


@contextmanager
def _gs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    from storage.testing import _fake_gcs
    from storage.testing._processes import run_directory

    _need(
        "google.cloud.storage",
        _fake_gcs.find_program(),
        "@pytest.mark.storage('gs') needs google-cloud-storage and fake-gcs-server",
        _fake_gcs.INSTALL,
    )
    with _fake_gcs.running(run_directory(tmp_path_factory)) as facts, pytest.MonkeyPatch.context() as patch:
        account = tmp_path_factory.mktemp("account") / "service-account.json"
        account.write_text(json.dumps(_account(_token_server())), encoding="utf-8")
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        place = Place(lambda name: f"gs://{_fake_gcs.BUCKET}/{name}?endpoint_url={facts['url']}")
        yield place
        place.empty()


_PLACES: Final[dict[str, Callable[[pytest.TempPathFactory], AbstractContextManager[Place]]]] = {
    "memory": _memory,
    "file": _file,
    "s3": _s3,
    "gs": _gs,
}


def _need(module: str, program: str | Path | None, what: str, install: str) -> None:
    from importlib.util import find_spec

    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None or program is None:
        pytest.skip(f"{what}: {install}")


# ---- an account that signs ---------------------------------------------------------------------------------------------


def _account(token_url: str) -> dict[str, str]:
    """A service account of nobody's, so that URLs can be signed; the emulator checks no signature."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = _keys.get(os.getpid())
    if key is None:
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        key = _keys[os.getpid()] = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "project-of-tests",
        "private_key_id": "1",
        "private_key": key,
        "client_email": "tests@project-of-tests.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_url,
    }


_keys: dict[int, str] = {}
_token_urls: dict[int, str] = {}


class _Tokens(BaseHTTPRequestHandler):
    """Gives a token to whoever asks."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"access_token": "of-tests", "expires_in": 3600, "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """A test run has no use for it."""


def _token_server() -> str:
    """The URL of this process's token server, which lives as long as the process."""
    if os.getpid() not in _token_urls:
        server = HTTPServer(("127.0.0.1", 0), _Tokens)
        threading.Thread(target=server.serve_forever, name="storage-tests-tokens", daemon=True).start()
        _token_urls[os.getpid()] = f"http://127.0.0.1:{server.server_port}/token"
    return _token_urls[os.getpid()]
