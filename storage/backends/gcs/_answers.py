"""Checks and reads the answers of Cloud Storage: each is compared with what was asked for. Pure, but for reading the body.

An answer that is not the service's (a login page, a cut or malformed document, one without the fields that the service always
gives) is an ``UnavailableError``, and the request is tried again where that is safe. Another range or length than was asked
for is an ``IntegrityError``, another generation a ``PreconditionFailedError``; neither is tried again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple, NoReturn

from storage._backend import Stat
from storage.backends._http import Answer, http_date, iso_time
from storage.backends.gcs._headers import NONCE
from storage.exceptions import IntegrityError, PreconditionFailedError, UnavailableError

FIELDS: Final = "name,size,generation,timeCreated,contentType,cacheControl,contentEncoding,metadata,crc32c"
LISTED: Final = "name,size,generation,timeCreated"

_CRC: Final = re.compile(r"\bcrc32c=([A-Za-z0-9+/=]+)")
_RANGE: Final = re.compile(r"bytes (\d{1,18})-(-1|\d{1,18})/(\d{1,18})", re.ASCII)
_UNSATISFIED: Final = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,20}", re.ASCII)
_EMPTY: Final = "AAAAAA=="  # the CRC32C of no bytes


class CheckedStat(Stat):
    """A ``Stat`` that remembers the blob's CRC32C, as the service writes it."""

    crc: str | None = None


class Media(NamedTuple):
    """The body of a blob that begins to come."""

    answer: Answer
    skip: int  # bytes that come first and were not asked for, since the server knows no ranges
    first: int  # where the bytes that were asked for begin
    after: int | None  # where they end; None: with the body, whose length the answer does not tell
    total: int | None  # bytes of the whole blob, if that is known
    generation: str
    crc: str | None  # the CRC32C of the whole blob, as the service writes it, if it does

    @property
    def is_whole(self) -> bool:
        """Whether all of the blob was asked for, so that its checksum can be compared."""
        return self.first == 0 and self.after == self.total

    def stat(self) -> Stat:
        """The blob's ``Stat`` by the headers: without metadata; the time is the answer's own where the blob's is not told."""
        headers = self.answer.headers
        if self.total is None:
            malformed("a download that does not tell the blob's size")
        date = time_of(self.answer, "last-modified") or time_of(self.answer, "date") or datetime.now(timezone.utc)
        encoding = headers.get("x-goog-stored-content-encoding")
        return Stat(
            self.total,
            self.generation,
            date,
            headers.get("content-type"),
            headers.get("cache-control"),
            encoding if encoding != "identity" else None,
        )


def malformed(what: str) -> NoReturn:
    """Raises what an answer is that is not the service's. ``what`` names it, without quoting it."""
    raise UnavailableError(f"the answer is not Cloud Storage's: {what}; check proxies and gateways on the way")


def nothing(answer: Answer) -> None:
    """For a request that is answered without a body. Emulators send an empty one, or ``null``."""
    if answer.status != 204 and answer.body.strip() not in (b"", b"null", b"{}"):
        malformed(f"status {answer.status} with a body, where there should be none")


