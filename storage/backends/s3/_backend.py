"""``S3Backend``: the methods of the protocol, on one bucket."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import quote

from storage._backend import Backend, Changes, Download, FormOptions, PutOptions, Setup, SignOptions, Stat
from storage._multipart import PART_SIZE, PartWriter
from storage._retry import Attempts, Retries, outcome_unknown
from storage._types import SignedForm, SignedRequest
from storage.backends._http import Answer
from storage.backends.s3 import _bucket, _listing, _reading, _signing, _writing
from storage.backends.s3._answers import Asked, check_deleted, found, head
from storage.backends.s3._calls import Call
from storage.backends.s3._checksums import upload_headers
from storage.backends.s3._copying import Copier
from storage.backends.s3._documents import Part, delete_objects, failed_deletions
from storage.backends.s3._errors import classify, code_of, status_of
from storage.backends.s3._headers import Encryption
from storage.backends.s3._requests import Requests
from storage.backends.s3._settings import POOL_SIZE, Settings
from storage.backends.s3._wire import client_error
from storage.exceptions import PreconditionFailedError, StorageError, UnavailableError

T = TypeVar("T")

_MULTIPART_FROM: Final = 4 * PART_SIZE  # bytes: below it, whole bodies that are in memory anyway go up in one request
_XML_CANNOT: Final = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")
_BATCH_STATUSES: Final = {"InternalError": 500, "SlowDown": 503, "ServiceUnavailable": 503, "AccessDenied": 403}


class S3Backend(Backend):
    """One bucket at AWS, or at a server that speaks the same protocol."""

    scheme: ClassVar[str] = "s3"
    concurrency = POOL_SIZE
    batch_size = 1000
    chunk_size = PART_SIZE
    parallel_from: int | None = 16 * 1024 * 1024

    def __init__(self, settings: Settings, retries: Retries, encryption: Encryption | None = None) -> None:
        self._settings, self._retries = settings, retries
        self._encryption = dict(encryption or {})
        self._requests = Requests(settings, retries)
        self._copier = Copier(self._requests, self._encryption)
        self._lister = _listing.Lister(self._requests)
        self._has_batches = True

    @property
    def client(self) -> Any:
        return self._requests.gate.shared.get()

    @property
    def way(self) -> str:
        """One line: which way requests go, and why."""
        return self._requests.gate.describe()

    @property
    def location(self) -> str:
        endpoint = self._settings.endpoint_url
        bucket = quote(self._settings.bucket)
        # The same name on another server is another bucket.
        return f"s3://{bucket}" if endpoint is None else f"{endpoint}/{bucket}"

    # ---- one blob ----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        if len(data) <= _MULTIPART_FROM:
            return _writing.put(self._requests, path, data, options, self._encryption)
        writer = self.writer(path, options, len(data))
        try:
            writer.write(data)
            return writer.commit()
        except BaseException:
            writer.abort()
            raise

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> PartWriter[Part]:
        return PartWriter(_writing.S3Parts(self._requests, path, options, self._encryption), size)

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        return _reading.get(self._requests, path, Asked(start, end, if_match))

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        return _reading.stream(self._requests, path, Asked(start, end, if_match))

    def stat(self, path: str) -> Stat:
        return self._look(path, head)

    def probe(self, path: str) -> object:
        return self._look(path, found)

    def _look(self, path: str, read: Callable[[Answer], T]) -> T:
        """What ``read`` makes of the answer to a HEAD."""
        attempts: Attempts | None = None
        call = Call("head_object", "HEAD", path)
        while True:
            try:
                return read(self._requests.once(call))
            except Exception as exc:
                self._look_closer(path, exc)
                attempts = attempts or self._requests.attempts()
                self._requests.failed(attempts, exc)

    def delete(self, path: str, *, if_match: str | None = None) -> None:
        # A DELETE does not say whether there was anything.
        etag = self._look(path, found)
        if if_match not in (None, etag):
            raise PreconditionFailedError
        self._delete(path, if_match)

    def delete_unseen(self, path: str, etag: str) -> None:
        self._delete(path, etag)

    def _delete(self, path: str, if_match: str | None = None) -> None:
        """Deletes what is there or not; with ``if_match`` one version, or raises."""
        attempts = self._requests.attempts()
        while True:
            headers = {} if if_match is None else self._requests.if_match(if_match)
            call = Call("delete_object", "DELETE", path, "", headers, repeatable=if_match is None)
            try:
                check_deleted(self._requests.once(call))
            except Exception as exc:
                if status_of(exc) in (404, 412) and code_of(exc) != "NoSuchBucket":
                    if if_match is None:
                        return  # some servers say so if it was deleted already; a lost answer does no harm
                    if self._requests.misread(exc):
                        continue
                    if attempts.lost:
                        raise outcome_unknown(f"the delete of {path!r}") from exc
                    raise PreconditionFailedError from exc
                self._requests.failed(attempts, exc)
            else:
                return

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        if not self._has_batches or _XML_CANNOT.search("".join(paths)):
            return self._delete_singly(paths)
        attempts = self._requests.attempts()
        failed: dict[str, Exception] = {}
        todo = list(dict.fromkeys(paths))
        while True:
            try:
                errors = self._delete_at_once(attempts, todo)
            except Exception as exc:
                if status_of(exc) in (405, 501):  # a small server, which knows no batches
                    self._has_batches = False
                    return {**failed, **self._delete_singly(todo)}
                raise
            failed.update((path, exc) for path, exc in errors.items() if code_of(exc) != "NoSuchKey")
            todo = [path for path, exc in errors.items() if self._requests.mendable(exc)]
            if not todo:
                return failed
            try:
                self._requests.failed(attempts, errors[todo[0]])
            except type(errors[todo[0]]):
                return failed
            for path in todo:
                del failed[path]

    def _delete_at_once(self, attempts: Attempts, paths: list[str]) -> dict[str, Exception]:
        """Deletes blobs with one request; the exception of each that could not be deleted."""
        body = delete_objects(paths)
        call = Call(
            "delete_objects",
            "POST",
            None,
            "delete=",
            upload_headers(body, "crc32" if self._requests.gate.aws else "md5"),
            body,
            lambda: {"Delete": {"Objects": [{"Key": path} for path in paths], "Quiet": True}},
        )

        def read(answer: Answer) -> dict[str, Exception]:
            failures = failed_deletions(answer.body)
            if not set(paths).issuperset(path for path, _, _ in failures):
                raise UnavailableError("the service reports on keys that it was not asked to delete")
            return {
                path: client_error(
                    "delete_objects", _BATCH_STATUSES.get(code, 400), {}, {"Code": code, "Message": message}
                )
                for path, code, message in failures
            }

        return self._requests.read(call, read, attempts)

    def _delete_singly(self, paths: Sequence[str]) -> dict[str, Exception]:
        from storage._threads import Pool

        def fault(path: str) -> Exception | None:
            try:
                self._delete(path)
            except Exception as exc:
                return exc
            return None

        with Pool(min(len(paths), self.concurrency), "storage-delete") as pool:
            tasks = {path: pool.submit(fault, path) for path in paths}
            return {path: exc for path, task in tasks.items() if (exc := task.result()) is not None}

    def copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        return self._copier.copy(source, target, overwrite=overwrite, if_match=if_match)

    def move(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        stat = self.copy(source, target, overwrite=overwrite, if_match=if_match)
        self._delete(source, if_match)
        return stat

    def update(self, path: str, changes: Changes, *, if_match: str | None = None) -> Stat:
        return self._copier.update(path, changes, if_match)

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
        bounds = _listing.Bounds(prefix, start_after, end_before)
        return filter(None, self._lister.pages(bounds, detail=detail, delimiter=delimiter, page_size=page_size))

    # ---- signing -----------------------------------------------------------------------------------------------

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        return _signing.sign(self._requests.gate.shared, self._settings.bucket, path, options, self._encryption)

    def sign_form(self, path: str, options: FormOptions) -> SignedForm:
        return _signing.sign_form(self._requests.gate.shared, self._settings.bucket, path, options, self._encryption)

    # ---- errors ------------------------------------------------------------------------------------------------

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return classify(exc)

    def _look_closer(self, path: str, exc: Exception) -> None:
        """A HEAD that is refused does not say why; a GET does, in its body. Raises what it says."""
        if status_of(exc) not in (400, 403):
            return
        try:
            self._requests.once(Call("get_object", "GET", path, "", {"range": "bytes=0-0"}), stream=True).close()
        except Exception as told:
            if status_of(told) == status_of(exc):
                raise told from exc

    def bucket_exists(self) -> bool:
        try:
            self._requests.send(Call("head_bucket", "HEAD"))
        except Exception as exc:
            if status_of(exc) not in (301, 404):
                raise
            return status_of(exc) == 301  # it is there, in another region
        return True

    # ---- the bucket itself -------------------------------------------------------------------------------------

    def setup(self, wanted: Setup) -> Sequence[str]:
        return _bucket.setup(self._requests, wanted)

    def sweep(self, prefixes: Sequence[str] = ("",)) -> Sequence[str]:
        return _bucket.sweep(self._requests, prefixes)

    def close(self) -> None:
        self._requests.gate.close()

    def __repr__(self) -> str:
        return f"S3Backend({self.location!r})"

    def __reduce__(self) -> tuple[Callable[[], S3Backend], tuple[()]]:
        if self._settings.auth is not None:
            raise TypeError(
                f"{self!r} has an explicit auth, which pickling would write out; open it without auth, and let the other process "
                "find its own credentials"
            )
        return partial(S3Backend, self._settings, self._retries, self._encryption), ()
