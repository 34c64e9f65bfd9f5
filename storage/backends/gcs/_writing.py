"""Writes a blob: a small one with one request, a large one through a resumable session.

After a lost answer both recognise their own write.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import Any, Final
from urllib.parse import urlsplit

from storage._backend import BlobOrBucketMissing, PutOptions, Stat
from storage._retry import outcome_unknown
from storage.backends._http import Answer
from storage.backends.gcs import _answers
from storage.backends.gcs._answers import FIELDS
from storage.backends.gcs._errors import classify, native, status_of
from storage.backends.gcs._headers import (
    JSON,
    NONCE,
    checksum,
    condition,
    description,
    encoded_crc,
    refused,
    token,
)
from storage.backends.gcs._looking import look
from storage.backends.gcs._requests import Session
from storage.exceptions import BucketNotFoundError, IntegrityError, UnavailableError

_CHUNK: Final = 8 * 1024 * 1024  # a multiple of 256 KiB, as the service demands; held in memory
_SESSION_OK: Final = frozenset({200, 201, 308})
_CREATED: Final = frozenset({200, 201})
_QUERY: Final = f"fields={FIELDS}&prettyPrint=false"
_PERSISTED: Final = re.compile(r"bytes=0-(\d{1,18})", re.ASCII)


class Write:
    """One write of one blob: its conditions, and what its failures mean."""

    def __init__(self, session: Session, path: str, options: PutOptions) -> None:
        self.session, self.path, self.options = session, path, options
        self.condition = condition(options)
        self.nonce = token() if self.condition else None  # a name for this very write, which may have to be recognised
        session.object(path)  # raises for what is no name

    def target(self, kind: str) -> str:
        """The target of the POST; ``kind``: ``multipart`` or ``resumable``."""
        return f"{self.session.connection.uploads}?uploadType={kind}&{_QUERY}{self.condition}"

    def describe(self, crc: int | None = None) -> bytes:
        """The object resource to send."""
        return json.dumps(description(self.path, self.options, self.nonce, crc)).encode()

    def compared(self, resource: dict[str, Any], crc: int, size: int) -> Stat:
        """The new blob's ``Stat``; ``IntegrityError`` where the service has other bytes than were sent."""
        stat = _answers.stat_of(resource)
        if stat.crc not in (None, encoded_crc(crc)) or stat.size != size:
            raise IntegrityError(
                f"{self.path!r}: {size} bytes with the CRC32C {encoded_crc(crc)} were sent, the blob has {stat.size} "
                f"with {stat.crc}; write it again"
            )
        return stat

    def settle(self, exc: BaseException, began: float, *, lost: bool) -> dict[str, Any] | None:
        """Decides what a try was that raised ``exc``: an earlier one may have made the blob, so that this one was refused.

        Args:
            began: ``time.monotonic()`` before the first try that could have made the blob.
            lost: an earlier try may have been carried out.

        Returns:
            The object resource, where an earlier try of this write made it; ``None``: try again, if that may help.

        Raises:
            AlreadyExistsError, PreconditionFailedError, BucketNotFoundError: a refusal that no earlier try can explain.
            UnavailableError: one that an earlier try may explain, and nothing tells.
        """
        status = status_of(exc)
        if status == 404 and classify(exc) in (BlobOrBucketMissing, BucketNotFoundError):
            raise BucketNotFoundError from exc
        if status != 412 or self.nonce is None:
            return None
        if not lost:
            raise refused(self.options) from exc
        try:
            found = look(self.session, self.path)
        except native():
            raise outcome_unknown(f"write of {self.path!r}") from exc
        if found is not None:
            if (found.resource.get("metadata") or {}).get(NONCE) == self.nonce:
                return found.resource
            if found.existed(began):
                # It was there before the first try, which so was refused as well.
                raise refused(self.options) from exc
        raise outcome_unknown(f"write of {self.path!r}") from exc


def put(session: Session, path: str, data: bytes, options: PutOptions) -> Stat:
    """Stores ``data`` in one request."""
    write = Write(session, path, options)
    crc = checksum(data)
    boundary = token()
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{write.describe(crc).decode()}\r\n"
        f"--{boundary}\r\nContent-Type: {options.content_type}\r\n\r\n"
    )
    body = (head.encode(), data, f"\r\n--{boundary}--\r\n".encode())
    headers = {"Content-Type": f'multipart/related; boundary="{boundary}"'}
    target, repeatable = write.target("multipart"), not write.condition
    attempts, began = session.attempts(), time.monotonic()
    while True:
        try:
            answer = session.send("POST", target, body, headers, ok=_CREATED, repeatable=repeatable)
            return write.compared(_answers.told(answer, path), crc, len(data))
        except native() as exc:
            found = write.settle(exc, began, lost=attempts.lost)
            if found is not None:
                return write.compared(found, crc, len(data))
            session.failed(attempts, exc)


