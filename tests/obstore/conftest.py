"""A store on SeaweedFS behind a proxy that breaks things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from urllib3.util.retry import Retry

from storage import Storage
from storage.testing.faults import FaultProxy
from tests.servers.s3 import S3Server, moto_s3, seaweedfs  # noqa: F401

FAST = Retry(total=3, backoff_factor=0.001)


@pytest.fixture
def proxy(seaweedfs: S3Server) -> Iterator[FaultProxy]:  # noqa: F811
    with FaultProxy(seaweedfs.endpoint_url, hold=10) as proxy:
        yield proxy


@pytest.fixture
def store(seaweedfs: S3Server, proxy: FaultProxy) -> Iterator[Storage]:  # noqa: F811
    """Every request goes through the proxy."""
    url = seaweedfs.url(endpoint_url=proxy.url, scheme="s3+obstore")
    with Storage(url, seaweedfs.auth, FAST, timeout=1) as store:
        yield store


@pytest.fixture
def direct(store: Storage, proxy: FaultProxy, seaweedfs: S3Server) -> Iterator[Storage]:  # noqa: F811
    """The same store, past the proxy."""
    url = str(store._recipe["url"]).replace(proxy.url, seaweedfs.endpoint_url)
    with Storage(url, seaweedfs.auth) as direct:
        yield direct
