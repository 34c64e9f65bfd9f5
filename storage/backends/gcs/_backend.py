"""The backend: one bucket through the JSON API."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from storage._backend import Backend, Download, PutOptions, Setup, SignOptions, Stat, Writer
from storage._keys import is_portable
from storage._multipart import PART_SIZE, PartWriter
from storage._retry import outcome_unknown
from storage._types import SignedRequest
from storage._urls import StorageURL
from storage.backends.gcs import (
    _batch,
    _bucket,
    _crc,
    _errors,
    _headers,
    _listing,
    _multipart,
    _reading,
    _signing,
    _writing,
)
from storage.backends.gcs._client import CONCURRENCY, Session, is_google, parsed
from storage.exceptions import (
    AlreadyExistsError,
    PreconditionFailedError,
    StorageError,
)

__all__ = ["GCSBackend"]

_MIB = 1024 * 1024


class GCSBackend(Backend):
    """A bucket of Google Cloud Storage. Etags are generations."""

    scheme: ClassVar[str] = "gs"
    concurrency = CONCURRENCY
    batch_size = _batch.MOST
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

        By default where the server is Google's own: emulators know no such _writing.
        """
        if self._parallel_uploads is None:
            return self._session.connection.is_google
        return self._parallel_uploads

    @parallel_uploads.setter
    def parallel_uploads(self, value: bool) -> None:
        self._parallel_uploads = value

    # ---- one blob ----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        return _writing.put(self._session, path, data, options)

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> Writer:
        if self.parallel_uploads and _multipart.suits(options):
            return PartWriter(_multipart.MultipartUpload(self._session, path, options), size)
        return _writing.ResumableWriter(self._session, path, options)

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        generation = None if if_match is None else self._generation(path, if_match)
        return _reading.Reading(self._session, path, start, end, generation).whole()

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        if if_match is not None:
            reading = _reading.Reading(self._session, path, start, end, self._generation(path, if_match))
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
                reading = _reading.Reading(self._session, path, start, end, stat.etag)
            except _errors.NATIVE as exc:
                # Replaced between the two requests: the caller asked for no version yet.
                if if_match is None and _errors.status_of(exc) == 412:
                    continue
                raise
            return Download(stat, reading.chunks())

    def _generation(self, path: str, etag: str) -> str:
        number = _headers.generation(etag)
        if number is None:
            self.stat(path)  # an absent blob is absent, whatever the etag
            raise PreconditionFailedError
        return number

    def tally(self, found: Stat) -> _crc.CRCTally | None:
        expected = found.crc if isinstance(found, _headers.CheckedStat) else None
        return None if expected is None else _crc.CRCTally(expected)

    def stat(self, path: str) -> Stat:
        session = self._session
        url = f"{session.connection.object_url}{session.object(path)}?prettyPrint=false&fields={_headers.FIELDS}"
        return _headers.stat_of(parsed(session.call("GET", url)))

    def delete(self, path: str, *, if_match: str | None = None) -> None:
        del if_match
        session = self._session
        url = session.connection.object_url + session.object(path)
        attempts = session.attempts()
        try:
            session.call("DELETE", url, attempts=attempts)
        except _errors.NATIVE as exc:
            if attempts.lost and _errors.status_of(exc) == 404:
                raise outcome_unknown(f"delete of {path!r}") from exc
            raise

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        return _batch.delete(self._session, paths)

    def copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        del if_match
        session = self._session
        connection = session.connection
        target_url = connection.object_url.removeprefix(f"{connection.endpoint}/storage/v1") + session.object(target)
        url = (
            f"{connection.object_url}{session.object(source)}/rewriteTo{target_url}?prettyPrint=false"
            f"&fields=done,rewriteToken,resource({_headers.FIELDS}){'' if overwrite else '&ifGenerationMatch=0'}"
        )
        token = ""
        while True:
            attempts = session.attempts()
            try:
                answer = parsed(session.call("POST", url + token, attempts=attempts))
            except _errors.NATIVE as exc:
                if overwrite or _errors.status_of(exc) != 412:
                    raise
                if attempts.lost:
                    raise outcome_unknown(f"copy to {target!r}") from exc
                raise AlreadyExistsError from exc
            if answer.get("done"):
                return _headers.stat_of(answer["resource"])
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
        return _listing.scan(self._session, prefix, start_after, page_size, detail=detail, delimiter=delimiter)

    # ---- signing, errors ---------------------------------------------------------------------------------------

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        return _signing.sign(self._session, path, options)

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return _errors.classify(exc)

    # ---- the bucket itself -------------------------------------------------------------------------------------

    def bucket_exists(self) -> bool:
        return _bucket.exists(self._session)

    def setup(self, wanted: Setup) -> Sequence[str]:
        return _bucket.setup(self._session, wanted)

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
        from storage.backends.gcs import create

        make = functools.partial(create, retries=self._session.retries, timeout=self._session.timeout)
        return make, (self._url,)
