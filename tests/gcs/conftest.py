"""What the tests of the ``gs://`` driver share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from urllib3.util.retry import Retry

from storage import Storage
from storage.testing import faults
from storage.testing.faults import Fault, FaultProxy, Request
from tests.emulators.gcs import GCSServer, gcs

__all__ = ["Proxied", "answer", "gcs"]


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Fault:
    """An answer of the service: with the id that it gives each of them."""
    return faults.answer(status, body, {"X-GUploader-UploadID": "ABg5-x", **(headers or {})})


class Proxied:
    """A store behind a proxy that sees every request and can break it.

    Attributes:
        proxy: in front of the strict proxy.
        store: its retries wait for no time at all.
        honest: the same store, past the proxy.
    """

    def __init__(self, server: GCSServer, proxy: FaultProxy) -> None:
        self.server, self.proxy = server, proxy
        url = server.url()
        self.prefix = urlsplit(url).path.strip("/")
        self.honest = Storage(url, auth=server.account())
        self.store = self.open()
        self.store.exists("warm")  # the token is fetched past the proxy, but let the connection be there as well
        proxy.requests.clear()

    def open(self, retries: int | Retry = 3, **options: object) -> Storage:
        """Another store behind the proxy."""
        if isinstance(retries, int):
            retries = Retry(total=retries, backoff_factor=0)
        url = self.server.url(self.prefix, endpoint_url=self.proxy.url)
        return Storage(url, auth=self.server.account(), retries=retries, **options)  # type: ignore[arg-type]

    def seen(self) -> list[str]:
        """What has come in since the last time, as ``METHOD path?query``, with the names of this store's blobs bare."""
        lines = [line(request, self.prefix) for request in self.proxy.requests]
        self.proxy.requests.clear()
        return lines

    def close(self) -> None:
        self.store.close()
        self.honest.close()


def line(request: Request, prefix: str) -> str:
    """A request as one line: no secret in it, parameters in order, and without those that only shape the answer."""
    path, _, query = request.target.partition("?")
    path = unquote(path).replace(f"{prefix}/data/", "")
    shaping = ("fields", "prettyPrint", "upload_id", "uploadId", "maxResults")
    given = sorted((name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in shaping)
    text = "&".join(f"{name}={value}".replace(f"{prefix}/data/", "") for name, value in given)
    return f"{request.method} {path}{'?' if text else ''}{text}"


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A proxy with nothing behind it: each answer is the test's own."""
    with FaultProxy("http://127.0.0.1:9") as proxy:
        yield proxy


@pytest.fixture
def proxied(gcs: GCSServer) -> Iterator[Proxied]:
    """A store behind a fault proxy."""
    with FaultProxy(gcs.endpoint_url) as proxy:
        made = Proxied(gcs, proxy)
        yield made
        made.close()


@pytest.fixture
def store(gcs: GCSServer) -> Iterator[Storage]:
    """A fresh and empty store."""
    with Storage(gcs.url(), auth=gcs.account()) as made:
        yield made
