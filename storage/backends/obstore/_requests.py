"""Requests of the driver's own, signed and tried again: what the Rust library cannot say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass
from xml.etree.ElementTree import ParseError, XMLParser

import urllib3

from storage._retry import Attempts
from storage.backends._protocol import trace
from storage.backends._sigv4 import presign
from storage.backends.obstore._errors import AnswerError, fault_of
from storage.backends.obstore._settings import Settings

__all__ = ["Requests"]

_POOL = 16
_SECONDS = 900  # a request is sent at once


class Requests:
    """Sends requests about one bucket. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
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
        """Closes the connections."""
        self._http.clear()

    def send(
        self,
        method: str,
        path: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """The answer, whose status is 200; tried as often as the user allows. ``path``: a key; ``None``: the bucket itself."""
        attempts = Attempts(self.settings.retries)
        while True:
            try:
                return self.once(method, path, query, headers, body)
            except (AnswerError, urllib3.exceptions.HTTPError) as exc:
                fault = fault_of(exc)
                attempts.failed(exc, status=fault.status, retryable=fault.retryable, sent=fault.sent)

    def once(
        self,
        method: str,
        path: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """As :meth:`send`, in one try."""
        url = self._url(method, path, query or {}, headers or {})
        answer = self._http.request(method, url, body=body, headers=dict(headers or {}), redirect=False)
        trace.request_id = answer.headers.get("x-amz-request-id")
        if answer.status != 200:
            raise _answer_error(answer.status, answer.data)
        return answer

    def _url(self, method: str, path: str | None, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
        settings = self.settings
        keys = settings.keys()
        if keys is None:
            return (
                settings.base + ("" if path is None else "/" + quote(path)) + ("?" + urlencode(query) if query else "")
            )
        return presign(
            method,
            settings.base,
            path,
            keys=keys,
            region=settings.found_region,
            now=datetime.now(timezone.utc),
            expires_in=_SECONDS,
            query=query,
            headers=headers,
        )


def _answer_error(status: int, body: bytes) -> AnswerError:
    parser = XMLParser()  # noqa: S314 (the answer of the server that the user chose; expat fetches nothing)
    try:
        parser.feed(body)
        root = parser.close()
    except ParseError:
        return AnswerError(status, None, "an answer without S3's error document")
    return AnswerError(status, root.findtext("{*}Code"), root.findtext("{*}Message") or "")
