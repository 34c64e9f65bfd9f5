"""What an exception of google-cloud-storage, google-auth, requests or urllib3 is, and whether another try may mend it. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import requests.exceptions as http
import urllib3.exceptions as wire
from google.api_core.exceptions import GoogleAPICallError, from_http_status
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from storage._backend import BlobOrBucketMissing
from storage.exceptions import (
    AuthenticationError,
    BucketNotFoundError,
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
    UnsupportedOperationError,
)

__all__ = ["NATIVE", "Verdict", "classify", "failure", "status_of", "verdict"]

NATIVE: Final = (GoogleAPICallError, http.RequestException, wire.HTTPError, auth.GoogleAuthError)
"""What a request, or the reading of its answer, raises when it fails."""

_BY_STATUS: Final[dict[int, type[StorageError]]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: BlobOrBucketMissing,
    405: UnsupportedOperationError,
    408: StorageTimeoutError,
    409: UnavailableError,  # two operations on one bucket or object at once
    410: UnavailableError,  # an upload session that is gone
    412: PreconditionFailedError,
    423: PermissionDeniedError,  # a hold or a lock on the object
    429: UnavailableError,
    499: UnavailableError,  # the service saw the connection end
    501: UnsupportedOperationError,
    504: StorageTimeoutError,
}

# Reasons (JSON API) and codes (XML API) that say more than the status does.
_BY_REASON: Final[dict[str, type[StorageError]]] = {
    "ratelimitexceeded": UnavailableError,
    "userratelimitexceeded": UnavailableError,
    "quotaexceeded": UnavailableError,
    "dailylimitexceeded": UnavailableError,
    "resourcecountexceeded": UnavailableError,
    "slowdown": UnavailableError,
    "backenderror": UnavailableError,
    "internalerror": UnavailableError,
    "autherror": AuthenticationError,
    "expiredtoken": AuthenticationError,
    "invalidcredentials": AuthenticationError,
    "nosuchbucket": BucketNotFoundError,
    "nosuchkey": NotFoundError,
    "nosuchupload": UnavailableError,
    "baddigest": IntegrityError,
    "invaliddigest": IntegrityError,
    "incompletebody": IntegrityError,
    "keytoolong": InvalidKeyError,
    "userprojectmissing": ConfigurationError,
    "userprojectrequired": ConfigurationError,
    "notimplemented": UnsupportedOperationError,
}
_LATER: Final = frozenset(reason for reason, kind in _BY_REASON.items() if kind is UnavailableError) - {"nosuchupload"}

_BY_EXCEPTION: Final[tuple[tuple[type[BaseException], type[StorageError]], ...]] = (
    (DataCorruption, IntegrityError),
    # requests: a timeout while connecting is both a Timeout and a ConnectionError.
    (http.Timeout, StorageTimeoutError),
    (http.InvalidURL, ConfigurationError),
    (http.MissingSchema, ConfigurationError),
    (http.InvalidSchema, ConfigurationError),
    (http.InvalidProxyURL, ConfigurationError),
    (http.RequestException, UnavailableError),
    (wire.TimeoutError, StorageTimeoutError),
    (wire.HTTPError, UnavailableError),
    (auth.MutualTLSChannelError, ConfigurationError),
    (auth.TransportError, UnavailableError),
    (auth.GoogleAuthError, AuthenticationError),
    # Something in between answered with what is no JSON.
    (json.JSONDecodeError, UnavailableError),
)

_XML_CODE = re.compile(r"<Code>([^<]*)</Code>")
_XML_MESSAGE = re.compile(r"<(?:Message|Details)>([^<]*)</(?:Message|Details)>")
_MOST_TEXT = 500


def failure(response: Any, method: str, url: str) -> GoogleAPICallError:
    """The SDK's exception for an answer, with a message that holds no query (an upload session or a signature is a secret)."""
    text = response.text
    reasons: list[dict[str, Any]] = []
    try:
        error = json.loads(text)["error"]
        message, reasons = str(error["message"]), list(error.get("errors") or ())
    except (ValueError, KeyError, TypeError):
        codes, messages = _XML_CODE.findall(text), _XML_MESSAGE.findall(text)
        reasons = [{"reason": code} for code in codes]
        message = " ".join(codes + messages) or text.strip() or str(response.reason)
    make = cast("Any", from_http_status)  # without types
    exc: GoogleAPICallError = make(
        response.status_code,
        f"{method} {urlsplit(url).path}: {message[:_MOST_TEXT]}",
        errors=reasons,
        response=response,
    )
    return exc


