"""Turns the options of a write into headers, and headers of an answer into a ``Stat``. Pure, but for the nonces."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Final

from storage._backend import PutOptions, Stat
from storage._metadata import RESERVED, decode_value, encode_value
from storage.backends._http import http_date
from storage.exceptions import UnavailableError

_UTC: Final = timezone.utc

META: Final = "x-amz-meta-"
# Made of what every proxy lets pass (nginx drops headers with an underscore, and a dropped header breaks the signature), and
# short: Ceph stores no name of more than 80 characters.
NONCE: Final = f"{META}{RESERVED}nonce"
_NONCE_BYTES: Final = 8
_MAX_METADATA: Final = 2048  # S3's limit for names and values together

_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")

Encryption = Mapping[str, str]
"""The headers that ask for encryption, as far as the URL gives them."""


def new_nonce() -> str:
    """A random mark for one write."""
    return os.urandom(_NONCE_BYTES).hex()  # `secrets` does this too, and takes 8 ms to import


def put_headers(options: PutOptions, encryption: Encryption, nonce: str | None) -> dict[str, str]:
    """Headers of a ``PutObject`` or a ``CreateMultipartUpload``, without conditions.

    The nonce is left out where the user's metadata leave no room for it.
    """
    headers = {"content-type": options.content_type, **encryption}
    if options.cache_control is not None:
        headers["cache-control"] = options.cache_control
    if options.content_encoding is not None:
        headers["content-encoding"] = options.content_encoding
    if options.metadata:
        headers.update({META + name: encode_value(value) for name, value in options.metadata.items()})
    if nonce is not None:
        add_nonce(headers, nonce)
    return headers


def add_nonce(headers: dict[str, str], nonce: str | None) -> None:
    """Adds the nonce, where there is one and room for it."""
    if nonce is None:
        return
    cut = len(META)
    used = sum(len(name) - cut + len(value) for name, value in headers.items() if name.startswith(META))
    if used + len(NONCE) - cut + len(nonce) <= _MAX_METADATA:
        headers[NONCE] = nonce


def quoted(etag: str) -> str:
    """An etag as it stands in a header."""
    return f'"{etag}"'


def etag_of(headers: Mapping[str, str]) -> str:
    """The etag of an answer, unquoted, and without the mark of a proxy that changed how the blob travels.

    Raises:
        UnavailableError: it has none, so it is not the service's.
    """
    etag = headers.get("etag", "").removeprefix("W/").strip('"')
    if not etag:
        raise UnavailableError(
            "the answer has no etag, so it is not the service's; check proxies and gateways on the way"
        )
    return etag


def md5_of(etag: str, headers: Mapping[str, str]) -> str | None:
    """The MD5 of a blob's bytes, in hexadecimal, where its etag is that."""
    if _MD5.fullmatch(etag) is None:
        return None
    # With keys of the customer or of KMS the etag is something else.
    plain = headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    return etag.lower() if plain and "x-amz-server-side-encryption-customer-algorithm" not in headers else None


def stat_of(headers: Mapping[str, str], size: int) -> Stat:
    """The ``Stat`` of a blob of ``size`` bytes, from the headers of a HEAD or GET.

    Raises:
        UnavailableError: it has no etag or no date, so it is not the service's.
    """
    cut = len(META)
    metadata = {
        name[cut:]: decode_value(value) for name, value in headers.items() if name.startswith(META) and name != NONCE
    }
    encoding = headers.get("content-encoding")
    return Stat(
        size,
        etag_of(headers),
        _last_modified(headers),
        headers.get("content-type"),
        headers.get("cache-control"),
        encoding if encoding is None or "aws-chunked" not in encoding else _content_encoding(encoding),
        metadata,
    )


def _last_modified(headers: Mapping[str, str]) -> datetime:
    moment = http_date(headers.get("last-modified", ""))
    if moment is None:
        raise UnavailableError("the answer does not tell when the blob was written, so it is not the service's")
    return moment


def written(headers: Mapping[str, str], size: int, options: PutOptions, etag: str) -> Stat:
    """The new blob's ``Stat``, from the answer to the write."""
    return Stat(
        size,
        etag,
        answered_at(headers),
        options.content_type,
        options.cache_control,
        options.content_encoding,
        options.metadata,
    )


def answered_at(headers: Mapping[str, str]) -> datetime:
    """The server's time of an answer; this machine's, where the server has no clock."""
    return http_date(headers.get("date", "")) or datetime.now(_UTC)


@lru_cache(maxsize=64)  # the time of an answer is that of many others
def _content_encoding(value: str) -> str | None:
    """Without ``aws-chunked``, which is how an upload travelled, and which some servers keep."""
    return ", ".join(part for part in map(str.strip, value.split(",")) if part and part != "aws-chunked") or None
