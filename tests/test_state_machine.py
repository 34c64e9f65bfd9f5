"""Each local backend tells the same story as a ``dict``."""

from __future__ import annotations

import pytest

from storage.testing import state_machine
from tests.conformance.harnesses import FilesystemHarness, MemoryHarness

TestMemoryMachine = state_machine(MemoryHarness(), max_examples=30)
TestFilesystemMachine = state_machine(FilesystemHarness("fsync=false"), max_examples=30)

TestMemoryMachineLonger = pytest.mark.slow(state_machine(MemoryHarness(), max_examples=100))
TestFilesystemMachineLonger = pytest.mark.slow(state_machine(FilesystemHarness("fsync=false"), max_examples=100))
