"""The servers of the test run start, are shared and answer."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from storage.testing._processes import answers_http, free_ports
from tests.emulators.s3 import S3Server, moto_s3, seaweedfs  # noqa: F401


@pytest.mark.parametrize("name", ["moto_s3", "seaweedfs"])
def test_answers(name: str, request: pytest.FixtureRequest) -> None:
    """A server that a fixture gives takes requests."""
    server: S3Server = request.getfixturevalue(name)
    assert answers_http(server.endpoint_url)


def test_seaweedfs_checks_signatures(seaweedfs: S3Server) -> None:  # noqa: F811
    """SeaweedFS refuses a request that nobody signed: else the tests of signed URLs would prove nothing."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{seaweedfs.endpoint_url}/{seaweedfs.bucket}/key", timeout=10)
    assert caught.value.code == 403
    caught.value.close()


def test_free_ports_are_distinct() -> None:
    """No port is given twice."""
    assert len(set(free_ports(50))) == 50
