"""Maps the exceptions of this driver, botocore and the transport to this library's classes, and says which to retry. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storage._backend import BlobOrBucketMissing
from storage.backends._http import CertificateError, ConnectTimeoutError, ReadTimeoutError, TransportError
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

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# Every error code that the drivers' requests can get, and statuses, for answers without one.
_BY_CLASS: dict[type[StorageError], str] = {
    NotFoundError: "NoSuchKey NoSuchVersion",
    BucketNotFoundError: "NoSuchBucket",
    # A HEAD has no body, so its code is only the status; a bare 404 may be either.
    BlobOrBucketMissing: "404 NotFound",
    PreconditionFailedError: "PreconditionFailed 412 InvalidRange 416",
    AuthenticationError: (
        "InvalidAccessKeyId SignatureDoesNotMatch ExpiredToken ExpiredTokenException InvalidToken TokenRefreshRequired "
        "InvalidClientTokenId UnrecognizedClientException InvalidSecurity MissingSecurityHeader CredentialsNotSupported "
        "RequestExpired RequestTimeTooSkewed MissingAuthenticationToken AuthorizationHeaderMalformed "
        "AuthorizationQueryParametersError NotSignedUp UnauthorizedAccess 401"
    ),
    PermissionDeniedError: (
        "AccessDenied AccessDeniedException AccountProblem AllAccessDisabled BucketAlreadyExists InvalidPayer Forbidden "
        "KMS.AccessDeniedException 403"
    ),
    ConfigurationError: (
        "PermanentRedirect TemporaryRedirect Redirect 301 302 303 307 308 IllegalLocationConstraintException InvalidBucketName "
        "InvalidLocationConstraint InvalidRegionName InvalidEncryptionAlgorithmError NoSuchHost IncorrectEndpoint "
        "KMS.NotFoundException KMS.DisabledException KMS.InvalidStateException KMS.KMSInvalidStateException "
        "KMS.InvalidKeyUsageException ServerSideEncryptionConfigurationNotFoundError"
    ),
    InvalidKeyError: "KeyTooLongError XMinioInvalidObjectName InvalidURI",
    IntegrityError: (
        "BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch IncompleteBody InvalidPart "
        "InvalidPartOrder"
    ),
    UnsupportedOperationError: (
        "NotImplemented MethodNotAllowed 405 501 InvalidObjectState OperationNotPageable EntityTooLarge EntityTooSmall "
        "MetadataTooLarge RequestHeaderSectionTooLarge MaxMessageLengthExceeded InvalidStorageClass InvalidArgument "
        "InvalidRequest InvalidBucketState InvalidTag MalformedXML MalformedPOSTRequest MissingContentLength "
        "MissingRequestBodyError MissingRequestBody NoSuchLifecycleConfiguration NoSuchCORSConfiguration "
        "ObjectLockConfigurationNotFoundError ReplicationConfigurationNotFoundError ObjectAlreadyInActiveTierError "
        "BadRequest 400 411 413 414 431"
    ),
    StorageTimeoutError: "RequestTimeout RequestTimeoutException 408 504 GatewayTimeout",
    UnavailableError: (
        "InternalError InternalFailure InternalServerError ServiceUnavailable ServiceFailure ServerBusy Busy SlowDown "
        "SlowDownRead SlowDownWrite Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException "
        "RequestLimitExceeded TooManyRequests TooManyRequestsException BandwidthLimitExceeded LimitExceededException "
        "OperationAborted ConditionalRequestConflict 409 NoSuchUpload PriorRequestNotComplete TooManyParts "
        "KMS.ThrottlingException XMinioStorageFull InsufficientStorage ClientDisconnected "
        "429 500 502 503 507"
    ),
}
CODES: dict[str, type[StorageError]] = {code: kind for kind, codes in _BY_CLASS.items() for code in codes.split()}

# Answers that mean "later" although their status does not.
TRANSIENT = frozenset(
    (
        "RequestTimeout",
        "RequestTimeoutException",
        "ConditionalRequestConflict",
        "OperationAborted",
        "BadDigest",
        "XAmzContentSHA256Mismatch",
        "XAmzContentChecksumMismatch",
        "IncompleteBody",
        "Throttling",
        "ThrottlingException",
        "RequestThrottled",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "ClientDisconnected",
    )
)


def kind_of(code: str, status: int | None) -> type[StorageError] | None:
    """The class for an error code (``""``: none) and an HTTP status; ``None``: neither is known."""
    kind = CODES.get(code)
    if kind is None and code.startswith("KMS."):
        return ConfigurationError
    if kind is None and status is not None:
        kind = CODES.get(str(status), UnavailableError if status >= 500 else None)
    return kind


def classify(exc: BaseException) -> type[StorageError] | None:
    """The class for ``exc``; ``None``: it is not raised by this driver, its SDK or its transport."""
    if isinstance(exc, StorageError):
        return type(exc)
    if isinstance(exc, TransportError):
        return StorageTimeoutError if isinstance(exc, (ReadTimeoutError, ConnectTimeoutError)) else UnavailableError
    if isinstance(exc, UnicodeEncodeError):
        return InvalidKeyError  # with keys=raw: a lone surrogate that stands for no byte
    from botocore.exceptions import ClientError  # 15 ms, which programs that meet no error never need

    if isinstance(exc, ClientError):
        return _of_answer(exc)
    from storage.backends.s3 import _sdk_errors  # which the SDK has loaded, if the exception is one of its own

    return _sdk_errors.classify(exc)


def _of_answer(exc: ClientError) -> type[StorageError]:
    status = status_of(exc)
    # The answers of STS and SSO, which credentials came from, say nothing about the bucket.
    if exc.operation_name in (
        "AssumeRole",
        "AssumeRoleWithWebIdentity",
        "AssumeRoleWithSAML",
        "GetRoleCredentials",
    ) and (status is None or status < 500):
        return AuthenticationError
    return kind_of(code_of(exc), status) or StorageError


def response_of(exc: BaseException) -> Mapping[str, Any]:
    """The ``response`` of a ``ClientError``; empty for every other exception."""
    response = getattr(exc, "response", None)
    return response if isinstance(response, dict) else {}


def code_of(exc: BaseException) -> str:
    """The error code of an answer; ``""`` where there was none."""
    return str(response_of(exc).get("Error", {}).get("Code", ""))


def status_of(exc: BaseException) -> int | None:
    """The HTTP status of the answer; ``None`` where there was none."""
    status = response_of(exc).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def is_transient(exc: BaseException) -> bool | None:
    """Whether another try may mend it whatever the status (``True``), cannot (``False``), or the status decides (``None``)."""
    if status_of(exc) is not None:
        return True if code_of(exc) in TRANSIENT else None
    # A certificate that is not trusted will not be at the next try either.
    if isinstance(exc, CertificateError) or "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return False
    kind = classify(exc)
    return None if kind is not None and issubclass(kind, (UnavailableError, IntegrityError)) else False


def was_sent(exc: BaseException) -> bool:
    """Whether a request that failed so may have reached the server."""
    if isinstance(exc, TransportError):
        return exc.sent
    if isinstance(exc, StorageError) or response_of(exc):
        return True
    from storage.backends.s3 import _sdk_errors

    return _sdk_errors.was_sent(exc)