def json_object(answer: Answer) -> dict[str, Any]:
    """The JSON object that an answer holds."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):  # of which UnicodeDecodeError and JSONDecodeError are kinds
        malformed(f"status {answer.status} with a body that is no JSON")
    if type(found) is not dict:
        malformed(f"status {answer.status} with JSON that is no object")
    return found


def required(found: Mapping[str, Any], name: str) -> str:
    """A text that the service always gives."""
    value = found.get(name)
    if type(value) is not str or not value:
        malformed(f"JSON without {name!r}")
    return value


def number(found: Mapping[str, Any], name: str) -> str:
    """Decimal digits that the service always gives."""
    value = required(found, name)
    if not _NUMBER.fullmatch(value):
        malformed(f"JSON whose {name!r} is no number")
    return value


def resource(found: Any, path: str) -> dict[str, Any]:
    """An object resource, which has to be that of ``path``. Its metadata, if there are any, are texts."""
    if type(found) is not dict:
        malformed("no description of a blob")
    if found.get("name", path) != path:
        malformed("the description of another blob")
    metadata = found.get("metadata")
    if metadata is not None and (type(metadata) is not dict or not all(type(v) is str for v in metadata.values())):
        malformed("metadata that are no texts")
    return found


def told(answer: Answer, path: str) -> dict[str, Any]:
    """The :func:`resource` that an answer holds."""
    return resource(json_object(answer), path)


def stat_of(found: Mapping[str, Any]) -> CheckedStat:
    """The ``Stat`` of a :func:`resource`."""
    metadata = found.get("metadata") or {}
    if NONCE in metadata:
        metadata = {name: value for name, value in metadata.items() if name != NONCE}
    headers = [found.get(name) or None for name in ("contentType", "cacheControl", "contentEncoding")]
    if not all(value is None or type(value) is str for value in headers):
        malformed("the headers of a blob that are no texts")
    # The answer of fake-gcs-server to a PATCH tells `updated` alone.
    size, generation, made = _known(found, "timeCreated" if "timeCreated" in found else "updated")
    content_type, cache_control, content_encoding = headers
    stat = CheckedStat(size, generation, made, content_type, cache_control, content_encoding, metadata)
    crc = found.get("crc32c")
    stat.crc = crc if type(crc) is str else None
    return stat


def stat_at(path: str) -> Callable[[Answer], CheckedStat]:
    """Reads the ``Stat`` of the blob at ``path`` from an answer."""
    return lambda answer: stat_of(told(answer, path))


def listed_stat(found: Mapping[str, Any]) -> Stat:
    """The ``Stat`` of a resource that has only :data:`LISTED`."""
    return Stat(*_known(found, "timeCreated"))


def _known(found: Mapping[str, Any], time: str) -> tuple[int, str, datetime]:
    # Google's test bench leaves out the size of an empty blob.
    size, generation = found.get("size", "0"), found.get("generation")
    try:
        # `updated` would also tell of changes of the metadata; the bytes are as old as their generation.
        made = iso_time(found[time])
    except (KeyError, ValueError, AttributeError):
        malformed("the description of a blob without its time")
    if (
        type(size) is not str
        or type(generation) is not str
        or not (_NUMBER.fullmatch(size) and _NUMBER.fullmatch(generation))
    ):
        malformed("the description of a blob without its size or generation")
    if "size" not in found and found.get("crc32c", _EMPTY) != _EMPTY:
        malformed("the description of a blob without its size")
    return int(size), generation, made


def crc_of(answer: Answer) -> str | None:
    """The CRC32C that an answer's headers tell, as the service writes it."""
    found = _CRC.search(answer.headers.get("x-goog-hash", ""))
    return found[1] if found else None


def time_of(answer: Answer, header: str) -> datetime | None:
    """The time in a header; ``None``: there is none."""
    text = answer.headers.get(header)
    if text is None:
        return None
    return http_date(text) or malformed(f"a malformed time in the header {header!r}")


def media(answer: Answer, start: int, end: int | None, generation: str | None) -> Media:
    """The body of a blob from ``start`` (negative: counted from its end) to ``end``, of ``generation`` if one is given."""
    headers = answer.headers
    found = headers.get("x-goog-generation", "")
    if _NUMBER.fullmatch(found) is None:
        malformed("a download without a generation")
    if generation not in (None, found):
        raise PreconditionFailedError
    span, length, skip = headers.get("content-range"), answer.length, 0
    total: int | None
    if span is not None or answer.status == 206:
        # Google's test bench answers a range with status 200, and a Content-Range.
        match = _RANGE.fullmatch(span or "")
        if match is None:
            raise IntegrityError(f"the service answers a range with Content-Range {span!r}")
        first, after, total = int(match[1]), int(match[2]) + 1, int(match[3])
        wanted = _wanted(start, end, total)
        if (first, after) != wanted or length not in (None, after - first):
            raise IntegrityError(
                f"bytes {wanted[0]} to {wanted[1]} of {total} were asked for, and the service gives {span!r}, {length} bytes"
            )
    else:
        stored = headers.get("x-goog-stored-content-length")
        total = int(stored) if stored is not None and _NUMBER.fullmatch(stored) else length
        if total is not None and length not in (None, total):
            raise IntegrityError(f"the blob has {total} bytes, and the service gives {length}")
        if total is not None:
            first, after = _wanted(start, end, total)
            skip = first
        elif start or end is not None:
            raise IntegrityError("the service ignores the range that was asked for, and does not tell the blob's size")
        else:
            return Media(answer, 0, 0, None, None, found, crc_of(answer))
    return Media(answer, skip, first, after, total, found, crc_of(answer))


def size_past(refusal: Any) -> int | None:
    """The blob's size, by an answer that there is nothing in the range that was asked for; ``None``: it does not tell."""
    match = _UNSATISFIED.fullmatch(refusal.response.headers.get("content-range", ""))
    return int(match[1]) if match else None


def _wanted(start: int, end: int | None, total: int) -> tuple[int, int]:
    first = min(start, total) if start >= 0 else max(0, total + start)
    return first, max(first, total if end is None else min(end, total))
