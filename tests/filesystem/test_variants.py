"""The conformance suite on file systems and kernels that offer less."""

from __future__ import annotations

import pytest

from storage.backends.filesystem import _records, _system
from storage.testing import Conformance
from tests.conformance.harnesses import FilesystemHarness


class NoAttributes(FilesystemHarness):
    """Every record goes into a sidecar."""

    def start(self) -> None:
        super().start()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(_records, "_setxattr", None)
        self.patch.setattr(_records, "_getxattr", None)

    def stop(self) -> None:
        self.patch.undo()
        super().stop()


class NoOpenat2(FilesystemHarness):
    """Every path is walked part by part."""

    def start(self) -> None:
        super().start()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(_system, "open_inside", _system.walk_inside)

    def stop(self) -> None:
        self.patch.undo()
        super().stop()


@pytest.mark.slow
class TestWithoutAttributes(Conformance):
    harness = NoAttributes("fsync=false")


@pytest.mark.slow
class TestWithoutOpenat2(Conformance):
    harness = NoOpenat2("fsync=false")


@pytest.mark.slow
class TestDurable(Conformance):
    """On a real disk, with fsync, where the temporary directory is one."""

    harness = FilesystemHarness()
