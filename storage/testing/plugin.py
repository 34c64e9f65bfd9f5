"""The pytest plug-in: a ``storage`` fixture for everyone, and the account of what a store under conformance test lacks.

A ``conftest.py`` activates it::

    pytest_plugins = ["storage.testing.plugin"]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from storage import Storage

__all__ = ["storage"]

_LACK_PROPERTY = "storage-lack"
_lacks: dict[tuple[str, str, str], int] = {}


@pytest.fixture
def storage() -> Iterator[Storage]:
    """A private, empty store in memory, for testing a program that takes a :class:`storage.Storage`."""
    from storage import Storage

    with Storage("memory://") as store:
        yield store


def pytest_configure(config: pytest.Config) -> None:
    """Starts an account of lacks for this run."""
    del config
    _lacks.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts the tests that asserted something weaker; properties travel with the report from xdist's workers."""
    if report.when != "call":
        return
    for entry in {text for name, text in report.user_properties if name == _LACK_PROPERTY}:
        suite, lack, reason = str(entry).split("\0")
        _lacks[suite, lack, reason] = _lacks.get((suite, lack, reason), 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what each store lacks, with the number of tests that asserted the weaker behaviour instead."""
    if not _lacks:
        return
    terminalreporter.section("declared lacks of stores")
    for (suite, lack, reason), count in sorted(_lacks.items()):
        terminalreporter.write_line(f"{suite} {lack} ({count} test{'s' if count > 1 else ''}): {reason}")
