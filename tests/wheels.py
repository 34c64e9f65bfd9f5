"""The distributions of this tree, built for tests. Import the fixture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["ROOT", "built", "wheel"]

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree."""
    return built("wheel", tmp_path_factory.mktemp("wheel"))


def built(kind: str, directory: Path) -> Path:
    """The path of a distribution (``wheel`` or ``sdist``) of this tree, built into ``directory``."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = directory.iterdir()
    return path
