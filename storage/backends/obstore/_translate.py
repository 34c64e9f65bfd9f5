"""Between the words of the protocol and those of obstore. Pure, but for the clock in :func:`made`."""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timezone
from typing import Any

from storage._metadata import decode_value, encode_value
from storage.backends._protocol import PutOptions, SignOptions, Stat

__all__ = [
    "attributes_of",
    "get_options",
    "headers_of",
    "made",
    "needs_headers",
    "new_nonce",
    "nonce_of",
    "quoted",
    "signed_parts",
    "stat_of",
]

# Tells a writer's own blob from another's after a lost answer, here and through s3://. A name that no user can give, made of
# what every proxy lets pass.
_NONCE = "storage-nonce".ljust(129, "-")
_MAX_METADATA = 2048  # S3's limit for names and values together
_HEADERS = {
    "Content-Type": "content_type",
    "Cache-Control": "cache_control",
    "Content-Encoding": "content_encoding",
}
# What the Rust library takes for headers, whatever the case: they cannot be the names of metadata.
_TAKEN = frozenset(
    {"cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "storage-class"}
)


def new_nonce() -> str:
    """What tells one write from every other."""
    return secrets.token_hex(8)


def nonce_of(result: Any) -> str | None:
    """The nonce of a blob, from obstore's result."""
    return result.attributes.get(_NONCE)  # type: ignore[no-any-return]


def needs_headers(options: PutOptions) -> bool:
    """Whether ``options`` can only be said in headers: the Rust library has no such metadata."""
    return not _TAKEN.isdisjoint(options.metadata)


def attributes_of(options: PutOptions, nonce: str | None = None) -> dict[str, str]:
    """``options`` as obstore's attributes."""
    attributes = {"Content-Type": options.content_type}
    if options.cache_control is not None:
        attributes["Cache-Control"] = options.cache_control
    if options.content_encoding is not None:
        attributes["Content-Encoding"] = options.content_encoding
    if options.metadata or nonce is not None:
        attributes.update(_metadata(options, nonce))
    return attributes


def headers_of(options: PutOptions, nonce: str | None = None) -> dict[str, str]:
    """``options`` as the headers of a request, the conditions among them."""
    headers = attributes_of(options._replace(metadata={}))
    headers.update({f"x-amz-meta-{name}": value for name, value in _metadata(options, nonce).items()})
    if not options.overwrite:
        headers["If-None-Match"] = "*"
    if options.if_match is not None:
        headers["If-Match"] = quoted(options.if_match)
    return headers


def _metadata(options: PutOptions, nonce: str | None) -> dict[str, str]:
    metadata = {name: encode_value(value) for name, value in options.metadata.items()}
    if nonce is not None:
        used = sum(len(name) + len(value) for name, value in metadata.items())
        if used + len(_NONCE) + len(nonce) <= _MAX_METADATA:
            metadata[_NONCE] = nonce
    return metadata


def made(etag: str | None, size: int, options: PutOptions) -> Stat:
    """The ``Stat`` of what was just stored."""
    return Stat(
        size,
        _unquoted(etag),
        datetime.fromtimestamp(int(time.time()), timezone.utc),  # replace(microsecond=0) costs ten microseconds
        options.content_type,
        options.cache_control,
        options.content_encoding,
        options.metadata,
    )


def stat_of(result: Any) -> Stat:
    meta = result.meta
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    for name, value in result.attributes.items():
        if name in _HEADERS:
            headers[_HEADERS[name]] = value
        elif name != _NONCE and name == name.lower():
            metadata[name] = decode_value(value)
    return Stat(meta["size"], _unquoted(meta["e_tag"]), meta["last_modified"], **headers, metadata=metadata)


def get_options(start: int, end: int | None, if_match: str | None) -> Any:
    if start == 0 and end is None and if_match is None:
        return None
    options: dict[str, Any] = {}
    if end is not None:
        options["range"] = (start, end)
    elif start:
        options["range"] = {"offset": start}
    if if_match is not None:
        options["if_match"] = quoted(if_match)
    return options


def quoted(etag: str) -> str:
    return f'"{etag}"'


def _unquoted(etag: str | None) -> str:
    return (etag or "").strip('"')


def signed_parts(options: SignOptions) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and the parameters that bind ``options``."""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    if options.method == "PUT":
        if options.content_type is not None:
            headers["Content-Type"] = options.content_type
        if options.content_length is not None:
            headers["Content-Length"] = str(options.content_length)
        if options.content_md5 is not None:
            headers["Content-MD5"] = options.content_md5
        if not options.overwrite:
            headers["If-None-Match"] = "*"
    else:
        if options.content_type is not None:
            query["response-content-type"] = options.content_type
        if options.content_disposition is not None:
            query["response-content-disposition"] = options.content_disposition
    return headers, query
