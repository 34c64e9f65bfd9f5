"""``gs://BUCKET/PREFIX``: Google Cloud Storage.

Credentials are google-auth's. Requests go to the JSON API over this library's own transport, or over ``requests`` where there
is a proxy or a client certificate; each is made once, and tried again here, so that ``retries`` means the same on every driver
and a lost answer is known as one. google-cloud-storage is loaded for ``Storage.backend.client`` alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from storage._fork import forks
from storage._retry import Retries, Timeout, parse_retries, parse_timeout
from storage._urls import StorageURL, endpoint
from storage.backends.gcs._backend import GCSBackend
from storage.backends.gcs._client import Settings
from storage.exceptions import ConfigurationError

__all__ = ["GCSBackend", "create"]


def create(
    url: StorageURL, *, auth: Any = None, retries: Retries | None = None, timeout: Timeout | None = None
) -> GCSBackend:
    """``gs://BUCKET``: docs/gcs.md describes ``auth`` and the query.

    Raises:
        ConfigurationError: no bucket, an unknown query parameter, two ways to authenticate, or an ``auth`` of another kind.
    """
    query = url.options(project=str, endpoint_url=endpoint, anonymous=bool, service_account_email=str, keys=("raw",))
    if not url.bucket:
        raise ConfigurationError(f"{url.scheme}:// URL: it names no bucket; write {url.scheme}://BUCKET/PREFIX")
    if auth is not None and query["anonymous"]:
        raise ConfigurationError(f"{url}: anonymous=true together with auth=; give one of them")
    settings = Settings(
        bucket=url.bucket,
        credentials=None if auth is None else _maker(url, auth),
        project=query["project"] or os.environ.get("GOOGLE_CLOUD_PROJECT") or None,
        endpoint_url=query["endpoint_url"],
        anonymous=bool(query["anonymous"]),
        service_account_email=query["service_account_email"],
    )
    return GCSBackend(settings, parse_retries(retries), parse_timeout(timeout))


def _maker(url: StorageURL, auth: Any) -> Any:
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
