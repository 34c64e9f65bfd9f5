"""The conformance suite on ``memory://``."""

from __future__ import annotations

import time
from datetime import datetime

from storage import _signing
from storage.testing import Conformance, Harness


class MemoryHarness(Harness):
    exact_statuses = True

    def url(self, name: str) -> str:
        return f"memory://{name}"

    def expire(self, moment: datetime) -> None:
        """Puts the clock that signs and verifies past ``moment``; nobody has to wait."""
        _signing.clock = lambda: moment.timestamp() + 0.001

    def drop(self, name: str) -> None:
        super().drop(name)
        _signing.clock = time.time


class TestMemory(Conformance):
    harness = MemoryHarness()
