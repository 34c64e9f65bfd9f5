"""Uploads a large blob in parallel parts: the XML API's multipart upload, which has no conditions."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Final, NamedTuple
from urllib.parse import quote

from storage._backend import PutOptions, Stat
from storage._retry import outcome_unknown
from storage.backends._http import Answer
from storage.backends.gcs import _answers
from storage.backends.gcs._checksums import combined
from storage.backends.gcs._errors import native, status_of
from storage.backends.gcs._headers import checksum, encoded_crc
from storage.backends.gcs._looking import look
from storage.backends.gcs._requests import Session
from storage.backends.gcs._writing import put
from storage.exceptions import IntegrityError

_UPLOAD_ID: Final = re.compile(rb"<UploadId>([!-;=-~]+)</UploadId>")


class Part(NamedTuple):
    """A part that the service has."""

    number: int
    etag: str
    crc: int
    size: int


def suits(options: PutOptions) -> bool:
    """Whether a blob with these options can go up in parts: without a condition, and with metadata that headers can hold."""
    return (
        options.overwrite
        and options.if_match is None
        and all(value and value.isascii() and value == value.strip() for value in options.metadata.values())
    )


class MultipartUpload:
    """As :class:`storage._multipart.Parts`; ``options`` are ones that :func:`suits`."""

    def __init__(self, session: Session, path: str, options: PutOptions) -> None:
        self._session, self._path, self._options = session, path, options
        self._name = session.object(path)
        self._id = ""

    def whole(self, data: bytes) -> Stat:
        return put(self._session, self._path, data, self._options)

    def start(self) -> None:
        content_type, cache_control, content_encoding, metadata, *_ = self._options
        headers = {"Content-Type": content_type}
        if cache_control is not None:
            headers["Cache-Control"] = cache_control
        if content_encoding is not None:
            headers["Content-Encoding"] = content_encoding
        headers.update({f"x-goog-meta-{name}": value for name, value in metadata.items()})
        target = f"{self._target()}?uploads"
        # A second upload that nobody names does no harm.
        self._id = self._session.call("POST", target, b"", headers, parse=self._begun, repeatable=True)

    def _begun(self, answer: Answer) -> str:
        found = _UPLOAD_ID.search(answer.body)
        if found is None:
            _answers.malformed("the beginning of an upload that does not name it")
        return quote(found[1].decode(), safe="")

    def part(self, number: int, data: bytes) -> Part:
        crc = checksum(data)
        target = f"{self._target()}?partNumber={number}&uploadId={self._id}"

        def parse(answer: Answer) -> Part:
            stored, etag = _answers.crc_of(answer), answer.headers.get("etag")
            if stored not in (None, encoded_crc(crc)):
                raise IntegrityError(
                    f"{self._path!r}: part {number} came to the service with other bytes; write it again"
                )
            if not etag:
                _answers.malformed("a part of an upload without an etag")
            return Part(number, etag, crc, len(data))

        headers = {"X-Goog-Hash": f"crc32c={encoded_crc(crc)}"}
        return self._session.call("PUT", target, data, headers, parse=parse, repeatable=True)

    def finish(self, parts: Sequence[Part], size: int) -> Stat:
        crc = 0
        for part in parts:
            crc = combined(crc, part.crc, part.size)
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{_escaped(part.etag)}</ETag></Part>" for part in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        target = f"{self._target()}?uploadId={self._id}"
        attempts = self._session.attempts()

        def parse(answer: Answer) -> Stat:
            stored = _answers.crc_of(answer)
            if stored not in (None, encoded_crc(crc)):
                raise IntegrityError(
                    f"{self._path!r}: the parts have the CRC32C {encoded_crc(crc)}, the blob has {stored}; write it again"
                )
            return self._stat(answer, size)

        try:
            return self._session.call(
                "POST", target, body, {"Content-Type": "application/xml"}, parse=parse, attempts=attempts
            )
        except native() as exc:
            if attempts.lost and status_of(exc) in (None, 404):
                # An earlier try has ended the upload, or somebody has cancelled it; or no answer told what became of it.
                return self._published(size, crc, exc)
            raise

    def cancel(self) -> None:
        # Nobody waits for it. What is left of an upload that cannot be cancelled is for a lifecycle rule.
        with contextlib.suppress(Exception):
            self._session.send("DELETE", f"{self._target()}?uploadId={self._id}")

    def _target(self) -> str:
        return self._session.connection.xml + self._name

    def _stat(self, answer: Answer, size: int) -> Stat:
        generation = answer.headers.get("x-goog-generation", "")
        if not generation.isdecimal():
            _answers.malformed("the end of an upload without a generation")
        moment = _answers.time_of(answer, "date") or datetime.now(timezone.utc)
        return Stat(size, generation, moment, *self._options[:3], dict(self._options.metadata))

    def _published(self, size: int, crc: int, exc: BaseException) -> Stat:
        """The blob's ``Stat``, if it is what this upload would have made."""
        try:
            found = look(self._session, self._path)
        except native():
            found = None
        if found is not None:
            stat = _answers.stat_of(found.resource)
            if (stat.size, stat.crc) == (size, encoded_crc(crc)):
                return stat
        raise outcome_unknown(f"write of {self._path!r}") from exc


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
