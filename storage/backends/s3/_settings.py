"""The settings of a store: the URL's parameters and the ``auth`` argument. Loads nothing of the SDK."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from storage._frozen import Frozen
from storage._metadata import CONTROL
from storage._retry import Timeout
from storage.exceptions import ConfigurationError

POOL_SIZE: Final = 64
"""Connections kept open: as many calls as pay off at once."""

_AUTH_NAMES: Final = ("access_key_id", "secret_access_key", "session_token")


class Settings(Frozen):
    """The settings of a bucket's connection. The ``repr`` shows no credentials.

    Attributes:
        bucket: its name.
        timeout: of each connection and of each answer.
        auth: ``None``, a ``boto3.Session``, a ``botocore`` credentials object, or a mapping (checked here).
        region: of the bucket; ``None``: as the SDK's configuration says.
        endpoint_url: of a server that is not AWS's.
        profile: of the SDK's configuration.
        addressing_style: ``path``, ``virtual`` or ``auto``.
        anonymous: nothing is signed.
        ca_bundle: a file of CA certificates.
        checksums: whether bytes are compared with the service's checksums, up and down.
    """

    bucket: str
    timeout: Timeout
    auth: Any = None
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    addressing_style: str | None = None
    anonymous: bool = False
    ca_bundle: str | None = None
    checksums: bool = True

    def __post_init__(self) -> None:
        if self.auth is not None:
            self._check_auth()

    def __repr__(self) -> str:
        shown = (name for name in self.__match_args__ if name != "auth" and getattr(self, name) is not None)
        return f"Settings({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def _check_auth(self) -> None:
        if self.anonymous:
            raise ConfigurationError(f"s3://{self.bucket}: anonymous=true and auth=… exclude each other")
        if self.profile is not None:
            raise ConfigurationError(
                f"s3://{self.bucket}: profile and auth=… exclude each other; a boto3.Session can name one"
            )
        if isinstance(self.auth, Mapping):
            _check_mapping(self.auth)
        elif not is_boto3_session(self.auth) and not any(
            _is_of("botocore.credentials", name, self.auth) for name in ("Credentials", "ReadOnlyCredentials")
        ):
            raise ConfigurationError(
                f"auth for s3:// must be None, a boto3.Session, a botocore credentials object, or a mapping with "
                f"{', '.join(_AUTH_NAMES)}; not {type(self.auth).__name__}"
            )


def given_keys(auth: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Access key, secret key and token of an ``auth`` that is a mapping."""
    return auth["access_key_id"], auth["secret_access_key"], auth.get("session_token")


def is_boto3_session(auth: object) -> bool:
    """Whether ``auth`` is a ``boto3.Session``."""
    return _is_of("boto3.session", "Session", auth)


def _is_of(module: str, name: str, value: object) -> bool:
    # Where somebody has an instance, the module has been loaded.
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def _check_mapping(auth: Mapping[str, Any]) -> None:
    unknown = sorted(str(name) for name in auth if name not in _AUTH_NAMES)
    if unknown:
        raise ConfigurationError(f"auth: unknown entry {unknown[0]!r}; allowed are {', '.join(_AUTH_NAMES)}")
    for name in _AUTH_NAMES[:2]:
        if not isinstance(auth.get(name), str) or not auth[name]:
            raise ConfigurationError(f"auth: {name!r} is missing or not a str")
    if not isinstance(auth.get("session_token"), (str, type(None))):
        raise ConfigurationError("auth: 'session_token' must be a str or None")
    for name, value in auth.items():
        _check_text(f"auth: {name!r}", value)


def check_found(credentials: Any) -> None:
    """Checks keys that botocore found, and that stay as they are. Fetches none."""
    if _is_of("botocore.credentials", "Credentials", credentials) and not _is_of(
        "botocore.credentials", "RefreshableCredentials", credentials
    ):
        found = (credentials.access_key, credentials.secret_key, credentials.token)
        for name, value in zip(_AUTH_NAMES, found, strict=True):
            _check_text(f"the SDK's configuration: the {name.replace('_', ' ')}", value)


def is_key(text: str | None) -> bool:
    """Whether credentials may have this text in them (``None``: nothing)."""
    return text is None or (text == text.strip() and not CONTROL.search(text))


def _check_text(what: str, value: str | None) -> None:
    if not is_key(value):
        raise ConfigurationError(
            f"{what} begins or ends with a blank or a line break, or holds a control character; strip it"
        )
