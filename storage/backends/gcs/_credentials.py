"""Adds google-auth's tokens to requests, and refreshes them. Loaded only where there are credentials."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import google.auth
from google.auth.credentials import AnonymousCredentials, with_scopes_if_required
from google.auth.exceptions import GoogleAuthError

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
        if isinstance(exc, GoogleAuthError):
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
