"""The client and its connections: built when they are first needed, one for each process, and one way to send a request."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit
from weakref import WeakSet

import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from storage._backend import trace
from storage._retry import Attempts, Retries, Timeout
from storage.backends.gcs._errors import NATIVE, failure, verdict
from storage.exceptions import ConfigurationError, InvalidKeyError

__all__ = ["CONCURRENCY", "OK", "Connection", "Session", "Settings", "is_google", "parsed"]

CONCURRENCY: Final = 64
OK: Final = frozenset({200, 201, 204, 206})

_alive: WeakSet[Session] = WeakSet()


@dataclass(frozen=True)
class Settings:
    """What a client is made from.

    Attributes:
        bucket: its name.
        credentials: makes them anew in each process; ``None``: the SDK's own chain.
        project: whose the bucket is, where it is to be made.
        endpoint_url: of another server than Google's; ``None``: the SDK's own choice.
        anonymous: send no credentials.
        service_account_email: sign through IAM, as this account.
    """

    bucket: str
    credentials: Callable[[], Any] | None = None
    project: str | None = None
    endpoint_url: str | None = None
    anonymous: bool = False
    service_account_email: str | None = None


class Connection:
    """A client of this process, and what every request on it needs."""

    def __init__(self, settings: Settings) -> None:
        make = cast("Any", AnonymousCredentials) if settings.anonymous else settings.credentials
        credentials = make() if make else None
        # Without a project the SDK would look for one, on the network too; only setup() needs it.
        try:
            self.client: Any = Client(
                project=settings.project,
                credentials=credentials,
                client_options={"api_endpoint": settings.endpoint_url} if settings.endpoint_url else None,
            )
        except ValueError as exc:  # such as: another universe than the credentials'
            raise ConfigurationError(f"gs://{settings.bucket}: the client cannot be made: {exc}") from exc
        # It would look the bucket up in the background, and again after each 404.
        self.client._bucket_metadata_cache = None  # noqa: SLF001
        self.http: requests.Session = self.client._http  # noqa: SLF001
        connection = self.client._connection  # noqa: SLF001
        self.endpoint: str = str(connection.get_api_base_url_for_mtls()).rstrip("/")
        self.is_google: bool = is_google(self.endpoint)
        self.credentials: Any = self.client._credentials  # noqa: SLF001
        self.signer: Any = None  # made by the first signature, where the credentials hold no key
        self._tune(str(connection.user_agent).strip())
        bucket = quote(settings.bucket, safe="")
        self.bucket_url: str = f"{self.endpoint}/storage/v1/b/{bucket}"
        self.object_url: str = f"{self.bucket_url}/o/"
        self.media_url: str = f"{self.endpoint}/download/storage/v1/b/{bucket}/o/"
        self.upload_url: str = f"{self.endpoint}/upload/storage/v1/b/{bucket}/o"
        self.xml_url: str = f"{self.endpoint}/{bucket}/"
        self.batch_url: str = f"{self.endpoint}/batch/storage/v1"

    def _tune(self, user_agent: str) -> None:
        session = self.http
        if isinstance(self.credentials, AnonymousCredentials):
            # They cannot be refreshed, and the attempt would hide the service's own answer.
            session._max_refresh_attempts = 0  # type: ignore[attr-defined]  # noqa: SLF001
        if not self.is_google:
            # google-auth asks Google in the background where this account's data may be; another server's is no such account.
            manager = getattr(self.credentials, "_rab_manager", None)
            if manager is not None:
                manager.maybe_start_refresh = lambda *_: None
        for scheme in ("https://", "http://"):
            adapter = session.get_adapter(scheme)
            if type(adapter) is HTTPAdapter:  # one for mutual TLS has its own certificate: leave it
                session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=CONCURRENCY, max_retries=0))
        # requests looks for proxies, CA bundles and .netrc at each request; they are looked for once, here.
        session.proxies = cast("Any", get_environ_proxies(self.endpoint, no_proxy=None))
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        if bundle and session.verify is True:
            session.verify = bundle
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # gzip: a blob stored with Content-Encoding gzip comes as it is, instead of unpacked by the service.
        session.headers.update({"User-Agent": user_agent, "X-Goog-API-Client": user_agent, "Accept-Encoding": "gzip"})


def is_google(url: str) -> bool:
    """Whether ``url`` is at Google's own service, which has one bucket of each name whatever the host's."""
    return (urlsplit(url).hostname or "").endswith(".googleapis.com")


class Session:
    """Sends requests, over one :class:`Connection` a process.

    Args:
        settings: what the client is made from.
        retries: of every operation.
        timeout: of every request.
    """

    def __init__(self, settings: Settings, retries: Retries, timeout: Timeout) -> None:
        self.settings: Settings = settings
        self.retries: Retries = retries
        self.timeout: Timeout = timeout
        self._connection: Connection | None = None
        self._inherited: Connection | None = None
        self._lock = threading.Lock()
        _alive.add(self)

    @property
    def connection(self) -> Connection:
        """The connection of this process, made now if there is none. May ask the machine for credentials."""
        connection = self._connection
        if connection is None:
            # 16 threads that ask the SDK at once get 16 pools.
            with self._lock:
                connection = self._connection
                if connection is None:
                    connection = self._connection = Connection(self.settings)
        return connection

    def object(self, path: str) -> str:
        """``path`` as it stands in a URL.

        Raises:
            InvalidKeyError: only with ``keys=raw``: a name that no blob can have, and that would address something else.
        """
        if path in (".", "..", ""):
            raise InvalidKeyError(f"key {path!r}: Cloud Storage has no blob of this name; use another")
        try:
            return quote(path, safe="")
        except UnicodeEncodeError:
            raise InvalidKeyError(
                f"key {path!r}: it has a lone surrogate, which is no text; decode the name properly"
            ) from None

    def send(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        ok: frozenset[int] = OK,
        stream: bool = False,
    ) -> requests.Response:
        """One try of one request.

        Args:
            method: in upper case.
            url: with its query.
            body: whole.
            headers: besides those of every request.
            ok: the statuses to return.
            stream: leave the body to be read, and the connection to be given back, by the caller.

        Raises:
            GoogleAPICallError: an answer with another status; and the others of :data:`~storage.backends.gcs._errors.NATIVE`.
        """
        response = self.connection.http.request(
            method, url, data=body, headers=headers, timeout=self.timeout, stream=stream, allow_redirects=False
        )
        trace.request_id = response.headers.get("X-GUploader-UploadID")
        if response.status_code in ok:
            return response
        raise failure(response, method, url)

    def call(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        ok: frozenset[int] = OK,
        stream: bool = False,
        attempts: Attempts | None = None,
    ) -> requests.Response:
        """:meth:`send`, tried as often as ``retries`` allow. ``attempts`` tells the caller afterwards what happened."""
        if attempts is None:
            attempts = self.attempts()
        while True:
            try:
                return self.send(method, url, body, headers, ok=ok, stream=stream)
            except NATIVE as exc:
                self.failed(attempts, exc)

    def attempts(self) -> Attempts:
        """The tries of a new operation."""
        return Attempts(self.retries)

    def failed(self, attempts: Attempts, exc: BaseException) -> None:
        """Waits before the next try, or raises ``exc`` again."""
        status, retryable, sent, wait = verdict(exc)
        lost = attempts.lost
        attempts.failed(exc, status=status, retryable=retryable, wait=wait)
        if not sent:
            attempts.lost = lost

    def worth_another(self, exc: BaseException) -> bool:
        """Whether another try may mend ``exc``."""
        status, retryable, _, _ = verdict(exc)
        return self.retries.retryable(status) if retryable is None else retryable

    def close(self) -> None:
        """Gives the connections back; a later request opens them anew."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.client.close()

    def forked(self) -> None:
        """Forgets what belongs to the parent: two processes on one socket get each other's answers."""
        # Kept, not freed: freeing a pool takes locks that a thread of the parent may have held at the fork.
        self._inherited, self._connection = self._connection or self._inherited, None
        self._lock = threading.Lock()


def parsed(response: requests.Response) -> dict[str, Any]:
    """The JSON object that a response holds."""
    return cast("dict[str, Any]", json.loads(response.content))


def _forget_after_fork() -> None:
    for session in list(_alive):
        session.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
