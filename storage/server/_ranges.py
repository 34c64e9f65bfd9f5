"""Evaluates the conditions and ranges of a GET (RFC 9110). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime

from storage._backend import Stat

Headers = Mapping[str, Sequence[str]]

_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.IGNORECASE).fullmatch
_BEYOND = 10**18  # bytes: past the end of every blob
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def evaluate(headers: Headers, stat: Stat) -> int | None:
    """304 or 412, where a condition of the request says so; ``None``: send the blob. In the order of RFC 9110, 13.2.2."""
    if "if-match" in headers:
        if not _matches(headers["if-match"], stat.etag, weak=False):
            return 412
    elif "if-unmodified-since" in headers:
        since = _date(headers["if-unmodified-since"])
        if since is not None and _second(stat.last_modified) > since:
            return 412
    if "if-none-match" in headers:
        if _matches(headers["if-none-match"], stat.etag, weak=True):
            return 304
    elif "if-modified-since" in headers:
        since = _date(headers["if-modified-since"])
        if since is not None and _second(stat.last_modified) <= since:
            return 304
    return None


def parse_range(headers: Headers, stat: Stat) -> tuple[int, int] | None:
    """Start and end of the bytes to send. ``None``: all (no range, several, a malformed one, or an outdated ``If-Range``).

    The start is the end where the range cannot be satisfied.
    """
    values = headers.get("range", ())
    match = _RANGE(values[0]) if len(values) == 1 else None
    if match is None or ("if-range" in headers and not _same_version(headers["if-range"], stat)):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return max(0, stat.size - _number(suffix)), stat.size
    start = _number(first)
    if last and _number(last) < start:
        return None  # not a range at all, says the RFC
    end = min(_number(last) + 1, stat.size) if last else stat.size
    return start, max(start, end)


def _number(digits: str) -> int:
    """The number; of more than 18 digits, which no position in a blob has, one that is past every end."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= 18 else _BEYOND


def http_date(when: datetime) -> str:
    """``Sun, 06 Nov 1994 08:49:37 GMT``."""
    return format_datetime(_second(when), usegmt=True)


def _matches(values: Sequence[str], etag: str, *, weak: bool) -> bool:
    text = ", ".join(values).strip()
    if text == "*":
        return True
    return any(tag[1] == etag and (weak or not tag[0].startswith("W/")) for tag in _TAG.finditer(text))


def _same_version(values: Sequence[str], stat: Stat) -> bool:
    if len(values) == 1 and values[0].startswith('"'):
        return values[0] == f'"{stat.etag}"'
    return _date(values) == _second(stat.last_modified)


def _date(values: Sequence[str]) -> datetime | None:
    if len(values) != 1:
        return None
    try:
        when = parsedate_to_datetime(values[0])
        return when.replace(tzinfo=timezone.utc) if when.tzinfo is None else when.astimezone(timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _second(when: datetime) -> datetime:
    return when.astimezone(timezone.utc).replace(microsecond=0)
