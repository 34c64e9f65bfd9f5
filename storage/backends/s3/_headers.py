"""Options of a write as parameters of boto3, and answers as a ``Stat``. Pure, but for the nonces."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from storage._backend import PutOptions, Stat
from storage._metadata import decode_value, encode_value

__all__ = [
    "Encryption",
    "answered_at",
    "copied",
    "new_nonce",
    "nonce_of",
    "put_params",
    "quoted",
    "stat_of",
    "total_size",
    "written",
]

_UTC = timezone.utc

# A name that no user can give (they have at most 128 characters), made of what every proxy lets pass: nginx drops headers
# with an underscore, and a dropped header breaks the signature.
_NONCE = "storage-nonce".ljust(129, "-")
_NONCE_BYTES = 8
_MAX_METADATA = 2048  # S3's limit for names and values together

Encryption = Mapping[str, str]
"""``ServerSideEncryption`` and ``SSEKMSKeyId``, as far as the URL gives them."""


def new_nonce() -> str:
    """What tells one write from every other."""
    return secrets.token_hex(_NONCE_BYTES)


def put_params(options: PutOptions, encryption: Encryption, nonce: str | None) -> dict[str, Any]:
    """Parameters of a ``PutObject`` or a ``CreateMultipartUpload``, without conditions.

    The nonce is left out where the user's metadata leave no room for it.
    """
    params: dict[str, Any] = {"ContentType": options.content_type, **encryption}
    if options.cache_control is not None:
        params["CacheControl"] = options.cache_control
    if options.content_encoding is not None:
        params["ContentEncoding"] = options.content_encoding
    metadata = {name: encode_value(value) for name, value in options.metadata.items()}
    add_nonce(metadata, nonce)
    if metadata:
        params["Metadata"] = metadata
    return params


def add_nonce(metadata: dict[str, str], nonce: str | None) -> None:
    """Adds the nonce, where there is one and room for it."""
    if nonce is None:
        return
    used = sum(len(name) + len(value) for name, value in metadata.items())
    if used + len(_NONCE) + len(nonce) <= _MAX_METADATA:
        metadata[_NONCE] = nonce


def conditions(options: PutOptions) -> dict[str, str]:
    """The parameters that make a write conditional."""
    if not options.overwrite:
        return {"IfNoneMatch": "*"}
    return {} if options.if_match is None else {"IfMatch": quoted(options.if_match)}


def nonce_of(response: Mapping[str, Any]) -> str | None:
    """The nonce of the blob that an answer describes."""
    return _lower(response.get("Metadata", {})).get(_NONCE)


def quoted(etag: str) -> str:
    """An etag as it stands in a header."""
    return f'"{etag}"'


def stat_of(response: Mapping[str, Any], size: int | None = None) -> Stat:
    """What the answer to a HEAD or GET says of the blob; ``size`` where the answer has only a range."""
    metadata = _lower(response.get("Metadata", {}))
    metadata.pop(_NONCE, None)
    return Stat(
        int(response["ContentLength"]) if size is None else size,
        response["ETag"].strip('"'),
        response["LastModified"].astimezone(_UTC),
        response.get("ContentType"),
        response.get("CacheControl"),
        _content_encoding(response.get("ContentEncoding")),
        {name: decode_value(value) for name, value in metadata.items()},
    )


def total_size(response: Mapping[str, Any]) -> int:
    """The whole blob's bytes, from the answer to a GET, of a range or not."""
    _, _, total = response.get("ContentRange", "").rpartition("/")
    return int(total) if total.isdigit() else int(response["ContentLength"])


def written(response: Mapping[str, Any], size: int, options: PutOptions) -> Stat:
    """The new blob's ``Stat``, from the answer to the write."""
    return Stat(
        size,
        response["ETag"].strip('"'),
        answered_at(response),
        options.content_type,
        options.cache_control,
        options.content_encoding,
        options.metadata,
    )


def copied(source: Stat, result: Mapping[str, Any], response: Mapping[str, Any]) -> Stat:
    """The ``Stat`` of a copy of ``source``."""
    when = result.get("LastModified")
    return source._replace(
        etag=result["ETag"].strip('"'),
        last_modified=answered_at(response) if when is None else when.astimezone(_UTC),
    )


def answered_at(response: Mapping[str, Any]) -> datetime:
    """The server's time of an answer."""
    text = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(text).astimezone(_UTC)
    except (TypeError, ValueError):
        return datetime.now(_UTC)  # a server without a clock


def _content_encoding(value: str | None) -> str | None:
    """Without ``aws-chunked``, which is how an upload travelled, and which some servers keep."""
    if value is None or "aws-chunked" not in value:
        return value
    return ", ".join(part for part in map(str.strip, value.split(",")) if part and part != "aws-chunked") or None


def _lower(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in metadata.items()}
