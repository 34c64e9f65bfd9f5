"""The conformance suite on ``file://``."""

from __future__ import annotations

from storage.testing import Conformance
from tests.conformance.harnesses import FilesystemHarness


class TestFilesystem(Conformance):
    harness = FilesystemHarness("fsync=false")
