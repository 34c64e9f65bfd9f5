"""``Core``: the backends and routes of an open store; checks each key and finds its path.

``Storage`` and ``AsyncStorage`` have one each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storage._backend import Backend, is_backend
from storage._facade.routes import DEFAULT_TYPES, Route, build_routes, parse_url
from storage._keys import check_key
from storage._retry import parse_retries, parse_timeout
from storage._urls import StorageURL
from storage.exceptions import InvalidKeyError, InvalidStorageTypeError

if TYPE_CHECKING:
    from urllib3.util.retry import Retry


class Core:
    """A URL opened. Takes the arguments of ``Storage``."""

    def __init__(
        self,
        url: str | os.PathLike[Any] | None,
        auth: Any,
        retries: int | Retry | None,
        timeout: float | tuple[float, float],
        storage_types: Mapping[str, str | Backend] | None,
        backend: Backend | None,
    ) -> None:
        if backend is not None:
            if url is not None:
                raise TypeError("give either url or backend, not both")
            if not is_backend(backend):
                raise TypeError(f"backend must be a storage.backends.Backend, not {type(backend).__name__}")
        place = parse_url(url) if backend is None else backend
        tries, seconds = parse_retries(retries), parse_timeout(timeout)
        self.warned_of_files = False  # by storage._facade.outside
        self.given_url = place.full() if isinstance(place, StorageURL) else None  # with its query
        self._has_auth = auth is not None
        self._given_backend = backend
        types = dict(storage_types) if isinstance(storage_types, Mapping) else storage_types
        self._recipe = (self.given_url, None, tries, seconds, types, backend)
        self.backend, self.routes = build_routes(place, storage_types, auth=auth, retries=tries, timeout=seconds)
        self.url = str(place) if isinstance(place, StorageURL) else place.location  # for messages, without its query

    def route(self, storage_type: str) -> Route:
        """The route of a storage type; ``InvalidStorageTypeError`` where this store has no such type."""
        try:
            return self.routes[storage_type]
        except (KeyError, TypeError):
            known = ", ".join(map(repr, self.routes))
            # A dictionary's get(key, None) is what most people mean by this.
            hint = "; there is no default for an absent blob: catch NotFoundError" if storage_type is None else ""
            raise InvalidStorageTypeError(
                f"storage type {storage_type!r}: this store has {known}{hint}",
                storage_type=storage_type if isinstance(storage_type, str) else None,
                url=self.url,
            ) from None

    def locate(self, key: str, storage_type: str) -> tuple[Route, str]:
        """The route of a storage type, and the path of a key below the root of its backend; both are checked."""
        try:
            route = self.routes[storage_type]
        except (KeyError, TypeError):
            route = self.route(storage_type)  # which says what is wrong
        try:
            if not route.raw or not isinstance(key, str) or not key:
                check_key(key)
        except InvalidKeyError as exc:
            exc.storage_type, exc.url = storage_type, route.url
            raise
        return route, route.prefix + key

    def backends(self) -> list[Backend]:
        """The main backend and those of the storage types, each once."""
        found = (self.backend, *(route.backend for route in self.routes.values()))
        return list({id(backend): backend for backend in found}.values())

    def prefixes(self, backend: Backend) -> tuple[str, ...]:
        """The path prefixes on ``backend`` below which the store has its blobs."""
        return tuple(route.prefix for route in self.routes.values() if route.backend is backend)

    def close(self) -> None:
        """Closes every backend that this store opened itself."""
        for backend in self.backends():
            if backend is not self._given_backend:
                backend.close()

    def __repr__(self) -> str:
        types = "" if list(self.routes) == list(DEFAULT_TYPES) else f", storage_types={list(self.routes)}"
        return f"Storage({self.url!r}{types})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._has_auth:
            raise TypeError(
                f"{self!r} has an explicit auth, which pickling would write out; open it without auth, and let the other process "
                "find its own credentials (environment, profile or role, which an initializer of an executor can set up)"
            )
        if any(backend.private for backend in self.backends()):
            raise TypeError(f"{self!r} is private to this process; give it a name, as in memory://NAME, to pickle it")
        return Core, self._recipe


class Facade:
    """The base of every class whose methods work on a :class:`Core`."""

    _core: Core

    @property
    def backend(self) -> Backend:
        """The backend of the URL; its ``client`` is the SDK's own."""
        return self._core.backend

    @property
    def storage_types(self) -> tuple[str, ...]:
        """The names of the storage types, in the order given."""
        return tuple(self._core.routes)

    def __repr__(self) -> str:
        return repr(self._core).replace("Storage", type(self).__name__, 1)

    def __backends__(self) -> list[Backend]:
        return self._core.backends()


def core_of(store: Facade) -> Core:
    """The core of a ``Storage`` or ``AsyncStorage``, for the other modules of this package."""
    return store._core  # noqa: SLF001 (the one place that opens it)
