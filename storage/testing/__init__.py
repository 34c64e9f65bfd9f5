"""For people who write backends, and for people who test programs that use :class:`storage.Storage`.

A backend is tested by a file of a few lines that inherits the whole suite::

    from storage.testing import Conformance, Harness

    class MyHarness(Harness):
        def url(self, name: str) -> str:
            return f"mine://bucket/{name}"

    class TestMine(Conformance):
        harness = MyHarness()

The suite needs the extra ``testing``. Nothing of it is imported before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.testing._faulty import FaultyBackend
    from storage.testing._harness import Harness, Lack
    from storage.testing._snapshot import Snapshot, assert_stored, snapshot
    from storage.testing._suite import Conformance
    from storage.testing.machine import state_machine

__all__ = [
    "Conformance",
    "FaultyBackend",
    "Harness",
    "Lack",
    "Snapshot",
    "assert_stored",
    "snapshot",
    "state_machine",
]

_HOMES = {
    "Conformance": "storage.testing._suite",
    "FaultyBackend": "storage.testing._faulty",
    "Harness": "storage.testing._harness",
    "Lack": "storage.testing._harness",
    "Snapshot": "storage.testing._snapshot",
    "assert_stored": "storage.testing._snapshot",
    "snapshot": "storage.testing._snapshot",
    "state_machine": "storage.testing.machine",
}


def __getattr__(name: str) -> Any:
    # Lazy, because the pytest plug-in lives in this package and is imported by every test run of whoever installs it.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pkgutil
    import sys
    from importlib import import_module

    import pytest

    # So that a failing assertion of the suite says what it saw, as one in a test file does.
    modules = (f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    pytest.register_assert_rewrite(*(module for module in modules if module not in sys.modules))
    return getattr(import_module(home), name)
