"""The conformance suite on ``gs://``: fake-gcs-server behind the strict proxy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from storage import Storage
from storage.backends.gcs import GCSBackend
from storage.backends.gcs._requests_wire import RequestsWire
from storage.testing import Conformance, Harness
from storage.testing._base import Suite
from storage.testing._processes import run_directory
from tests.conformance.harnesses import SMALLEST_LARGE, LongListings, with_ranges
from tests.emulators.gcs import GCSServer, running_gcs

ROOT = Path(__file__).parents[2]


class GCSHarness(Harness):
    server: GCSServer
    many, page_size = 250, 100
    large_size = SMALLEST_LARGE

    def __init__(self) -> None:
        self._buckets: set[str] = set()

    def url(self, name: str) -> str:
        bucket = f"b-{name}"
        if bucket not in self._buckets:
            self.server.make_bucket(bucket)
            self._buckets.add(bucket)
        return self.server.url("a/prefix", bucket=bucket)

    def storage(self, name: str, **options: Any) -> Storage:
        store = with_ranges(super().storage(name, **options))
        for route in store._core.routes.values():
            if isinstance(route.backend, GCSBackend):
                # What the service takes and the emulator does not; the strict proxy knows it.
                route.backend.parallel_uploads = True
        return store

    def kwargs(self) -> dict[str, Any]:
        return {"auth": self.server.account()}

    def missing_url(self) -> str:
        return self.server.url("x", bucket="bucket-that-is-not-there")


class OnGCS(Suite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        """Starts emulator and strict proxy, or joins those of this run."""
        with running_gcs(run_directory(tmp_path_factory)) as server:
            cast("GCSHarness", cls.harness).server = server
            cls.harness.secrets = (server.keys["writer@project-of-tests.iam.gserviceaccount.com"],)
            yield


class TestGCS(OnGCS, Conformance):
    harness = GCSHarness()


@pytest.mark.slow
class TestGCSLongListings(OnGCS, LongListings):
    harness = GCSHarness()


@pytest.mark.slow
class TestGCSThroughAProxy(Conformance):
    """The same over the way that requests take where there is a proxy: a session of ``requests``."""

    harness = GCSHarness()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        """Starts emulator and strict proxy, or joins those of this run, and a proxy that is told by the environment."""
        argv = [sys.executable, "-m", "tests.emulators.relays"]
        with (
            running_gcs(run_directory(tmp_path_factory)) as server,
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as proxy,
            pytest.MonkeyPatch.context() as patch,
        ):
            cls.harness.server = server
            cls.harness.secrets = (server.keys["writer@project-of-tests.iam.gserviceaccount.com"],)
            assert proxy.stdout is not None
            patch.setenv("http_proxy", proxy.stdout.readline().strip())
            patch.delenv("no_proxy", raising=False)
            patch.delenv("NO_PROXY", raising=False)
            with cls.harness.storage("the-way") as store:
                store.list()
                assert isinstance(store.backend._session.connection.wire, RequestsWire)  # type: ignore[attr-defined]
            yield
            proxy.terminate()
