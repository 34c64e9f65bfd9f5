"""The conformance suite on ``s3+obstore://``: moto's server, and SeaweedFS, which checks signatures."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from storage.testing import Conformance, Harness, Lack
from tests.servers.s3 import SECRET_KEY, S3Server, moto_s3, seaweedfs  # noqa: F401

_REFUSED = {
    Lack.CREATE_ONLY_COPY: "object_store has no create-only copy on S3",
    Lack.FORK: "object_store's runtime hangs in a forked child",
}


class ServerHarness(Harness):
    """A server at an endpoint of its own."""

    server: S3Server
    secrets = (SECRET_KEY,)

    def url(self, name: str) -> str:
        return self.server.url(name, scheme="s3+obstore")

    def kwargs(self) -> dict[str, Any]:
        return {"auth": self.server.auth}

    def missing_url(self) -> str:
        return self.server.url("x", scheme="s3+obstore", bucket="bucket-that-is-not-there")


class SeaweedFSHarness(ServerHarness):
    lacks: ClassVar = {
        **_REFUSED,
        Lack.LISTING_ORDER: "SeaweedFS lists depth first: a, a/b, a-b",
        Lack.CREATE_ONLY_BESIDE_FOLDER: "SeaweedFS takes the directory of a/b for a blob named a",
        Lack.EMPTY_FOLDERS: "SeaweedFS keeps directories, and clears empty ones away later",
        Lack.OCTET_STREAM: "SeaweedFS takes application/octet-stream for no type, and guesses by suffix",
        Lack.SIGNED_TWICE: "SeaweedFS reads the first X-Amz-Signature only",
    }


class MotoServerHarness(ServerHarness):
    lacks: ClassVar = {
        **_REFUSED,
        Lack.RACES: "moto's server takes no lock between comparing and storing",
        Lack.SIGNATURES: "moto checks no signature",
        Lack.EXPIRY: "moto checks no expiry",
        Lack.SIGNED_MD5: "moto checks no Content-MD5",
        Lack.SIGNED_HEAD_HEADERS: "moto sets response headers on GET alone",
    }

    def url(self, name: str) -> str:
        # A bucket for each test: moto looks at every key of a bucket to list one prefix.
        return self.server.url("x", bucket=self.server.make_bucket(name), scheme="s3+obstore")


class TestObstoreOnSeaweedFS(Conformance):
    harness = SeaweedFSHarness()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls, seaweedfs: S3Server) -> None:  # noqa: F811
        """Starts the server, or joins the one of this run."""
        cls.harness.server = seaweedfs


@pytest.mark.slow
class TestObstoreOnMotoServer(Conformance):
    harness = MotoServerHarness()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls, moto_s3: S3Server) -> None:  # noqa: F811
        """Starts the server, or joins the one of this run."""
        cls.harness.server = moto_s3
