"""Sends stores to workers: a worker opens each store once, however many tasks use it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from storage._facade.core import Core
from storage._facade.listing import Listing
from storage._facade.many import Many
from storage.exceptions import ConfigurationError

T = TypeVar("T")  # a ``Storage`` or its core

_OPEN: Final = 16  # stores that a worker keeps open


class Store(Many, Listing):
    """The methods of a ``Storage`` for blobs and listings."""

    def __init__(self, core: Core) -> None:
        self._core = core


class Sent(Generic[T]):
    """A store that is pickled to workers. A worker opens it once, however many tasks bring it.

    Attributes:
        checked: what this process has found out about the store.
    """

    def __init__(self, store: T, *, is_received: bool = False) -> None:
        self._store: Any = store
        self._is_received = is_received
        self._users, self._lock = 0, Lock()
        self.checked: set[object] = set()

    @contextmanager
    def opened(self) -> Iterator[T]:
        """The store. A worker closes it when no task uses it, so that it leaves no empty directories behind."""
        with self._lock:
            self._users += 1
        try:
            yield self._store
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self._is_received:
                    self._store.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (pickle.dumps(self._store),)


@lru_cache(_OPEN)
def _received(data: bytes) -> Sent[Any]:
    return Sent(pickle.loads(data), is_received=True)  # noqa: S301 (what the executor has unpickled already)


def check_sendable(name: str, executor: Executor, *stores: object) -> None:
    """Raises ``ConfigurationError`` if a store cannot be sent to the workers of ``executor``. ``name``: the call."""
    if isinstance(executor, ThreadPoolExecutor):  # threads need nothing sent
        return
    for store in stores:
        try:
            pickle.dumps(store)
        except TypeError as exc:
            raise ConfigurationError(f"{name}(executor=…): workers cannot be sent this store: {exc}") from exc
