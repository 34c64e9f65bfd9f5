"""The suite of every backend, unchanged, through ``AsyncStorage``."""

from __future__ import annotations

from storage.testing import Conformance
from storage.testing.aio import Asynchronous
from tests.conformance.test_memory import MemoryHarness


class TestMemoryOnAsyncio(Conformance):
    harness = Asynchronous(MemoryHarness(), "asyncio")


class TestMemoryOnTrio(Conformance):
    harness = Asynchronous(MemoryHarness(), "trio")
