"""The suite of every backend, unchanged, through ``AsyncStorage``; on most of them, whole, as a long proof."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from storage.testing import Conformance
from storage.testing._files import FileTests
from storage.testing._reading import ReadingTests
from storage.testing._writing import WritingTests
from storage.testing.aio import Asynchronous
from tests.conformance import test_gcs, test_s3
from tests.conformance.harnesses import FilesystemHarness, MemoryHarness
from tests.emulators.s3 import moto_s3, seaweedfs  # noqa: F401


class TestMemoryOnAsyncio(Conformance):
    harness = Asynchronous(MemoryHarness())


class TestSeaweedFSStreamsOnAsyncio(test_s3.OnSeaweedFS, WritingTests, ReadingTests, FileTests):
    """What streams, over a network; the rest of the suite on it is a long proof."""

    harness: ClassVar[Any] = Asynchronous(test_s3.SeaweedFSHarness())


@pytest.mark.slow
class TestSeaweedFSOnAsyncio(test_s3.TestSeaweedFS):
    harness: ClassVar[Any] = Asynchronous(test_s3.SeaweedFSHarness())


@pytest.mark.slow
class TestMotoServerOnAsyncio(test_s3.TestMotoServer):
    harness: ClassVar[Any] = Asynchronous(test_s3.MotoServerHarness())


@pytest.mark.slow
class TestMemoryOnTrio(Conformance):
    harness = Asynchronous(MemoryHarness(), "trio")


@pytest.mark.slow
class TestFilesystemOnAsyncio(Conformance):
    harness = Asynchronous(FilesystemHarness())


@pytest.mark.slow
class TestFilesystemOnTrio(Conformance):
    harness = Asynchronous(FilesystemHarness(), "trio")


@pytest.mark.slow
class TestSeaweedFSOnTrio(test_s3.TestSeaweedFS):
    harness: ClassVar[Any] = Asynchronous(test_s3.SeaweedFSHarness(), "trio")


@pytest.mark.slow
class TestGCSOnAsyncio(test_gcs.TestGCS):
    harness: ClassVar[Any] = Asynchronous(test_gcs.GCSHarness())


@pytest.mark.slow
class TestGCSOnTrio(test_gcs.TestGCS):
    harness: ClassVar[Any] = Asynchronous(test_gcs.GCSHarness(), "trio")
