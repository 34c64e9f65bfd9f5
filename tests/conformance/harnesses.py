"""The stores that need no server."""

from __future__ import annotations

import shutil
import tempfile
import time
from datetime import datetime
from pathlib import Path

import pytest

from storage import Storage, _url_signing
from storage.testing import Harness
from storage.testing._listing import ListingTests

__all__ = [
    "SMALLEST_LARGE",
    "FilesystemHarness",
    "LocalHarness",
    "LongListings",
    "MemoryHarness",
    "with_ranges",
]

MIB = 1024 * 1024
SMALLEST_LARGE = 11 * MIB
"""Three parts and, :func:`with_ranges`, two ranges: for servers in Python, which take their time over each byte."""


def with_ranges(store: Storage) -> Storage:
    """``store``, reading a blob of :data:`SMALLEST_LARGE` in parallel ranges."""
    store.backend.parallel_from = 9 * MIB
    return store


class LongListings(ListingTests):
    """Listings in the server's own pages, of a thousand each: a long proof, for a harness with small ones."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def long(cls, running: None) -> None:
        """Lets the harness have long pages."""
        del running
        cls.harness.many, cls.harness.page_size = 2_050, 1_000


class LocalHarness(Harness):
    """What memory and directories share: their signed URLs are served by this library."""

    exact_statuses = True

    def expire(self, moment: datetime) -> None:
        """Puts the clock that signs and verifies past ``moment``; nobody has to wait."""
        _url_signing.clock = lambda: moment.timestamp() + 0.001

    def drop(self, name: str) -> None:
        super().drop(name)
        _url_signing.clock = time.time


class MemoryHarness(LocalHarness):
    """Named stores, so that a second ``Storage`` reaches the same one."""

    def url(self, name: str) -> str:
        return f"memory://{name}"


class FilesystemHarness(LocalHarness):
    """Directories in a temporary one.

    Args:
        query: further query parameters of each URL.
        parent: where the temporary directory is made.
    """

    root: Path

    def __init__(self, query: str = "", parent: str | None = None) -> None:
        self.query = query
        self.parent = parent

    def start(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="storage-conformance-", dir=self.parent))

    def stop(self) -> None:
        shutil.rmtree(self.root)

    def url(self, name: str) -> str:
        return f"file://{self.root}/{name}" + (f"?{self.query}" if self.query else "")

    def missing_url(self) -> str:
        return f"file://{self.root}/there-is-no-such-directory?create=false"

    def drop(self, name: str) -> None:
        super().drop(name)
        shutil.rmtree(self.root / name, ignore_errors=True)
