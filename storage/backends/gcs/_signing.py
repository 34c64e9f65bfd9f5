"""V4 signed requests and forms: offline with a private key, through IAM for credentials that have none."""

from __future__ import annotations

import base64
import json
import threading
from datetime import datetime, timedelta, timezone
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit

from storage._backend import FormOptions, SignOptions
from storage._types import SignedForm, SignedRequest
from storage.backends._http import Answer
from storage.backends.gcs import _answers
from storage.backends.gcs._errors import failure, status_of
from storage.backends.gcs._headers import JSON
from storage.backends.gcs._requests import Session
from storage.exceptions import SigningError, UnsupportedOperationError

IAM_URL = "https://iamcredentials.{universe}/v1/projects/-/serviceAccounts/{email}:signBlob"
_ALGORITHM: Final = "GOOG4-RSA-SHA256"
_SCOPE: Final = "auto/storage/goog4_request"
_DATE: Final = "%Y%m%dT%H%M%SZ"
_IAM_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_IAM_MOST: Final = 12 * 3600  # seconds: Google's own keys, which IAM signs with, are promised for no longer
_REMEDY: Final = (
    "use a service account's key (auth=), or name an account to sign as with gs://BUCKET?service_account_email=NAME, "
    "for which these credentials need the role roles/iam.serviceAccountTokenCreator"
)


def sign(session: Session, path: str, options: SignOptions) -> SignedRequest:
    """As :meth:`storage._backend.Backend.sign`: a V4 signature in the query."""
    session.object(path)  # raises for what is no name
    resource = f"/{quote(session.settings.bucket, safe='~')}/{quote(path, safe='/~')}"
    from hashlib import sha256  # 3 ms

    signer = _signer_for(session, options.expires_in)
    endpoint = session.connection.endpoint
    began = now()
    date = began.strftime(_DATE)
    scope = f"{date[:8]}/{_SCOPE}"
    headers = _bound_headers(options)
    canonical = {"host": urlsplit(endpoint).netloc, **{name.lower(): value for name, value in headers.items()}}
    signed = ";".join(sorted(canonical))
    query = {
        "X-Goog-Algorithm": _ALGORITHM,
        "X-Goog-Credential": f"{signer.signer_email}/{scope}",
        "X-Goog-Date": date,
        "X-Goog-Expires": str(options.expires_in),
        "X-Goog-SignedHeaders": signed,
    }
    if options.content_disposition is not None:
        query["response-content-disposition"] = options.content_disposition
    if options.content_type is not None and options.method != "PUT":
        query["response-content-type"] = options.content_type
    canonical_query = "&".join(
        sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query.items())
    )
    lines = [f"{name}:{' '.join(value.split())}" for name, value in sorted(canonical.items())]
    request = "\n".join([options.method, resource, canonical_query, *lines, "", signed, "UNSIGNED-PAYLOAD"])
    to_sign = "\n".join([_ALGORITHM, date, scope, sha256(request.encode()).hexdigest()])
    signature = signer.sign_bytes(to_sign.encode()).hex()
    url = f"{endpoint}{resource}?{canonical_query}&X-Goog-Signature={signature}"
    return SignedRequest(options.method, url, headers, began + timedelta(seconds=options.expires_in))


