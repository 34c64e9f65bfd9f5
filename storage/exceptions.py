"""Every exception that this library raises.

::

    StorageError
     ├── NotFoundError                (LookupError)   the blob is not there
     ├── PreconditionFailedError                      ``if_match`` did not hold
     │    └── AlreadyExistsError                      ``overwrite=False`` met a blob
     ├── InvalidKeyError              (ValueError)
     ├── InvalidStorageTypeError      (ValueError)
     ├── NotTextError                 (ValueError)    the blob is not UTF-8
     ├── ConfigurationError           (ValueError)    a URL, option or argument of ``Storage``
     ├── MissingDependencyError       (ImportError)   a driver's package is not installed
     ├── PermissionDeniedError                        valid credentials, but not allowed
     │    └── AuthenticationError                     no credentials, or wrong ones
     ├── BucketNotFoundError                          the bucket or directory itself is missing
     ├── UnavailableError                             network, 5xx or throttling, after the retries
     │    └── StorageTimeoutError     (TimeoutError)
     ├── IntegrityError                               bytes that do not match checksum or length
     ├── SigningError                                 these credentials cannot sign
     ├── SyncError                                    some blobs of a ``sync_to`` failed, all others were done
     └── UnsupportedOperationError                    this backend cannot honour that option

Each carries ``key``, ``storage_type`` and ``url`` where they apply (else ``None``; ``url`` never holds a secret) and
has the native exception of the SDK or the system as ``__cause__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage._sync_types import SyncResult

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
    "PermissionDeniedError",
    "PreconditionFailedError",
    "SigningError",
    "StorageError",
    "StorageTimeoutError",
    "SyncError",
    "UnavailableError",
    "UnsupportedOperationError",
]


class StorageError(Exception):
    """The base of every exception of this library.

    Attributes:
        key: the key of the call that failed, where there is one.
        storage_type: its storage type, where there is one.
        url: the URL of the store, without any secret.
    """

    key: str | None = None
    storage_type: str | None = None
    url: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        key: str | None = None,
        storage_type: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.storage_type = storage_type
        self.url = url

    def __str__(self) -> str:
        return self.message


class NotFoundError(StorageError, LookupError):
    """There is no blob under this key."""


class PreconditionFailedError(StorageError):
    """``if_match`` is not the etag of the blob (or there is no blob), or a blob was replaced while it was being read."""


class AlreadyExistsError(PreconditionFailedError):
    """``overwrite=False``, and there is a blob under this key."""


class InvalidKeyError(StorageError, ValueError):
    """A key or prefix that is not portable; the message names the rule."""


class InvalidStorageTypeError(StorageError, ValueError):
    """A storage type that this ``Storage`` does not have; the message lists those it has."""


class NotTextError(StorageError, ValueError):
    """The blob is not UTF-8 text; ``get_bytes`` returns it."""


class ConfigurationError(StorageError, ValueError):
    """A URL, query parameter or argument of ``Storage`` that is not valid; the message says what is allowed."""


class MissingDependencyError(StorageError, ImportError):
    """A driver's package is not installed; the message has the ``pip install`` line."""


class PermissionDeniedError(StorageError):
    """The service or the file system does not allow this."""


class AuthenticationError(PermissionDeniedError):
    """No credentials, or wrong or expired ones, where the service tells that from a lack of permission."""


class BucketNotFoundError(StorageError):
    """The bucket or directory itself is missing. Not a ``NotFoundError``."""


class UnavailableError(StorageError):
    """Network failure, a 5xx answer or throttling that outlived the retries."""


class StorageTimeoutError(UnavailableError, TimeoutError):
    """The service did not answer within ``timeout``, after the retries."""


class IntegrityError(StorageError):
    """Bytes that do not match their checksum or their length."""


class SigningError(StorageError):
    """A URL cannot be signed with these credentials; the message says what to configure."""


class UnsupportedOperationError(StorageError):
    """This backend cannot honour an option or operation; nothing was done."""


class SyncError(StorageError):
    """Some blobs of a ``sync_to`` failed; all others were done, and running it again goes on.

    Attributes:
        result: the :class:`storage.SyncResult`, whose ``failures`` say which and why.
    """

    result: SyncResult | None

    def __init__(self, message: str = "", *, result: SyncResult | None = None, **about: str | None) -> None:
        super().__init__(message, **about)
        self.result = result
