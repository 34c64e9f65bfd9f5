"""How google-auth's credentials get their tokens: over this driver's own transport, whose import is cheap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from google.auth import exceptions, transport

from storage._retry import Timeout
from storage.backends._http import Pool, Response, TransportError, tls_context
from storage.backends.gcs._gate import bundle, needs_requests

__all__ = ["TokenRequest"]


class TokenResponse(transport.Response):
    """As google-auth wants it."""

    def __init__(self, response: Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.body


class TokenRequest(transport.Request):
    """As :class:`google.auth.transport.requests.Request`, which it leaves proxies and client certificates to.

    Args:
        timeout: where google-auth asks for none.
    """

    def __init__(self, timeout: Timeout) -> None:
        self._timeout = timeout

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        if kwargs or needs_requests(url):
            from google.auth.transport.requests import Request  # 100 ms

            make: Any = Request
            return make()(url, method, body, headers, timeout or self._timeout.read, **kwargs)
        parts = urlsplit(url)
        connect, read = (timeout, timeout) if timeout else self._timeout
        try:
            pool = Pool(
                parts.scheme,
                parts.hostname or "",
                parts.port,
                connect_timeout=connect,
                read_timeout=read,
                tls=tls_context(bundle()) if parts.scheme == "https" else None,
            )
            target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            data = body.encode() if isinstance(body, str) else body or b""
            try:
                return TokenResponse(pool.request(method, target, headers or {}, data, repeatable=True))
            finally:
                pool.close()
        except (TransportError, ValueError, OSError) as exc:
            failure: Any = exceptions.TransportError  # without types
            raise failure(exc) from exc
