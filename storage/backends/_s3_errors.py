"""What an answer of S3, or of a server that speaks its protocol, means: the same to every driver. Pure tables."""

from __future__ import annotations

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

__all__ = ["CODES", "TRANSIENT", "kind_of"]

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
    """What an answer with this error code (``""``: none) and HTTP status is; ``None``: neither tells."""
    kind = CODES.get(code)
    if kind is None and code.startswith("KMS."):
        return ConfigurationError
    if kind is None and status is not None:
        kind = CODES.get(str(status), UnavailableError if status >= 500 else None)
    return kind
