"""A large blob in parallel parts: the XML API's multipart upload, which knows no preconditions."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import requests

from storage._backend import PutOptions, Stat
from storage._retry import outcome_unknown
from storage.backends.gcs._client import Session, parsed
from storage.backends.gcs._crc import combined
from storage.backends.gcs._errors import NATIVE, status_of
from storage.backends.gcs._headers import FIELDS, checksum, encoded_crc, stat_of
from storage.backends.gcs._writing import put
from storage.exceptions import IntegrityError, UnavailableError

__all__ = ["MultipartUpload", "Part", "suits"]

_UPLOAD_ID: Final = re.compile(r"<UploadId>([^<]+)</UploadId>")
_CRC: Final = re.compile(r"\bcrc32c=([A-Za-z0-9+/=]+)")


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
    """As :class:`storage._facade.download.Parts`; ``options`` are ones that :func:`suits`."""

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
        response = self._session.call("POST", f"{self._url()}?uploads", b"", headers)
        found = _UPLOAD_ID.search(response.text)
        if found is None:
            raise UnavailableError(f"{self._path!r}: the service began an upload and did not name it; write it again")
        self._id = found[1]

    def part(self, number: int, data: bytes) -> Part:
        crc = checksum(data)
        url = f"{self._url()}?partNumber={number}&uploadId={self._id}"
        response = self._session.call("PUT", url, data, {"X-Goog-Hash": f"crc32c={encoded_crc(crc)}"})
        stored = _CRC.search(response.headers.get("X-Goog-Hash", ""))
        if stored is not None and stored[1] != encoded_crc(crc):
            raise IntegrityError(f"{self._path!r}: part {number} came to the service with other bytes; write it again")
        return Part(number, response.headers["ETag"], crc, len(data))

    def finish(self, parts: Sequence[Part], size: int) -> Stat:
        crc = 0
        for part in parts:
            crc = combined(crc, part.crc, part.size)
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag></Part>" for part in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        url = f"{self._url()}?uploadId={self._id}"
        attempts = self._session.attempts()
        try:
            response = self._session.call("POST", url, body, {"Content-Type": "application/xml"}, attempts=attempts)
        except NATIVE as exc:
            if attempts.lost and status_of(exc) == 404:
                # An earlier try has ended the upload, or somebody has cancelled it.
                return self._published(size, crc, exc)
            raise
        stored = _CRC.search(response.headers.get("X-Goog-Hash", ""))
        if stored is not None and stored[1] != encoded_crc(crc):
            raise IntegrityError(
                f"{self._path!r}: the parts have the CRC32C {encoded_crc(crc)}, the blob has {stored[1]}; write it again"
            )
        return self._stat(response, size)

    def cancel(self) -> None:
        # Nobody waits for it. What is left of an upload that cannot be cancelled is for a lifecycle rule.
        with contextlib.suppress(Exception):
            self._session.send("DELETE", f"{self._url()}?uploadId={self._id}")

    def _url(self) -> str:
        return self._session.connection.xml_url + self._name

    def _stat(self, response: requests.Response, size: int) -> Stat:
        date = response.headers.get("Date")
        moment = parsedate_to_datetime(date) if date else datetime.now(timezone.utc)
        options = self._options
        return Stat(
            size,
            response.headers["X-Goog-Generation"],
            moment,
            options.content_type,
            options.cache_control,
            options.content_encoding,
            dict(options.metadata),
        )

    def _published(self, size: int, crc: int, exc: BaseException) -> Stat:
        """The blob's ``Stat``, if it is what this upload would have made."""
        url = f"{self._session.connection.object_url}{self._name}?fields={FIELDS}"
        try:
            found = parsed(self._session.call("GET", url))
        except NATIVE:
            found = {}
        if (found.get("size"), found.get("crc32c")) == (str(size), encoded_crc(crc)):
            return stat_of(found)
        raise outcome_unknown(f"write of {self._path!r}") from exc