def sign_form(session: Session, path: str, options: FormOptions) -> SignedForm:
    """As :meth:`storage._backend.Backend.sign_form`: a V4 POST policy."""
    session.object(path)  # raises for what is no name
    bucket = session.settings.bucket
    if "${filename}" in path:
        raise UnsupportedOperationError(
            f"key {path!r}: in a form the service replaces '${{filename}}' by the file's own name; use sign_upload, or "
            "another key"
        )
    signer = _signer_for(session, options.expires_in)
    began = now()
    expires = began + timedelta(seconds=options.expires_in)
    date = began.strftime(_DATE)
    own = {} if options.content_type is None else {"content-type": options.content_type}
    fields = {
        "key": path,
        "x-goog-date": date,
        "x-goog-credential": f"{signer.signer_email}/{date[:8]}/{_SCOPE}",
        "x-goog-algorithm": _ALGORITHM,
    }
    # The order is that of the published examples.
    conditions: list[Any] = [{name: value} for name, value in own.items()]
    if options.max_length is not None:
        conditions.append(["content-length-range", 0, options.max_length])
    conditions += [{"bucket": bucket}, *({name: value} for name, value in fields.items())]
    text = json.dumps(
        {"conditions": conditions, "expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}, separators=(",", ":")
    )
    policy = base64.b64encode(text.encode())
    signature = signer.sign_bytes(policy).hex()
    url = f"{session.connection.endpoint}/{quote(bucket, safe='~')}/"
    return SignedForm(url, {**own, **fields, "x-goog-signature": signature, "policy": policy.decode()}, expires)


def now() -> datetime:
    """The time that is signed, in whole seconds."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def _signer_for(session: Session, expires_in: int) -> Any:
    signer = _signer(session)
    if isinstance(signer, _Impersonated) and expires_in > _IAM_MOST:
        raise SigningError(
            f"expires_in={expires_in}: what IAM signs may stop working after {_IAM_MOST} seconds; "
            "ask for less, or use a service account's key"
        )
    return signer


def _bound_headers(options: SignOptions) -> dict[str, str]:
    """The headers that the signature binds, and that the client must send."""
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


def _signer(session: Session) -> Any:
    """The signer: the credentials themselves, if they hold a key, else IAM in their name."""
    from google.auth import credentials as kinds  # 60 ms, as the next, which anonymous reading never needs
    from google.auth import impersonated_credentials

    connection, email = session.connection, session.settings.service_account_email
    credentials = None if connection.authority is None else connection.authority.credentials
    if credentials is None or isinstance(credentials, kinds.AnonymousCredentials):
        raise SigningError(f"gs://{session.settings.bucket}: anonymous access cannot sign; {_REMEDY}")
    signing = isinstance(credentials, kinds.Signing) and email in (None, credentials.signer_email)
    impersonated = isinstance(credentials, impersonated_credentials.Credentials)
    if signing and not impersonated:
        return credentials
    signer = connection.signer
    if signer is None:
        signer = connection.signer = _Impersonated(session, credentials) if signing else _IAM(session, email)
    return signer


class _Impersonated:
    """Signs as credentials that act as a service account do: by asking IAM with their own rights, with this library's retries."""

    def __init__(self, session: Session, credentials: Any) -> None:
        self._session, self._credentials = session, credentials

    @property
    def signer_email(self) -> str:
        return str(self._credentials.signer_email)

    def sign_bytes(self, message: bytes) -> bytes:
        return self._session.tried(lambda: self._sign(message))

    def _sign(self, message: bytes) -> bytes:
        """One try."""
        return cast("bytes", self._credentials.sign_bytes(message))


class _IAM(_Impersonated):
    """Signs as ``email``, or as the credentials' own service account, through IAM's ``signBlob``."""

    def __init__(self, session: Session, email: str | None) -> None:
        from google.auth.credentials import Scoped

        from storage.backends.gcs._credentials import Authority

        authority = session.connection.authority
        credentials: Any = authority.credentials
        if isinstance(credentials, Scoped):  # a client of Cloud Storage has the scopes of that alone
            scoped: Any = credentials.with_scopes  # without types
            credentials = scoped([_IAM_SCOPE])
        super().__init__(session, credentials)
        self._authority = Authority(credentials, authority.request)
        self._email = email
        self._lock = threading.Lock()

    @property
    def signer_email(self) -> str:
        with self._lock:
            if self._email is None:
                self._email = self._own_email()
            return self._email

    def _own_email(self) -> str:
        credentials = self._credentials
        email = getattr(credentials, "service_account_email", None)
        if email == "default":  # a machine of Google's learns its account's name when it gets the first token
            self._session.tried(lambda: credentials.refresh(self._authority.request))
            email = credentials.service_account_email
        if not email:
            kind = type(credentials)
            raise SigningError(
                f"gs://{self._session.settings.bucket}: credentials of the kind {kind.__module__}.{kind.__qualname__} "
                f"hold no key and name no service account; {_REMEDY}"
            )
        return str(email)

    def _sign(self, message: bytes) -> bytes:
        email, authority = self.signer_email, self._authority
        url = IAM_URL.format(universe=self._credentials.universe_domain, email=email)
        body = json.dumps({"payload": base64.b64encode(message).decode()}).encode()
        headers = {**JSON, **authority.headers("POST", url)}
        said = authority.request(url, "POST", body, headers, timeout=self._session.timeout.read)
        answer = Answer(said.status, said.headers, said.data)
        if answer.status != 200:
            exc = failure(answer, "POST", url)
            if status_of(exc) in (400, 401, 403, 404):
                raise SigningError(f"IAM refuses to sign as {email!r} ({exc}); {_REMEDY}") from exc
            raise exc
        try:
            return base64.b64decode(_answers.required(_answers.json_object(answer), "signedBlob"), validate=True)
        except ValueError:
            _answers.malformed("a malformed signature")
