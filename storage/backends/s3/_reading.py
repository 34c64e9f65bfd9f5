"""Reads a blob or a range of it: one version, resumed where a body is cut."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Final

from storage._backend import Download, Stat
from storage._fork import check_owner, forks
from storage._retry import Attempts
from storage.backends._http import Answer
from storage.backends.s3._answers import Asked, Window, head, window
from storage.backends.s3._calls import Call
from storage.backends.s3._checksums import Checksum, check_whole, checksum_of
from storage.backends.s3._errors import code_of, status_of
from storage.backends.s3._headers import stat_of
from storage.backends.s3._requests import Requests
from storage.exceptions import IntegrityError, PreconditionFailedError, UnavailableError

_CHUNK: Final = 256 * 1024  # bytes: as fast as larger ones, and ten streams at once hold little
_SMALL: Final = 1024 * 1024  # bytes: below it, a body that was cut is read anew
_CHECKED: Final = {"x-amz-checksum-mode": "ENABLED"}


def get(requests: Requests, path: str, asked: Asked) -> bytes:
    """The bytes of a range; ``b""`` where it begins past the end."""
    attempts: Attempts | None = None
    while True:
        try:
            answer, part = _open(requests, path, asked)
            size = part.end - part.start
            if size == answer.length and size <= _SMALL:
                return _all(requests, answer, part)
        except Exception as exc:
            if _is_past_the_end(exc, asked):
                if asked.if_match is not None or code_of(exc) != "InvalidRange":
                    _past_the_end(requests, path, asked)
                return b""
            attempts = attempts or requests.attempts()
            requests.failed(attempts, exc)
            continue
        attempts = attempts or requests.attempts()
        try:
            return b"".join(Body(requests, path, part, answer, attempts))
        except IntegrityError as exc:
            requests.failed(attempts, exc)


def _open(requests: Requests, path: str, asked: Asked) -> tuple[Answer, Window]:
    """An answer whose body is still to be read, and the part of the blob that it brings, checked."""
    headers = asked.headers
    if requests.compare and "range" not in headers and requests.gate.aws:
        headers.update(_CHECKED)
    answer = requests.once(Call("get_object", "GET", path, "", headers), stream=True)
    try:
        return answer, window(asked, answer)
    except BaseException:
        answer.close()
        raise


def _all(requests: Requests, answer: Answer, part: Window) -> bytes:
    """The bytes of a small body that is just what was asked for, checked."""
    answer.load()
    data = answer.body
    if len(data) != answer.length:
        raise UnavailableError(f"a body was cut: {len(data)} of {answer.length} bytes came")
    if part.whole and requests.compare:
        check_whole(data, part.etag, answer.headers)
    return data


def _past_the_end(requests: Requests, path: str, asked: Asked) -> Stat:
    """The blob whose end a range begins past, as the service says: it is looked at whether that can be."""
    condition = asked._replace(start=0, end=None)
    stat = head(requests.send(Call("head_object", "HEAD", path, "", condition.headers)))
    if asked.if_match not in (None, stat.etag):
        raise PreconditionFailedError
    start, end = asked.bounds(stat.size)
    if start < end:  # of the last bytes there are some, too, but in an empty blob
        raise IntegrityError(f"the service says that byte {start} is past the end, and that there are {stat.size}")
    return stat


def stream(requests: Requests, path: str, asked: Asked) -> Download:
    """The bytes of a range in pieces, and the blob's ``Stat``."""
    attempts = requests.attempts()
    while True:
        try:
            answer, part = _open(requests, path, asked)
            try:
                stat = stat_of(answer.headers, part.total)
            except BaseException:
                answer.close()
                raise
            return Download(stat, Body(requests, path, part, answer, attempts))
        except Exception as exc:
            if _is_past_the_end(exc, asked):
                return Download(_past_the_end(requests, path, asked), _nothing())
            requests.failed(attempts, exc)


def _is_past_the_end(exc: Exception, asked: Asked) -> bool:
    """Whether the service says that a range begins behind the blob. A 416 to a request without one is none of its answers."""
    return status_of(exc) == 416 and "range" in asked.headers


def _nothing() -> Generator[bytes, None, None]:
    yield from ()


class Body:
    """The bytes of an answer to a GET; what is cut off is asked for again, by etag."""

    def __init__(self, requests: Requests, path: str, part: Window, answer: Answer, attempts: Attempts) -> None:
        self._requests, self._path = requests, path
        self._etag = part.etag
        self._position, self._end, self._skip = part.start, part.end, part.skip
        self._answer: Answer | None = answer
        self._exact = self._skip + self._end - self._position == answer.length
        self._attempts = attempts
        self._begun = forks.count
        self._checksum: Checksum | None = None
        if part.whole and requests.compare:
            self._checksum = checksum_of(part.etag, answer.headers)
        if self._position == self._end:
            self._finish()

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        if self._position >= self._end:
            raise StopIteration
        check_owner(self._begun, f"reading {self._path!r}")
        while True:
            try:
                chunk = self._next()
                break
            except Exception as exc:
                self._drop()
                self._requests.failed(self._attempts, exc)
        self._position += len(chunk)
        # Tries are counted anew for what is left: the server does deliver.
        self._attempts = self._requests.attempts()
        if self._checksum is not None:
            self._checksum.update(chunk)
        if self._position == self._end:
            self._finish()
        return chunk

    def _next(self) -> bytes:
        answer = self._answer or self._ask()
        while self._skip:
            passed = answer.read(min(self._skip, _CHUNK))
            if not passed:
                raise UnavailableError("a body was cut before the wanted bytes came")
            self._skip -= len(passed)
        chunk = answer.read(min(_CHUNK, self._end - self._position))
        if not chunk:
            raise UnavailableError(f"a body was cut at byte {self._position} of {self._end}")
        return chunk

    def _ask(self) -> Answer:
        answer, part = _open(self._requests, self._path, Asked(self._position, self._end, self._etag))
        self._answer, self._skip = answer, part.skip
        self._exact = part.skip + part.end - part.start == answer.length
        if part.end != self._end:
            raise IntegrityError(f"the blob has {part.total} bytes now, and had more under the same etag")
        return answer

    def _finish(self) -> None:
        answer, checksum = self._answer, self._checksum
        try:
            if answer is not None and self._exact:
                answer.read(1)  # botocore now compares what came with what it knows, and gives the connection back
        finally:
            self._drop()
        if checksum is not None:
            checksum.check()

    def _drop(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            with contextlib.suppress(Exception):
                answer.close()

    def close(self) -> None:
        """Ends the iteration, and gives the connection back. Idempotent."""
        self._position = self._end
        self._drop()
