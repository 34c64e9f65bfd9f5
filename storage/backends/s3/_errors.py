"""What an exception of boto3, botocore or urllib3 is. Pure."""

from __future__ import annotations

from typing import Any

from botocore import exceptions as b
from botocore.exceptions import ClientError
from urllib3 import exceptions as u

from storage.backends._s3_errors import TRANSIENT, kind_of
from storage.exceptions import (
    AuthenticationError,
    ConfigurationError,
    IntegrityError,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
)

__all__ = ["classify", "code_of", "is_transient", "status_of", "was_sent"]

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
        return True if code_of(exc) in TRANSIENT else None
    if isinstance(exc, b.SSLError):
        # A certificate that is not trusted will not be at the next try either.
        return None if "CERTIFICATE_VERIFY_FAILED" not in str(exc) else False
    kind = classify(exc)
    return None if kind is not None and issubclass(kind, (UnavailableError, IntegrityError)) else False


def was_sent(exc: BaseException) -> bool:
    """Whether a request that failed so may have reached the server."""
    return not isinstance(exc, (b.EndpointConnectionError, b.ConnectTimeoutError, b.ProxyConnectionError, b.SSLError))
