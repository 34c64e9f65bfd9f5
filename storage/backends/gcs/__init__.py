"""``gs://BUCKET/PREFIX``: Google Cloud Storage.

Credentials are google-auth's. Requests go to the JSON API over this library's own transport, or over ``requests`` where there
is a proxy or a client certificate; each is made once, and tried again here, so that ``retries`` means the same on every driver
and a lost answer is known as one. google-cloud-storage is loaded for ``Storage.backend.client`` alone.
"""

from __future__ import annotations

import os
from typing import Any

from storage._retry import Retries, Timeout, parse_retries, parse_timeout
from storage._urls import StorageURL, endpoint
from storage.backends.gcs._backend import GCSBackend
from storage.backends.gcs._settings import Settings, credentials_maker
from storage.exceptions import ConfigurationError

__all__ = ["GCSBackend", "create"]


def create(
    url: StorageURL, *, auth: Any = None, retries: Retries | None = None, timeout: Timeout | None = None
) -> GCSBackend:
    """The backend for a ``gs://`` URL. Opens no connection and looks for no credentials.

    Raises:
        ConfigurationError: no bucket, a query parameter that is not valid, or an ``auth`` of another type.
    """
    query = url.options(project=str, endpoint_url=endpoint, anonymous=bool, service_account_email=str, keys=("raw",))
    if not url.bucket:
        raise ConfigurationError(f"{url}: the bucket is missing; write {url.scheme}://BUCKET/PREFIX")
    if auth is not None and query["anonymous"]:
        raise ConfigurationError(f"{url}: anonymous=true and auth=… exclude each other")
    settings = Settings(
        bucket=url.bucket,
        credentials=None if auth is None else credentials_maker(url, auth),
        project=query["project"] or os.environ.get("GOOGLE_CLOUD_PROJECT") or None,
        endpoint_url=query["endpoint_url"],
        anonymous=bool(query["anonymous"]),
        service_account_email=query["service_account_email"],
    )
    return GCSBackend(settings, parse_retries(retries), parse_timeout(timeout))
