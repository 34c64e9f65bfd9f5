"""One object for blobs: memory, local files, S3 and Google Cloud Storage by URL."""

from typing import TYPE_CHECKING, Any

from storage._log import CallEvent, observe
from storage._storage import Storage
from storage._types import KeyRange, ObjectInfo, SignedForm, SignedRequest
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
    from storage._sync_types import SyncEvent, SyncFailure, SyncResult

__version__ = "0.1.0"

__all__ = [
    "AlreadyExistsError",
    "AsyncStorage",
    "AuthenticationError",
    "BucketNotFoundError",
    "CallEvent",
    "ConfigurationError",
    "IntegrityError",
    "InvalidKeyError",
    "InvalidStorageTypeError",
    "KeyRange",
    "MissingDependencyError",
    "NotFoundError",
    "NotTextError",
    "ObjectInfo",
    "PermissionDeniedError",
    "PreconditionFailedError",
    "SignedForm",
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
    "observe",
    "register",
]


def __getattr__(name: str) -> Any:
    # Most programs need neither: anyio takes as long to import as all the rest, the types of a sync 1.5 ms.
    if name == "AsyncStorage":
        from storage._aio import AsyncStorage

        return AsyncStorage
    if name in ("SyncEvent", "SyncFailure", "SyncResult"):
        from storage import _sync_types

        return getattr(_sync_types, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
