"""Runs of pytest within a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["environment", "run_pytest"]

ROOT = Path(__file__).parent.parent.parent


def environment() -> dict[str, str]:
    """What a run within a test starts with: it knows nothing of the run that it is part of, neither workers nor coverage.

    Plug-ins are those that it names: to load each that is installed takes five times as long as all the rest.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def run_pytest(
    directory: Path, *arguments: str, plugin: str = "pytest_storage_facade", warnings: str = "error"
) -> subprocess.CompletedProcess[str]:
    """Runs pytest in ``directory``, with the plug-in as its entry point would give it."""
    (directory / "pytest.ini").write_text(f"[pytest]\npythonpath = .\nfilterwarnings = {warnings}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", plugin, *arguments]
    return subprocess.run(command, cwd=directory, env=environment(), capture_output=True, text=True, check=False)
