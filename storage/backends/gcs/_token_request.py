"""Fetches google-auth's tokens over this driver's own transport, which is quicker to import than theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from google.auth import exceptions, transport

from storage._retry import Timeout
from storage.backends._http import TransportError
from storage.backends.gcs._gate import needs_requests
from storage.backends.gcs._wire import new_pool


class TokenResponse(NamedTuple):
    """An answer as google-auth reads it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class TokenRequest(transport.Request):
    """As :class:`google.auth.transport.requests.Request`, which it leaves proxies and client certificates to.

    ``timeout`` holds where google-auth asks for none.
    """

    def __init__(self, timeout: Timeout) -> None:
        self._timeout = timeout
        self._session: Any = None

    @property
    def session(self) -> Any:
        """A session of ``requests``, which makes all requests from then on.

        google-auth mounts on it what knows the certificates of a machine's metadata server.
        """
        if self._session is None:
            import requests

            self._session = requests.Session()
        return self._session

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        if kwargs or self._session is not None or needs_requests(url):
            from google.auth.transport.requests import Request  # 100 ms

            make: Any = Request
            return make(self._session)(url, method, body, headers, timeout or self._timeout.read, **kwargs)
        parts = urlsplit(url)
        limits = Timeout(timeout, timeout) if timeout else self._timeout
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        data = body.encode() if isinstance(body, str) else body or b""
        try:
            pool = new_pool(parts.scheme, parts.hostname or "", parts.port, limits)
            try:
                # google-auth tries again by itself, whatever it asks for.
                response = pool.request(method, target, headers or {}, data, repeatable=True)
                return TokenResponse(response.status, response.headers, response.body)
            finally:
                pool.close()
        except (TransportError, ValueError) as exc:
            failure: Any = exceptions.TransportError  # without types
            raise failure(exc) from exc
