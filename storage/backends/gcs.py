"""``gs://``: Google Cloud Storage through google-cloud-storage.

Client, credentials, endpoint and universe are the SDK's. Requests go to the JSON API over the client's own session: each is
made once by the SDK, and tried again here, so that ``retries`` means the same on every driver and a lost answer is known
as one.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import google.auth.credentials
from google.oauth2 import service_account

from storage._keys import is_portable
from storage._retry import Retries, Timeout, outcome_unknown, parse_retries, parse_timeout
from storage._transfer import PART_SIZE, PartWriter
from storage._types import SignedRequest
from storage._urls import StorageURL, endpoint
from storage.backends._gcs import batch, bucket, crc, downloads, errors, listing, parts, resource, signing, uploads
from storage.backends._gcs.session import CONCURRENCY, Session, Settings, is_google, parsed
from storage.backends._protocol import Backend, Download, PutOptions, Setup, SignOptions, Stat, Writer
from storage.exceptions import (
    AlreadyExistsError,
    ConfigurationError,
    PreconditionFailedError,
    StorageError,
)

__all__ = ["GCSBackend", "create"]

_MIB = 1024 * 1024
_TIMEOUT = (9.5, 120.0)


def create(
    url: StorageURL, *, auth: Any = None, retries: Retries | None = None, timeout: Timeout | None = None
) -> GCSBackend:
    """``gs://BUCKET``: see CONTRACT for ``auth`` and the query.

    Raises:
        ConfigurationError: no bucket, an unknown query parameter, two ways to authenticate, or an ``auth`` that is none.
    """
    query = url.options(project=str, endpoint_url=endpoint, anonymous=bool, service_account_email=str, keys=("raw",))
    if not url.bucket:
        raise ConfigurationError(f"{url.scheme}:// URL: it names no bucket; write {url.scheme}://BUCKET/PREFIX")
    if auth is not None and query["anonymous"]:
        raise ConfigurationError(f"{url}: anonymous=true together with auth=; give one of them")
    settings = Settings(
        bucket=url.bucket,
        credentials=None if auth is None else _credentials(url, auth),
        project=query["project"] or os.environ.get("GOOGLE_CLOUD_PROJECT") or None,
        endpoint_url=query["endpoint_url"],
        anonymous=bool(query["anonymous"]),
        service_account_email=query["service_account_email"],
    )
    session = Session(settings, parse_retries(retries), parse_timeout(timeout, _TIMEOUT))
    return GCSBackend(session, url, has_auth=auth is not None)


def _credentials(url: StorageURL, auth: Any) -> Any:
    """A function that makes the credentials that ``auth`` stands for."""
    if isinstance(auth, google.auth.credentials.Credentials):
        return lambda: auth
    if isinstance(auth, (str, os.PathLike)):
        try:
            with open(auth, encoding="utf-8") as file:
                auth = json.load(file)
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is no JSON"
            raise ConfigurationError(
                f"{url}: auth: the file {os.fspath(auth)!r} cannot be read: {reason}; name a service account's key file"
            ) from None
    if not isinstance(auth, Mapping):
        raise ConfigurationError(
            f"{url}: auth must be google.auth credentials, a mapping of service-account info, or the path of its file, "
            f"not {type(auth).__name__}"
        )
    try:
        return _ServiceAccount(dict(auth))
    except (ValueError, KeyError, TypeError):
        # No cause: the SDK's message may quote what it could not parse.
        raise ConfigurationError(
            f"{url}: auth: this is no service account's info: it needs client_email, token_uri and a private_key in PEM form; "
            "for other kinds pass google.auth credentials, or set GOOGLE_APPLICATION_CREDENTIALS"
        ) from None


class _ServiceAccount:
    """Makes credentials, anew in each process: they hold locks, which do not survive a fork.

    Those made to check the info serve first: parsing a private key takes 50 ms.
    """

    def __init__(self, info: dict[str, Any]) -> None:
        self._info = info
        self._process = os.getpid()
        self._first: Any = self._make()

    def _make(self) -> Any:
        make: Any = service_account.Credentials.from_service_account_info
        return make(self._info)

    def __call__(self) -> Any:
        first, self._first = self._first, None
        return first if first is not None and self._process == os.getpid() else self._make()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_first": None}


class GCSBackend(Backend):
    """A bucket of Google Cloud Storage. Etags are generations."""

    scheme: ClassVar[str] = "gs"
    concurrency = CONCURRENCY
    batch_size = batch.MOST
    chunk_size = PART_SIZE
    parallel_from: int | None = 32 * _MIB

    def __init__(self, session: Session, url: StorageURL, *, has_auth: bool = False) -> None:
        self._session = session
        self._url = url
        self.private = has_auth
        self._parallel_uploads: bool | None = None

    @property
    def client(self) -> Any:
        """The :class:`google.cloud.storage.Client` of this process."""
        return self._session.connection.client

    @property
    def location(self) -> str:
        settings = self._session.settings
        # The same name on another server is another bucket.
        if settings.endpoint_url is None or is_google(settings.endpoint_url):
            return f"gs://{settings.bucket}"
        return f"{settings.endpoint_url}/{quote(settings.bucket)}"

    @property
    def parallel_uploads(self) -> bool:
        """Whether large blobs go up in parallel parts; else, and with a condition, in chunks one after the other.

        By default where the server is Google's own: emulators know no such uploads.
        """
        if self._parallel_uploads is None:
            return self._session.connection.is_google
        return self._parallel_uploads

    @parallel_uploads.setter
    def parallel_uploads(self, value: bool) -> None:
        self._parallel_uploads = value

    # ---- one blob ----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        return uploads.put(self._session, path, data, options)

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> Writer:
        if self.parallel_uploads and parts.suits(options):
            return PartWriter(parts.MultipartUpload(self._session, path, options), size)
        return uploads.ResumableWriter(self._session, path, options)

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        generation = None if if_match is None else self._generation(path, if_match)
        return downloads.Reading(self._session, path, start, end, generation).whole()

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        if if_match is not None:
            reading = downloads.Reading(self._session, path, start, end, self._generation(path, if_match))
            found = reading.stat()
            if found is not None:
                return Download(found, reading.chunks())
        while True:
            stat = self.stat(path)
            if if_match not in (None, stat.etag):
                raise PreconditionFailedError
            if start >= stat.size:
                return Download(stat, iter(()))
            try:
                reading = downloads.Reading(self._session, path, start, end, stat.etag)
            except errors.NATIVE as exc:
                # Replaced between the two requests: the caller asked for no version yet.
                if if_match is None and errors.status_of(exc) == 412:
                    continue
                raise
            return Download(stat, reading.chunks())

    def _generation(self, path: str, etag: str) -> str:
        number = resource.generation(etag)
        if number is None:
            self.stat(path)  # an absent blob is absent, whatever the etag
            raise PreconditionFailedError
        return number

    def tally(self, found: Stat) -> crc.CRCTally | None:
        expected = found.crc if isinstance(found, resource.CheckedStat) else None
        return None if expected is None else crc.CRCTally(expected)

    def stat(self, path: str) -> Stat:
        session = self._session
        url = f"{session.connection.object_url}{session.object(path)}?prettyPrint=false&fields={resource.FIELDS}"
        return resource.stat_of(parsed(session.call("GET", url)))

    def delete(self, path: str) -> None:
        session = self._session
        url = session.connection.object_url + session.object(path)
        attempts = session.attempts()
        try:
            session.call("DELETE", url, attempts=attempts)
        except errors.NATIVE as exc:
            if attempts.lost and errors.status_of(exc) == 404:
                raise outcome_unknown(f"delete of {path!r}") from exc
            raise

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        return batch.delete(self._session, paths)

    def copy(self, source: str, target: str, *, overwrite: bool) -> Stat:
        session = self._session
        connection = session.connection
        target_url = connection.object_url.removeprefix(f"{connection.endpoint}/storage/v1") + session.object(target)
        url = (
            f"{connection.object_url}{session.object(source)}/rewriteTo{target_url}?prettyPrint=false"
            f"&fields=done,rewriteToken,resource({resource.FIELDS}){'' if overwrite else '&ifGenerationMatch=0'}"
        )
        token = ""
        while True:
            attempts = session.attempts()
            try:
                answer = parsed(session.call("POST", url + token, attempts=attempts))
            except errors.NATIVE as exc:
                if overwrite or errors.status_of(exc) != 412:
                    raise
                if attempts.lost:
                    raise outcome_unknown(f"copy to {target!r}") from exc
                raise AlreadyExistsError from exc
            if answer.get("done"):
                return resource.stat_of(answer["resource"])
            token = f"&rewriteToken={quote(answer['rewriteToken'], safe='')}"

    # ---- listing -----------------------------------------------------------------------------------------------

    def scan(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        detail: bool = False,
        delimiter: bool = False,
        page_size: int = 1000,
    ) -> Iterator[list[tuple[str, Stat | None]]]:
        return listing.scan(self._session, prefix, start_after, page_size, detail=detail, delimiter=delimiter)

    # ---- signing, errors ---------------------------------------------------------------------------------------

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        return signing.sign(self._session, path, options)

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return errors.classify(exc)

    # ---- the bucket itself -------------------------------------------------------------------------------------

    def bucket_exists(self) -> bool:
        return bucket.exists(self._session)

    def setup(self, wanted: Setup) -> Sequence[str]:
        return bucket.setup(self._session, wanted)

    def lint(self, prefix: str) -> Sequence[str]:
        foreign = 0
        for page in self.scan(prefix):
            foreign += sum(not is_portable(path[len(prefix) :]) for path, _ in page)
        return [f"{foreign} object(s) under {prefix!r} have names that are no portable keys"] if foreign else []

    def close(self) -> None:
        self._session.close()

    def __repr__(self) -> str:
        return f"GCSBackend({self.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.private:
            raise TypeError(f"{self!r} has an explicit auth, which pickling would write out; pickle its URL instead")
        make = functools.partial(create, retries=self._session.retries, timeout=self._session.timeout)
        return make, (self._url,)
