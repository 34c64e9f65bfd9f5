"""Sends requests to Cloud Storage, over one connection pool in each process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

from storage._backend import trace
from storage._fork import forks
from storage._retry import Attempts, Retries, Timeout
from storage.backends._http import Answer, Pool
from storage.backends.gcs._errors import failure, native, verdict
from storage.backends.gcs._gate import needs_requests, wants_client_certificate
from storage.backends.gcs._settings import Settings
from storage.backends.gcs._wire import Body, new_pool
from storage.exceptions import ConfigurationError, InvalidKeyError, UnavailableError

if TYPE_CHECKING:
    from storage.backends.gcs._requests_wire import RequestsWire

T = TypeVar("T")

CONCURRENCY: Final = 64
OK: Final = frozenset({200, 201, 204, 206})

_MTLS: Final = "https://storage.mtls.googleapis.com"
_USER_AGENT: Final = "storage-facade"
_NONE: Final[Mapping[str, str]] = {}


class Connection:
    """The endpoint, credentials and transport of this process's requests."""

    def __init__(self, settings: Settings, timeout: Timeout) -> None:
        emulator = os.environ.get("STORAGE_EMULATOR_HOST")
        given = settings.endpoint_url or emulator or os.environ.get("API_ENDPOINT_OVERRIDE")
        anonymous = settings.anonymous or (settings.credentials is None and bool(emulator))
        self.given_endpoint: str | None = given
        self.authority: Any = None  # adds tokens to requests; None: they are anonymous
        universe = "googleapis.com"
        if not anonymous:
            from storage.backends.gcs import _credentials  # 100 ms, which an emulator never needs

            request = _credentials.TokenRequest(timeout)
            self.authority = _credentials.Authority(_credentials.find(settings.credentials, request), request)
            universe = self.authority.credentials.universe_domain
        self.universe: str = universe
        self.endpoint: str = (given or f"https://storage.{universe}").rstrip("/")
        parts = urlsplit(self.endpoint)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigurationError(f"gs://{settings.bucket}: {given!r} is no http:// or https:// URL of a server")
        if universe != "googleapis.com" and not host.endswith(f".{universe}"):
            raise ConfigurationError(
                f"gs://{settings.bucket}: these credentials are of the universe {universe!r}, {host!r} is not in it"
            )
        self.base: str = parts.path  # of every request's target
        self.wire: Pool | RequestsWire
        if needs_requests(self.endpoint):
            self.wire = self._requests(timeout, f"{parts.scheme}://{parts.netloc}")
        else:
            self.wire = new_pool(parts.scheme, host, parts.port, timeout, CONCURRENCY)
        self.is_google: bool = is_google(self.endpoint) or universe != "googleapis.com"
        self.signer: Any = None  # made by the first signature, where the credentials hold no key
        self._named: set[str] = set()  # the kinds of request whose answers come with an id
        bucket = quote(settings.bucket, safe="")  # the targets of requests are paths below the endpoint
        self.bucket: str = f"/storage/v1/b/{bucket}"
        self.objects: str = f"{self.bucket}/o/"
        self.media: str = f"/download{self.objects}"
        self.uploads: str = f"/upload{self.bucket}/o"
        self.xml: str = f"/{bucket}/"

    def check_id(self, answer: Answer, method: str, target: str) -> None:
        """Finds answers of something else: where the service has named one of its own, it names all of the kind."""
        request_id = trace.request_id = answer.headers.get("x-guploader-uploadid")
        kind = method + target[:8]
        if request_id is not None:
            self._named.add(kind)
        elif kind in self._named and (answer.status < 300 or answer.status == 404):
            answer.close()
            raise UnavailableError(
                f"the answer is not Cloud Storage's: {method} is answered with {answer.status} and without the "
                "request id that the service gives its answers; check proxies and gateways on the way"
            )

    def _requests(self, timeout: Timeout, origin: str) -> RequestsWire:
        from storage.backends.gcs._requests_wire import RequestsWire

        certificate = origin.startswith("https:") and wants_client_certificate()
        wire = RequestsWire(origin, CONCURRENCY, timeout, client_certificate=certificate)
        # As google-cloud-storage does it: another host serves clients with a certificate.
        wanted = os.environ.get("GOOGLE_API_USE_MTLS_ENDPOINT", "auto")
        if self.given_endpoint is None and (wanted == "always" or (wanted == "auto" and wire.is_mtls)):
            self.endpoint = wire.origin = _MTLS
        return wire


def quoted(text: str) -> str:
    """``text`` percent-encoded for a URL, slashes too; ``InvalidKeyError`` where it is no text, as with ``keys=raw`` alone."""
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise InvalidKeyError(f"{text!r} has a lone surrogate, which is no text; decode the name properly") from None


def is_google(url: str) -> bool:
    """Whether ``url`` is at Google's own service, which has one bucket of each name whatever the host's."""
    return (urlsplit(url).hostname or "").endswith(".googleapis.com")


