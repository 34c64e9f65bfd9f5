"""Whether two stores are the same place, or one lies inside the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from storage._routes import Route
from storage._sync.copying import Pair
from storage._urls import StorageURL
from storage.backends import Stat
from storage.exceptions import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from storage._storage import Storage

__all__ = ["check_apart"]

# A location on this machine says all; one server can have two names, and so one bucket two locations.
_LOCAL: Final = ("file", "memory")


def check_apart(source: Storage, target: Storage, pairs: Sequence[Pair]) -> None:
    """Raises ``ConfigurationError`` if some type of ``source`` is in the place of one of ``target``, or inside it, or around it.

    So do URLs of which one is below the other. Two buckets of one name at two endpoints may be one: that is settled by asking
    the destination for a blob of the source.
    """
    a, b = _root(source), _root(target)
    nested = a != b and (a.startswith(b) or b.startswith(a))
    for pair in pairs:
        for other in pairs:
            below = nested and pair.source.backend is source.backend and other.target.backend is target.backend
            if (below or _overlap(pair.source, other.target)) and _one_store(source, target, pair, other):
                raise ConfigurationError(
                    f"sync_to(): type {pair.storage_type!r} of {pair.source.url} and type {other.storage_type!r} of "
                    f"{other.target.url} are one place, or one is inside the other; sync to a place of its own",
                    storage_type=pair.storage_type,
                    url=other.target.url,
                )


def _overlap(ours: Route, theirs: Route) -> bool:
    a, b = _place(ours), _place(theirs)
    return a.startswith(b) or b.startswith(a)


def _root(store: Storage) -> str:
    """The place of a store's URL."""
    backend, url = store.backend, store._recipe["url"]  # noqa: SLF001
    path = StorageURL.parse(url).path if isinstance(url, str) and not backend.owns_path else ""
    return _place(Route(backend, f"{path.rstrip('/')}/".lstrip("/"), store._shown, raw=False))  # noqa: SLF001


def _place(route: Route) -> str:
    """Service, bucket and prefix in one string that ends in a slash, whatever the driver and the server."""
    backend = route.backend
    if backend.owns_path:
        return f"{backend.location.rstrip('/')}/{route.prefix}"
    if backend.private and backend.scheme in _LOCAL:
        return f"{backend.scheme}#{id(backend)}/{route.prefix}"  # it has no name: nobody else has this one
    family, bucket = backend.scheme.partition("+")[0], backend.location.rstrip("/").rpartition("/")[2]
    return f"{family}://{bucket}/{route.prefix}"


def _one_store(source: Storage, target: Storage, pair: Pair, other: Pair) -> bool:
    ours, theirs = pair.source.backend, other.target.backend
    if ours is theirs or ours.scheme in _LOCAL or ours.location == theirs.location:
        return True
    found = _first(source, pair)
    if found is None:
        return False  # nothing there that could be lost
    path, stat = found
    try:
        same = target._call("sync_to", other.target, None, other.storage_type, theirs.stat, path)  # noqa: SLF001
    except NotFoundError:
        return False
    return (same.size, same.etag) == (stat.size, stat.etag) and abs(
        (same.last_modified - stat.last_modified).total_seconds()
    ) < 1


def _first(source: Storage, pair: Pair) -> tuple[str, Stat] | None:
    """The first blob of the source."""
    route = pair.source
    pages = route.backend.scan(route.prefix, detail=True, page_size=1)
    for page in source._mapped("sync_to", route, None, pair.storage_type, pages):  # noqa: SLF001
        for path, stat in page:
            if stat is not None:
                return path, stat
    return None
