"""The conformance suite on ``memory://``."""

from __future__ import annotations

from storage.testing import Conformance, Harness


class MemoryHarness(Harness):
    exact_statuses = True

    def url(self, name: str) -> str:
        return f"memory://{name}"


class TestMemory(Conformance):
    harness = MemoryHarness()