def status_of(exc: BaseException) -> int | None:
    """The HTTP status of the answer that ``exc`` tells of; ``None``: there was none."""
    return int(exc.code) if isinstance(exc, GoogleAPICallError) and exc.code is not None else None


def classify(exc: BaseException) -> type[StorageError] | None:
    """What ``exc`` is; ``None``: nothing of this driver's."""
    if isinstance(exc, StorageError):
        return type(exc)
    if isinstance(exc, GoogleAPICallError):
        return _of_answer(exc)
    if isinstance(exc, InvalidResponse):
        return _of_status(int(getattr(exc.response, "status_code", 500)))
    if isinstance(exc, auth.RefreshError) and exc.retryable:
        return UnavailableError
    if isinstance(exc, (http.ConnectionError, auth.TransportError)) and _timed_out(exc):
        return StorageTimeoutError
    return next((kind for native, kind in _BY_EXCEPTION if isinstance(exc, native)), None)


def _of_answer(exc: GoogleAPICallError) -> type[StorageError]:
    for reason in _reasons(exc):
        if reason in _BY_REASON:
            return _BY_REASON[reason]
    status = status_of(exc) or 500
    message = str(exc.message)
    if status == 404:
        if "bucket does not exist" in message:
            return BucketNotFoundError
        if "No such object" in message:
            return NotFoundError
    if status == 400:
        if re.search(r"(?i)crc32c|md5|hash", message):
            return IntegrityError
        if re.search(r"(?i)object name|object length", message):
            return InvalidKeyError
    return _of_status(status)


def _of_status(status: int) -> type[StorageError]:
    if status >= 500:
        return _BY_STATUS.get(status, UnavailableError)
    # What is left is a request that this bucket or account does not take as it is configured.
    return _BY_STATUS.get(status, ConfigurationError)


def _reasons(exc: GoogleAPICallError) -> list[str]:
    return [str(item.get("reason", "")).lower() for item in exc.errors if isinstance(item, dict)]


def _causes(exc: BaseException) -> list[BaseException]:
    """``exc`` and what it wraps: requests and google-auth keep the inner exception as an argument."""
    found: list[BaseException] = []
    pending: list[object] = [exc]
    while pending and len(found) < 10:
        inner = pending.pop()
        if isinstance(inner, BaseException) and inner not in found:
            found.append(inner)
            pending += [*inner.args, getattr(inner, "reason", None), inner.__cause__]
    return found


def _timed_out(exc: BaseException) -> bool:
    # A body that could not be sent in time comes as a ConnectionError around a TimeoutError. To urllib3 a refused
    # connection is a timeout as well.
    causes = [inner for inner in _causes(exc) if not isinstance(inner, wire.NewConnectionError)]
    return any(isinstance(inner, (wire.TimeoutError, http.Timeout, TimeoutError)) for inner in causes)


class Verdict(NamedTuple):
    """What :class:`storage._retry.Attempts` wants to know of an exception."""

    status: int | None
    retryable: bool | None  # None: the statuses decide
    sent: bool  # False: the request cannot have been carried out
    wait: float | None  # seconds that the server asked for


def verdict(exc: BaseException) -> Verdict:
    """Whether another try may mend ``exc``, one of :data:`NATIVE`."""
    if isinstance(exc, GoogleAPICallError):
        later = True if any(reason in _LATER for reason in _reasons(exc)) and status_of(exc) == 403 else None
        return Verdict(status_of(exc), later, sent=True, wait=_retry_after(exc))
    if isinstance(exc, auth.RefreshError):
        return Verdict(None, bool(exc.retryable), sent=False, wait=None)
    if isinstance(exc, auth.GoogleAuthError):
        later = isinstance(exc, auth.TransportError) and not isinstance(exc, auth.MutualTLSChannelError)
        return Verdict(None, later, sent=False, wait=None)
    # A requests exception that is a ValueError tells of a URL, a header or a body that cannot be.
    if isinstance(exc, ValueError) or "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return Verdict(None, retryable=False, sent=False, wait=None)
    unsent = any(isinstance(inner, (wire.NewConnectionError, wire.ConnectTimeoutError)) for inner in _causes(exc))
    return Verdict(None, None, sent=not unsent, wait=None)


def _retry_after(exc: GoogleAPICallError) -> float | None:
    headers = getattr(exc.response, "headers", None) or {}
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:  # absent, or a date, which Google does not send
        return None
