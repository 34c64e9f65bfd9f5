"""Builds the parts of a request that writes a blob: its description as JSON, its conditions and its checksum. Pure."""

from __future__ import annotations

import binascii
import os
from typing import Any, Final

import google_crc32c

from storage._backend import PutOptions
from storage.exceptions import AlreadyExistsError, PreconditionFailedError

# Users' names have no underscore, so this entry is ours alone. It tells whose write it was when an answer got lost.
NONCE: Final = "storage_write"
JSON: Final = {"Content-Type": "application/json; charset=UTF-8"}


def generation(etag: str) -> str | None:
    """``etag`` as a generation; ``None`` where no blob can have it (0 would mean "no blob" to the service)."""
    plausible = etag.isascii() and etag.isdecimal() and not etag.startswith("0") and len(etag) < 19
    return etag if plausible else None


def condition(options: PutOptions) -> str:
    """The query parameters for ``overwrite`` and ``if_match``; ``PreconditionFailedError``: an etag that no blob can have."""
    if not options.overwrite:
        return "&ifGenerationMatch=0"
    if options.if_match is None:
        return ""
    number = generation(options.if_match)
    if number is None:
        raise PreconditionFailedError
    return f"&ifGenerationMatch={number}"


def refused(options: PutOptions) -> type[PreconditionFailedError]:
    """The exception class for a write whose condition did not hold."""
    return PreconditionFailedError if options.overwrite else AlreadyExistsError


def token() -> str:
    """A random name."""
    return os.urandom(16).hex()  # `secrets` does this too, and takes 5 ms to import


def description(path: str, options: PutOptions, nonce: str | None, crc: int | None = None) -> dict[str, Any]:
    """The object resource to send with a write."""
    what: dict[str, Any] = {"name": path, "contentType": options.content_type}
    if options.cache_control is not None:
        what["cacheControl"] = options.cache_control
    if options.content_encoding is not None:
        what["contentEncoding"] = options.content_encoding
    if options.metadata or nonce:
        what["metadata"] = {**options.metadata, NONCE: nonce} if nonce else dict(options.metadata)
    if crc is not None:
        what["crc32c"] = encoded_crc(crc)
    return what


def checksum(data: bytes | memoryview, crc: int = 0) -> int:
    """The CRC32C of what ``crc`` stands for, with ``data`` after it."""
    return int(google_crc32c.extend(crc, data))


def encoded_crc(crc: int) -> str:
    """A CRC32C as the service writes it: base64 of four bytes, the highest first."""
    return binascii.b2a_base64(crc.to_bytes(4, "big"), newline=False).decode()
