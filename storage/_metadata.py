"""Checks headers and metadata, and encodes text for services that take only ASCII. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

RESERVED = "storage--"
"""Names of metadata that begin with this belong to the drivers."""

_NAME = re.compile(r"[a-z0-9-]{1,128}")
CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_WORD = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/=]*)\?=", re.IGNORECASE)
_MAX_METADATA = 2048
MAX_HEADER = 1024
_WORD_BYTES = 45  # 60 characters of base64 and 12 of frame: an RFC 2047 word has at most 75


def encode_value(value: str) -> str:
    """``value`` as ASCII: itself where that comes back unchanged, else as RFC 2047 words (UTF-8, base64).

    Also encoded: what looks like such a word, and blanks that an HTTP header would lose (at an end).
    """
    if value.isascii() and value == value.strip() and "=?" not in value and value:
        return value
    words: list[str] = []
    chunk = b""
    for char in value:
        encoded = char.encode()
        if len(chunk) + len(encoded) > _WORD_BYTES:
            words.append(_word(chunk))
            chunk = b""
        chunk += encoded
    words.append(_word(chunk))
    return " ".join(words)


def _word(data: bytes) -> str:
    import base64  # 1 ms

    return f"=?UTF-8?B?{base64.b64encode(data).decode()}?="


def decode_value(value: str) -> str:
    """The inverse of :func:`encode_value`; what is not wholly made of its words is returned as it is."""
    words = value.split(" ")
    matches = [_WORD.fullmatch(word) for word in words]
    if not all(matches):
        return value
    import base64  # 1 ms

    try:
        return b"".join(base64.b64decode(match[1], validate=True) for match in matches if match).decode()
    except ValueError:  # no base64, or no UTF-8
        return value


def check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of ``metadata``, checked.

    Raises:
        ValueError: a name that is not ``[a-z0-9-]{1,128}`` or is reserved, a value with a control character, or more than
            2,048 bytes of names and values, counted as they are written where only ASCII is taken.
        TypeError: not a mapping from ``str`` to ``str``.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must be a mapping from str to str, not {type(metadata).__name__}")
    total = 0
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"metadata must map str to str, not {name!r} to {type(value).__name__}")
        if not _NAME.fullmatch(name):
            raise ValueError(f"metadata name {name!r}: only a-z, 0-9 and '-', 1 to 128 of them; write it in lower case")
        if name.startswith(RESERVED):
            raise ValueError(f"metadata name {name!r}: names that begin with {RESERVED!r} are this library's own")
        if CONTROL.search(value):
            raise ValueError(
                f"metadata {name!r}: a value may hold no control character or lone surrogate; encode it first"
            )
        total += len(name) + len(encode_value(value))
    if total > _MAX_METADATA:
        raise ValueError(
            f"metadata takes {total:,} bytes as it is written, at most {_MAX_METADATA:,} fit; store the rest in a blob"
        )
    return dict(metadata)


def check_header(name: str, value: str | None) -> str | None:
    """``value``; ``ValueError`` unless it is printable ASCII of at most 1,024 bytes, ``TypeError`` unless it is text."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str or None, not {type(value).__name__}")
    if not value or value != value.strip():
        raise ValueError(
            f"{name}={value!r}: a header may not be empty or begin or end with a blank; leave it out or strip it"
        )
    if not _PRINTABLE.fullmatch(value):
        raise ValueError(f"{name}={value!r}: only printable ASCII is allowed in a header")
    if len(value) > MAX_HEADER:
        raise ValueError(f"{name} has {len(value):,} bytes, at most {MAX_HEADER:,} are allowed")
    return value
