"""One object for blobs: memory, local files, S3 and Google Cloud Storage by URL."""

import importlib
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


# What most programs do not use, and so should not pay for at import: anyio is an extra, and takes as long as all the rest.
_LAZY = {
    "AsyncStorage": "storage._aio",
    "SyncEvent": "storage._sync_types",
    "SyncFailure": "storage._sync_types",
    "SyncResult": "storage._sync_types",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
