"""Writing a blob: small ones in one request, large ones through a resumable session. Both know their own write again."""

from __future__ import annotations

import contextlib
import json
import secrets
from typing import Any, Final

import requests
import urllib3.exceptions as wire

from storage._backend import BlobOrBucketMissing, PutOptions, Stat
from storage._retry import Attempts, outcome_unknown
from storage.backends.gcs._client import Session, parsed
from storage.backends.gcs._errors import NATIVE, classify, status_of
from storage.backends.gcs._headers import (
    FIELDS,
    NONCE,
    checksum,
    condition,
    description,
    encoded_crc,
    new_nonce,
    refused,
    stat_of,
)
from storage.exceptions import BucketNotFoundError, IntegrityError, UnavailableError

__all__ = ["ResumableWriter", "Write", "put"]

_CHUNK: Final = 8 * 1024 * 1024  # a multiple of 256 KiB, as the service demands; held in memory
_SESSION_OK: Final = frozenset({200, 201, 308})
_CREATED: Final = frozenset({200, 201})
_QUERY: Final = f"fields={FIELDS}&prettyPrint=false"


class Write:
    """One write of one blob: its conditions, and what its failures mean.

    Raises:
        PreconditionFailedError: ``if_match`` is an etag that no blob can have.
    """

    def __init__(self, session: Session, path: str, options: PutOptions) -> None:
        self.session, self.path, self.options = session, path, options
        self.condition = condition(options)
        self.nonce = new_nonce(options)
        session.object(path)  # raises for what is no name

    def url(self, kind: str) -> str:
        """Where to POST it; ``kind``: ``multipart`` or ``resumable``."""
        return f"{self.session.connection.upload_url}?uploadType={kind}&{_QUERY}{self.condition}"

    def describe(self, crc: int | None = None) -> bytes:
        """The object resource to send."""
        return json.dumps(description(self.path, self.options, self.nonce, crc)).encode()

    def settle(self, exc: BaseException, *, lost: bool) -> dict[str, Any] | None:
        """Decides what a refused try was.

        Args:
            exc: what it raised.
            lost: an earlier try may have been carried out.

        Returns:
            The object resource, where it was an earlier try of this write that made this one fail; ``None``: try again,
            if that may help.

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
        found = self._there()
        if found is not None and (found.get("metadata") or {}).get(NONCE) == self.nonce:
            return found
        raise outcome_unknown(f"write of {self.path!r}") from exc

    def _there(self) -> dict[str, Any] | None:
        connection = self.session.connection
        url = f"{connection.object_url}{self.session.object(self.path)}?fields={FIELDS}"
        try:
            return parsed(self.session.call("GET", url))
        except NATIVE as exc:
            if status_of(exc) == 404:
                return None
            raise outcome_unknown(f"write of {self.path!r}") from exc

    def check(self, resource: dict[str, Any], crc: int) -> Stat:
        """The new blob's ``Stat``, once its checksum is compared.

        Raises:
            IntegrityError: the service has other bytes than were sent.
        """
        stored = resource.get("crc32c")
        if stored is not None and stored != encoded_crc(crc):
            raise IntegrityError(
                f"{self.path!r}: the bytes sent have the CRC32C {encoded_crc(crc)}, the blob has {stored}; write it again"
            )
        return stat_of(resource)


def put(session: Session, path: str, data: bytes, options: PutOptions) -> Stat:
    """Stores ``data`` in one request."""
    write = Write(session, path, options)
    crc = checksum(data)
    boundary = secrets.token_hex(16)
    body = b"".join(
        (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode(),
            write.describe(crc),
            f"\r\n--{boundary}\r\nContent-Type: {options.content_type}\r\n\r\n".encode(),
            data,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )
    headers = {"Content-Type": f'multipart/related; boundary="{boundary}"'}
    url = write.url("multipart")
    attempts = session.attempts()
    resource: dict[str, Any] | None = None
    while resource is None:
        try:
            resource = parsed(session.send("POST", url, body, headers, ok=_CREATED))
        except NATIVE as exc:
            resource = write.settle(exc, lost=attempts.lost)
            if resource is None:
                session.failed(attempts, exc)
    return write.check(resource, crc)


class ResumableWriter:
    """A blob that goes up in chunks of 8 MiB, one after the other; each is sent again from where the service has it."""

    def __init__(self, session: Session, path: str, options: PutOptions) -> None:
        self._session = session
        self._write = Write(session, path, options)
        self._upload: str | None = None  # the session's URL: whoever has it can write
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
        resource = self._send(bytes(self._buffer), last=True)
        self._buffer = bytearray()
        if resource is None:
            raise UnavailableError(
                f"{self._write.path!r}: the service took every byte and did not make the blob; write it again"
            )
        return self._write.check(resource, self._crc)

    def abort(self) -> None:
        self._buffer = bytearray()
        upload, self._upload = self._upload, None
        if upload is not None:
            # Nobody waits for it, and the service forgets a session after a week.
            with contextlib.suppress(Exception):
                self._session.send("DELETE", upload, ok=frozenset({200, 204, 404, 410, 499}))

    def _begin(self) -> str:
        attempts = self._session.attempts()
        headers = {
            "Content-Type": "application/json; charset=UTF-8",
            "X-Upload-Content-Type": self._write.options.content_type,
        }
        url, body = self._write.url("resumable"), self._write.describe()
        while True:
            try:
                return self._session.send("POST", url, body, headers).headers["Location"]
            except NATIVE as exc:
                self._write.settle(exc, lost=False)  # to begin writes nothing
                self._session.failed(attempts, exc)

    def _send(self, chunk: bytes, *, last: bool) -> dict[str, Any] | None:
        """Sends ``chunk`` until the service has it whole; returns the object resource once the blob is made."""
        upload = self._upload = self._upload or self._begin()
        self._crc = checksum(chunk, self._crc)
        first, after = self._sent, self._sent + len(chunk)
        total = str(after) if last else "*"
        attempts = self._session.attempts()
        ask = False
        while True:
            response = (
                self._ask(upload, total)
                if ask
                else self._offer(upload, chunk[self._sent - first :], after, total, last=last)
            )
            if isinstance(response, BaseException):
                resource = self._settled(response, attempts)
                if resource is not None:
                    return resource
                ask = True
                continue
            if response.status_code != 308:
                self._sent, self._upload = after, None
                return parsed(response)
            had, self._sent = self._sent, _persisted(response)
            if not first <= self._sent <= after:
                raise IntegrityError(f"{self._write.path!r}: the service lost bytes of this upload; write it again")
            if self._sent == after and not last:
                return None
            if not ask and self._sent == had:
                # It took nothing, and said no reason: as good as an answer that says "later".
                self._session.failed(
                    attempts, UnavailableError(f"{self._write.path!r}: the service takes no more bytes")
                )
            ask = False

    def _settled(self, exc: BaseException, attempts: Attempts) -> dict[str, Any] | None:
        if status_of(exc) in (404, 410):
            # The bytes sent so far are gone, and they are not held here either.
            raise UnavailableError(f"{self._write.path!r}: the service dropped this upload; write it again") from exc
        resource = self._write.settle(exc, lost=attempts.lost)
        if resource is None:
            self._session.failed(attempts, exc)
        return resource

    def _offer(
        self, upload: str, data: bytes, after: int, total: str, *, last: bool
    ) -> requests.Response | BaseException:
        headers = {"Content-Range": f"bytes {after - len(data)}-{after - 1}/{total}" if data else f"bytes */{total}"}
        if last:
            headers["X-Goog-Hash"] = f"crc32c={encoded_crc(self._crc)}"
        return self._put(upload, data, headers)

    def _ask(self, upload: str, total: str) -> requests.Response | BaseException:
        return self._put(upload, b"", {"Content-Range": f"bytes */{total}"})

    def _put(self, upload: str, data: bytes, headers: dict[str, str]) -> requests.Response | BaseException:
        try:
            return self._session.send("PUT", upload, data, headers, ok=_SESSION_OK)
        except requests.RequestException as exc:
            # Its message has the whole URL, and an upload's is a credential.
            inner = exc.args[0] if exc.args else None
            if isinstance(inner, wire.MaxRetryError):
                inner = inner.reason
            return type(exc)(inner if isinstance(inner, BaseException) else "the upload session gave no answer")
        except NATIVE as exc:
            return exc


def _persisted(response: requests.Response) -> int:
    """How many bytes of an upload the service has."""
    _, _, last = response.headers.get("Range", "").partition("-")
    return int(last) + 1 if last else 0
