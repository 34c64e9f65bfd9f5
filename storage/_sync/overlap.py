"""Refuses to sync a store to itself, or into or around itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from storage._facade.routes import Route
from storage._sync.copying import Pair
from storage.exceptions import ConfigurationError


class _BucketPath(NamedTuple):
    """Where the blobs of a route are: a server with its bucket, the bucket's name, and the path in it."""

    location: str
    bucket: str
    path: str  # ends in a slash, unless it is empty


def check_apart(pairs: Sequence[Pair]) -> None:
    """Raises ``ConfigurationError`` if a type of the source and a type of the target are one place, or one is inside the other.

    Two places overlap if their buckets are the same and the path of one begins with that of the other. Buckets of one name at
    two endpoints may be one bucket: there only equal paths of the same type are let through, a mirror, since a bucket that is
    synced to itself path by path does not change.
    """
    for pair in pairs:
        for other in pairs:
            a, b = _bucket_path(pair.source), _bucket_path(other.target)
            if a.bucket != b.bucket or not (a.path.startswith(b.path) or b.path.startswith(a.path)):
                continue
            if a.location != b.location and a.path == b.path and pair is other:
                continue
            raise ConfigurationError(
                f"sync_to(): type {pair.storage_type!r} of {pair.source.url} and type {other.storage_type!r} of "
                f"{other.target.url} are one place, or one is inside the other; sync to a place of its own",
                storage_type=pair.storage_type,
                url=other.target.url,
            )


def _bucket_path(route: Route) -> _BucketPath:
    backend = route.backend
    if backend.private:
        place = f"{backend.scheme}:{id(backend)}"  # nobody else can reach it
        return _BucketPath(place, place, route.prefix)
    if backend.owns_path:
        return _BucketPath(backend.scheme, backend.scheme, f"{backend.location.rstrip('/')}/{route.prefix}")
    return _BucketPath(backend.location, f"{backend.scheme}:{backend.location.rpartition('/')[2]}", route.prefix)
