"""The store objects of one bucket, and the one thing they cannot survive: ``fork``."""

from __future__ import annotations

import os
import threading
from typing import NoReturn

from obstore.store import S3Store

from storage.backends.obstore._requests import Requests
from storage.backends.obstore._settings import Settings
from storage.exceptions import UnsupportedOperationError

__all__ = ["Stores"]


class Stores:
    """Makes what sends requests when it is first wanted. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._store: S3Store | None = None
        self._careful: S3Store | None = None
        self._requests: Requests | None = None

    def open(self) -> S3Store:
        """The store whose requests the Rust library tries again: those that may be done twice."""
        if _process.forked:
            _refuse()
        store = self._store
        if store is None:
            with self._lock:
                if self._store is None:
                    self._store = self.settings.store()
                store = self._store
            _process.used = True
        return store

    def careful(self) -> S3Store:
        """The store that tries once, so that a lost answer is known to be lost."""
        if _process.forked:
            _refuse()
        store = self._careful
        if store is None:
            with self._lock:
                if self._careful is None:
                    self._careful = self.settings.store(0, bulk_delete=False)
                store = self._careful
            _process.used = True
        return store

    def requests(self) -> Requests:
        """The driver's own requests."""
        if _process.forked:
            _refuse()
        with self._lock:
            if self._requests is None:
                self._requests = Requests(self.settings)
            return self._requests

    def close(self) -> None:
        """Closes every connection. The next use opens new ones."""
        if _process.forked:
            return  # the connections are the parent's, and the lock may be held for ever
        with self._lock:
            if self._requests is not None:
                self._requests.close()
            self._store = self._careful = self._requests = None


class _Process:
    """Whether the Rust library's threads run in this process, or ran in the one that it was forked from."""

    used = False
    forked = False


_process = _Process()


def _after_fork() -> None:
    # Its threads are not copied, and every call would wait for them for ever.
    _process.forked = _process.forked or _process.used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _refuse() -> NoReturn:
    raise UnsupportedOperationError(
        "s3+obstore:// was used before this process was forked, and its Rust runtime hangs in a forked child; start processes "
        "with multiprocessing's 'spawn', or use the default driver, s3://"
    )
