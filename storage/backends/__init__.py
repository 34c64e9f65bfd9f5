"""The drivers, and what a driver of your own is made of.

Built-in schemes are one row each in :data:`DRIVERS`; a driver's module, and with it its SDK, is imported when its scheme
is first used.
"""

from __future__ import annotations

from typing import NamedTuple

from storage.backends._protocol import (
    AsyncBackend,
    Backend,
    BlobOrBucketMissing,
    Download,
    PutOptions,
    Setup,
    SignOptions,
    Stat,
    Tally,
    Writer,
    trace,
)

__all__ = [
    "DRIVERS",
    "AsyncBackend",
    "Backend",
    "BlobOrBucketMissing",
    "Download",
    "Driver",
    "PutOptions",
    "Setup",
    "SignOptions",
    "Stat",
    "Tally",
    "Writer",
    "trace",
]


class Driver(NamedTuple):
    """Where a scheme's ``create(url, *, auth, retries, timeout)`` is, and the extra that installs what it imports."""

    module: str
    extra: str | None = None


DRIVERS = {
    "file": Driver("storage.backends.filesystem"),
    "gcs": Driver("storage.backends.gcs", "gcs"),
    "gs": Driver("storage.backends.gcs", "gcs"),
    "gs+google": Driver("storage.backends.gcs", "gcs"),
    "memory": Driver("storage.backends.memory"),
    "s3": Driver("storage.backends.s3", "s3"),
    "s3+boto3": Driver("storage.backends.s3", "s3"),
    "s3+obstore": Driver("storage.backends.obstore", "obstore"),
}
