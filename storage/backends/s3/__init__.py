"""``s3://BUCKET/PREFIX``: Amazon S3, and servers that speak its protocol."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

from storage._retry import Retries, Timeout, parse_retries, parse_timeout
from storage._urls import StorageURL, endpoint
from storage.backends.s3._backend import S3Backend
from storage.backends.s3._settings import Settings
from storage.exceptions import ConfigurationError

__all__ = ["S3Backend", "create"]

# It is loaded when something needs it, which may be late or never; that it is missing should be said at once.
if find_spec("boto3") is None:
    raise ModuleNotFoundError("No module named 'boto3'", name="boto3")


def create(
    url: StorageURL, *, auth: Any = None, retries: Retries | None = None, timeout: Timeout | None = None
) -> S3Backend:
    """The backend for an ``s3://`` URL. Opens no connection and looks for no credentials.

    Raises:
        ConfigurationError: no bucket, a query parameter that is not valid, or an ``auth`` of another type.
    """
    options = url.options(
        region=_region,
        endpoint_url=endpoint,
        profile=str,
        addressing_style=("path", "virtual", "auto"),
        anonymous=bool,
        ca_bundle=_ca_bundle,
        checksums=bool,
        sse=("AES256", "aws:kms", "aws:kms:dsse"),
        sse_kms_key_id=_key_id,
        keys=("raw",),
    )
    if not url.bucket:
        raise ConfigurationError(f"{url}: the bucket is missing; write {url.scheme}://BUCKET/PREFIX")
    settings = Settings(
        url.bucket,
        parse_timeout(timeout),
        auth,
        options["region"],
        options["endpoint_url"],
        options["profile"],
        options["addressing_style"],
        bool(options["anonymous"]),
        options["ca_bundle"],
        options["checksums"] is not False,
    )
    return S3Backend(settings, parse_retries(retries), _encryption(url, options["sse"], options["sse_kms_key_id"]))


def _region(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text, re.ASCII):
        raise ValueError("use the name of a region, as in eu-west-1")
    return text


def _key_id(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("use the id or the ARN of a key")
    return text


def _ca_bundle(text: str) -> str:
    import os

    path = os.path.expanduser(text)
    if not os.path.isfile(path):  # a directory of them serves OpenSSL, and not boto3
        raise ValueError(f"there is no file {text!r}; name a file of certificates in PEM form")
    return path


def _encryption(url: StorageURL, sse: str | None, key_id: str | None) -> dict[str, str]:
    if key_id is None:
        return {} if sse is None else {"x-amz-server-side-encryption": sse}
    if sse == "AES256":
        raise ConfigurationError(f"{url}: sse_kms_key_id goes with sse=aws:kms or sse=aws:kms:dsse, not with AES256")
    return {"x-amz-server-side-encryption": sse or "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": key_id}
