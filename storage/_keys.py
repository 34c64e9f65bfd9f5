"""Checks keys and prefixes: the rules for portable keys. Pure: no I/O, no state.

A portable key is one that every backend stores, lists and returns unchanged. The rules are the union of what the
services, common S3-compatible servers and file systems need.
"""

from __future__ import annotations

import re
from typing import Final

from storage.exceptions import InvalidKeyError

MAX_KEY: Final = 896  # bytes of UTF-8; with MAX_PREFIX the 1,024 that S3 and GCS allow
MAX_PREFIX: Final = 128  # bytes of UTF-8 of the URL's and the storage type's prefix together
MAX_SEGMENT: Final = 255  # bytes: NAME_MAX of every common file system, and SeaweedFS's limit
RESERVED: Final = ".storage~"

# What nearly every key looks like, decided in one match: ASCII, each segment begun by neither a dot nor a slash.
_ORDINARY = re.compile(r"[ -\-0-\[\]-~][ -.0-\[\]-~]{0,254}(?:/[ -\-0-\[\]-~][ -.0-\[\]-~]{0,254})*").fullmatch
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ufffe\uffff\ud800-\udfff]")
_WHY = {"\\": "a backslash (common servers turn it into a slash)", "\ufffe": "U+FFFE", "\uffff": "U+FFFF"}


def check_key(key: str) -> None:
    """Raises ``InvalidKeyError``, naming the rule and the remedy, unless ``key`` is a portable key."""
    try:
        if len(key) <= MAX_KEY and _ORDINARY(key):
            return
    except TypeError:
        pass  # it is no text, which the reason says
    why = reason(key)
    if why is not None:
        if hasattr(key, "as_posix"):
            why += "; use its as_posix()"
        elif isinstance(key, str) and key.endswith("/") and is_portable(key[:-1]):
            why = "it has an empty segment at its end; for all that lies below use delete_prefix, get_dir or iter_list"
        raise InvalidKeyError(f"key {_shown(key)}: {why}", key=key if isinstance(key, str) else None)


def is_portable(key: str) -> bool:
    """Whether ``key`` is a portable key."""
    return (len(key) <= MAX_KEY and _ORDINARY(key) is not None) or reason(key) is None


def check_prefix(prefix: str) -> None:
    """Raises ``InvalidKeyError`` unless ``prefix`` starts some portable key (``""`` starts them all)."""
    if prefix == "" or (isinstance(prefix, str) and len(prefix) < MAX_KEY and _ORDINARY(prefix)):
        return
    why: str | None = f"a prefix must be a str, not {type(prefix).__name__}"
    if isinstance(prefix, str):
        why = reason(prefix)
        # `a/`, `.` and `..` are no keys, and go on in some.
        if why is None or reason(prefix + "x") is None:
            return
    raise InvalidKeyError(f"prefix {_shown(prefix)} starts no key: {why}")


def reason(key: object, max_bytes: int = MAX_KEY) -> str | None:
    """Why ``key`` is no portable key of at most ``max_bytes`` bytes, and what to do; ``None`` if it is one."""
    if not isinstance(key, str):
        return f"a key must be a str, not {type(key).__name__}"
    if not key:
        return "a key may not be empty"
    why = _character_reason(key)
    if why is not None:
        return why
    size = len(key.encode())
    if size > max_bytes:
        return f"{size} bytes of UTF-8, at most {max_bytes} are allowed; use a shorter name or a hash"
    return next((why for segment in key.split("/") if (why := _segment_reason(segment)) is not None), None)


def _character_reason(key: str) -> str | None:
    match = _FORBIDDEN.search(key)
    if match is None:
        return None
    char = match[0]
    if "\ud800" <= char <= "\udfff":
        return f"character {match.start()} is a lone surrogate (U+{ord(char):04X}), which is no text; decode the name properly"
    what = _WHY.get(char, f"a control character (U+{ord(char):04X})")
    return f"character {match.start()} is {what}, which not every backend keeps; replace it or percent-encode the name"


def _segment_reason(segment: str) -> str | None:
    if not segment:
        return "it has an empty segment: no slash at the start, at the end, or doubled"
    if segment in (".", ".."):
        return f"a segment may not be {segment!r}"
    if segment.startswith(RESERVED):
        return f"a segment may not begin with {RESERVED!r}, which is the library's own"
    size = len(segment.encode())
    if size > MAX_SEGMENT:
        return f"a segment of {size} bytes of UTF-8, at most {MAX_SEGMENT} are allowed between slashes; break it up with a slash"
    return None


def _shown(key: object, most: int = 120) -> str:
    text = repr(key)
    return text if len(text) <= most else f"{text[: most - 1]}…"
