"""Checks the answers about a blob: each is compared with what was asked for."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from storage._backend import Stat
from storage.backends._http import Answer
from storage.backends.s3._headers import etag_of, quoted, stat_of
from storage.exceptions import IntegrityError, PreconditionFailedError, UnavailableError

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_LENGTH: Final = re.compile(r"\d{1,18}")


class Asked(NamedTuple):
    """A range of a blob, as ``Backend.get`` takes it, and the version that it must be of."""

    start: int = 0
    end: int | None = None
    if_match: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The request headers that ask for it."""
        headers = {} if self.if_match is None else {"if-match": quoted(self.if_match)}
        if self.start < 0:
            headers["range"] = f"bytes={self.start}"
        elif self.start or self.end is not None:
            headers["range"] = f"bytes={self.start}-{'' if self.end is None else self.end - 1}"
        return headers

    def bounds(self, total: int) -> tuple[int, int]:
        """The first byte and the one after the last, in a blob of ``total`` bytes."""
        start = max(0, total + self.start) if self.start < 0 else self.start
        return start, max(start, total if self.end is None else min(self.end, total))


class Window(NamedTuple):
    """The part of a blob that an answer brings.

    Attributes:
        etag: the blob's.
        total: bytes of the whole blob.
        start: where the wanted bytes begin in the blob.
        end: where they end.
        skip: how many bytes of the body come before them.
    """

    etag: str
    total: int
    start: int
    end: int
    skip: int

    @property
    def whole(self) -> bool:
        """Whether it is all of the blob."""
        return self.start == 0 and self.end == self.total


def window(asked: Asked, answer: Answer) -> Window:
    """The part of the blob that the answer to a GET holds, checked against ``asked``.

    Raises:
        PreconditionFailedError: it is of another version.
        IntegrityError: it is another range.
        UnavailableError: it is not the service's answer.
    """
    headers, status, length = answer.headers, answer.status, answer.length
    etag = etag_of(headers)
    if asked.if_match is not None and etag != asked.if_match:
        raise PreconditionFailedError
    if length is None:
        raise UnavailableError("the answer does not tell how long the blob is; check proxies and gateways on the way")
    if status == 200 and "content-range" not in headers:  # all of it, asked for or not
        if asked.start == 0 and asked.end is None:
            return Window(etag, length, 0, length, 0)
        start, end = asked.bounds(length)
        return Window(etag, length, min(start, length), min(end, length), min(start, length))
    if status not in (200, 206):
        raise UnavailableError(f"a GET was answered with status {status}, so the answer is not the service's")
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if match is None:
        raise IntegrityError("the answer is a part of the blob and does not tell which")
    first, last, total = map(int, match.groups())
    if asked.bounds(total) != (first, last + 1) or length != last + 1 - first:
        raise IntegrityError(
            f"bytes {asked.headers.get('range', 'all')!r} were asked for; "
            f"the answer has {length} bytes and says {match[0]!r}; try again, or check proxies and gateways on the way"
        )
    return Window(etag, total, first, last + 1, 0)


def head(answer: Answer) -> Stat:
    """The blob's ``Stat``, from the answer to a HEAD.

    Raises:
        UnavailableError: it is not the service's answer.
    """
    return stat_of(answer.headers, _size(answer))


def found(answer: Answer) -> str:
    """The etag of the blob that the answer to a HEAD is about. As ``head`` otherwise, and a tenth of its work."""
    _size(answer)
    return etag_of(answer.headers)


def _size(answer: Answer) -> int:
    length = answer.headers.get("content-length", "")
    if answer.status != 200 or _LENGTH.fullmatch(length) is None:
        raise UnavailableError("the answer does not tell how long the blob is, so it is not the service's")
    return int(length)


def check_deleted(answer: Answer) -> None:
    """Raises ``UnavailableError`` unless the service says that it has deleted: 204, or 200 with the number of the request."""
    if answer.status == 204 or (answer.status == 200 and "x-amz-request-id" in answer.headers):
        return
    raise UnavailableError(f"an answer has status {answer.status} and not 204, so it is not the service's")
