"""Whether two stores are the same place, or one lies inside the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from storage._backend import Stat
from storage._facade.call import Call
from storage._facade.core import Core
from storage._facade.routes import Route
from storage._sync.copying import Pair
from storage._urls import StorageURL
from storage.exceptions import ConfigurationError, NotFoundError

__all__ = ["check_apart"]

# A location on this machine says all; one server can have two names, and so one bucket two locations.
_LOCAL: Final = ("file", "memory")
_ASKED_FOR: Final = 8
"""Blobs of the source that have to be at the destination, of the same age, for two servers to be taken for one. A copy that is
made within a second of its source looks like it; eight of them hardly do."""


def check_apart(source: Core, target: Core, pairs: Sequence[Pair]) -> None:
    """Raises ``ConfigurationError`` if some type of ``source`` is in the place of one of ``target``, or inside it, or around it.

    So do URLs of which one is below the other. Two buckets of one name at two endpoints may be one: that is settled by asking
    the destination for some blobs of the source.
    """
    a, b = _root(source), _root(target)
    nested = a != b and (a.startswith(b) or b.startswith(a))
    for pair in pairs:
        for other in pairs:
            below = nested and pair.source.backend is source.backend and other.target.backend is target.backend
            if (below or _overlap(pair.source, other.target)) and _one_store(pair, other):
                raise ConfigurationError(
                    f"sync_to(): type {pair.storage_type!r} of {pair.source.url} and type {other.storage_type!r} of "
                    f"{other.target.url} are one place, or one is inside the other; sync to a place of its own",
                    storage_type=pair.storage_type,
                    url=other.target.url,
                )


def _overlap(ours: Route, theirs: Route) -> bool:
    a, b = _place(ours), _place(theirs)
    return a.startswith(b) or b.startswith(a)


def _root(store: Core) -> str:
    """The place of a store's URL."""
    backend, url = store.backend, store.given_url
    path = StorageURL.parse(url).path if url is not None and not backend.owns_path else ""
    return _place(Route(backend, f"{path.rstrip('/')}/".lstrip("/"), store.url, raw=False))


def _place(route: Route) -> str:
    """Service, bucket and prefix in one string that ends in a slash, whatever the driver and the server."""
    backend = route.backend
    if backend.owns_path:
        return f"{backend.location.rstrip('/')}/{route.prefix}"
    if backend.private and backend.scheme in _LOCAL:
        return f"{backend.scheme}#{id(backend)}/{route.prefix}"  # it has no name: nobody else has this one
    family, bucket = backend.scheme.partition("+")[0], backend.location.rstrip("/").rpartition("/")[2]
    return f"{family}://{bucket}/{route.prefix}"


def _one_store(pair: Pair, other: Pair) -> bool:
    ours, theirs = pair.source.backend, other.target.backend
    if ours is theirs or ours.scheme in _LOCAL or ours.location == theirs.location:
        return True
    known = list(islice(_blobs(pair), _ASKED_FOR))
    asking = Call.about_route("sync_to", other.target, other.storage_type)
    for path, stat in known:
        try:
            same = asking.run(theirs.stat, path)
        except NotFoundError:
            return False
        if (same.size, same.etag) != (stat.size, stat.etag) or _seconds_between(same, stat) >= 1:
            return False
    return bool(known)  # where there is nothing, nothing could be lost


def _seconds_between(a: Stat, b: Stat) -> float:
    # Some answers have whole seconds.
    return abs((a.last_modified - b.last_modified).total_seconds())


def _blobs(pair: Pair) -> Iterator[tuple[str, Stat]]:
    """The blobs of the source, as far as they are asked for."""
    route = pair.source
    pages = route.backend.scan(route.prefix, detail=True, page_size=_ASKED_FOR)
    for page in Call.about_route("sync_to", route, pair.storage_type).each(pages):
        for path, stat in page:
            if stat is not None:
                yield path, stat
