"""Maps the exceptions of botocore and urllib3 to this library's classes. Pure. Imported after one was raised: it takes 60 ms."""

from __future__ import annotations

from botocore import exceptions as b
from botocore.parsers import ResponseParserError
from urllib3 import exceptions as u

from storage.exceptions import (
    AuthenticationError,
    ConfigurationError,
    IntegrityError,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
)

# Where botocore reads an answer: it raises a bare ValueError, say, for a malformed date.
_READERS = ("botocore.parsers", "botocore.handlers")
# Where it reads credentials: a token's file may not be there, or the program that prints them.
_SOURCES = ("botocore.credentials", "botocore.tokens")
# In order: a class before the classes it is derived from.
_KINDS: tuple[tuple[tuple[type[BaseException], ...], type[StorageError]], ...] = (
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
    # A malformed answer came, from a proxy or gateway perhaps.
    ((ResponseParserError,), UnavailableError),
    ((b.HTTPClientError, b.ConnectionError, b.IncompleteReadError, b.MetadataRetrievalError), UnavailableError),
    (
        (
            b.ProfileNotFound,
            b.ConfigParseError,
            b.ConfigNotFound,
            b.NoRegionError,
            b.InvalidRegionError,
            b.InvalidConfigError,
            b.InvalidChecksumConfigError,
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
    ((b.BotoCoreError,), StorageError),
    ((u.TimeoutError,), StorageTimeoutError),
    ((u.LocationValueError,), ConfigurationError),
    ((u.HTTPError,), UnavailableError),
)


def classify(exc: BaseException) -> type[StorageError] | None:
    """The class for ``exc``; ``None``: botocore does not raise it. Not for ``ClientError``."""
    if isinstance(exc, RuntimeError) and "refreshed credentials" in str(exc):
        return AuthenticationError  # those that are still expired have no class of their own
    if isinstance(exc, ValueError) and str(exc).startswith("Invalid endpoint"):
        return ConfigurationError  # nor has this
    if isinstance(exc, OSError) and exc.filename is not None and _comes_from(exc, _SOURCES):
        return AuthenticationError
    kind = next((kind for classes, kind in _KINDS if isinstance(exc, classes)), None)
    return UnavailableError if kind is None and _comes_from(exc, _READERS) else kind


def _comes_from(exc: BaseException, modules: tuple[str, ...]) -> bool:
    frame = exc.__traceback__
    while frame is not None:
        if frame.tb_frame.f_globals.get("__name__") in modules:
            return True
        frame = frame.tb_next
    return False


def was_sent(exc: BaseException) -> bool:
    """Whether a request that failed so may have reached the server."""
    return not isinstance(exc, (b.EndpointConnectionError, b.ConnectTimeoutError, b.ProxyConnectionError, b.SSLError))
