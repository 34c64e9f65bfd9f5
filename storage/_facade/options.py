"""Checks the arguments of the methods of ``Storage``, the same for every backend. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Final

from storage._backend import Changes, FormOptions, PutOptions, SignOptions
from storage._content_types import guess_content_type
from storage._metadata import CONTROL, MAX_HEADER, check_header, check_metadata

MAX_EXPIRY: Final = 7 * 24 * 3600  # seconds: the longest that SigV4 and V4 allow
_MD5_BYTES: Final = 16
_BEYOND: Final = 10**15  # bytes: past the end of every blob; file systems and services count no further than 2**63

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
    """The options of ``set``, checked; ``key`` tells the content type where none is given."""
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
    if check_etag(if_match) is not None and not overwrite:
        raise ValueError(
            "overwrite=False and if_match= exclude each other: a blob cannot be both absent and this version"
        )
    _check_headers(content_type, cache_control, content_encoding)
    kind = guess_content_type(key) if content_type is None else content_type
    return PutOptions(kind, cache_control, content_encoding, check_metadata(metadata), overwrite, if_match)


def _check_headers(content_type: str | None, cache_control: str | None, content_encoding: str | None) -> None:
    check_header("content_type", content_type)
    check_header("cache_control", cache_control)
    check_header("content_encoding", content_encoding)


def checked_range(start: int, end: int | None) -> tuple[int, int | None]:
    """A range of bytes, checked, its bounds no further out than any blob reaches.

    A negative ``start`` without ``end`` means the last bytes; any other negative bound is a ``ValueError``.
    """
    for name, value in (("start", start), ("end", 0 if end is None else end)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an int, not {type(value).__name__}")
        if value < 0 and not (name == "start" and end is None):
            raise ValueError(
                f"{name}={value}: count bytes from the start of the blob, 0 or more (start=-n without end means the last n "
                "bytes); info(key).size is its size"
            )
    return max(-_BEYOND, min(start, _BEYOND)), None if end is None else min(end, _BEYOND)


def check_etag(if_match: str | None) -> str | None:
    """``if_match``, an etag or ``None``; else ``TypeError``."""
    if if_match is not None and not isinstance(if_match, str):
        raise TypeError(f"if_match must be an etag (str) or None, not {type(if_match).__name__}")
    return if_match


def check_bound(name: str, value: str | None) -> str | None:
    """A bound of a listing: any text that a key may sort beside; else ``TypeError`` or ``ValueError``."""
    if value is not None:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str or None, not {type(value).__name__}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name}={value!r}: it has a lone surrogate, which is no text") from None
    return value


def changes_of(
    content_type: str | None,
    cache_control: str | None,
    content_encoding: str | None,
    metadata: Mapping[str, str] | None,
) -> Changes:
    """The arguments of ``set_metadata``, checked; ``ValueError`` also where there is nothing to change."""
    _check_headers(content_type, cache_control, content_encoding)
    if content_type is None and cache_control is None and content_encoding is None and metadata is None:
        raise ValueError("nothing to change: give metadata, content_type, cache_control or content_encoding")
    return Changes(
        content_type, cache_control, content_encoding, None if metadata is None else check_metadata(metadata)
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
    method: str,
    expires_in: float | timedelta,
    content_disposition: str | None,
    content_type: str | None,
    download_name: str | None = None,
) -> SignOptions:
    if method not in ("GET", "HEAD"):
        raise ValueError(f"method={method!r}: a download is signed for 'GET' or 'HEAD'")
    if download_name is not None:
        if content_disposition is not None:
            raise ValueError("download_name and content_disposition exclude each other: a name is a disposition")
        content_disposition = _attachment(download_name)
    if isinstance(content_disposition, str) and not content_disposition.isascii():
        raise ValueError(
            f"content_disposition={content_disposition!r}: a header is ASCII; pass the file's name as download_name"
        )
    check_header("content_disposition", content_disposition)
    check_header("content_type", content_type)
    return SignOptions(method, expiry_seconds(expires_in), content_disposition, content_type)


def _attachment(name: str) -> str:
    """The ``Content-Disposition`` under which a browser saves a file by this name (RFC 6266)."""
    if not isinstance(name, str):
        raise TypeError(f"download_name must be a str, not {type(name).__name__}")
    if not name or CONTROL.search(name):
        raise ValueError(f"download_name={name!r}: use a name without control characters and lone surrogates")
    # Old clients read the first form; it must be ASCII without what has a meaning inside quotes.
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name)
    if plain == name:
        return f'attachment; filename="{plain}"'
    from urllib.parse import quote  # 4 ms

    text = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    if len(text) > MAX_HEADER:
        raise ValueError(f"download_name={name!r}: encoded it has {len(text):,} bytes, more than {MAX_HEADER:,}")
    return text


def form_options(expires_in: float | timedelta, max_length: int | None, content_type: str | None) -> FormOptions:
    check_header("content_type", content_type)
    if max_length is not None:
        check_count("max_length", max_length, 0)
    return FormOptions(expiry_seconds(expires_in), max_length, content_type)


def upload_options(
    expires_in: float | timedelta,
    content_type: str | None,
    content_length: int | None,
    content_md5: str | None,
    overwrite: bool,
) -> SignOptions:
    check_header("content_type", content_type)
    if content_length is not None:
        check_count("content_length", content_length, 0)
    if content_md5 is not None:
        _check_md5(content_md5)
    if not isinstance(overwrite, bool):
        raise TypeError(f"overwrite must be a bool, not {type(overwrite).__name__}")
    return SignOptions("PUT", expiry_seconds(expires_in), None, content_type, content_length, content_md5, overwrite)


def _check_md5(content_md5: str) -> None:
    if not isinstance(content_md5, str):
        raise TypeError(f"content_md5 must be a base64 str, not {type(content_md5).__name__}")
    import base64  # 1 ms

    try:
        digest = base64.b64decode(content_md5, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != _MD5_BYTES:
        raise ValueError(
            f"content_md5={content_md5!r}: use the base64 of the 16-byte digest, as in "
            "base64.b64encode(hashlib.md5(data).digest()).decode()"
        )
