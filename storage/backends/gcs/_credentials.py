"""Fetches google-auth's tokens, adds them to requests, and refreshes them. Loaded only where there are credentials."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import google.auth
from google.auth import exceptions, transport
from google.auth.credentials import AnonymousCredentials, with_scopes_if_required

from storage._retry import Timeout
from storage.backends._http import TransportError
from storage.backends.gcs._gate import needs_requests
from storage.backends.gcs._wire import new_pool
from storage.exceptions import AuthenticationError, UnavailableError

# Those of google-cloud-storage's client.
SCOPES: Final = (
    "https://www.googleapis.com/auth/devstorage.full_control",
    "https://www.googleapis.com/auth/devstorage.read_only",
    "https://www.googleapis.com/auth/devstorage.read_write",
)


def find(make: Callable[[], Any] | None, request: Any) -> Any:
    """The credentials that ``make`` makes, or else those of google-auth's chain, which may use the network; with scopes."""
    scoped: Any = with_scopes_if_required
    if make is not None:
        return scoped(make(), scopes=SCOPES)
    default: Any = google.auth.default
    try:
        return default(scopes=SCOPES, request=request)[0]
    except OSError as exc:
        if exc.filename is None:
            raise
        raise AuthenticationError(
            f"the file {exc.filename!r}, where google-auth looks for credentials, cannot be read: {exc.strerror}; "
            "make it readable, or name another one in GOOGLE_APPLICATION_CREDENTIALS"
        ) from exc


@contextmanager
def _checked() -> Iterator[None]:
    """Turns the exceptions that google-auth raises for malformed answers of a token service, such as a login page."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        if isinstance(exc, exceptions.GoogleAuthError):
            raise
        raise UnavailableError(
            "the token service's answer is malformed; check proxies and gateways on the way"
        ) from exc


class Authority:
    """Puts tokens into the headers of requests. ``request``: what fetches them."""

    def __init__(self, credentials: Any, request: Any) -> None:
        self.credentials: Any = credentials
        self.request: Any = request
        self._lock = threading.Lock()

    def headers(self, method: str, url: str) -> dict[str, str]:
        """The headers that authorise a request, with a new token if the last one has expired."""
        headers: dict[str, str] = {}
        if self.credentials.valid:
            self.credentials.before_request(self.request, method, url, headers)
        else:
            with self._lock, _checked():  # one thread fetches the token that all are waiting for
                self.credentials.before_request(self.request, method, url, headers)
        return headers

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Fetches another token than the one in ``refused``, headers that were answered with a 401.

        Returns:
            ``False``: there is none to be had.
        """
        if isinstance(self.credentials, AnonymousCredentials):
            return False
        with self._lock, _checked():
            token = cast("str | None", self.credentials.token)
            if token is None or token in refused.get("authorization", ""):
                self.credentials.refresh(self.request)
        return True


class TokenResponse(NamedTuple):
    """An answer as google-auth reads it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class TokenRequest(transport.Request):
    """As :class:`google.auth.transport.requests.Request`, which it leaves proxies and client certificates to.

    Our own transport is quicker to import. ``timeout`` holds where google-auth asks for none.
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
