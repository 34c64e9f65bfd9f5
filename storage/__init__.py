"""One object for blobs: memory, local files, S3 and Google Cloud Storage by URL."""

from storage._storage import Storage
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
    UnavailableError,
    UnsupportedOperationError,
)

__all__ = [
    "AlreadyExistsError",
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
    "UnavailableError",
    "UnsupportedOperationError",
    "register",
]
