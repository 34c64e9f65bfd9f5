"""What every part of the suite stands on: fresh stores, and the account of what is lacking."""

from __future__ import annotations

import re
import secrets
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import pytest

from storage import Storage, UnsupportedOperationError
from storage.testing._harness import Harness, Lack
from storage.testing._tables import folded

LACK_PROPERTY = "storage-lack"
PLUGIN = "pytest_storage_facade"


def apart(keys: Iterable[str], harness: Harness) -> list[str]:
    """``keys``, without those that a store of ``harness`` cannot keep apart."""
    if Lack.CASE in harness.lacks:
        return list({folded(key): key for key in keys}.values())
    return list(keys)


def still_running(name: str, seconds: float = 10) -> list[str]:
    """The threads whose names begin with ``name`` and that do not end within ``seconds``."""
    deadline = time.monotonic() + seconds
    found = [thread for thread in threading.enumerate() if thread.name.startswith(name)]
    for thread in found:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread.name for thread in found if thread.is_alive()]


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Fails a test that goes on for longer, whatever it loops over or waits for, unless pytest-timeout looks after that."""
    free = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    if not free or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def give_up(_number: int, _frame: object) -> None:
        pytest.fail(f"the test did not end within {seconds:g} s (Harness.test_seconds)")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Suite:
    """The base of the suite's parts. Only :class:`storage.testing.Conformance`, which has them all, is meant to be run."""

    harness: ClassVar[Harness]
    """How to make stores. A class that gets it from a fixture overrides :meth:`running`."""

    _request: pytest.FixtureRequest
    _opened: list[tuple[str, Storage]]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls) -> Iterator[None]:
        """Starts and stops the harness."""
        cls.harness.start()
        yield
        cls.harness.stop()

    @pytest.fixture(autouse=True)
    def _each(self, request: pytest.FixtureRequest, running: None) -> Iterator[None]:
        del running
        self._request = request
        self._opened = []
        if self.harness.lacks and not request.config.pluginmanager.has_plugin(PLUGIN):
            pytest.fail(f"the plug-in that prints what a store lacks is switched off: run pytest with -p {PLUGIN}")
        with _limited(self.harness.test_seconds):
            yield
        for name, store in self._opened:
            store.close()
            self.harness.drop(name)

    @pytest.fixture
    def name(self) -> str:
        """A name for a store that nobody had before."""
        stem = re.sub("[^a-z0-9]+", "-", self._request.node.name.lower())[:27].strip("-")
        return f"{stem}-{secrets.token_hex(6)}"

    @pytest.fixture
    def storage(self, name: str) -> Storage:
        """A fresh and empty store."""
        return self.open(name)

    @pytest.fixture
    def key(self, name: str) -> str:
        """A key for tests in which any will do."""
        return f"some/{name}.bin"

    def open(self, name: str, **options: Any) -> Storage:
        """Another ``Storage`` on the store ``name``, closed at the end of the test."""
        store = self.harness.storage(name, **options)
        self._opened.append((name, store))
        return store

    def lacks(self, lack: Lack) -> bool:
        """Whether the harness declares ``lack``. If so, the test is counted as one that asserted something weaker."""
        reason = self.harness.lacks.get(lack)
        if reason is None:
            return False
        self._request.node.user_properties.append((LACK_PROPERTY, f"{type(self).__name__}\0{lack.name}\0{reason}"))
        return True

    def refused(self) -> AbstractContextManager[Any]:
        """What happens to an option that a backend cannot honour."""
        return pytest.raises(UnsupportedOperationError)
