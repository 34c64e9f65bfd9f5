"""Listing: pages of names, or of names and ``Stat``s, blobs and prefixes in one order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from storage._backend import Stat
from storage.backends.gcs._client import Session, parsed
from storage.backends.gcs._errors import NATIVE, status_of
from storage.backends.gcs._headers import LISTED, stat_of
from storage.exceptions import BucketNotFoundError

__all__ = ["scan"]

_MOST: Final = 1000  # what a page of the service holds


def scan(
    session: Session, prefix: str, start_after: str | None, page_size: int, *, detail: bool, delimiter: bool
) -> Iterator[list[tuple[str, Stat | None]]]:
    """As :meth:`storage.backends.Backend.scan`."""
    fields = f"nextPageToken,items({LISTED if detail else 'name'}){',prefixes' if delimiter else ''}"
    base = (
        f"{session.connection.bucket_url}/o?maxResults={min(page_size, _MOST)}&prettyPrint=false"
        f"&fields={quote(fields)}&prefix={quote(prefix, safe='')}{'&delimiter=/' if delimiter else ''}"
    )
    # Code points sort as their UTF-8 bytes do.
    if start_after is not None and start_after >= prefix:
        base += f"&startOffset={quote(_offset(prefix, start_after, delimiter=delimiter), safe='')}"
    token = ""
    while True:
        try:
            answer = parsed(session.call("GET", base + token))
        except NATIVE as exc:
            if status_of(exc) == 404:
                raise BucketNotFoundError from exc
            raise
        page: list[tuple[str, Stat | None]] = [
            (item["name"], stat_of(item, listed=True) if detail else None)
            for item in answer.get("items", ())
            if item["name"] != start_after  # the service's offset includes it
        ]
        folders = answer.get("prefixes")
        if folders:
            page += [(folder, None) for folder in folders]
            page.sort(key=lambda entry: entry[0])
        if page:
            yield page
        if not answer.get("nextPageToken"):
            return
        token = f"&pageToken={quote(answer['nextPageToken'], safe='')}"


def _offset(prefix: str, start_after: str, *, delimiter: bool) -> str:
    slash = start_after.find("/", len(prefix)) if delimiter and start_after.startswith(prefix) else -1
    # A folder of which something has been given is done with: "0" comes after "/".
    return start_after if slash < 0 else start_after[:slash] + "0"
