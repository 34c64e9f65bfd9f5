"""The conformance suite on ``memory://``."""

from __future__ import annotations

from storage.testing import Conformance
from tests.conformance.harnesses import MemoryHarness


class TestMemory(Conformance):
    harness = MemoryHarness()
