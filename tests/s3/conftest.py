"""Servers, a proxy in front of one, and stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from urllib3.util.retry import Retry

from storage import Storage
from storage.backends.s3 import S3Backend
from storage.testing.faults import FaultProxy
from tests.emulators.s3 import S3Server, moto_s3, seaweedfs

__all__ = ["moto_s3", "seaweedfs"]

OpenStore = Callable[..., Storage]


def at_once(total: int = 3, **options: Any) -> Retry:
    """Retries that do not wait."""
    return Retry(total, backoff_factor=0, **options)


@pytest.fixture
def proxy(moto_s3: S3Server) -> Iterator[FaultProxy]:
    """A proxy in front of moto's server, which is the quicker one."""
    with FaultProxy(moto_s3.endpoint_url, hold=30) as proxy:
        yield proxy


@pytest.fixture
def open_store(moto_s3: S3Server) -> Iterator[OpenStore]:
    """Opens stores, closed at the end. ``prefix`` of its own for each, unless given."""
    opened: list[Storage] = []

    def open_store(
        endpoint_url: str | None = None, prefix: str | None = None, query: str = "", **options: Any
    ) -> Storage:
        options = {"auth": moto_s3.auth, "retries": at_once(), **options}
        store = Storage(moto_s3.url(prefix, endpoint_url=endpoint_url, query=query), **options)
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore, proxy: FaultProxy) -> Storage:
    """A store behind the proxy."""
    return open_store(proxy.url)


@pytest.fixture(scope="module")
def _stub() -> Iterator[tuple[FaultProxy, Storage]]:
    with FaultProxy("http://127.0.0.1:9", hold=30) as proxy:
        url = f"s3://bucket/p?region=us-east-1&endpoint_url={quote(proxy.url, safe=':/')}"
        with Storage(
            url, {"access_key_id": "AKIASTUB", "secret_access_key": "stub-secret"}, 0, timeout=(2, 0.5)
        ) as store:
            yield proxy, store


def believe_the_best(store: Storage) -> None:
    """Makes a store forget what it has found out about its server."""
    assert isinstance(store.backend, S3Backend)
    store.backend._has_batches, store.backend._lister._depth_first = True, None


@pytest.fixture
def stub(_stub: tuple[FaultProxy, Storage]) -> tuple[FaultProxy, Storage]:
    """A proxy with no server behind it, which answers what a test tells it to, and a store that asks it; no retries."""
    proxy, store = _stub
    believe_the_best(store)
    proxy.plan = None
    proxy.requests.clear()
    return _stub
