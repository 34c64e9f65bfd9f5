"""The whole suite in one class."""

from __future__ import annotations

from storage.testing._base import Suite

__all__ = ["Conformance"]


class Conformance(Suite):
    """What every backend must do. A test class inherits it and gives ``harness``."""
