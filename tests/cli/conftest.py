"""Running ``storage``: in this process where speed demands it, and as a program of its own."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from storage import Storage
from storage.cli import main

ROOT = Path(__file__).parents[2]


class Ran(NamedTuple):
    """What a command did."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """Standard output."""
        return self.out.decode().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Standard output as lines of JSON."""
        return [json.loads(line) for line in self.lines]


class _Stream(io.TextIOWrapper):
    def __init__(self, data: bytes = b"") -> None:
        self.bytes = io.BytesIO(data)
        super().__init__(self.bytes, encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return False


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store in a directory of its own."""
    return f"file://{tmp_path}/store?fsync=false"


@pytest.fixture
def store(url: str) -> Iterator[Storage]:
    """The store of ``url``."""
    with Storage(url) as opened:
        yield opened


@pytest.fixture
def storage(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ran]]:
    """Runs a command in this process, on the store of ``url`` unless it names another."""
    monkeypatch.setenv("STORAGE_URL", url)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    logger = logging.getLogger("storage")
    before = logger.handlers[:], logger.propagate, logger.level

    def run(*argv: str, stdin: bytes = b"") -> Ran:
        out, err = _Stream(), _Stream()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", _Stream(stdin))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            status = main(argv)
        return Ran(status, out.bytes.getvalue(), err.bytes.getvalue().decode())

    yield run
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])
    for number, handler in handlers.items():
        signal.signal(number, handler)


def program(*argv: str) -> list[str]:
    """The command line of the installed program."""
    return [sys.executable, "-m", "storage.cli", *argv]


def environment(**variables: str) -> dict[str, str]:
    """This environment, and what finds the program from any directory."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


@pytest.fixture
def spawn(url: str, tmp_path: Path) -> Callable[..., Ran]:
    """Runs a command as a program of its own, in ``tmp_path``."""

    def run(*argv: str, stdin: bytes = b"", **variables: str) -> Ran:
        done = subprocess.run(
            program(*argv),
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env=environment(**{"STORAGE_URL": url, **variables}),
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    return run
