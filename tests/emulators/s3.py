"""S3 servers for tests: SeaweedFS, which checks signatures, and moto's, which checks nothing. Import the fixtures you use.

::

    from tests.emulators.s3 import moto_s3, seaweedfs  # noqa: F401
"""

from __future__ import annotations

import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from storage.testing import _seaweedfs
from storage.testing._processes import Launch, answers_http, free_ports, run_directory, shared_server
from storage.testing._seaweedfs import ACCESS_KEY, BUCKET, REGION, SECRET_KEY

__all__ = ["REGION", "SECRET_KEY", "S3Server", "moto_s3", "run_directory", "seaweedfs"]


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        endpoint_url: ``http://127.0.0.1:PORT``.
        bucket: one that exists. A test takes a prefix of its own in it (SeaweedFS has only so many volumes for buckets).
    """

    endpoint_url: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    region: str = REGION
    bucket: str = BUCKET

    @property
    def auth(self) -> dict[str, str]:
        """What ``Storage(auth=…)`` takes."""
        return {"access_key_id": self.access_key, "secret_access_key": self.secret_key}

    def url(
        self,
        prefix: str | None = None,
        *,
        bucket: str = BUCKET,
        endpoint_url: str | None = None,
        scheme: str = "s3",
        query: str = "",
    ) -> str:
        """A URL for ``Storage``: below ``prefix``, or below a prefix of its own that nobody else has."""
        prefix = uuid.uuid4().hex[:12] if prefix is None else prefix
        where = quote(endpoint_url or self.endpoint_url, safe=":/")
        return f"{scheme}://{bucket}/{prefix}?region={self.region}&endpoint_url={where}{query}"

    def make_bucket(self, name: str) -> str:
        """Makes the bucket ``name`` if it is not there, and returns the name: for moto, which asks for no signature."""
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint_url}/{name}", method="PUT"), timeout=10).close()
        return name


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A SeaweedFS server. It checks signatures, expiry and Content-MD5."""
    with _seaweedfs.running(run_directory(tmp_path_factory)) as facts:
        yield S3Server(facts["endpoint_url"])


@pytest.fixture(scope="session")
def moto_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """moto's server. It checks no signature, no expiry and no Content-MD5."""
    with shared_server("moto", run_directory(tmp_path_factory), _moto) as facts:
        yield S3Server(facts["endpoint_url"])


# Its server speaks HTTP/1.0 unless it is told: a connection and a thread for each request take longer than the request. Nobody
# reads its log.
_MOTO = """
import sys
from moto.server import main
from werkzeug.serving import WSGIRequestHandler
WSGIRequestHandler.protocol_version = "HTTP/1.1"
WSGIRequestHandler.log_request = lambda *_: None
main(sys.argv[1:])
"""


def _moto(data: Path) -> Launch:
    del data
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        if not answers_http(f"{url}/moto-api/"):
            return False
        S3Server(url).make_bucket(BUCKET)
        return True

    argv = [sys.executable, "-c", _MOTO, "-H", "127.0.0.1", "-p", str(port)]
    return Launch(argv, ready, facts={"endpoint_url": url})
