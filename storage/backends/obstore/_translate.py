"""Between the words of the protocol and those of obstore. Pure, but for the clock in :func:`made`."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from storage._metadata import decode_value, encode_value
from storage.backends._protocol import PutOptions, SignOptions, Stat
from storage.exceptions import UnsupportedOperationError

__all__ = ["NONCE", "attributes_of", "get_options", "made", "quoted", "signed_parts", "stat_of"]

# Tells a writer's own blob from another's after a lost answer. No user's name has an underscore.
NONCE = "storage_nonce"
_OWN_NAMES = "storage_"
_HEADERS = {
    "Content-Type": "content_type",
    "Cache-Control": "cache_control",
    "Content-Encoding": "content_encoding",
}
# What the Rust library takes for headers, whatever the case: they cannot be the names of metadata.
_TAKEN = frozenset(
    {"cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "storage-class"}
)


def attributes_of(options: PutOptions) -> dict[str, str]:
    attributes = {"Content-Type": options.content_type}
    if options.cache_control is not None:
        attributes["Cache-Control"] = options.cache_control
    if options.content_encoding is not None:
        attributes["Content-Encoding"] = options.content_encoding
    for name, value in options.metadata.items():
        if name in _TAKEN:
            raise UnsupportedOperationError(
                f"metadata {name!r}: s3+obstore:// takes this name for the header; use another name, or s3://"
            )
        attributes[name] = encode_value(value)
    return attributes


def made(result: Any, size: int, options: PutOptions) -> Stat:
    """The ``Stat`` of what was just stored."""
    return Stat(
        size,
        _unquoted(result["e_tag"]),
        datetime.now(timezone.utc).replace(microsecond=0),
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
        elif name == name.lower() and not name.startswith(_OWN_NAMES):
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
