"""Each local backend tells the same story as a ``dict``."""

from __future__ import annotations

from storage.testing import state_machine
from tests.conformance.harnesses import FilesystemHarness, MemoryHarness

TestMemoryMachine = state_machine(MemoryHarness())
TestFilesystemMachine = state_machine(FilesystemHarness("fsync=false"))
