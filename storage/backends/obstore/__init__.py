"""``s3+obstore://``: S3 through the Rust library ``object_store``, at a fifth of boto3's client CPU.

What it cannot do it refuses at once: use in a child after ``fork``, a status list for retries, create-only copies,
``keys=raw``, and conditional writes of blobs that do not fit into memory. Listings and signatures are the driver's own: the
Rust library shows folder markers under the names of blobs that are not there, and fails on names that it cannot say.
"""

from __future__ import annotations

from typing import Any

from storage._retry import Retries, Timeout
from storage._urls import StorageURL, endpoint
from storage.backends.obstore._backend import ObstoreBackend
from storage.backends.obstore._settings import Settings
from storage.exceptions import ConfigurationError

__all__ = ["ObstoreBackend", "create"]


def create(url: StorageURL, *, auth: Any = None, retries: Retries, timeout: Timeout) -> ObstoreBackend:
    """``s3+obstore://BUCKET/PREFIX``. ``auth``: as for ``s3://``."""
    if "keys" in url.query:
        raise ConfigurationError(
            f"{url}: keys=raw is not for s3+obstore://, which changes some keys on the way; use s3://"
        )
    options = url.options(
        region=str,
        endpoint_url=endpoint,
        profile=str,
        addressing_style=("path", "virtual", "auto"),
        anonymous=bool,
        sse=("AES256", "aws:kms", "aws:kms:dsse"),
        sse_kms_key_id=str,
    )
    if not url.bucket:
        raise ConfigurationError(f"{url}: the bucket is missing; write s3+obstore://BUCKET/PREFIX")
    return ObstoreBackend(Settings(url.bucket, retries, timeout, auth, **options))
