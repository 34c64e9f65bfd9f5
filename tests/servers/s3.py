"""S3 servers for tests: SeaweedFS, which checks signatures, and moto's, which checks nothing. Import the fixtures you use.

::

    from tests.servers.s3 import moto_s3, seaweedfs  # noqa: F401
"""

from __future__ import annotations

import os
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.servers.process import Launch, answers_http, free_ports, shared_server

__all__ = ["REGION", "S3Server", "moto_s3", "run_directory", "seaweedfs"]

REGION = "us-east-1"
ACCESS_KEY = "AKIATESTACCESSKEY"
SECRET_KEY = "test/secret+key-that-must-never-be-seen"
BUCKET = "bucket"


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


def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary directory that all xdist workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A SeaweedFS server. It checks signatures, expiry and Content-MD5."""
    with shared_server("seaweedfs", run_directory(tmp_path_factory), _seaweedfs) as facts:
        yield S3Server(facts["endpoint_url"])


@pytest.fixture(scope="session")
def moto_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """moto's server. It checks no signature, no expiry and no Content-MD5."""
    with shared_server("moto", run_directory(tmp_path_factory), _moto) as facts:
        yield S3Server(facts["endpoint_url"])


# Its server speaks HTTP/1.0 unless it is told: a connection and a thread for each request take longer than the request.
_MOTO = """
import sys
from moto.server import main
from werkzeug.serving import WSGIRequestHandler
WSGIRequestHandler.protocol_version = "HTTP/1.1"
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


def _seaweedfs(data: Path) -> Launch:
    s3, s3_grpc, master, master_grpc, filer, filer_grpc, volume, volume_grpc, admin, admin_grpc = free_ports(10)
    url = f"http://127.0.0.1:{s3}"
    argv = [
        str(Path(sys.executable).with_name("weed")),
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-bucket={BUCKET}",
        "-admin.ui=false",
        "-webdav=false",
        "-master.telemetry=false",
        f"-admin.port={admin}",
        f"-admin.port.grpc={admin_grpc}",
        f"-master.port={master}",
        f"-master.port.grpc={master_grpc}",
        f"-filer.port={filer}",
        f"-filer.port.grpc={filer_grpc}",
        f"-filer.localSocket={data}/filer.sock",
        f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}",
        f"-s3.port={s3}",
        f"-s3.port.grpc={s3_grpc}",
        f"-s3.localSocket={data}/s3.sock",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # A bucket that is missing must be an error, as it is at AWS.
        "-s3.autoCreateBucket=false",
    ]
    env = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    return Launch(argv, lambda: _bucket_answers(url), env, {"endpoint_url": url})


def _bucket_answers(url: str) -> bool:
    """Whether a signed look at the bucket succeeds: the gateway answers before buckets and credentials are ready."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
    )
    try:
        client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
        client.delete_object(Bucket=BUCKET, Key="ready")
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True
