"""The drivers, one module or package each; and the names that a driver of your own needs."""

from storage._backend import (
    Backend,
    BlobOrBucketMissing,
    Changes,
    ChecksumVerifier,
    Chunks,
    Download,
    FormOptions,
    PutOptions,
    Servable,
    Setup,
    SigningKeys,
    SignOptions,
    Stat,
    Writer,
    trace,
)

__all__ = [
    "Backend",
    "BlobOrBucketMissing",
    "Changes",
    "ChecksumVerifier",
    "Chunks",
    "Download",
    "FormOptions",
    "PutOptions",
    "Servable",
    "Setup",
    "SignOptions",
    "SigningKeys",
    "Stat",
    "Writer",
    "trace",
]
