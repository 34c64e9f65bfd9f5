"""The checks of arguments that every backend shares. Pure: each takes what the caller gave and returns what a backend gets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Final

from storage._backend import PutOptions, SignOptions
from storage._content_types import guess_content_type
from storage._metadata import check_header, check_metadata

__all__ = ["check_count", "check_range", "download_options", "expiry_seconds", "put_options", "upload_options"]

MAX_EXPIRY: Final = 7 * 24 * 3600  # seconds: the longest that SigV4 and V4 allow
_MD5_BYTES: Final = 16

# Most writes give no option: one frozen value for each content type of the table.
_plain = lru_cache(PutOptions)


def put_options(
    key: str,
    content_type: str | None = None,
    cache_control: str | None = None,
    content_encoding: str | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = True,
    if_match: str | None = None,
) -> PutOptions:
    """The options of ``set``, checked.

    Raises:
        ValueError: a header or metadata that is not allowed, or ``overwrite=False`` together with ``if_match``.
        TypeError: an argument of another type.
    """
    if (
        overwrite is True
        and content_type is None
        and cache_control is None
        and content_encoding is None
        and metadata is None
        and if_match is None
    ):
        return _plain(guess_content_type(key))
    if not isinstance(overwrite, bool):
        raise TypeError(f"overwrite must be a bool, not {type(overwrite).__name__}")
    if if_match is not None:
        if not isinstance(if_match, str):
            raise TypeError(f"if_match must be an etag (str) or None, not {type(if_match).__name__}")
        if not overwrite:
            raise ValueError(
                "overwrite=False and if_match= exclude each other: a blob cannot be both absent and this version"
            )
    check_header("content_type", content_type)
    check_header("cache_control", cache_control)
    check_header("content_encoding", content_encoding)
    kind = guess_content_type(key) if content_type is None else content_type
    return PutOptions(kind, cache_control, content_encoding, check_metadata(metadata), overwrite, if_match)


def check_range(start: int, end: int | None) -> None:
    """Raises ``ValueError`` for a negative bound, ``TypeError`` for one that is no ``int``."""
    for name, value in (("start", start), ("end", end)):
        if value is None and name == "end":
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an int, not {type(value).__name__}")
        if value < 0:
            raise ValueError(
                f"{name}={value}: count bytes from the start of the blob, 0 or more; info(key).size is its size"
            )


def check_count(name: str, value: int, least: int = 1, most: int | None = None) -> int:
    """``value``, an ``int`` from ``least`` to ``most``; else ``ValueError`` or ``TypeError``."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < least or (most is not None and value > most):
        raise ValueError(
            f"{name}={value}: use {least} or more" if most is None else f"{name}={value}: use {least} to {most:,}"
        )
    return value


def expiry_seconds(expires_in: float | timedelta) -> int:
    """``expires_in`` as whole seconds, 1 to 604,800; else ``ValueError``."""
    seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"expires_in must be seconds or a timedelta, not {type(expires_in).__name__}")
    if not 1 <= seconds <= MAX_EXPIRY:
        raise ValueError(f"expires_in={expires_in!r}: use 1 second to 7 days ({MAX_EXPIRY:,} seconds)")
    return int(seconds)


def download_options(
    method: str, expires_in: float | timedelta, content_disposition: str | None, content_type: str | None
) -> SignOptions:
    """The options of ``sign_download``, checked."""
    if method not in ("GET", "HEAD"):
        raise ValueError(f"method={method!r}: a download is signed for 'GET' or 'HEAD'")
    check_header("content_disposition", content_disposition)
    check_header("content_type", content_type)
    return SignOptions(method, expiry_seconds(expires_in), content_disposition, content_type)


def upload_options(
    expires_in: float | timedelta,
    content_type: str | None,
    content_length: int | None,
    content_md5: str | None,
    overwrite: bool,
) -> SignOptions:
    """The options of ``sign_upload``, checked."""
    check_header("content_type", content_type)
    if content_length is not None:
        check_count("content_length", content_length, 0)
    if content_md5 is not None:
        _check_md5(content_md5)
    if not isinstance(overwrite, bool):
        raise TypeError(f"overwrite must be a bool, not {type(overwrite).__name__}")
    return SignOptions(
        "PUT",
        expiry_seconds(expires_in),
        content_type=content_type,
        content_length=content_length,
        content_md5=content_md5,
        overwrite=overwrite,
    )


def _check_md5(content_md5: str) -> None:
    if not isinstance(content_md5, str):
        raise TypeError(f"content_md5 must be a base64 str, not {type(content_md5).__name__}")
    import base64

    try:
        digest = base64.b64decode(content_md5, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != _MD5_BYTES:
        raise ValueError(
            f"content_md5={content_md5!r}: use the base64 of the 16-byte digest, as in "
            "base64.b64encode(hashlib.md5(data).digest()).decode()"
        )
