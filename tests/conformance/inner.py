"""Runs of pytest within a test."""

from __future__ import annotations

import os

__all__ = ["environment"]


def environment() -> dict[str, str]:
    """What a run within a test starts with: it knows nothing of the run that it is part of, neither workers nor coverage."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_"))}
