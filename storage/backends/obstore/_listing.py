"""Listings, by requests of the driver's own.

The Rust library cannot do it: it takes whole segments for prefixes, gives ``folder/`` the name of the blob ``folder``, fails
on a page that has a name such as ``a//b``, and holds a level with all its entries in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError, XMLParser

from storage._retry import Attempts
from storage.backends._protocol import Stat
from storage.backends.obstore._requests import Requests

__all__ = ["pages"]

Entries = list[tuple[str, "Stat | None"]]


class _Page(NamedTuple):
    """One answer: blobs and common prefixes in order, and where the next one begins, if there is one."""

    entries: Entries
    truncated: bool
    token: str | None
    depth_first: bool = False  # the server is one that orders so


def pages(
    requests: Requests, prefix: str, *, start_after: str | None, detail: bool, delimiter: bool, page_size: int
) -> Iterator[Entries]:
    """As ``Backend.scan``."""
    query = {"list-type": "2", "encoding-type": "url", "max-keys": str(min(page_size, 1000))}
    if prefix:
        query["prefix"] = prefix
    if delimiter:
        query["delimiter"] = "/"
    if start_after:
        query["start-after"] = start_after
    while True:
        page = _page(requests, query, detail=detail)
        if page.depth_first and start_after and query["start-after"] == start_after:
            # SeaweedFS lists `a/b` straight after `a`, but after "a" it goes on behind all of `a/`.
            query["start-after"] = start_after + "/"
            continue
        entries = page.entries
        if delimiter and start_after:
            # A folder that `start_after` lies in has been given already.
            entries = [entry for entry in entries if not (entry[0].endswith("/") and start_after.startswith(entry[0]))]
        if entries:
            yield entries
        if not page.truncated:
            return
        if page.token is not None:
            query["continuation-token"] = page.token
        else:
            query["start-after"] = page.entries[-1][0]  # a server that knows no tokens
        # The first page is as long as the caller wanted; who goes on wants the rest.
        query["max-keys"] = "1000"


def _page(requests: Requests, query: dict[str, str], *, detail: bool) -> _Page:
    attempts = Attempts(requests.settings.retries)
    while True:
        answer = requests.send("GET", query=query)
        try:
            page = _parse(answer.data, detail=detail)
        except (ParseError, ValueError, KeyError, TypeError) as exc:
            # Something between cut it, or answered in the server's place.
            failure = exc if isinstance(exc, ParseError) else ParseError(f"the listing is not what it should be: {exc}")
            attempts.failed(failure, status=None)
        else:
            return page._replace(depth_first=answer.headers.get("server", "").startswith("SeaweedFS"))


def _parse(body: bytes, *, detail: bool) -> _Page:
    parser = XMLParser()  # noqa: S314 (the answer of the server that the user chose; expat fetches nothing)
    parser.feed(body)
    root = parser.close()
    space, _, name = root.tag.rpartition("}")
    space += "}" if space else ""
    if name != "ListBucketResult":
        raise ValueError(f"it is a <{name}>")
    # A server that does not know the encoding sends keys as they are.
    encoded = root.findtext(f"{space}EncodingType") == "url"
    entries: Entries = []
    for element in root.iterfind(f"{space}Contents"):
        key = _text(element.findtext(f"{space}Key"), encoded=encoded)
        entries.append((key, _stat(element, space) if detail else None))
    folders = [_text(found.text, encoded=encoded) for found in root.iterfind(f"{space}CommonPrefixes/{space}Prefix")]
    if folders:
        entries += [(folder, None) for folder in folders]
        entries.sort(key=lambda entry: entry[0])
    truncated = root.findtext(f"{space}IsTruncated") == "true"
    token = root.findtext(f"{space}NextContinuationToken") or None
    if truncated and token is None and not entries:
        raise ValueError("an empty page that is not the last, and no token")
    return _Page(entries, truncated, token)


def _text(text: str | None, *, encoded: bool) -> str:
    if text is None:
        raise ValueError("an entry has no key")
    return unquote_plus(text, errors="surrogateescape") if encoded and ("%" in text or "+" in text) else text


def _stat(element: Element, space: str) -> Stat:
    cut = len(space)
    fields = {child.tag[cut:]: child.text or "" for child in element}
    return Stat(int(fields["Size"]), fields["ETag"].strip('"'), _time(fields["LastModified"]))


def _time(text: str) -> datetime:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    # Python 3.10 reads three or six digits, servers send from none to nine.
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")
