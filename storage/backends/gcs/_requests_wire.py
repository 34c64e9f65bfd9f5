"""Sends requests with google-auth's session over ``requests``, for proxies and client certificates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn

import requests
import urllib3.exceptions as wire
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from storage._retry import Timeout
from storage.backends._http import Answer
from storage.backends.gcs._wire import Body


class RequestsAnswer(Answer):
    """An answer of ``requests``."""

    def __init__(self, response: requests.Response, *, stream: bool) -> None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        length = headers.get("content-length", "")
        is_length = length.isascii() and length.isdecimal()
        super().__init__(response.status_code, headers, length=int(length) if is_length else None)
        self._response = response
        if not stream or self.status >= 300:
            self.load()

    def load(self) -> None:
        # Not `content`, which would unpack gzip.
        self.body = self._response.raw.read(decode_content=False)

    def read(self, size: int) -> bytes:
        return bytes(self._response.raw.read(size, decode_content=False))

    def close(self) -> None:
        self._response.close()


class RequestsWire:
    """Makes requests as :class:`~storage.backends._http.Pool` does.

    ``origin``: scheme, host and port. ``client_certificate``: present the one that the machine has.
    """

    def __init__(self, origin: str, connections: int, timeout: Timeout, *, client_certificate: bool) -> None:
        self.origin: str = origin
        self._timeout = timeout
        # Tokens are put into the headers above this: here everybody is anonymous.
        make: Any = AuthorizedSession
        self._session: Any = make(AnonymousCredentials(), max_refresh_attempts=0)  # type: ignore[no-untyped-call]
        session = self._session
        if client_certificate:
            session.configure_mtls_channel()
        self.is_mtls: bool = bool(session.is_mtls)
        for scheme in ("https://", "http://"):
            if type(session.get_adapter(scheme)) is HTTPAdapter:  # one for mutual TLS has its own certificate: leave it
                session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=connections, max_retries=0))
        # requests looks for proxies, CA bundles and .netrc at each request; they are looked for once, here.
        session.proxies = get_environ_proxies(origin, no_proxy=None)
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        if bundle and session.verify is True:
            session.verify = bundle
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.clear()

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, *, repeatable: bool, stream: bool
    ) -> RequestsAnswer:
        del repeatable  # urllib3 looks whether a connection has been closed before it takes it
        try:
            response = self._session.request(
                method,
                self.origin + target,
                data=body if isinstance(body, bytes) else b"".join(body),
                headers=headers,
                timeout=tuple(self._timeout),
                stream=True,
                allow_redirects=False,
            )
            return RequestsAnswer(response, stream=stream)
        except requests.RequestException as exc:
            _raise_without_url(exc)

    def close(self) -> None:
        self._session.close()


def _raise_without_url(exc: requests.RequestException) -> NoReturn:
    """Its message has the whole URL, and an upload's is a credential."""
    inner = exc.args[0] if exc.args else None
    if isinstance(inner, wire.MaxRetryError):
        inner = inner.reason
    raise type(exc)(inner if isinstance(inner, BaseException) else "the service gave no answer") from None
