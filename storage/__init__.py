"""One object for blobs: memory, local files, S3 and Google Cloud Storage by URL."""

from typing import TYPE_CHECKING, Any

from storage._log import CallEvent, observe
from storage._storage import Storage
from storage._sync_types import SyncEvent, SyncFailure, SyncResult
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
    if name != "AsyncStorage":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from storage._aio import AsyncStorage  # anyio, which it needs, takes as long as all the rest

    return AsyncStorage