class ResumableWriter:
    """A blob that goes up in chunks of 8 MiB, one after the other; each is sent again from where the service has it."""

    def __init__(self, session: Session, path: str, options: PutOptions) -> None:
        self._session = session
        self._write = Write(session, path, options)
        self._upload: str | None = None  # the session's target: whoever has it can write
        self._buffer = bytearray()
        self._sent = 0
        self._crc = 0

    def write(self, data: bytes | memoryview) -> None:
        with memoryview(data).cast("B") as view:
            for start in range(0, len(view), _CHUNK):
                self._buffer += view[start : start + _CHUNK]
                # The last chunk is the one that publishes, so one is kept back.
                if len(self._buffer) > _CHUNK:
                    with memoryview(self._buffer) as buffer:
                        chunk = bytes(buffer[:_CHUNK])
                    del self._buffer[:_CHUNK]
                    self._send(chunk, last=False)

    def commit(self) -> Stat:
        chunk, self._buffer = bytes(self._buffer), bytearray()
        found = self._send(chunk, last=True)
        if found is None:
            raise UnavailableError(
                f"{self._write.path!r}: all bytes were sent, but the service did not finish the upload; write it again"
            )
        return self._write.compared(found, self._crc, self._sent)

    def abort(self) -> None:
        self._buffer = bytearray()
        upload, self._upload = self._upload, None
        if upload is not None:
            # Nobody waits for it, and the service forgets a session after a week.
            with contextlib.suppress(Exception):
                self._session.send("DELETE", upload, ok=frozenset({200, 204, 404, 410, 499}))

    def _begin(self) -> str:
        attempts = self._session.attempts()
        headers = {**JSON, "X-Upload-Content-Type": self._write.options.content_type}
        target, body = self._write.target("resumable"), self._write.describe()
        while True:
            try:
                answer = self._session.send("POST", target, body, headers, repeatable=True)
                return _location(answer, self._session.connection.base)
            except native() as exc:
                self._write.settle(exc, 0.0, lost=False)  # to begin writes nothing
                self._session.failed(attempts, exc)

    def _send(self, chunk: bytes, *, last: bool) -> dict[str, Any] | None:
        """Sends ``chunk`` until the service has it whole; returns the object resource once the blob is made."""
        upload = self._upload = self._upload or self._begin()
        self._crc = checksum(chunk, self._crc)
        first, after = self._sent, self._sent + len(chunk)
        attempts, began = self._session.attempts(), time.monotonic()
        ask = False  # how far the service has got, since the last answer did not tell
        while True:
            data = b"" if ask else memoryview(chunk)[self._sent - first :]
            try:
                answer = self._session.send(
                    "PUT", upload, (data,), self._headers(data, after, ask=ask, last=last), ok=_SESSION_OK
                )
                if answer.status != 308:
                    return self._finished(answer, after, last=last)
                had, self._sent = self._sent, _persisted(answer)
            except native() as exc:
                found = self._settled(exc, began, lost=attempts.lost)
                if found is not None:
                    self._sent, self._upload = after, None
                    return found
                self._session.failed(attempts, exc)
                ask = True
                continue
            if not first <= self._sent <= after:
                raise IntegrityError(f"{self._write.path!r}: the service lost bytes of this upload; write it again")
            if self._sent == after and not last:
                return None
            if not ask and self._sent == had:
                # It took no bytes and gave no reason: treated as an answer that says "later".
                self._session.failed(
                    attempts, UnavailableError(f"{self._write.path!r}: the service takes no more bytes")
                )
            ask = False

    def _headers(self, data: bytes | memoryview, after: int, *, ask: bool, last: bool) -> dict[str, str]:
        total = str(after) if last else "*"
        headers = {"Content-Range": f"bytes {after - len(data)}-{after - 1}/{total}" if data else f"bytes */{total}"}
        if last and not ask:
            headers["X-Goog-Hash"] = f"crc32c={encoded_crc(self._crc)}"
        return headers

    def _finished(self, answer: Answer, after: int, *, last: bool) -> dict[str, Any]:
        """The new blob's resource, from an answer that says that the upload is complete."""
        if not last:
            if answer.body:
                _answers.told(answer, self._write.path)  # else it is not the service's, which is asked
            # To go on would publish what comes as a blob of its own. The caller cancels the upload.
            raise IntegrityError(
                f"{self._write.path!r}: the service ended this upload after {self._sent} to {after} bytes, before its "
                "last; write it again"
            )
        # Google's test bench answers without a body.
        found = _answers.told(answer, self._write.path) if answer.body else self._there(after)
        _answers.stat_of(found)
        self._sent, self._upload = after, None
        return found

    def _there(self, size: int) -> dict[str, Any]:
        """The blob that is there, if it is the one that this upload makes."""
        found = look(self._session, self._write.path)
        resource = {} if found is None else found.resource
        mark = (resource.get("metadata") or {}).get(NONCE) if self._write.nonce else None
        told = (resource.get("crc32c"), int(resource.get("size", 0)), mark)
        if told != (encoded_crc(self._crc), size, self._write.nonce):
            _answers.malformed("the end of an upload without a description of the blob")
        return resource

    def _settled(self, exc: BaseException, began: float, *, lost: bool) -> dict[str, Any] | None:
        if status_of(exc) in (404, 410):
            # The bytes sent so far are gone, and they are not held here either.
            raise UnavailableError(f"{self._write.path!r}: the service dropped this upload; write it again") from exc
        return self._write.settle(exc, began, lost=lost)


def _location(answer: Answer, base: str) -> str:
    """The target, below the path ``base``, of the upload that begins. Its host is the one that was asked, whatever it says."""
    try:
        parts = urlsplit(answer.headers.get("location", ""))
    except ValueError:
        parts = urlsplit("")
    if len(parts.path) < 2 or re.search(r"[^!-~]", parts.path + parts.query):
        _answers.malformed("the beginning of an upload without its location")
    return f"{parts.path.removeprefix(base)}{'?' if parts.query else ''}{parts.query}"


def _persisted(answer: Answer) -> int:
    """The number of bytes of an upload that the service has."""
    text = answer.headers.get("range")
    if text is None:
        return 0
    found = _PERSISTED.fullmatch(text)
    if found is None:
        _answers.malformed("a malformed range of an upload")
    return int(found[1]) + 1
