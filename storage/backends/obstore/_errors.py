"""What went wrong, read from what obstore says: its exceptions carry nothing but a class and a text. Pure.

The text ends in a dump of the Rust value, one field a line. Only there is anything looked for: what stands before it quotes
the key, which may say what it likes; in the dump a key stands inside a quoted line of its own.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.etree.ElementTree import ParseError

from obstore import exceptions as o
from urllib3 import exceptions as u

from storage.backends._s3_errors import TRANSIENT, kind_of
from storage.exceptions import (
    AlreadyExistsError,
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
    UnsupportedOperationError,
)

__all__ = ["AnswerError", "Fault", "classify", "fault_of"]

_DUMP = "Debug source:\n"
_STATUS = re.compile(r"^\s+status: (\d{3}),$", re.MULTILINE)
_KIND = re.compile(r"HttpError \{\n\s+kind: (\w+),$", re.MULTILINE)
_REQUEST = re.compile(r"^\s+(?:source: )?RetryErrorImpl \{$", re.MULTILINE)
_REDIRECT = re.compile(r"^\s+inner: BareRedirect,$", re.MULTILINE)
_ONE_KEY = re.compile(r"^\s+source: DeleteFailed \{$", re.MULTILINE)
_BODY = re.compile(r'^\s+"(<.*)",$', re.MULTILINE)
_CODE_IN_BODY = re.compile(r"<Error>.*?<Code>([A-Za-z0-9.]+)</Code>")
_CODE_OF_KEY = re.compile(r'^\s+code: "([A-Za-z0-9.]+)",$', re.MULTILINE)

# Where there was an answer, its code and status say more than these.
_CLASSES: tuple[tuple[type[BaseException], type[StorageError]], ...] = (
    (o.NotModifiedError, PreconditionFailedError),
    (o.PermissionDeniedError, PermissionDeniedError),
    (o.UnauthenticatedError, AuthenticationError),
    (o.NotSupportedError, UnsupportedOperationError),
    (o.InvalidPathError, UnsupportedOperationError),
    (o.UnknownConfigurationKeyError, ConfigurationError),
    (o.JoinError, UnavailableError),
)
# A key of a batch has a code, and no status that would tell.
_LATER = TRANSIENT | {"SlowDown"}


class AnswerError(Exception):
    """An answer to one of the driver's own requests that is not what was asked for."""

    def __init__(self, status: int, code: str | None, text: str) -> None:
        super().__init__(f"{status} {code or ''}: {text}")
        self.status = status
        self.code = code


class Fault(NamedTuple):
    """What is known of a failure.

    Attributes:
        status: of the answer; ``None``: there was none.
        code: S3's error code, where the answer has one.
        kind: how the connection failed: ``Connect``, ``Timeout``, ``Interrupted`` …
        ours: whether it came from the Rust library or from a request of the driver's own at all.
        in_body: whether an answer's body broke off, rather than the request.
        of_one_key: whether one key of a batch failed, rather than the batch.
    """

    status: int | None = None
    code: str | None = None
    kind: str | None = None
    ours: bool = True
    in_body: bool = False
    of_one_key: bool = False

    @property
    def sent(self) -> bool:
        """Whether the request may have reached the server."""
        return self.kind not in ("Connect", "Request")

    @property
    def retryable(self) -> bool | None:
        """Whether another try may mend it; ``None``: by its status."""
        if self.code in _LATER or self.status == 409:
            return True
        return None if self.status is not None else self.kind is not None


def fault_of(exc: BaseException) -> Fault:
    """What is known of ``exc``."""
    if isinstance(exc, (o.BaseError, FileNotFoundError)):
        return _of_text(exc)
    if isinstance(exc, AnswerError):
        return Fault(exc.status, exc.code)
    if isinstance(exc, ParseError):
        return Fault(kind="Decode")
    if not isinstance(exc, u.HTTPError):
        return Fault(ours=False)
    if isinstance(exc, (u.NewConnectionError, u.ConnectTimeoutError)):
        return Fault(kind="Connect")
    return Fault(kind="Timeout" if isinstance(exc, u.TimeoutError) else "Interrupted")


def _of_text(exc: BaseException) -> Fault:
    _, marker, dump = str(exc).partition(_DUMP)
    if not marker:
        # Python's own FileNotFoundError has no such dump.
        return Fault(ours=isinstance(exc, o.BaseError))
    if _REDIRECT.search(dump):
        return Fault(301)  # or another 3xx: what AWS answers where the bucket is in another region
    status = _STATUS.search(dump)
    kind = _KIND.search(dump)
    body = _BODY.search(dump)
    code = _CODE_IN_BODY.search(body[1]) if body else _CODE_OF_KEY.search(dump)
    return Fault(
        int(status[1]) if status else None,
        code[1] if code else None,
        kind[1] if kind else None,
        in_body=status is None and kind is not None and _REQUEST.search(dump) is None,
        of_one_key=status is None and _ONE_KEY.search(dump) is not None,
    )


def classify(exc: BaseException) -> type[StorageError] | None:
    """What ``exc`` is; ``None``: nothing that this driver's libraries raise."""
    if isinstance(exc, StorageError):
        return type(exc)
    fault = fault_of(exc)
    if not fault.ours:
        return None
    return _of_condition(exc, fault) or kind_of(fault.code or "", fault.status) or _of_class(exc, fault)


def _of_condition(exc: BaseException, fault: Fault) -> type[StorageError] | None:
    """A condition that did not hold: its class says which, the answer only that it was one."""
    if isinstance(exc, o.AlreadyExistsError) and fault.status in (None, 412):
        return AlreadyExistsError
    # AWS answers If-Match on an absent key with 404.
    if isinstance(exc, o.PreconditionError) and fault.code != "NoSuchBucket":
        return PreconditionFailedError
    return None


def _of_class(exc: BaseException, fault: Fault) -> type[StorageError]:
    if isinstance(exc, u.LocationValueError):
        return ConfigurationError
    if fault.kind is not None:
        return StorageTimeoutError if fault.kind == "Timeout" or isinstance(exc, u.TimeoutError) else UnavailableError
    return next((kind for cls, kind in _CLASSES if isinstance(exc, cls)), StorageError)
