"""The checks of ``storage doctor``: configuration, bucket, a blob written and read back, clock, server, foreign names."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Literal, NamedTuple

from click import UsageError

from storage import (
    AuthenticationError,
    BucketNotFoundError,
    PermissionDeniedError,
    Storage,
    StorageError,
    UnavailableError,
)
from storage._backend import servable
from storage._facade.call import Call
from storage._facade.core import core_of
from storage._facade.outside import files_outside
from storage._facade.routes import Route
from storage.cli._app import Target

# Seconds that clocks may differ: S3 refuses requests at 15 minutes, and short-lived signed URLs suffer long before.
_SKEW = 60
_DATA = b"storage doctor"


class Finding(NamedTuple):
    """One line of the report."""

    check: str
    state: Literal["good", "wrong", "note"]
    message: str


_NOT_YET = Finding("directory", "note", "it does not exist yet; the first write makes it")


def examine(target: Target) -> Iterator[Finding]:
    """Everything that can be said of a store; it ends where the rest would fail for the same reason.

    A blob of the storage type is written, and deleted again.
    """
    storage_type = target.storage_type
    try:
        store = target.opened()
        route = core_of(store).route(storage_type)
    except (StorageError, UsageError) as exc:
        yield Finding("configuration", "wrong", str(exc))
        return
    with store:
        driver = type(route.backend).__module__.removeprefix("storage.backends.").partition(".")[0]
        types = ", ".join(store.storage_types)
        yield Finding("configuration", "good", f"{route.backend.location}, driver {driver}, types {types}")
        bucket = _bucket(route, storage_type)
        yield bucket
        if bucket.state == "wrong" or bucket == _NOT_YET:
            return
        yield from _local(store)
        healthy = True
        for finding in _round_trip(store, storage_type):
            healthy = healthy and finding.state != "wrong"
            yield finding
        if healthy:
            yield from _server(store)
            yield from _foreign(store)


def _bucket(route: Route, storage_type: str) -> Finding:
    try:
        call = Call.about_route("doctor", route, storage_type)
        there = call.run(route.backend.bucket_exists_now)
        usable = there or call.run(route.backend.bucket_exists)
    except StorageError as exc:
        return _refused("bucket", exc)
    if there:
        return Finding("bucket", "good", "it is there")
    if usable:
        return _NOT_YET
    return Finding("bucket", "wrong", "it does not exist: create it, or call Storage.setup(create_bucket=True)")


def _local(store: Storage) -> Iterator[Finding]:
    """Findings about directories on this machine: wrong settings, and files that are no blobs. Changes nothing."""
    core = core_of(store)
    for backend in core.backends():
        call = Call.about_backend("doctor", backend)
        try:
            wrong, outside = call.run(backend.find_problems), files_outside(core, backend, "doctor")
        except StorageError as exc:
            yield Finding("directory", "wrong", str(exc))
            continue
        for line in wrong:
            yield Finding("directory", "wrong", line)
        if outside is not None:
            yield Finding("directory", "note", outside)


def _round_trip(store: Storage, storage_type: str) -> Iterator[Finding]:
    key = f"storage-doctor-{secrets.token_hex(8)}"
    began = datetime.now(timezone.utc)
    try:
        info = store.set(key, _DATA, storage_type, overwrite=False)
    except StorageError as exc:
        yield _refused("write", exc)
        return
    ended = datetime.now(timezone.utc)
    yield Finding("write", "good", f"{len(_DATA)} bytes")

    def deleted() -> bool:
        store.delete(key, storage_type)
        return not store.exists(key, storage_type)

    checks: list[tuple[str, Callable[[], bool], str]] = [
        ("read", lambda: store.get_bytes(key, storage_type) == _DATA, "other bytes came back than were written"),
        ("list", lambda: store.list(key, storage_type) == [key], "the blob that was written is not listed"),
        ("delete", deleted, "the blob is still there"),
    ]
    for name, works, wrong in checks:
        try:
            yield Finding(name, "good", "works") if works() else Finding(name, "wrong", wrong)
        except StorageError as exc:
            yield _refused(name, exc)
    yield _clock(began, ended, info.last_modified)


def _refused(check: str, exc: StorageError) -> Finding:
    """The finding that a check failed: about what it checks, or about what was in its way."""
    if isinstance(exc, AuthenticationError):
        return Finding("credentials", "wrong", f"{exc}. Set credentials in the environment, or a profile that has them")
    if isinstance(exc, UnavailableError):
        return Finding("network", "wrong", f"{exc}. Check the endpoint, the network and the proxy")
    if isinstance(exc, PermissionDeniedError):
        if check == "bucket":
            return Finding(check, "note", f"whether it exists may not be asked: {exc}")
        return Finding(check, "wrong", f"{exc}. Give these credentials the permission to {check} blobs")
    return Finding("bucket" if isinstance(exc, BucketNotFoundError) else check, "wrong", str(exc))


def _clock(began: datetime, ended: datetime, written: datetime) -> Finding:
    early, late = (began - written).total_seconds(), (written - ended).total_seconds()
    off = max(early, late, 0)
    if off <= _SKEW:
        return Finding("clock", "good", "agrees with the store's")
    which = "ahead of" if early > late else "behind"
    return Finding(
        "clock",
        "wrong",
        f"this machine is {off:,.0f} seconds {which} the store; set it by NTP: signatures and expiry depend on it",
    )


def _server(store: Storage) -> Iterator[Finding]:
    if any(s is not None and s.serve_url is None for s in map(servable, core_of(store).backends())):
        words = "URLs are served by the process that signs them; for others run `storage serve` and add ?serve_url= to the URL"
        yield Finding("signing", "note", words)
    logger = logging.getLogger("storage")
    level = logger.level
    try:
        logger.setLevel(max(level, logging.ERROR) if level > logging.DEBUG else level)  # it warns of what was just said
        lines = store.check()
    except StorageError as exc:
        yield Finding("server", "wrong", str(exc))
        return
    finally:
        logger.setLevel(level)
    for line in lines:
        check, _, message = line.partition(": ")
        yield Finding(check, "wrong", message)
    if not lines:
        yield Finding(
            "server", "good", "it does what this library needs of a server, as far as `Storage.check` tries it"
        )


def _foreign(store: Storage) -> Iterator[Finding]:
    for name in store.storage_types:
        route = core_of(store).route(name)
        try:
            lines = Call.about_route("doctor", route, name).run(route.backend.find_foreign_names, route.prefix)
        except StorageError as exc:
            yield Finding("names", "wrong", str(exc))
            return
        for line in lines:
            yield Finding("names", "note", f"type {name!r}: {line}")
