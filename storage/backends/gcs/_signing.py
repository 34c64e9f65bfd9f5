"""V4 signed requests: offline with a private key, through IAM for credentials that have none."""

from __future__ import annotations

import base64
import json
import threading
from abc import abstractmethod
from datetime import datetime, timedelta, timezone
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import google.auth.credentials
from google.auth import impersonated_credentials
from google.auth.transport.requests import AuthorizedSession
from google.auth.transport.requests import Request as AuthRequest

from storage._backend import SignOptions
from storage._types import SignedRequest
from storage.backends.gcs._client import Connection, Session
from storage.backends.gcs._errors import NATIVE, failure, status_of
from storage.exceptions import SigningError

__all__ = ["IAM_URL", "sign"]

IAM_URL = "https://iamcredentials.{universe}/v1/projects/-/serviceAccounts/{email}:signBlob"
_IAM_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_IAM_MOST: Final = 12 * 3600  # seconds: Google's own keys, which IAM signs with, are promised for no longer
_REMEDY: Final = (
    "use a service account's key (auth=), or name an account to sign as with gs://BUCKET?service_account_email=NAME, "
    "for which these credentials need the role roles/iam.serviceAccountTokenCreator"
)


def sign(session: Session, path: str, options: SignOptions) -> SignedRequest:
    """As :meth:`storage.backends.Backend.sign`.

    Raises:
        SigningError: these credentials cannot sign, or not for so long.
    """
    connection = session.connection
    session.object(path)  # raises for what is no name
    signer = _signer(session, connection)
    if signer is not connection.credentials and options.expires_in > _IAM_MOST:
        raise SigningError(
            f"expires_in={options.expires_in}: what IAM signs may stop working after {_IAM_MOST} seconds; "
            "ask for less, or use a service account's key"
        )
    headers = _bound_headers(options)
    blob = connection.client.bucket(session.settings.bucket).blob(path)
    url: str = blob.generate_signed_url(
        version="v4",
        expiration=timedelta(seconds=options.expires_in),
        method=options.method,
        # A copy: the SDK adds the host to it.
        headers=dict(headers),
        response_disposition=options.content_disposition,
        response_type=None if options.method == "PUT" else options.content_type,
        credentials=signer,
        api_access_endpoint=connection.endpoint,
    )
    return SignedRequest(options.method, url, headers, _expiry(url))


def _bound_headers(options: SignOptions) -> dict[str, str]:
    """What the client has to send, because the signature is over it."""
    headers: dict[str, str] = {}
    if options.method != "PUT":
        return headers
    if options.content_type is not None:
        headers["Content-Type"] = options.content_type
    if options.content_md5 is not None:
        headers["Content-MD5"] = options.content_md5
    if options.content_length is not None:
        headers["x-goog-content-length-range"] = f"{options.content_length},{options.content_length}"
    if not options.overwrite:
        headers["x-goog-if-generation-match"] = "0"
    return headers


def _expiry(url: str) -> datetime:
    query = parse_qs(urlsplit(url).query)
    began = datetime.strptime(query["X-Goog-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    return began + timedelta(seconds=int(query["X-Goog-Expires"][0]))


def _signer(session: Session, connection: Connection) -> Any:
    """Credentials that sign: the client's own, if they hold a key, else ones that let IAM do it."""
    credentials, email = connection.credentials, session.settings.service_account_email
    signing = isinstance(credentials, google.auth.credentials.Signing)
    impersonated = isinstance(credentials, impersonated_credentials.Credentials)
    if signing and not impersonated and email in (None, credentials.signer_email):
        return credentials
    if session.settings.anonymous or isinstance(credentials, google.auth.credentials.AnonymousCredentials):
        raise SigningError(f"gs://{session.settings.bucket}: anonymous access cannot sign; {_REMEDY}")
    if impersonated and email in (None, credentials.signer_email):
        return _Impersonated(session, credentials)
    signer = connection.signer
    if signer is None:
        signer = connection.signer = _IAM(session, credentials, email)
    return signer


class _Signing(google.auth.credentials.Signing):
    """What the SDK's signer asks for, with this library's retries."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def signer(self) -> Any:
        return self

    @abstractmethod
    def _sign(self, message: bytes) -> bytes:
        """One try."""

    def sign_bytes(self, message: bytes) -> bytes:
        attempts = self._session.attempts()
        while True:
            try:
                return self._sign(message)
            except NATIVE as exc:
                self._session.failed(attempts, exc)


class _Impersonated(_Signing):
    """Credentials that act as a service account sign as it, with the rights of those that they were made from."""

    def __init__(self, session: Session, credentials: Any) -> None:
        super().__init__(session)
        self._credentials = credentials

    @property
    def signer_email(self) -> str:
        return str(self._credentials.signer_email)

    def _sign(self, message: bytes) -> bytes:
        return cast("bytes", self._credentials.sign_bytes(message))


class _IAM(_Signing):
    """Signs as ``email``, or as the credentials' own service account, through IAM's ``signBlob``."""

    def __init__(self, session: Session, credentials: Any, email: str | None) -> None:
        super().__init__(session)
        # A client of Cloud Storage has the scopes of that alone.
        scoped = isinstance(credentials, google.auth.credentials.Scoped)
        self._credentials = credentials.with_scopes([_IAM_SCOPE]) if scoped else credentials
        self._http = cast("Any", AuthorizedSession)(self._credentials)
        self._email = email
        self._lock = threading.Lock()

    @property
    def signer_email(self) -> str:
        with self._lock:
            if self._email is None:
                self._email = self._own_email()
            return self._email

    def _own_email(self) -> str:
        email = getattr(self._credentials, "service_account_email", None)
        if email == "default":  # a machine of Google's learns its account's name when it gets the first token
            attempts = self._session.attempts()
            while email == "default":
                try:
                    self._credentials.refresh(AuthRequest(self._http._auth_request_session))  # noqa: SLF001
                except NATIVE as exc:
                    self._session.failed(attempts, exc)
                email = self._credentials.service_account_email
        if not email:
            kind = type(self._credentials)
            raise SigningError(
                f"gs://{self._session.settings.bucket}: credentials of the kind {kind.__module__}.{kind.__qualname__} "
                f"hold no key and name no service account; {_REMEDY}"
            )
        return str(email)

    def _sign(self, message: bytes) -> bytes:
        email = self.signer_email
        url = IAM_URL.format(universe=self._credentials.universe_domain, email=email)
        body = json.dumps({"payload": base64.b64encode(message).decode()}).encode()
        response = self._http.request(
            "POST",
            url,
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=self._session.timeout,
            allow_redirects=False,
        )
        if response.status_code != 200:
            exc = failure(response, "POST", url)
            if status_of(exc) in (400, 401, 403, 404):
                raise SigningError(f"IAM refuses to sign as {email!r} ({exc.message}); {_REMEDY}") from exc
            raise exc
        return base64.b64decode(json.loads(response.content)["signedBlob"])
