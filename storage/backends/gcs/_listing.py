"""Lists a bucket in pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from storage._backend import Stat
from storage.backends._circle import Circle
from storage.backends._http import Answer
from storage.backends.gcs import _answers
from storage.backends.gcs._answers import LISTED
from storage.backends.gcs._errors import native, status_of
from storage.backends.gcs._requests import Session, quoted
from storage.exceptions import BucketNotFoundError

_MOST: Final = 1000  # what a page of the service holds
_LONGEST: Final = 1024  # bytes of a name, and so of an offset; a character has at most four


class _Page(NamedTuple):
    entries: list[tuple[str, Stat | None]]
    token: str | None


def scan(
    session: Session,
    prefix: str,
    start_after: str | None,
    end_before: str | None,
    page_size: int,
    *,
    detail: bool,
    delimiter: bool,
) -> Iterator[list[tuple[str, Stat | None]]]:
    """As :meth:`storage._backend.Backend.scan`."""
    if end_before is not None and end_before <= prefix:
        return
    ends = end_before is not None and _cut(end_before) == end_before  # whether the service can know where to end
    base = _query(prefix, start_after, end_before if ends else None, page_size, detail=detail, delimiter=delimiter)
    target = f"{session.connection.bucket}/o?{base}"

    def parse(answer: Answer) -> _Page:
        return _page(_answers.json_object(answer), prefix, detail=detail)

    token, circle = "", Circle()
    last: list[tuple[str, Stat | None]] = []
    while True:
        try:
            page = session.call("GET", target + token, parse=parse)
        except native() as exc:
            if status_of(exc) == 404:
                raise BucketNotFoundError from exc
            raise
        if page.entries and page.entries == last:
            _answers.malformed("a page of a listing that repeats the one before")
        last = page.entries
        entries = _within(page.entries, start_after, end_before)
        if entries:
            yield entries
        beyond = end_before is not None and not ends and page.entries and page.entries[-1][0] >= end_before
        if page.token is None or beyond:
            return
        if circle.closes(page.token):
            _answers.malformed("a listing whose pages come again and again")
        token = f"&pageToken={quoted(page.token)}"


def _query(
    prefix: str, start_after: str | None, end_before: str | None, page_size: int, *, detail: bool, delimiter: bool
) -> str:
    fields = f"kind,nextPageToken,items({LISTED if detail else 'name'}){',prefixes' if delimiter else ''}"
    query = (
        f"maxResults={min(page_size, _MOST)}&prettyPrint=false&fields={quote(fields)}&prefix={quoted(prefix)}"
        f"{'&delimiter=/' if delimiter else ''}"
    )
    # Code points sort as their UTF-8 bytes do.
    if start_after is not None and start_after >= prefix:
        query += f"&startOffset={_offset(prefix, start_after, delimiter=delimiter)}"
    if end_before is not None:
        query += f"&endOffset={quoted(end_before)}"
    return query


def _page(found: dict[str, Any], prefix: str, *, detail: bool) -> _Page:
    if found.get("kind") != "storage#objects":  # all that an empty listing says
        _answers.malformed("no listing")
    items, folders = found.get("items") or [], found.get("prefixes") or []
    token = found.get("nextPageToken") or None
    try:
        names = [item["name"] for item in items]
        if not all(type(name) is str and name.startswith(prefix) for name in (*names, *folders)):
            _answers.malformed("a listing with what was not asked for")
    except (TypeError, KeyError):
        _answers.malformed("a listing of something else")
    if token is not None and type(token) is not str:
        _answers.malformed("a listing with a page token that is no text")
    stats = map(_answers.listed_stat, items) if detail else [None] * len(items)
    entries: list[tuple[str, Stat | None]] = list(zip(names, stats, strict=True))
    if folders:
        entries += [(folder, None) for folder in folders]
        entries.sort(key=lambda entry: entry[0])
    return _Page(entries, token)


def _within(
    entries: list[tuple[str, Stat | None]], start_after: str | None, end_before: str | None
) -> list[tuple[str, Stat | None]]:
    """Without what the service's own bounds let through: its first is included, and its names are not as long as ours."""
    if start_after is not None:
        entries = [entry for entry in entries if entry[0] > start_after]
    if end_before is not None:
        entries = [entry for entry in entries if entry[0] < end_before]
    return entries


def _offset(prefix: str, start_after: str, *, delimiter: bool) -> str:
    slash = start_after.find("/", len(prefix)) if delimiter and start_after.startswith(prefix) else -1
    # A folder of which something has been given is done with: "0" comes after "/".
    return quoted(_cut(start_after if slash < 0 else start_after[:slash] + "0"))


def _cut(text: str) -> str:
    return text if len(text) * 4 <= _LONGEST else text.encode("utf-8", "replace")[:_LONGEST].decode(errors="ignore")
