"""The conformance suite on ``s3://``: moto in the process, moto's server, and SeaweedFS, which checks signatures.

Over the driver's own transport, and through boto3's client, which moto in the process always asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, cast

import boto3
import pytest
from moto import mock_aws

from storage import Storage
from storage.testing import Conformance, Harness, Lack
from storage.testing._base import Suite
from storage.testing._directories import DirectoryTests
from storage.testing._listing import ListingTests
from storage.testing._writing import WritingTests
from tests.conformance.harnesses import SMALLEST_LARGE, LongListings, with_ranges
from tests.emulators.s3 import REGION, SECRET_KEY, S3Server, moto_s3, seaweedfs  # noqa: F401


class ServerHarness(Harness):
    """A server at an endpoint of its own."""

    server: S3Server
    secrets = (SECRET_KEY,)
    many, page_size = 250, 100  # three pages

    def url(self, name: str) -> str:
        return self.server.url(name)

    def kwargs(self) -> dict[str, Any]:
        return {"auth": self.server.auth}

    def missing_url(self) -> str:
        return self.server.url("x", bucket="bucket-that-is-not-there")


class SeaweedFSHarness(ServerHarness):
    lacks: ClassVar = {
        Lack.CREATE_ONLY_BESIDE_FOLDER: "SeaweedFS takes the directory of a/b for a blob named a",
        Lack.EMPTY_FOLDERS: "SeaweedFS keeps directories, and clears empty ones away later",
        Lack.OCTET_STREAM: "SeaweedFS takes application/octet-stream for no type, and guesses by suffix",
        Lack.SIGNED_TWICE: "SeaweedFS reads the first X-Amz-Signature only",
    }


class MotoServerHarness(ServerHarness):
    large_size = SMALLEST_LARGE
    lacks: ClassVar = {
        Lack.RACES: "moto's server takes no lock between comparing and storing",
        Lack.SIGNATURES: "moto checks no signature",
        Lack.EXPIRY: "moto checks no expiry",
        Lack.SIGNED_MD5: "moto checks no Content-MD5",
        Lack.SIGNED_HEAD_HEADERS: "moto sets response headers on GET alone",
        Lack.LARGE_IF_MATCH_IGNORED: "moto ignores If-Match when a multipart upload is completed",
    }

    def storage(self, name: str, **options: Any) -> Storage:
        return with_ranges(super().storage(name, **options))

    def url(self, name: str) -> str:
        # A bucket for each test: moto looks at every key of a bucket to list one prefix.
        return self.server.url("x", bucket=self.server.make_bucket(name))


class ThroughBoto3(ServerHarness):
    """The same, but with an event handler of the user's, for which requests go through boto3's client."""

    def start(self) -> None:
        super().start()
        with self.storage("way") as store:
            assert "through boto3" in store.backend.way  # type: ignore[attr-defined]

    def kwargs(self) -> dict[str, Any]:
        session = boto3.Session(self.server.access_key, self.server.secret_key)
        session.events.register("before-send.s3", _look_on)
        return {"auth": session}


def _look_on(**_: Any) -> None:
    """Changes nothing."""


class SeaweedFSThroughBoto3Harness(ThroughBoto3, SeaweedFSHarness):
    pass


class MotoServerThroughBoto3Harness(ThroughBoto3, MotoServerHarness):
    pass


class MotoHarness(Harness):
    """moto in this process, as the users of ``mock_aws`` have it: a URL and nothing else."""

    many, page_size = 250, 100
    large_size = SMALLEST_LARGE

    lacks: ClassVar = {
        Lack.HTTP: "moto in the process answers boto3 alone",
        Lack.RACES: "moto in the process takes no lock",
        Lack.CREATE_ONLY_COPY_IGNORED: "moto ignores If-None-Match on CopyObject",
        Lack.LARGE_IF_MATCH_IGNORED: "moto ignores If-Match when a multipart upload is completed",
    }

    def storage(self, name: str, **options: Any) -> Storage:
        return with_ranges(super().storage(name, **options))

    def url(self, name: str) -> str:
        # A bucket for each test: moto looks at every key of a bucket to list one prefix.
        boto3.client("s3", region_name=REGION).create_bucket(Bucket=name)
        return f"s3://{name}/x"

    def missing_url(self) -> str:
        return "s3://bucket-that-is-not-there"


class OnSeaweedFS(Suite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls, seaweedfs: S3Server) -> Iterator[None]:  # noqa: F811
        """Starts the server, or joins the one of this run."""
        cast("ServerHarness", cls.harness).server = seaweedfs
        cls.harness.start()
        yield
        cls.harness.stop()


class TestSeaweedFS(OnSeaweedFS, Conformance):
    harness = SeaweedFSHarness()


class OnMotoServer(Suite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls, moto_s3: S3Server) -> Iterator[None]:  # noqa: F811
        """Starts the server, or joins the one of this run."""
        cast("ServerHarness", cls.harness).server = moto_s3
        cls.harness.start()
        yield
        cls.harness.stop()


class TestMotoServerListing(OnMotoServer, ListingTests, DirectoryTests):
    """It lists in the order of AWS, which SeaweedFS does not; the rest of the suite on it is a long proof."""

    harness = MotoServerHarness()


@pytest.mark.slow
class TestMotoServer(OnMotoServer, Conformance):
    harness = MotoServerHarness()


@pytest.mark.slow
class TestSeaweedFSThroughBoto3(OnSeaweedFS, Conformance):
    harness = SeaweedFSThroughBoto3Harness()


@pytest.mark.slow
class TestMotoServerThroughBoto3(OnMotoServer, Conformance):
    harness = MotoServerThroughBoto3Harness()


class OnMoto(Suite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls) -> Iterator[None]:
        """Mocks AWS."""
        with mock_aws():
            yield


class TestMotoWriting(OnMoto, WritingTests):
    """The way through boto3; the rest of the suite on it is a long proof."""

    harness = MotoHarness()


@pytest.mark.slow
class TestMoto(OnMoto, Conformance):
    harness = MotoHarness()


@pytest.mark.slow
class TestSeaweedFSLongListings(OnSeaweedFS, LongListings):
    harness = SeaweedFSHarness()


@pytest.mark.slow
class TestMotoServerLongListings(OnMotoServer, LongListings):
    harness = MotoServerHarness()
