"""Maps the exceptions of the transport, google-auth, requests and urllib3 to our classes, and says which to retry. Pure.

An error answer of the service becomes the exception of ``google.api_core`` that google-cloud-storage would raise. These
packages take long to import, so each is imported only when one of its exceptions is needed. An absent blob is common and no
failure: it is this module's own ``MissingError``, which needs no import.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from storage._backend import BlobOrBucketMissing
from storage.backends._http import Answer, CertificateError, ConnectTimeoutError, ReadTimeoutError, TransportError
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

_API: Final = "google.api_core.exceptions"
_AUTH: Final = "google.auth.exceptions"
_SDK: Final = "google.cloud.storage.exceptions"
_HTTP: Final = "requests.exceptions"
_WIRE: Final = "urllib3.exceptions"

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
_REASONS: Final[dict[type[StorageError], str]] = {
    UnavailableError: "ratelimitexceeded userratelimitexceeded quotaexceeded dailylimitexceeded resourcecountexceeded slowdown "
    "backenderror internalerror nosuchupload",
    AuthenticationError: "autherror expiredtoken invalidcredentials",
    BucketNotFoundError: "nosuchbucket",
    NotFoundError: "nosuchkey",
    IntegrityError: "baddigest invaliddigest incompletebody",
    InvalidKeyError: "keytoolong",
    ConfigurationError: "userprojectmissing userprojectrequired",
    UnsupportedOperationError: "notimplemented",
}
_BY_REASON: Final = {reason: kind for kind, reasons in _REASONS.items() for reason in reasons.split()}
_LATER: Final = frozenset(_REASONS[UnavailableError].split()) - {"nosuchupload"}

# The first that fits counts.
_BY_EXCEPTION: Final[tuple[tuple[str, str, type[StorageError]], ...]] = (
    (_SDK, "DataCorruption", IntegrityError),
    # requests: a timeout while connecting is both a Timeout and a ConnectionError.
    (_HTTP, "Timeout", StorageTimeoutError),
    (_HTTP, "InvalidURL", ConfigurationError),
    (_HTTP, "MissingSchema", ConfigurationError),
    (_HTTP, "InvalidSchema", ConfigurationError),
    (_HTTP, "InvalidProxyURL", ConfigurationError),
    (_HTTP, "RequestException", UnavailableError),
    (_WIRE, "TimeoutError", StorageTimeoutError),
    (_WIRE, "HTTPError", UnavailableError),
    (_AUTH, "MutualTLSChannelError", ConfigurationError),
    (_AUTH, "TransportError", UnavailableError),
    (_AUTH, "GoogleAuthError", AuthenticationError),
)

_XML_CODE = re.compile(r"<Code>([^<]*)</Code>")
_XML_MESSAGE = re.compile(r"<(?:Message|Details)>([^<]*)</(?:Message|Details)>")
_MOST_TEXT = 500
# How a 404 begins that is neither JSON nor XML: the service's own for a download, and that of emulators.
_MISSING: Final = ("No such object", "The specified bucket", "Not Found")


class MissingError(Exception):
    """A 404, with the service's words and its reasons or codes, in lower case."""

    def __init__(self, message: str, reasons: list[str]) -> None:
        super().__init__(message)
        self.reasons = reasons


def native() -> tuple[type[BaseException], ...]:
    """The classes of what a request, or the reading of its answer, raises when it fails; to be caught."""
    found: list[type[BaseException]] = [TransportError, UnavailableError, MissingError]
    for module, name in (
        (_API, "GoogleAPICallError"),
        (_HTTP, "RequestException"),
        (_WIRE, "HTTPError"),
        (_AUTH, "GoogleAuthError"),
    ):
        kind = _class(module, name)
        if kind is not None:
            found.append(kind)
    return tuple(found)


def _class(module: str, name: str) -> type[BaseException] | None:
    """``None``: its module has not been imported (or not yet wholly), so no object is of that class."""
    return getattr(sys.modules.get(module), name, None)


def _is(exc: object, module: str, name: str) -> bool:
    kind = _class(module, name)
    return kind is not None and isinstance(exc, kind)


def failure(answer: Answer, method: str, target: str) -> Exception:
    """The exception for an answer, with a message that holds no query (an upload session or a signature is a secret)."""
    text = answer.body.decode("utf-8", "replace")
    reasons: list[Any] = []
    known = text.startswith(_MISSING)
    try:
        error = json.loads(text)["error"]
        message, reasons, known = str(error["message"]), list(error.get("errors") or ()), True
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        codes, messages = _XML_CODE.findall(text), _XML_MESSAGE.findall(text)
        reasons, known = [{"reason": code} for code in codes], known or bool(codes)
        message = " ".join(codes + messages) or text.strip() or "no words"
    message = f"{method} {urlsplit(target).path}: {message[:_MOST_TEXT]}"
    if answer.status == 404:
        # A session that has ended may be answered without a body.
        if known or method == "PUT":
            return MissingError(message, _reasons(reasons))
        return UnavailableError(f"the answer is not Cloud Storage's: {message}; check proxies and gateways on the way")
    from google.api_core.exceptions import from_http_status  # 70 ms

    make: Any = from_http_status  # without types
    exc: Exception = make(answer.status, message, errors=reasons, response=answer)
    return exc


