"""Listings, by requests of the driver's own.

The Rust library cannot do it: it takes whole segments for prefixes, gives ``folder/`` the name of the blob ``folder``, fails
on a page that has a name such as ``a//b``, and holds a level with all its entries in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import ParseError

from storage._retry import Attempts
from storage.backends._protocol import Stat
from storage.backends._s3_listing import Page, parse_page
from storage.backends.obstore._requests import Requests

__all__ = ["pages"]

Entries = list[tuple[str, "Stat | None"]]


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


def _page(requests: Requests, query: dict[str, str], *, detail: bool) -> Page:
    attempts = Attempts(requests.settings.retries)
    while True:
        answer = requests.send("GET", query=query)
        try:
            page = parse_page(answer.data, detail=detail)
        except ParseError as exc:
            # Something between cut it, or answered in the server's place.
            attempts.failed(exc, status=None)
        else:
            return page._replace(depth_first=answer.headers.get("server", "").startswith("SeaweedFS"))
