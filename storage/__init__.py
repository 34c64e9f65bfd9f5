"""One object for blobs: memory, local files, S3 and Google Cloud Storage by URL."""

from typing import TYPE_CHECKING, Any

from storage._storage import Storage
from storage._sync.types import SyncEvent, SyncFailure, SyncResult
from storage._types import ObjectInfo, SignedRequest
from storage._urls import StorageURL, register
from storage.exceptions import (
    AlreadyExistsError,
    AuthenticationError,
    BucketNotFoundError,
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
    InvalidStorageTypeError,
    MissingDependencyError,
    NotFoundError,
    NotTextError,
    PermissionDeniedError,
    PreconditionFailedError,
    SigningError,
    StorageError,
    StorageTimeoutError,
    SyncError,
    UnavailableError,
    UnsupportedOperationError,
)

if TYPE_CHECKING:
    from storage._aio import AsyncStorage

__all__ = [
    "AlreadyExistsError",
    "AsyncStorage",
    "AuthenticationError",
    "BucketNotFoundError",
    "ConfigurationError",
    "IntegrityError",
    "InvalidKeyError",
    "InvalidStorageTypeError",
    "MissingDependencyError",
    "NotFoundError",
    "NotTextError",
    "ObjectInfo",
    "PermissionDeniedError",
    "PreconditionFailedError",
    "SignedRequest",
    "SigningError",
    "Storage",
    "StorageError",
    "StorageTimeoutError",
    "StorageURL",
    "SyncError",
    "SyncEvent",
    "SyncFailure",
    "SyncResult",
    "UnavailableError",
    "UnsupportedOperationError",
    "register",
]


def __getattr__(name: str) -> Any:
    # anyio is an extra, and takes as long to import as all the rest.
    if name == "AsyncStorage":
        from storage._aio import AsyncStorage

        return AsyncStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
