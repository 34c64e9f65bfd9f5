"""Listings, by signed requests of the driver's own.

The Rust library cannot do it: it takes whole segments for prefixes, gives ``folder/`` the name of the blob ``folder``, fails
on a page that has a name such as ``a//b``, and holds a level with all its entries in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote_plus, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass
from xml.etree.ElementTree import Element, ParseError, XMLParser

import urllib3

from storage._retry import Attempts
from storage.backends._protocol import Stat, trace
from storage.backends._sigv4 import presign
from storage.backends.obstore._errors import AnswerError, fault_of
from storage.backends.obstore._settings import Settings

__all__ = ["Lister"]

_POOL = 16
_SECONDS = 900  # a listing's URL is sent at once


class Lister:
    """What is asked of the bucket itself. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        timeout = urllib3.Timeout(connect=settings.timeout.connect, read=settings.timeout.read)
        options: dict[str, Any] = {"maxsize": _POOL, "retries": False, "timeout": timeout}
        authorities = os.environ.get("AWS_CA_BUNDLE")
        if authorities:
            options["ca_certs"] = authorities
        parts = urlsplit(settings.base)
        proxy = getproxies().get(parts.scheme)
        if proxy and not proxy_bypass(parts.hostname or ""):
            self._http: urllib3.PoolManager = urllib3.ProxyManager(proxy, **options)
        else:
            self._http = urllib3.PoolManager(**options)

    def close(self) -> None:
        """Closes its connections."""
        self._http.clear()

    def exists(self) -> bool:
        """Whether the bucket is there."""
        try:
            self._ask("HEAD", {})
        except AnswerError as exc:
            if exc.status == 404:
                return False
            raise
        return True

    def pages(
        self, prefix: str, *, start_after: str | None, detail: bool, delimiter: bool, page_size: int
    ) -> Iterator[list[tuple[str, Stat | None]]]:
        """As ``Backend.scan``."""
        query = {"list-type": "2", "encoding-type": "url", "max-keys": str(min(page_size, 1000))}
        if prefix:
            query["prefix"] = prefix
        if delimiter:
            query["delimiter"] = "/"
        if start_after is not None:
            query["start-after"] = start_after
        while True:
            entries, token = self._page(query, detail=detail)
            if entries:
                yield entries
            if token is None:
                return
            query["continuation-token"] = token
            # The first page is as long as the caller wanted; who goes on wants the rest.
            query["max-keys"] = "1000"

    def _page(self, query: dict[str, str], *, detail: bool) -> tuple[list[tuple[str, Stat | None]], str | None]:
        attempts = Attempts(self._settings.retries)
        while True:
            body = self._ask("GET", query)
            try:
                return _parse(body, detail=detail)
            except (ParseError, ValueError, KeyError, TypeError) as exc:
                # Something between cut it, or answered in the server's place.
                failure = exc if isinstance(exc, ParseError) else ParseError(f"the listing is not what it should be: {exc}")
                attempts.failed(failure, status=None)

    def _ask(self, method: str, query: dict[str, str]) -> bytes:
        settings = self._settings
        attempts = Attempts(settings.retries)
        while True:
            try:
                answer = self._http.request(method, self._url(method, query))
                trace.request_id = answer.headers.get("x-amz-request-id")
                if answer.status == 200:
                    return answer.data
                raise _answer_error(answer.status, answer.data)
            except (AnswerError, urllib3.exceptions.HTTPError) as exc:
                fault = fault_of(exc)
                attempts.failed(exc, status=fault.status, retryable=fault.retryable)

    def _url(self, method: str, query: dict[str, str]) -> str:
        settings = self._settings
        keys = settings.keys()
        if keys is None:
            return f"{settings.base}?{urlencode(query)}"
        now = datetime.now(timezone.utc)
        return presign(
            method, settings.base, None, keys=keys, region=settings.found_region, now=now, expires_in=_SECONDS, query=query
        )


def _answer_error(status: int, body: bytes) -> AnswerError:
    parser = XMLParser()  # noqa: S314 (the answer of the server that the user chose; expat expands no entity of another file)
    try:
        parser.feed(body)
        root = parser.close()
    except ParseError:
        return AnswerError(status, None, "an answer without S3's error document")
    return AnswerError(status, root.findtext("{*}Code") or root.findtext("Code"), root.findtext("Message") or "")


def _parse(body: bytes, *, detail: bool) -> tuple[list[tuple[str, Stat | None]], str | None]:
    parser = XMLParser()  # noqa: S314 (as above)
    parser.feed(body)
    root = parser.close()
    space, _, name = root.tag.rpartition("}")
    space += "}" if space else ""
    if name != "ListBucketResult":
        raise ValueError(f"it is a <{name}>")
    # A server that does not know the encoding sends keys as they are.
    encoded = root.findtext(f"{space}EncodingType") == "url"
    entries: list[tuple[str, Stat | None]] = []
    for element in root.iterfind(f"{space}Contents"):
        key = _text(element.findtext(f"{space}Key"), encoded=encoded)
        entries.append((key, _stat(element, space) if detail else None))
    folders = [_text(found.text, encoded=encoded) for found in root.iterfind(f"{space}CommonPrefixes/{space}Prefix")]
    if folders:
        entries += [(folder, None) for folder in folders]
        entries.sort(key=lambda entry: entry[0])
    truncated = root.findtext(f"{space}IsTruncated") == "true"
    return entries, root.findtext(f"{space}NextContinuationToken") if truncated else None


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
