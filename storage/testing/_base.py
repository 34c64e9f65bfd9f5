"""What every part of the suite stands on: fresh stores, and the account of what is lacking."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import pytest

from storage import Storage, UnsupportedOperationError
from storage.testing._harness import Harness, Lack
from storage.testing._tables import folded

__all__ = ["LACK_PROPERTY", "Suite"]

LACK_PROPERTY = "storage-lack"
PLUGIN = "storage.testing.plugin"


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
            pytest.fail(
                f"what a store lacks is printed by a plug-in: write pytest_plugins = [{PLUGIN!r}] in conftest.py"
            )
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

    def _apart(self, keys: Iterable[str]) -> list[str]:
        """``keys``, without those that the store cannot keep apart."""
        if Lack.CASE in self.harness.lacks:
            return list({folded(key): key for key in keys}.values())
        return list(keys)

    def refused(self) -> AbstractContextManager[Any]:
        """What happens to an option that a backend cannot honour."""
        return pytest.raises(UnsupportedOperationError)
