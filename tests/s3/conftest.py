"""Servers, a proxy in front of one, and stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from urllib3.util.retry import Retry

from storage import Storage
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


@pytest.fixture
def silent_proxy() -> Iterator[FaultProxy]:
    """A proxy with no server behind it."""
    with FaultProxy("http://127.0.0.1:9", hold=30) as proxy:
        yield proxy


def stub_store(proxy: FaultProxy) -> Storage:
    """A store that tries once. Each test opens its own: a store remembers what it has found out about its server."""
    url = f"s3://bucket/p?region=us-east-1&endpoint_url={quote(proxy.url, safe=':/')}"
    return Storage(url, {"access_key_id": "AKIASTUB", "secret_access_key": "stub-secret"}, 0, timeout=(2, 0.5))


@pytest.fixture
def stub(silent_proxy: FaultProxy) -> Iterator[tuple[FaultProxy, Storage]]:
    """A proxy with no server behind it, which answers what a test tells it to, and a store that asks it."""
    with stub_store(silent_proxy) as store:
        yield silent_proxy, store


@pytest.fixture(params=["bucket", "b"], ids=["straight", "through boto3"])
def bucket(request: pytest.FixtureRequest) -> str:
    """A bucket to which requests go straight, and one for which boto3 is asked, since its name is too short."""
    return str(request.param)