def status_of(exc: BaseException) -> int | None:
    """The HTTP status of the answer that ``exc`` tells of; ``None``: there was none."""
    if isinstance(exc, MissingError):
        return 404
    code = exc.code if _is(exc, _API, "GoogleAPICallError") else None  # type: ignore[attr-defined]
    return None if code is None else int(code)


def classify(exc: BaseException) -> type[StorageError] | None:  # noqa: PLR0911 (one for each library)
    """The class for ``exc``; ``None``: it is not this driver's."""
    if isinstance(exc, StorageError):
        return type(exc)
    if isinstance(exc, TransportError):
        return StorageTimeoutError if isinstance(exc, (ConnectTimeoutError, ReadTimeoutError)) else UnavailableError
    if isinstance(exc, MissingError):
        return _of_answer(404, str(exc), exc.reasons)
    if _is(exc, _API, "GoogleAPICallError"):
        told: Any = exc
        return _of_answer(status_of(exc) or 500, str(told.message), _reasons(told.errors))
    if _is(exc, _SDK, "InvalidResponse"):
        return _of_status(int(getattr(exc.response, "status_code", 500)))  # type: ignore[attr-defined]
    if _is(exc, _AUTH, "RefreshError") and exc.retryable:  # type: ignore[attr-defined]
        return UnavailableError
    if (_is(exc, _HTTP, "ConnectionError") or _is(exc, _AUTH, "TransportError")) and _timed_out(exc):
        return StorageTimeoutError
    return next((kind for module, name, kind in _BY_EXCEPTION if _is(exc, module, name)), None)


def _of_answer(status: int, message: str, reasons: list[str]) -> type[StorageError]:
    for reason in reasons:
        if reason in _BY_REASON:
            return _BY_REASON[reason]
    if status == 404:
        # What names a blob may hold any words.
        if "No such object" in message:
            return NotFoundError
        if "bucket does not exist" in message:
            return BucketNotFoundError
    if status == 400:
        if re.search(r"(?i)object name|object length", message):
            return InvalidKeyError
        if re.search(r"(?i)crc32c|md5|hash", message):
            return IntegrityError
    return _of_status(status)


def _of_status(status: int) -> type[StorageError]:
    # The service never redirects: a proxy on the way does, to its login page. Any other 4xx is a request that this bucket or
    # account, as it is configured, does not take.
    return _BY_STATUS.get(status, UnavailableError if status >= 500 or status < 400 else ConfigurationError)


def _reasons(errors: Iterable[Any]) -> list[str]:
    return [str(item.get("reason", "")).lower() for item in errors if isinstance(item, dict)]


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
    return any(
        isinstance(inner, (TimeoutError, ConnectTimeoutError, ReadTimeoutError))
        or _is(inner, _WIRE, "TimeoutError")
        or _is(inner, _HTTP, "Timeout")
        for inner in _causes(exc)
        if not _is(inner, _WIRE, "NewConnectionError")
    )


class Verdict(NamedTuple):
    """An exception as :meth:`storage._retry.Attempts.failed` needs it."""

    status: int | None = None
    retryable: bool | None = None  # None: the statuses decide
    sent: bool = True  # False: the request cannot have been carried out
    wait: float | None = None  # seconds that the server asked for


def verdict(exc: BaseException) -> Verdict:  # noqa: PLR0911 (one for each library)
    """Whether another try may mend ``exc``, one of :func:`native`."""
    if isinstance(exc, TransportError):
        return Verdict(retryable=False if isinstance(exc, CertificateError) else None, sent=exc.sent)
    if isinstance(exc, StorageError):
        return Verdict()  # an answer that is not the service's
    if isinstance(exc, MissingError):
        return Verdict(404)
    if _is(exc, _API, "GoogleAPICallError"):
        told: Any = exc
        status = status_of(exc) or 500
        later = status < 400 or (status == 403 and not _LATER.isdisjoint(_reasons(told.errors)))
        return Verdict(status, later or None, wait=_retry_after(exc))
    if _is(exc, _AUTH, "RefreshError"):
        return Verdict(retryable=bool(exc.retryable), sent=False)  # type: ignore[attr-defined]
    if _is(exc, _AUTH, "GoogleAuthError"):
        later = _is(exc, _AUTH, "TransportError") and not _is(exc, _AUTH, "MutualTLSChannelError")
        return Verdict(retryable=later, sent=False)
    # A requests exception that is a ValueError tells of a URL, a header or a body that cannot be.
    if isinstance(exc, ValueError) or "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return Verdict(retryable=False, sent=False)
    unconnected = ("NewConnectionError", "ConnectTimeoutError")
    return Verdict(sent=not any(_is(inner, _WIRE, name) for inner in _causes(exc) for name in unconnected))


def _retry_after(exc: Any) -> float | None:
    headers = getattr(exc.response, "headers", None) or {}
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:  # absent, or a date, which Google does not send
        return None
