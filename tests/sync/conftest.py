"""Executors of processes and of threads, and pieces small enough for a few blobs."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from storage._sync import work

SPAWN = multiprocessing.get_context("spawn")  # workers that know nothing but what they are sent


@pytest.fixture(scope="module")
def pool():
    """Two processes."""
    with ProcessPoolExecutor(2, SPAWN) as executor:
        yield executor


@pytest.fixture
def threads():
    """Four threads of this process, which see its memory."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of a few blobs, in this process."""
    monkeypatch.setattr(work, "_SYNCED", work.Limit(compared=20, jobs=7, size=10**9))
    monkeypatch.setattr(work, "_DELETED", 7)
    monkeypatch.setattr(work, "_MAPPED", 7)
