"""Stores on directories, and processes that work on them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.backends.filesystem import FilesystemBackend, _records, _system

PROLOGUE = """
import os, sys, time
from storage.backends import PutOptions
from storage.backends.filesystem import FilesystemBackend
from storage.exceptions import *
store = FilesystemBackend(sys.argv[1], fsync=False)
plain = PutOptions("text/plain")
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where ``store`` is; not there yet."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[FilesystemBackend]:
    """An empty store."""
    backend = FilesystemBackend(str(root), fsync=False)
    yield backend
    backend.close()


@pytest.fixture
def no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without extended attributes."""
    monkeypatch.setattr(_records, "_setxattr", None)
    monkeypatch.setattr(_records, "_getxattr", None)


@pytest.fixture(params=["openat2", "walk"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to open without following a link."""
    if request.param == "walk":
        monkeypatch.setattr(_system, "open_inside", _system.walk_inside)
    return str(request.param)


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Runs code in a process of its own, with ``store`` and ``plain`` at hand; ends what is left of them."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: object) -> subprocess.Popen[str]:
        here = Path(__file__).parents[2]
        process = subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + code, str(root), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(here)},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def finish(*processes: subprocess.Popen[str]) -> list[str]:
    """What each process printed, once all have ended well."""
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return printed


def begin(*processes: subprocess.Popen[str]) -> None:
    """Waits until each has printed a line, then lets all go on at once: they read a line before they start."""
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
