"""Finds the backend and the key prefix of each storage type, from the arguments of ``Storage``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from storage._backend import Backend, is_backend
from storage._keys import MAX_PREFIX, reason
from storage._retry import Retries, Timeout
from storage._urls import WRAPPERS, StorageURL, factory_for
from storage.exceptions import ConfigurationError

StorageTypes = Mapping[str, "str | Backend"]

DEFAULT_TYPES: Final[StorageTypes] = {"data": "data/", "tmp": "tmp/", "result": "result/"}
_DEFAULT_STORE = "storage-facade"


class Route(NamedTuple):
    """A backend and a key prefix: the place of one storage type's blobs, or of all below a URL."""

    backend: Backend
    prefix: str  # what stands before every key: "" or ends in a slash
    url: str  # for messages: without secrets
    raw: bool  # keys=raw: keys pass unchecked


def default_url() -> str:
    """``STORAGE_URL``, or the embedded store in the user's data directory."""
    url = os.environ.get("STORAGE_URL")
    if url:
        return url
    import platformdirs  # not needed, and not paid for, where a URL is given

    return StorageURL.from_path(platformdirs.user_data_path(_DEFAULT_STORE)).full()


def parse_url(url: str | os.PathLike[Any] | None) -> StorageURL:
    """The ``url`` argument: a URL, a ``PathLike`` (a directory, taken literally), or ``None``: :func:`default_url`."""
    if url is None:
        url = default_url()
        try:
            return StorageURL.parse(url)
        except ConfigurationError as exc:
            raise ConfigurationError(f"the environment variable STORAGE_URL: {exc}") from None
    if isinstance(url, str):
        return StorageURL.parse(url)
    if isinstance(url, os.PathLike):
        return StorageURL.from_path(url)
    raise ConfigurationError(f"url must be a str, an os.PathLike or None, not {type(url).__name__}")


def build_routes(
    place: StorageURL | Backend,
    storage_types: StorageTypes | None,
    *,
    auth: Any,
    retries: Retries,
    timeout: Timeout,
) -> tuple[Backend, dict[str, Route]]:
    """The main backend, and a route for each storage type; ``ConfigurationError`` unless each prefix is one of its own."""
    family = _family(place.scheme) if isinstance(place, StorageURL) else None
    opened: dict[tuple[Any, ...], Backend] = {}

    def open_url(url: StorageURL) -> Route:
        """Opens each bucket once, however many storage types live in it."""
        factory = factory_for(url.scheme)
        bucket = (url.scheme, url.bucket, tuple(sorted(url.query.items())))
        # A private memory:// is another one each time, and a directory's path is part of the place.
        backend = opened.get(bucket) if url.bucket else None
        if backend is None or backend.owns_path:
            own_auth = auth if _family(url.scheme) == family else None
            backend = factory(url, auth=own_auth, retries=retries, timeout=timeout)
            if not is_backend(backend):
                raise ConfigurationError(
                    f"{url.scheme}://: its factory returned a {type(backend).__name__}, not a storage.backends.Backend"
                )
            opened[bucket] = backend
        prefix = "" if backend.owns_path else _folder(f"{url}", url.path, MAX_PREFIX)
        return Route(backend, prefix, str(url), url.query.get("keys") == "raw")

    if isinstance(place, StorageURL):
        if "types" in place.query:
            if storage_types is not None:
                raise ConfigurationError(
                    f"{place}: storage types are given by the URL and by storage_types=; give them once"
                )
            storage_types = _parse_types(place, place.query["types"])
        main = open_url(place.without("types"))
    else:
        main = whole(place)
    types = _checked(DEFAULT_TYPES if storage_types is None else storage_types)
    routes = {name: _route(name, where, main, open_url) for name, where in types.items()}
    _check_disjoint(routes)
    return main.backend, routes


def _family(scheme: str) -> str:
    base, _, rest = scheme.partition("+")
    if base in WRAPPERS:
        return _family(rest)
    return "gs" if base == "gcs" else base


def _checked(types: StorageTypes) -> StorageTypes:
    if not isinstance(types, Mapping) or not types:
        raise ConfigurationError("storage_types must be a mapping with at least one type, as in {'data': 'data/'}")
    for name in types:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ConfigurationError(f"storage type {name!r}: a type must be a str of printable characters, not empty")
    return types


def _parse_types(url: StorageURL, text: str) -> StorageTypes:
    types: dict[str, str] = {}
    for item in text.split(","):
        name, separator, prefix = item.partition(":")
        if not separator or not name:
            raise ConfigurationError(
                f"{url}: query parameter 'types': write types=NAME:PREFIX,…, as in types=data:main/,tmp:scratch/"
            )
        if name in types:
            raise ConfigurationError(f"{url}: query parameter 'types': type {name!r} is given twice; give it once")
        types[name] = prefix
    return types


def whole(backend: Backend) -> Route:
    """The route of everything that a backend holds."""
    return Route(backend, "", backend.location, raw=False)


def _route(name: str, where: str | Backend, main: Route, open_url: Callable[[StorageURL], Route]) -> Route:
    if isinstance(where, str) and "://" in where:
        url = StorageURL.parse(where)
        if "types" in url.query:
            raise ConfigurationError(f"storage type {name!r}: its URL may not have types of its own")
        return open_url(url)
    if isinstance(where, str):
        room = MAX_PREFIX - len(main.prefix.encode())
        prefix = _folder(f"storage type {name!r}", where, room)
        return Route(main.backend, main.prefix + prefix, main.url, main.raw)
    if is_backend(where):
        return whole(where)
    raise ConfigurationError(f"storage type {name!r}: use a prefix, a URL or a Backend, not {type(where).__name__}")


def _folder(what: str, path: str, room: int) -> str:
    """``path`` as a prefix that ends in a slash, or ``""``."""
    path = path.removesuffix("/")
    if not path:
        return ""
    why = reason(path, room - 1)
    if why is not None:
        raise ConfigurationError(
            f"{what}: the prefix {path!r} is not portable: {why}"
            if len(path.encode("utf-8", "surrogatepass")) < room
            else f"{what}: the prefixes of URL and storage type have more than {MAX_PREFIX} bytes together; use shorter ones"
        )
    return path + "/"


def _check_disjoint(routes: Mapping[str, Route]) -> None:
    seen: list[tuple[str, Route]] = []
    for name, route in routes.items():
        place, path = _place(route)
        for other_name, other in seen:
            other_place, other_path = _place(other)
            if place == other_place and (path.startswith(other_path) or other_path.startswith(path)):
                raise ConfigurationError(
                    f"storage types {other_name!r} ({other_path!r}) and {name!r} ({path!r}) overlap: "
                    "one prefix is empty, repeated, or inside the other; give each a prefix of its own"
                )
        seen.append((name, route))


def _place(route: Route) -> tuple[object, str]:
    """A store that two routes may share, and the path of this one in it, which ends in a slash unless it is empty."""
    backend = route.backend
    if backend.private:
        return id(backend), route.prefix  # nobody else can reach it
    if backend.owns_path:
        return None, f"{backend.location}/{route.prefix}"  # one directory may be inside another
    return backend.location, route.prefix
