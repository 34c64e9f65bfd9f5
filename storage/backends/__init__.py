"""The drivers, one module or package each, and the names that a driver of your own is made of."""

from storage._backend import (
    Backend,
    BlobOrBucketMissing,
    Changes,
    Chunks,
    Download,
    FormOptions,
    PutOptions,
    Setup,
    SignOptions,
    Stat,
    Tally,
    Writer,
    trace,
)

__all__ = [
    "Backend",
    "BlobOrBucketMissing",
    "Changes",
    "Chunks",
    "Download",
    "FormOptions",
    "PutOptions",
    "Setup",
    "SignOptions",
    "Stat",
    "Tally",
    "Writer",
    "trace",
]
