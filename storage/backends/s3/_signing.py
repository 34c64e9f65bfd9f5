"""Presigned requests: everything that is asked for is bound into the signature."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.exceptions import BotoCoreError

from storage._backend import SignOptions
from storage._types import SignedRequest
from storage.backends.s3._client import SharedClient
from storage.backends.s3._errors import classify
from storage.backends.s3._headers import Encryption
from storage.exceptions import AuthenticationError, SigningError

__all__ = ["sign"]

_OPERATIONS = {"GET": "get_object", "HEAD": "head_object", "PUT": "put_object"}


def sign(shared: SharedClient, bucket: str, path: str, options: SignOptions, encryption: Encryption) -> SignedRequest:
    """Signs with version 4, which binds headers; in the bucket's region.

    Raises:
        SigningError: there are no credentials, or they cannot be had.
    """
    params: dict[str, Any] = {"Bucket": bucket, "Key": path}
    headers: dict[str, str] = {}
    if options.method == "PUT":
        headers = _upload(params, options, encryption)
    else:
        if options.content_disposition is not None:
            params["ResponseContentDisposition"] = options.content_disposition
        if options.content_type is not None:
            params["ResponseContentType"] = options.content_type
    try:
        credentials = shared.credentials()
        if credentials is None:
            raise SigningError(
                f"s3://{bucket}: there are no credentials to sign with; pass auth=…, set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or name a profile"
            )
        client = shared.regional()
        url = client.generate_presigned_url(
            _OPERATIONS[options.method], Params=params, ExpiresIn=options.expires_in, HttpMethod=options.method
        )
    except BotoCoreError as exc:
        if issubclass(classify(exc) or Exception, AuthenticationError):
            raise SigningError(
                f"s3://{bucket}: the credentials to sign with cannot be had ({type(exc).__name__})"
            ) from exc
        raise
    return SignedRequest(options.method, url, headers, _expiry(url, credentials))


def _upload(params: dict[str, Any], options: SignOptions, encryption: Encryption) -> dict[str, str]:
    """Adds what binds an upload to ``params``; returns the headers that the client must then send."""
    headers = {}
    if options.content_type is not None:
        params["ContentType"] = headers["Content-Type"] = options.content_type
    if options.content_length is not None:
        params["ContentLength"] = options.content_length
        headers["Content-Length"] = str(options.content_length)
    if options.content_md5 is not None:
        params["ContentMD5"] = headers["Content-MD5"] = options.content_md5
    if not options.overwrite:
        params["IfNoneMatch"] = headers["If-None-Match"] = "*"
    params.update(encryption)
    for name, header in (
        ("ServerSideEncryption", "x-amz-server-side-encryption"),
        ("SSEKMSKeyId", "x-amz-server-side-encryption-aws-kms-key-id"),
    ):
        if name in encryption:
            headers[header] = encryption[name]
    return headers


def _expiry(url: str, credentials: Any) -> datetime:
    """When the URL stops working: at its own time, or before it with the credentials, where their end is known."""
    query: Mapping[str, list[str]] = parse_qs(urlsplit(url).query)
    signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    expires = signed + timedelta(seconds=int(query["X-Amz-Expires"][0]))
    # Only refreshable credentials know when they end, and botocore keeps that to itself.
    end = getattr(credentials, "_expiry_time", None)
    return min(expires, end.astimezone(timezone.utc)) if isinstance(end, datetime) else expires
