"""A blob as the JSON API tells of it, and the conditions it is written under. Pure."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

import google_crc32c

from storage._backend import PutOptions, Stat
from storage.exceptions import AlreadyExistsError, PreconditionFailedError

__all__ = [
    "FIELDS",
    "LISTED",
    "NONCE",
    "CheckedStat",
    "checksum",
    "condition",
    "description",
    "encoded_crc",
    "generation",
    "new_nonce",
    "refused",
    "stat_of",
]

FIELDS: Final = "size,generation,timeCreated,contentType,cacheControl,contentEncoding,metadata,crc32c"
LISTED: Final = "name,size,generation,timeCreated"
# Users' names have no underscore, so this entry is ours alone. It tells whose write it was when an answer got lost.
NONCE: Final = "storage_write"


class CheckedStat(Stat):
    """A ``Stat`` that remembers the blob's CRC32C, as the service writes it."""

    crc: str | None = None


def stat_of(resource: Mapping[str, Any], *, listed: bool = False) -> Stat:
    """The ``Stat`` of an object resource. ``listed``: it has only :data:`LISTED`."""
    if listed:
        return Stat(int(resource["size"]), resource["generation"], moment(resource["timeCreated"]))
    metadata = resource.get("metadata") or {}
    if NONCE in metadata:
        metadata = {name: value for name, value in metadata.items() if name != NONCE}
    stat = CheckedStat(
        int(resource["size"]),
        str(resource["generation"]),
        # `updated` would also tell of changes of the metadata; the bytes are as old as their generation.
        moment(resource["timeCreated"]),
        resource.get("contentType"),
        resource.get("cacheControl"),
        resource.get("contentEncoding"),
        metadata,
    )
    stat.crc = resource.get("crc32c")
    return stat


def moment(text: str) -> datetime:
    """An RFC 3339 time in UTC, with any number of digits after the point (Python 3.10 reads three or six)."""
    fraction = text[20:].rstrip("Z") if text[19:20] == "." else ""
    microseconds = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return datetime.fromisoformat(text[:19]).replace(microsecond=microseconds, tzinfo=timezone.utc)


def generation(etag: str) -> str | None:
    """``etag`` as a generation; ``None`` where no blob can have it (0 would mean "no blob" to the service)."""
    plausible = etag.isascii() and etag.isdecimal() and not etag.startswith("0") and len(etag) < 19
    return etag if plausible else None


def condition(options: PutOptions) -> str:
    """What a write's query needs for ``overwrite`` and ``if_match``.

    Raises:
        PreconditionFailedError: an etag that no blob can have.
    """
    if not options.overwrite:
        return "&ifGenerationMatch=0"
    if options.if_match is None:
        return ""
    number = generation(options.if_match)
    if number is None:
        raise PreconditionFailedError
    return f"&ifGenerationMatch={number}"


def refused(options: PutOptions) -> type[PreconditionFailedError]:
    """What a failed condition of a write is."""
    return PreconditionFailedError if options.overwrite else AlreadyExistsError


def new_nonce(options: PutOptions) -> str | None:
    """A name for this very write, where it may have to be recognised."""
    return secrets.token_hex(12) if options.if_match is not None or not options.overwrite else None


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
    return base64.b64encode(crc.to_bytes(4, "big")).decode()
