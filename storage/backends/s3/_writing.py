"""Writes a blob with one request or in parts, and recognises a conditional write of its own whose answer was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, Final, NoReturn
from urllib.parse import quote

from storage._backend import PutOptions, Stat
from storage._retry import Attempts, outcome_unknown
from storage.backends._http import Answer
from storage.backends.s3._answers import head
from storage.backends.s3._calls import Call, query
from storage.backends.s3._checksums import check_upload, upload_headers
from storage.backends.s3._documents import Part, complete_upload, completed_etag, copy_result, error, upload_id
from storage.backends.s3._errors import classify, code_of, status_of
from storage.backends.s3._headers import (
    NONCE,
    Encryption,
    answered_at,
    etag_of,
    new_nonce,
    put_headers,
    quoted,
    written,
)
from storage.backends.s3._requests import Requests
from storage.exceptions import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    PreconditionFailedError,
    UnavailableError,
)

# How far apart two times of one server may be that mean the same moment: they come in whole seconds.
_GRAIN: Final = timedelta(seconds=2)


class Condition:
    """The condition of a write, and the meaning of an answer that says it did not hold.

    Attributes:
        headers: the condition.
        nonce: marks the blob as this write's own; ``None`` where that is not needed.
    """

    __slots__ = ("_began", "_options", "_path", "_requests", "headers", "nonce")

    def __init__(self, requests: Requests, path: str, options: PutOptions, *, marked: bool = False) -> None:
        self._requests, self._path, self._options = requests, path, options
        self.headers = {} if options.overwrite else {"if-none-match": "*"}
        if options.if_match is not None:
            self.headers = requests.if_match(options.if_match)
        self.nonce = new_nonce() if self.headers or marked else None
        self._began = monotonic()

    def failed_by(self, exc: Exception) -> bool:
        """Whether ``exc`` says that the condition does not hold."""
        if not self.headers:
            return False
        status = status_of(exc)
        # Where `If-Match` meets no blob, AWS answers that there is no such key.
        return status == 412 or (
            status == 404 and "if-match" in self.headers and code_of(exc) in ("NoSuchKey", "404", "NotFound")
        )

    def reworded(self, exc: Exception) -> bool:
        """Whether the server may only have misread the condition, which then is put as it reads it: once for a store."""
        etag = self._options.if_match
        if etag is None or not self._requests.misread(exc):
            return False
        self.headers = self._requests.if_match(etag)
        return True

    def settle(self, exc: Exception, attempts: Attempts) -> Stat:
        """The ``Stat`` of the blob if an earlier try wrote it, although its answer was lost; or raises what ``exc`` means."""
        if not attempts.lost:
            self._refuse(exc)
        return self.find_own(exc, refused=True)

    def find_own(self, exc: Exception, *, refused: bool = False) -> Stat:
        """The ``Stat`` of the blob if an earlier try wrote it; else raises that the outcome is unknown.

        ``refused``: what was there before the first try refused this write, so its outcome is known.
        """
        try:
            answer = self._requests.send(Call("head_object", "HEAD", self._path))
        except Exception as second:
            if issubclass(classify(second) or Exception, NotFoundError):
                raise outcome_unknown(f"the write to {self._path!r}") from exc
            raise
        stat = head(answer)
        if self.nonce is not None and answer.headers.get(NONCE) == self.nonce:
            return stat
        age = timedelta(seconds=monotonic() - self._began)
        if refused and stat.last_modified < answered_at(answer.headers) - age - _GRAIN:
            self._refuse(exc)  # what is there was there before the first try
        raise outcome_unknown(f"the write to {self._path!r}") from exc

    def _refuse(self, exc: Exception) -> NoReturn:
        raise (PreconditionFailedError if self._options.overwrite else AlreadyExistsError) from exc


def put(
    requests: Requests, path: str, data: bytes | memoryview, options: PutOptions, headers: Mapping[str, str]
) -> Stat:
    """Stores ``data`` with one request; ``headers`` besides those of the options."""
    condition = None if options.overwrite and options.if_match is None else Condition(requests, path, options)
    sums = upload_headers(data, requests.gate.checksums)
    common = {**put_headers(options, headers, condition.nonce if condition else None), **sums}
    attempts: Attempts | None = None
    while True:
        sent = {**common, **condition.headers} if condition else common
        call = Call("put_object", "PUT", path, "", sent, data, repeatable=condition is None)
        try:
            answer = requests.once(call)
            etag = etag_of(answer.headers)
            if answer.body and error(answer.body) is not None:
                raise UnavailableError("the service reports an error in an answer with a status of success")  # noqa: TRY301
        except Exception as exc:
            attempts = attempts or requests.attempts()
            if condition and condition.failed_by(exc):
                if condition.reworded(exc):
                    continue
                return condition.settle(exc, attempts)
            requests.failed(attempts, exc)
            continue
        try:
            check_upload(sums, etag, answer.headers)
        except IntegrityError as exc:
            if condition:
                raise  # what is there now is this write's own, and no condition holds for another try
            attempts = attempts or requests.attempts()
            requests.failed(attempts, exc)
            continue
        return written(answer.headers, len(data), options, etag)


class S3Parts:
    """A multipart upload, for :class:`storage._multipart.PartWriter`."""

    def __init__(self, requests: Requests, path: str, options: PutOptions, encryption: Encryption) -> None:
        self._requests, self._path, self._options, self._encryption = requests, path, options, encryption
        # Completing is not repeatable: the mark tells whether an upload that is gone was completed.
        self._condition = Condition(requests, path, options, marked=True)
        self._id = ""

    def whole(self, data: bytes) -> Stat:
        return put(self._requests, self._path, data, self._options, self._encryption)

    def start(self, headers: Mapping[str, str] | None = None) -> None:
        """Begins; ``headers`` in place of those of the options."""
        if headers is None:
            headers = put_headers(self._options, self._encryption, self._condition.nonce)
        # AWS checks a part's checksum only where the upload was begun with the same kind.
        if self._requests.gate.checksums == "crc32":
            headers = {**headers, "x-amz-checksum-algorithm": "CRC32"}
        call = Call("create_multipart_upload", "POST", self._path, "uploads=", headers)
        self._id = self._requests.read(call, lambda answer: upload_id(answer.body))

    @property
    def nonce(self) -> str | None:
        """The mark that this upload puts into the blob."""
        return self._condition.nonce

    def part(self, number: int, data: bytes | memoryview) -> Part:
        sums = upload_headers(data, self._requests.gate.checksums)

        def read(answer: Answer) -> Part:
            etag = etag_of(answer.headers)
            check_upload(sums, etag, answer.headers)
            return Part(number, quoted(etag), sums.get("x-amz-checksum-crc32"))

        call = Call("upload_part", "PUT", self._path, self._query(number), sums, data)
        return self._requests.read(call, read)

    def copy_part(self, number: int, headers: Mapping[str, str]) -> Part:
        """A part that is a range of another blob."""

        def read(answer: Answer) -> Part:
            etag, _, crc32 = copy_result(answer.body, "CopyPartResult")
            return Part(number, quoted(etag), crc32)

        call = Call("upload_part_copy", "PUT", self._path, self._query(number), headers)
        return self._requests.read(call, read)

    def _query(self, number: int) -> str:
        return f"partNumber={number}&uploadId={quote(self._id, '')}"

    def finish(self, parts: Sequence[Part], size: int) -> Stat:
        attempts = self._requests.attempts()
        document = {"MultipartUpload": {"Parts": [_parameter(part) for part in parts]}}
        while True:
            call = Call(
                "complete_multipart_upload",
                "POST",
                self._path,
                query(uploadId=self._id),
                self._condition.headers,
                complete_upload(parts),
                lambda: document,
                repeatable=False,
            )
            try:
                answer = self._requests.once(call)
                return written(answer.headers, size, self._options, completed_etag(answer.body))
            except Exception as exc:
                if attempts.lost and code_of(exc) == "NoSuchUpload":
                    return self._condition.find_own(exc)  # completed by that try, or ended by somebody else
                if self._condition.failed_by(exc):
                    if self._condition.reworded(exc):
                        continue
                    return self._condition.settle(exc, attempts)
                self._requests.failed(attempts, exc)

    def cancel(self) -> None:
        try:
            self._requests.send(Call("abort_multipart_upload", "DELETE", self._path, query(uploadId=self._id)))
        except Exception as exc:
            if code_of(exc) != "NoSuchUpload":
                import logging

                # The parts stay, and are paid for, until the lifecycle rule of `setup()` or `sweep` ends them.
                logging.getLogger("storage.s3").warning(
                    "an upload to %r could not be aborted: %s", self._path, type(exc).__name__
                )


def _parameter(part: Part) -> dict[str, Any]:
    named = {"PartNumber": part.number, "ETag": part.etag}
    return named if part.crc32 is None else {**named, "ChecksumCRC32": part.crc32}
