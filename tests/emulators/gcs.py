"""Cloud Storage for tests: fake-gcs-server keeps the objects, and a strict proxy before it refuses what the service refuses.

::

    from tests.emulators.gcs import gcs  # noqa: F401
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from storage.testing import _fake_gcs
from storage.testing._fake_gcs import BUCKET, make_bucket
from storage.testing._processes import Launch, answers_http, free_ports, run_directory, shared_server

__all__ = ["BUCKET", "IAM_ACCOUNT", "PUBLIC_BUCKET", "READER", "WRITER", "GCSServer", "gcs", "new_key", "running_gcs"]

PUBLIC_BUCKET = "public-bucket-of-tests"
WRITER = "writer@project-of-tests.iam.gserviceaccount.com"
READER = "reader@project-of-tests.iam.gserviceaccount.com"
IAM_ACCOUNT = "signer@project-of-tests.iam.gserviceaccount.com"  # nobody has its key but IAM


@dataclass(frozen=True)
class GCSServer:
    """A running strict proxy with the emulator behind it.

    Attributes:
        endpoint_url: ``http://127.0.0.1:PORT`` of the strict proxy.
        emulator_url: of the emulator itself, which checks nothing.
        keys: the private key of each service account, in PEM form.
        bucket: one that exists.
    """

    endpoint_url: str
    emulator_url: str
    keys: dict[str, str]
    bucket: str = BUCKET

    def account(self, email: str = WRITER) -> dict[str, Any]:
        """A service account's info, as ``Storage(auth=…)`` takes it."""
        return {
            "type": "service_account",
            "project_id": "project-of-tests",
            "private_key_id": "1",
            "private_key": self.keys[email],
            "client_email": email,
            "client_id": "1",
            "token_uri": f"{self.endpoint_url}/token",
        }

    def url(
        self, prefix: str | None = None, *, endpoint_url: str | None = None, bucket: str = BUCKET, query: str = ""
    ) -> str:
        """A URL for ``Storage``: below ``prefix``, or below a prefix of its own that nobody else has."""
        prefix = uuid.uuid4().hex[:12] if prefix is None else prefix
        where = quote(endpoint_url or self.endpoint_url, safe=":/")
        return f"gs://{bucket}/{prefix}?endpoint_url={where}{query}"

    def make_bucket(self, name: str) -> None:
        """Makes a bucket, if there is none: the emulator takes the longer for each request the more a bucket holds."""
        make_bucket(self.emulator_url, name)


@contextmanager
def running_gcs(directory: Path) -> Iterator[GCSServer]:
    """The server of the test run whose common temporary directory is ``directory``."""
    with _fake_gcs.running(directory, (BUCKET, PUBLIC_BUCKET)) as emulator:

        def proxy(data: Path) -> Launch:
            return _proxy(data, emulator["url"])

        with shared_server("gcs-proxy", directory, proxy) as facts:
            yield GCSServer(facts["url"], emulator["url"], facts["keys"])


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSServer]:
    """Cloud Storage as far as it can be had on this machine."""
    with running_gcs(run_directory(tmp_path_factory)) as server:
        yield server


@cache
def new_key() -> str:
    """A private key in PEM form, the same one all through a process."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _proxy(data: Path, emulator: str) -> Launch:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    key = new_key()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    keys = {WRITER: key, READER: key}
    hidden = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    accounts = data / "accounts.json"
    accounts.write_text(json.dumps({**keys, IAM_ACCOUNT: hidden}))
    argv = [sys.executable, "-m", "tests.emulators.gcs_proxy", "--upstream", emulator, "--port", str(port),
            "--accounts", str(accounts)]  # fmt: skip
    root = str(Path(__file__).parents[2])
    return Launch(
        argv, lambda: answers_http(f"{url}/storage/v1/b"), {"PYTHONPATH": root}, facts={"url": url, "keys": keys}
    )
