"""The conformance suite on ``gs://``: fake-gcs-server behind the strict gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from storage.testing import Conformance, Harness
from tests.servers.gcs import GCSServer, running_gcs
from tests.servers.s3 import run_directory


class GCSHarness(Harness):
    server: GCSServer

    def url(self, name: str) -> str:
        return self.server.url(name)

    def kwargs(self) -> dict[str, Any]:
        return {"auth": self.server.account()}

    def missing_url(self) -> str:
        return self.server.url("x", bucket="bucket-that-is-not-there")


class TestGCS(Conformance):
    harness = GCSHarness()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        """Starts emulator and gate, or joins those of this run."""
        with running_gcs(run_directory(tmp_path_factory)) as server:
            cls.harness.server = server
            cls.harness.secrets = (server.keys["writer@project-of-tests.iam.gserviceaccount.com"],)
            yield
