"""Reading a blob: whole or a range, all of one generation, resumed where a body is cut, its checksum compared."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Generator, Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Final

import requests

from storage._backend import Stat
from storage._retry import Attempts
from storage.backends.gcs._client import Session
from storage.backends.gcs._errors import NATIVE, status_of
from storage.backends.gcs._headers import checksum, encoded_crc
from storage.exceptions import IntegrityError

__all__ = ["Chunks", "Reading"]

# Large enough to cost little CPU, small enough that a connection which is cut again and again still gets somewhere.
_PIECE: Final = 256 * 1024
_BODY: Final = frozenset({200, 206})
_CRC = re.compile(r"\bcrc32c=([A-Za-z0-9+/=]+)")
_TOTAL = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Reading:
    """The bytes of a blob from ``start`` to ``end``. The first answer's status is known once it is made.

    Args:
        session: to send requests with.
        path: of the blob.
        start: of the range, in bytes.
        end: of the range, not included; ``None``: to the end of the blob.
        generation: the only one to read; ``None``: the one that is there, and then no other.

    Raises:
        GoogleAPICallError: 404: no blob; 412: another generation; and the others of a request.
    """

    def __init__(
        self, session: Session, path: str, start: int = 0, end: int | None = None, generation: str | None = None
    ) -> None:
        self._session = session
        self._url = f"{session.connection.media_url}{session.object(path)}?alt=media"
        self._start, self._end, self._generation = start, end, generation
        self._attempts = session.attempts()
        self._response: requests.Response | None = self._open(start)

    def _open(self, position: int) -> requests.Response | None:
        """The answer from ``position`` on; ``None``: there is nothing there."""
        url = self._url if self._generation is None else f"{self._url}&ifGenerationMatch={self._generation}"
        headers = None
        if position or self._end is not None:
            headers = {"Range": f"bytes={position}-{'' if self._end is None else self._end - 1}"}
        try:
            response = self._session.call("GET", url, headers=headers, ok=_BODY, stream=True, attempts=self._attempts)
        except NATIVE as exc:
            if status_of(exc) == 416:
                return None
            raise
        # What follows has to be the same version.
        self._generation = self._generation or response.headers.get("X-Goog-Generation")
        return response

    def whole(self) -> bytes:
        """The bytes at once."""
        chunks = self.chunks()
        first = next(chunks, b"")
        second = next(chunks, None)
        if second is None:
            return first
        # Unlike a list that is joined, this never holds the bytes twice.
        whole = io.BytesIO()
        whole.write(first)
        whole.write(second)
        for piece in chunks:
            whole.write(piece)
        return whole.getvalue()

    def chunks(self) -> Chunks:
        """The bytes in pieces; to be iterated once, and closed if not to the end.

        Raises:
            IntegrityError: they do not match the checksum that the service keeps.
        """
        body = None if self._response is None else _Body(self._response, self._start)
        return Chunks(self._pieces(body), body)

    def _pieces(self, body: _Body | None) -> Generator[bytes, None, None]:
        if body is None:
            return
        expected = body.crc if not self._start and body.end == body.total else None
        crc, position = 0, self._start
        try:
            while True:
                try:
                    for piece in body:
                        if expected is not None:
                            crc = checksum(piece, crc)
                        position += len(piece)
                        yield piece
                        self._attempts = _progressed(self._session, self._attempts)
                        if body.inherited and position != body.end:
                            break  # a child after fork asks for the rest itself
                    else:
                        break
                except NATIVE as exc:
                    body.close()
                    if self._generation is None:
                        raise  # nothing would hold the rest to the same version
                    self._session.failed(self._attempts, exc)
                response = self._open(position)
                if response is None:
                    raise IntegrityError(
                        f"the blob ended after {position:,} bytes, before the range that was being read"
                    )
                body = _Body(response, position)
        finally:
            body.close()
        if expected is not None and encoded_crc(crc) != expected:
            came = encoded_crc(crc)
            raise IntegrityError(f"the bytes that came have the CRC32C {came}, the blob has {expected}; read it again")

    def stat(self) -> Stat | None:
        """What the answer's headers tell of the blob, everything but its metadata; ``None`` where the range is past its end."""
        return None if self._response is None else stat_of_headers(self._response, self._generation or "")


class Chunks:
    """An iterator over a body that gives its connection back when it is closed, begun or not."""

    def __init__(self, pieces: Generator[bytes, None, None], body: _Body | None) -> None:
        self._pieces, self._body = pieces, body

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Ends the iteration. Idempotent."""
        self._pieces.close()
        if self._body is not None:
            self._body.close()


class _Body:
    """One answer's body from ``position`` on, not decoded, or an exception of urllib3 where it ends early."""

    def __init__(self, response: requests.Response, position: int) -> None:
        self._response = response
        self._process = os.getpid()
        headers = response.headers
        found = _TOTAL.match(headers.get("Content-Range", "")) if response.status_code == 206 else None
        # A server that does not know ranges sends everything.
        self._skip = 0 if found else position
        if found:
            self.end, self.total = int(found[2]) + 1, int(found[3])
        else:
            self.end = self.total = int(headers.get("Content-Length", -1))
        crc = _CRC.search(headers.get("X-Goog-Hash", ""))
        self.crc = crc[1] if crc else None

    @property
    def inherited(self) -> bool:
        """Whether its connection is that of the process which this one was forked from."""
        return os.getpid() != self._process

    def close(self) -> None:
        """Gives the connection back, if it is this process's. Idempotent."""
        if not self.inherited:
            self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        raw: Any = self._response.raw
        while True:
            piece: bytes = raw.read(_PIECE, decode_content=False)
            if not piece:
                return
            if self._skip:
                skipped = min(self._skip, len(piece))
                self._skip -= skipped
                piece = piece[skipped:]
                if not piece:
                    continue
            yield piece


def _progressed(session: Session, attempts: Attempts) -> Attempts:
    # The tries are those of one request: a long body may be cut more often than that, as long as it gets on.
    return attempts if attempts.tries == 1 else session.attempts()


def stat_of_headers(response: requests.Response, generation: str) -> Stat:
    """The ``Stat`` that a media answer tells: without metadata, and the time is the answer's own if the blob's is not told."""
    headers = response.headers
    found = _TOTAL.match(headers.get("Content-Range", ""))
    size = (
        int(found[3])
        if found
        else int(headers.get("X-Goog-Stored-Content-Length") or headers.get("Content-Length") or "0")
    )
    date = headers.get("Last-Modified") or headers.get("Date")
    encoding = headers.get("X-Goog-Stored-Content-Encoding")
    return Stat(
        size,
        generation,
        parsedate_to_datetime(date) if date else datetime.now(timezone.utc),
        headers.get("Content-Type"),
        headers.get("Cache-Control"),
        encoding if encoding != "identity" else None,
    )
