"""Writes: in one request or in parts, and whether a conditional one whose answer was lost was ours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, NoReturn

from storage._backend import PutOptions, Stat
from storage._retry import Attempts, outcome_unknown
from storage.backends.s3._errors import classify, code_of, status_of
from storage.backends.s3._headers import (
    Encryption,
    answered_at,
    conditions,
    new_nonce,
    nonce_of,
    put_params,
    stat_of,
    written,
)
from storage.backends.s3._requests import Requests
from storage.exceptions import AlreadyExistsError, NotFoundError, PreconditionFailedError

__all__ = ["Condition", "S3Parts", "put"]

_log = logging.getLogger("storage.s3")

# How far apart two times of one server may be that mean the same moment: they come in whole seconds.
_GRAIN = timedelta(seconds=2)


class Condition:
    """What a write depends on, and what becomes of it when the server says that it does not hold.

    Attributes:
        params: the condition, for boto3.
        nonce: marks the blob as this write's own; ``None`` where that is not needed.
    """

    def __init__(self, requests: Requests, path: str, options: PutOptions, *, marked: bool = False) -> None:
        self._requests, self._path, self._options = requests, path, options
        self.params = conditions(options)
        self.nonce = new_nonce() if self.params or marked else None
        self._began = monotonic()

    def failed_by(self, exc: Exception) -> bool:
        """Whether ``exc`` says that the condition does not hold."""
        status = status_of(exc)
        # Where `If-Match` meets no blob, AWS answers that there is no such key.
        return bool(self.params) and (
            status == 412
            or (status == 404 and "IfMatch" in self.params and code_of(exc) in ("NoSuchKey", "404", "NotFound"))
        )

    def settle(self, exc: Exception, attempts: Attempts) -> Stat:
        """The ``Stat`` of the blob if an earlier try wrote it, although its answer was lost; or raises what ``exc`` means."""
        if not attempts.lost:
            self._refuse(exc)
        try:
            response = self._requests.send("head_object", Key=self._path)
        except Exception as second:
            if issubclass(classify(second) or Exception, NotFoundError):
                raise outcome_unknown(f"the write to {self._path!r}") from exc
            raise
        if nonce_of(response) == self.nonce:
            return stat_of(response)
        age = timedelta(seconds=monotonic() - self._began)
        if stat_of(response).last_modified < answered_at(response) - age - _GRAIN:
            self._refuse(exc)  # what is there was there before the first try
        raise outcome_unknown(f"the write to {self._path!r}") from exc

    def _refuse(self, exc: Exception) -> NoReturn:
        raise (PreconditionFailedError if self._options.overwrite else AlreadyExistsError) from exc


def put(requests: Requests, path: str, data: bytes, options: PutOptions, encryption: Encryption) -> Stat:
    """Stores ``data`` with one request."""
    condition = Condition(requests, path, options)
    params = put_params(options, encryption, condition.nonce)
    attempts = requests.attempts()
    while True:
        try:
            response = requests.once("put_object", Key=path, Body=data, **params, **condition.params)
        except Exception as exc:
            if condition.failed_by(exc):
                return condition.settle(exc, attempts)
            requests.failed(attempts, exc)
        else:
            return written(response, len(data), options)


class S3Parts:
    """A multipart upload, for :class:`storage._facade.download.PartWriter`."""

    def __init__(self, requests: Requests, path: str, options: PutOptions, encryption: Encryption) -> None:
        self._requests, self._path, self._options, self._encryption = requests, path, options, encryption
        # Completing is not repeatable: the mark tells whether an upload that is gone was completed.
        self._condition = Condition(requests, path, options, marked=True)
        self._upload: dict[str, str] = {}
        self._checksums: dict[str, str] = {}

    def whole(self, data: bytes) -> Stat:
        return put(self._requests, self._path, data, self._options, self._encryption)

    def start(self, params: dict[str, Any] | None = None) -> None:
        """Begins; ``params`` in place of those of the options."""
        if params is None:
            params = put_params(self._options, self._encryption, self._condition.nonce)
        # AWS checks a part's checksum only where the upload was begun with the same kind.
        if self._requests.shared.aws:
            self._checksums = {"ChecksumAlgorithm": "CRC32"}
        response = self._requests.send("create_multipart_upload", Key=self._path, **params, **self._checksums)
        self._upload = {"Key": self._path, "UploadId": response["UploadId"]}

    @property
    def nonce(self) -> str | None:
        """What marks the blob as this upload's."""
        return self._condition.nonce

    def part(self, number: int, data: bytes) -> dict[str, Any]:
        response = self._requests.send("upload_part", PartNumber=number, Body=data, **self._upload, **self._checksums)
        return _part(number, response)

    def copy_part(self, number: int, **params: Any) -> dict[str, Any]:
        """A part that is a range of another blob."""
        response = self._requests.send("upload_part_copy", PartNumber=number, **self._upload, **params)
        return _part(number, response["CopyPartResult"])

    def finish(self, parts: Sequence[dict[str, Any]], size: int) -> Stat:
        attempts = self._requests.attempts()
        while True:
            try:
                response = self._requests.once(
                    "complete_multipart_upload",
                    MultipartUpload={"Parts": list(parts)},
                    **self._upload,
                    **self._condition.params,
                )
            except Exception as exc:
                if attempts.lost and code_of(exc) == "NoSuchUpload":
                    return self._after_the_fact(exc)
                if self._condition.failed_by(exc):
                    return self._condition.settle(exc, attempts)
                self._requests.failed(attempts, exc)
            else:
                return written(response, size, self._options)

    def _after_the_fact(self, exc: Exception) -> Stat:
        """The upload is gone: completed by an earlier try, or ended by somebody else."""
        try:
            response = self._requests.send("head_object", Key=self._path)
        except Exception as second:
            if not issubclass(classify(second) or Exception, NotFoundError):
                raise
        else:
            if nonce_of(response) == self.nonce:
                return stat_of(response)
        raise outcome_unknown(f"the write to {self._path!r}") from exc

    def cancel(self) -> None:
        try:
            self._requests.send("abort_multipart_upload", **self._upload)
        except Exception as exc:
            if code_of(exc) != "NoSuchUpload":
                # The parts stay, and are paid for, until the lifecycle rule of `setup()` or `sweep` ends them.
                _log.warning("an upload to %r could not be aborted: %s", self._path, type(exc).__name__)


def _part(number: int, result: Any) -> dict[str, Any]:
    part = {"PartNumber": number, "ETag": result["ETag"]}
    if "ChecksumCRC32" in result:
        part["ChecksumCRC32"] = result["ChecksumCRC32"]
    return part
