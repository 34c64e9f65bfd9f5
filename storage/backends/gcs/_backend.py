"""``GCSBackend``: the methods of the protocol, on one bucket through the JSON API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from storage._backend import Backend, Changes, Download, FormOptions, PutOptions, Setup, SignOptions, Stat, Writer
from storage._multipart import PART_SIZE, PartWriter
from storage._retry import Retries, Timeout
from storage._types import SignedForm, SignedRequest
from storage.backends.gcs import (
    _answers,
    _batch,
    _bucket,
    _changing,
    _checksums,
    _errors,
    _headers,
    _listing,
    _multipart,
    _reading,
    _signing,
    _writing,
)
from storage.backends.gcs._requests import CONCURRENCY, Session, is_google
from storage.backends.gcs._settings import Settings
from storage.exceptions import PreconditionFailedError, StorageError

_MIB = 1024 * 1024
_RACES = 10  # replacements of a blob by others that the beginning of a download may meet


class GCSBackend(Backend):
    """A bucket of Google Cloud Storage. Etags are generations.

    Attributes:
        parallel_uploads: whether large blobs go up in parallel parts; else, and with a condition, in chunks one after the other.
            ``None``: where the server is Google's own, since emulators know no such uploads.
    """

    scheme: ClassVar[str] = "gs"
    concurrency = CONCURRENCY
    batch_size = _batch.MOST
    chunk_size = PART_SIZE
    parallel_from: int | None = 32 * _MIB

    def __init__(self, settings: Settings, retries: Retries, timeout: Timeout) -> None:
        self._session = Session(settings, retries, timeout)
        # What it was made from would write a secret if it were pickled.
        self.private: bool = settings.credentials is not None
        self.parallel_uploads: bool | None = None
        self._has_batches = True

    @property
    def client(self) -> Any:
        """A :class:`google.cloud.storage.Client` of this process, with the same credentials."""
        return self._session.client

    @property
    def location(self) -> str:
        settings = self._session.settings
        # The same name on another server is another bucket.
        if settings.endpoint_url is None or is_google(settings.endpoint_url):
            return f"gs://{settings.bucket}"
        return f"{settings.endpoint_url}/{quote(settings.bucket)}"

    # ---- one blob ----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        return _writing.put(self._session, path, data, options)

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> Writer:
        parallel = self._session.connection.is_google if self.parallel_uploads is None else self.parallel_uploads
        if parallel and _multipart.suits(options):
            return PartWriter(_multipart.MultipartUpload(self._session, path, options), size)
        return _writing.ResumableWriter(self._session, path, options)

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        return _reading.Reading(self._session, path, start, end, self._generation(path, if_match)).whole()

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        if if_match is not None:
            reading = _reading.Reading(self._session, path, start, end, self._generation(path, if_match))
            if reading.media is not None:
                return Download(reading.media.stat(), reading.chunks())
        for _ in range(_RACES):
            stat = self.stat(path)
            if if_match not in (None, stat.etag):
                break
            if not stat.size:
                return Download(stat, _reading.nothing())
            try:
                reading = _reading.Reading(self._session, path, start, end, stat.etag)
            except PreconditionFailedError:
                continue
            except _errors.native() as exc:
                if _errors.status_of(exc) != 412:
                    raise
                continue  # replaced between the two requests: that matters only to a caller who asked for a version
            reading.check_size(stat.size)
            return Download(stat, reading.chunks())
        raise PreconditionFailedError

    def _generation(self, path: str, etag: str | None) -> str | None:
        if etag is None:
            return None
        number = _headers.generation(etag)
        if number is None:
            self.stat(path)  # an absent blob is absent, whatever the etag
            raise PreconditionFailedError
        return number

    def checksum_verifier(self, found: Stat) -> _checksums.CRCVerifier | None:
        expected = found.crc if isinstance(found, _answers.CheckedStat) else None
        return None if expected is None else _checksums.CRCVerifier(expected)

    def stat(self, path: str) -> Stat:
        session = self._session
        target = f"{session.connection.objects}{session.object(path)}?prettyPrint=false&fields={_answers.FIELDS}"
        return session.call("GET", target, parse=_answers.stat_at(path))

    def delete(self, path: str, *, if_match: str | None = None) -> None:
        _changing.delete(self._session, path, self._generation(path, if_match))

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        if self._has_batches:
            try:
                return _batch.delete(self._session, paths)
            except _errors.native() as exc:
                if _errors.status_of(exc) not in (404, 405, 501):
                    raise
                self._has_batches = False  # a small server or an emulator
        return _batch.delete_singly(self._session, paths)

    def copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        return _changing.copy(self._session, source, target, self._generation(source, if_match), overwrite=overwrite)

    def update(self, path: str, changes: Changes, *, if_match: str | None = None) -> Stat:
        return _changing.update(self._session, path, changes, self._generation(path, if_match))

    # ---- listing -----------------------------------------------------------------------------------------------

    def scan(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        end_before: str | None = None,
        detail: bool = False,
        delimiter: bool = False,
        page_size: int = 1000,
    ) -> Iterator[list[tuple[str, Stat | None]]]:
        return _listing.scan(
            self._session, prefix, start_after, end_before, page_size, detail=detail, delimiter=delimiter
        )

    # ---- signing, errors ---------------------------------------------------------------------------------------

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        return _signing.sign(self._session, path, options)

    def sign_form(self, path: str, options: FormOptions) -> SignedForm:
        return _signing.sign_form(self._session, path, options)

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return _errors.classify(exc)

    # ---- the bucket itself -------------------------------------------------------------------------------------

    def bucket_exists(self) -> bool:
        return _bucket.exists(self._session)

    def setup(self, wanted: Setup) -> Sequence[str]:
        return _bucket.setup(self._session, wanted)

    def close(self) -> None:
        self._session.close()

    def __repr__(self) -> str:
        return f"GCSBackend({self.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.private:
            raise TypeError(
                f"{self!r} has an explicit auth, which pickling would write out; open it without auth, and let the other process "
                "find its own credentials"
            )
        return GCSBackend, (self._session.settings, self._session.retries, self._session.timeout)
