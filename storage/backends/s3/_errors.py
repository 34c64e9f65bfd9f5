"""What an exception of boto3, botocore or urllib3 is. Pure tables."""

from __future__ import annotations

from typing import Any

from botocore import exceptions as b
from botocore.exceptions import ClientError
from urllib3 import exceptions as u

from storage.backends._protocol import BlobOrBucketMissing
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

__all__ = ["CODES", "classify", "code_of", "is_transient", "status_of", "was_sent"]

# Every error code that the requests of this driver can get, at AWS or at a server that speaks its protocol.
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
        "PermanentRedirect TemporaryRedirect Redirect 301 302 307 IllegalLocationConstraintException InvalidBucketName "
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
_TRANSIENT = frozenset(
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

# In order: a class before the classes it is derived from.
_BOTO: tuple[tuple[tuple[type[BaseException], ...], type[StorageError]], ...] = (
    ((b.ReadTimeoutError, b.ConnectTimeoutError), StorageTimeoutError),
    ((b.FlexibleChecksumError, b.ChecksumError), IntegrityError),
    (
        (
            b.NoCredentialsError,
            b.PartialCredentialsError,
            b.CredentialRetrievalError,
            b.NoAuthTokenError,
            b.TokenRetrievalError,
            b.SSOError,
            b.RefreshWithMFAUnsupportedError,
            b.InfiniteLoopConfigError,
        ),
        AuthenticationError,
    ),
    ((b.InvalidProxiesConfigError,), ConfigurationError),
    ((b.HTTPClientError, b.ConnectionError, b.IncompleteReadError, b.MetadataRetrievalError), UnavailableError),
    (
        (
            b.ProfileNotFound,
            b.ConfigParseError,
            b.ConfigNotFound,
            b.NoRegionError,
            b.InvalidRegionError,
            b.InvalidConfigError,
            b.InvalidS3AddressingStyleError,
            b.UnsupportedS3ConfigurationError,
            b.UnsupportedS3AccesspointConfigurationError,
            b.UnknownEndpointError,
            b.EndpointProviderError,
            b.InvalidIMDSEndpointError,
            b.InvalidIMDSEndpointModeError,
            b.InvalidDefaultsMode,
            b.InvalidMaxRetryAttemptsError,
            b.InvalidRetryModeError,
            b.InvalidEndpointDiscoveryConfigurationError,
            # Of what this driver passes, only a bucket's name comes from outside and can be malformed.
            b.ParamValidationError,
        ),
        ConfigurationError,
    ),
    ((b.MissingDependencyException,), ConfigurationError),
)
_URLLIB3: tuple[tuple[tuple[type[BaseException], ...], type[StorageError]], ...] = (
    ((u.TimeoutError,), StorageTimeoutError),
    ((u.LocationValueError,), ConfigurationError),
    ((u.HTTPError,), UnavailableError),
)


def classify(exc: BaseException) -> type[StorageError] | None:
    """What ``exc`` is; ``None``: nothing that this driver's SDK raises."""
    if isinstance(exc, StorageError):
        return type(exc)
    if isinstance(exc, ClientError):
        return _of_answer(exc)
    if _is_garbled(exc):
        return UnavailableError
    for classes, kind in (*_BOTO, *_URLLIB3):
        if isinstance(exc, classes):
            return kind
    if isinstance(exc, b.BotoCoreError):
        return StorageError
    return None


def _of_answer(exc: ClientError) -> type[StorageError]:
    code, status = code_of(exc), status_of(exc)
    # The answers of STS and SSO, which credentials came from, say nothing about the bucket.
    if exc.operation_name in (
        "AssumeRole",
        "AssumeRoleWithWebIdentity",
        "AssumeRoleWithSAML",
        "GetRoleCredentials",
    ) and (status is None or status < 500):
        return AuthenticationError
    kind = CODES.get(code)
    if kind is not None:
        return kind
    if code.startswith("KMS."):
        return ConfigurationError
    kind = CODES.get(str(status))
    if kind is not None:
        return kind
    if status is not None and status >= 500:
        return UnavailableError
    return StorageError


def _is_garbled(exc: BaseException) -> bool:
    """Whether an answer came that is none: something between was in the way."""
    from botocore.parsers import ResponseParserError

    return isinstance(exc, ResponseParserError)


def code_of(exc: BaseException) -> str:
    """The error code of an answer; ``""`` where there was none."""
    return str(exc.response.get("Error", {}).get("Code", "")) if isinstance(exc, ClientError) else ""


def status_of(exc: BaseException) -> int | None:
    """The HTTP status of the answer; ``None`` where there was none."""
    if not isinstance(exc, ClientError):
        return None
    metadata: dict[str, Any] = exc.response.get("ResponseMetadata", {})  # type: ignore[assignment]
    return metadata.get("HTTPStatusCode")


def is_transient(exc: BaseException) -> bool | None:
    """Whether another try may mend it whatever the status (``True``), cannot (``False``), or the status decides (``None``)."""
    if isinstance(exc, ClientError):
        return True if code_of(exc) in _TRANSIENT else None
    if isinstance(exc, b.SSLError):
        # A certificate that is not trusted will not be at the next try either.
        return None if "CERTIFICATE_VERIFY_FAILED" not in str(exc) else False
    kind = classify(exc)
    return None if kind is not None and issubclass(kind, (UnavailableError, IntegrityError)) else False


def was_sent(exc: BaseException) -> bool:
    """Whether a request that failed so may have reached the server."""
    return not isinstance(exc, (b.EndpointConnectionError, b.ConnectTimeoutError, b.ProxyConnectionError, b.SSLError))
