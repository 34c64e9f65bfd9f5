"""Translates the exceptions of backends: which class of this library, and which message."""

from __future__ import annotations

import re
from typing import Final

from storage._backend import Backend, BlobOrBucketMissing, kind_of
from storage.exceptions import (
    AlreadyExistsError,
    AuthenticationError,
    BucketNotFoundError,
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    SigningError,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
    UnsupportedOperationError,
)

_WORDS: Final[dict[type[StorageError], str]] = {
    NotFoundError: "there is no such blob",
    AlreadyExistsError: "there is a blob already, and overwrite=False",
    PreconditionFailedError: "the blob is not the version that was asked for",
    InvalidKeyError: "this store cannot hold such a key",
    BucketNotFoundError: "the bucket or directory does not exist; create it, or call setup(create_bucket=True)",
    AuthenticationError: "no valid credentials; check auth= or the environment",
    PermissionDeniedError: "not allowed; check the permissions of these credentials",
    StorageTimeoutError: "no answer in time, after the retries",
    UnavailableError: "the service cannot be reached or refuses for now, after the retries",
    IntegrityError: "the bytes do not match their checksum or length",
    SigningError: "these credentials cannot sign",
    UnsupportedOperationError: "this backend cannot do that",
    ConfigurationError: "this configuration cannot work",
}
# A URL in an SDK's message may be signed: its query is a credential.
_QUERY = re.compile(r"\?[^\s'\"<>)]+")
_PASSWORD = re.compile(r"(?<=://)[^\s/?#@'\"]+(?=@)")
_MAX_DETAIL = 300


def is_absent(exc: StorageError, backend: Backend) -> bool:
    """Whether a failed delete leaves no blob: there was none, or none is left and only who deleted it is unknown."""
    cause = exc.__cause__
    return isinstance(exc, NotFoundError) or (
        cause is not None and issubclass(kind_of(cause, backend) or Exception, NotFoundError)
    )


def translate(exc: Exception, backend: Backend, subject: object) -> Exception:
    """The exception to raise for one that ``backend`` raised: ``exc`` itself, or one of this library about ``subject``.

    May ask the backend whether its bucket is there.
    """
    kind = kind_of(exc, backend)
    if kind is None:
        _note(exc, backend)
        return exc
    if kind is BlobOrBucketMissing:
        kind = _which_is_missing(backend)
    words = backend.explain(exc) or _WORDS.get(kind, kind.__name__)
    if isinstance(exc, StorageError) and kind is type(exc):
        if not exc.message:
            exc.message = f"{subject}: {words}"
            exc.args = (exc.message,)
        return exc
    return kind(f"{subject}: {words}{_detail(exc)}")


def _note(exc: Exception, backend: Backend) -> None:
    """Tells the author of a backend why this exception comes bare."""
    add = getattr(exc, "add_note", None)  # from Python 3.11 on
    if add is not None and not getattr(exc, "__notes__", None):
        name = type(backend).__name__
        add(f"storage: {name}.classify() gave None for this exception: it is a bug, or classify lacks its class")


def _which_is_missing(backend: Backend) -> type[StorageError]:
    try:
        return NotFoundError if backend.bucket_exists() else BucketNotFoundError
    except Exception as exc:
        kind = kind_of(exc, backend)
        if kind is None or issubclass(kind, PermissionDeniedError):
            return NotFoundError
        return kind


def _detail(exc: Exception) -> str:
    """The native exception in brackets, without the query and the user of any URL in it."""
    text = _PASSWORD.sub("…", _QUERY.sub("?…", " ".join(str(exc).split())))
    if len(text) > _MAX_DETAIL:
        text = text[:_MAX_DETAIL] + "…"
    return f" ({type(exc).__name__}: {text})" if text else f" ({type(exc).__name__})"