class Session:
    """Sends requests, over one :class:`Connection` a process."""

    def __init__(self, settings: Settings, retries: Retries, timeout: Timeout) -> None:
        self.settings: Settings = settings
        self.retries: Retries = retries
        self.timeout: Timeout = timeout
        self._connection: Connection | None = None
        self._client: Any = None
        self._lock = threading.Lock()
        forks.watch(self)

    @property
    def connection(self) -> Connection:
        """The connection of this process, made now if there is none. May ask the machine for credentials."""
        connection = self._connection
        if connection is None:
            with self._lock:
                connection = self._connection = self._connection or Connection(self.settings, self.timeout)
        return connection

    @property
    def client(self) -> Any:
        """A :class:`google.cloud.storage.Client` with the same credentials and endpoint, for the user alone."""
        connection = self.connection
        with self._lock:
            if self._client is None:
                self._client = self._make_client(connection)
            return self._client

    def _make_client(self, connection: Connection) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client  # 250 ms

        anonymous: Any = AnonymousCredentials  # without types
        credentials = anonymous() if connection.authority is None else connection.authority.credentials
        options = {}
        if connection.given_endpoint is not None:
            options["api_endpoint"] = connection.endpoint
        if connection.universe != "googleapis.com":
            options["universe_domain"] = connection.universe
        try:
            # Without a project it would look for one, on the network too.
            return Client(project=self.settings.project, credentials=credentials, client_options=options or None)
        except ValueError as exc:  # such as a universe together with a client certificate
            raise ConfigurationError(f"gs://{self.settings.bucket}: the client cannot be made: {exc}") from exc

    def object(self, path: str) -> str:
        """``path`` as it stands in a URL; ``InvalidKeyError`` for one that would address something else (with ``keys=raw``)."""
        if path in (".", "..", ""):
            raise InvalidKeyError(f"key {path!r}: Cloud Storage has no blob of this name; use another")
        return quoted(path)

    def send(
        self,
        method: str,
        target: str,
        body: Body = b"",
        headers: Mapping[str, str] = _NONE,
        *,
        ok: frozenset[int] = OK,
        stream: bool = False,
        repeatable: bool | None = None,
    ) -> Answer:
        """One try of one request.

        Args:
            headers: besides those of every request.
            ok: the statuses to return.
            stream: leave the body to be read, and the connection to be given back, by the caller.
            repeatable: whether it does no harm if the request is carried out twice; ``None``: as a GET's does none.

        Raises:
            GoogleAPICallError: an answer with another status; and the others of :func:`~storage.backends.gcs._errors.native`.
        """
        connection = self.connection
        if repeatable is None:
            repeatable = method == "GET"
        authority, renewed = connection.authority, False
        while True:
            # gzip: a blob stored with Content-Encoding gzip comes as it is, instead of unpacked by the service.
            all_headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "gzip" if stream else "identity", **headers}
            if authority is not None:
                all_headers.update(authority.headers(method, connection.endpoint + target))
            answer = connection.wire.request(
                method, connection.base + target, all_headers, body, repeatable=repeatable, stream=stream
            )
            connection.check_id(answer, method, target)
            if answer.status in ok:
                return answer
            if answer.status != 401 or renewed or authority is None or not authority.renew(all_headers):
                raise failure(answer, method, target)
            renewed = True

    def call(
        self,
        method: str,
        target: str,
        body: Body = b"",
        headers: Mapping[str, str] = _NONE,
        *,
        parse: Callable[[Answer], T],
        attempts: Attempts | None = None,
        repeatable: bool | None = None,
    ) -> T:
        """:meth:`send`, tried as often as ``retries`` allow, also where ``parse`` finds that the answer is not the service's.

        ``attempts`` tells the caller afterwards what happened.
        """
        return self.tried(lambda: parse(self.send(method, target, body, headers, repeatable=repeatable)), attempts)

    def tried(self, once: Callable[[], T], attempts: Attempts | None = None) -> T:
        """The result of ``once()``, which is called as often as ``retries`` allow."""
        attempts = attempts or self.attempts()
        while True:
            try:
                return once()
            except native() as exc:
                self.failed(attempts, exc)

    def attempts(self) -> Attempts:
        """The tries of a new operation."""
        return Attempts(self.retries)

    def failed(self, attempts: Attempts, exc: BaseException) -> None:
        """Waits before the next try, or raises ``exc`` again."""
        attempts.failed(exc, **verdict(exc)._asdict())

    def worth_another(self, exc: BaseException) -> bool:
        """Whether another try may mend ``exc``."""
        found = verdict(exc)
        return self.retries.retryable(found.status) if found.retryable is None else found.retryable

    def close(self) -> None:
        """Gives the connections back; a later request opens them anew."""
        with self._lock:
            connection, self._connection = self._connection, None
            client, self._client = self._client, None
        if connection is not None:
            connection.wire.close()
        if client is not None:
            client.close()

    def forked(self) -> None:
        """Forgets what belongs to the parent: two processes on one socket get each other's answers."""
        forks.keep((self._connection, self._client))
        self._connection = self._client = None
        self._lock = threading.Lock()
