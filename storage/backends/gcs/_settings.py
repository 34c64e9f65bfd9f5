"""The settings of a store: the URL's parameters and the ``auth`` argument."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from storage._fork import forks
from storage._urls import StorageURL
from storage.exceptions import ConfigurationError


class Settings(NamedTuple):
    """The settings of a connection."""

    bucket: str
    credentials: Callable[[], Any] | None = None  # makes them anew in each process; None: google-auth's own chain
    project: str | None = None  # whose the bucket is, where it is to be made
    endpoint_url: str | None = None  # of another server than Google's; None: as google-cloud-storage chooses it
    anonymous: bool = False  # send no credentials
    service_account_email: str | None = None  # sign through IAM, as this account


def credentials_maker(url: StorageURL, auth: Any) -> Any:
    """A function that makes the credentials that ``auth`` stands for."""
    from google.auth.credentials import Credentials  # 60 ms

    if isinstance(auth, Credentials):
        return lambda: auth
    if isinstance(auth, (str, os.PathLike)):
        try:
            with open(auth, encoding="utf-8") as file:
                auth = json.load(file)
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is no JSON"
            raise ConfigurationError(
                f"{url}: auth: the file {os.fspath(auth)!r} cannot be read: {reason}; name a service account's key file"
            ) from None
    if not isinstance(auth, Mapping):
        raise ConfigurationError(
            f"{url}: auth must be google.auth credentials, a mapping of service-account info, or the path of its file, "
            f"not {type(auth).__name__}"
        )
    try:
        return _ServiceAccount(dict(auth))
    except (ValueError, KeyError, TypeError):
        # No cause: the SDK's message may quote what it could not parse.
        raise ConfigurationError(
            f"{url}: auth: this is no service account's info: it needs client_email, token_uri and a private_key in PEM form; "
            "for other kinds pass google.auth credentials, or set GOOGLE_APPLICATION_CREDENTIALS"
        ) from None


class _ServiceAccount:
    """Makes credentials, anew in each process: they hold locks, which do not survive a fork.

    Those made to check the info serve first: parsing a private key takes 50 ms.
    """

    def __init__(self, info: dict[str, Any]) -> None:
        self._info = info
        self._made = forks.count
        self._first: Any = self._make()

    def _make(self) -> Any:
        from google.oauth2 import service_account  # 40 ms more

        make: Any = service_account.Credentials.from_service_account_info
        return make(self._info)

    def __call__(self) -> Any:
        first, self._first = self._first, None
        return first if first is not None and self._made == forks.count else self._make()
