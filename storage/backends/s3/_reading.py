"""Reads: a range or all of one version, resumed where a body is cut."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import IncompleteReadError

from storage._backend import Download
from storage._retry import Attempts
from storage.backends.s3._errors import status_of
from storage.backends.s3._headers import quoted, stat_of, total_size
from storage.backends.s3._requests import Requests

__all__ = ["get", "stream"]

_CHUNK = 256 * 1024  # bytes: as fast as larger ones, and ten streams at once hold little
_SMALL = 1024 * 1024  # bytes: below it, a body that was cut is read anew


def get(requests: Requests, path: str, start: int, end: int | None, if_match: str | None) -> bytes:
    """The bytes of a range; ``b""`` where it begins past the end."""
    attempts = requests.attempts()
    while True:
        try:
            response = requests.once("get_object", Key=path, **_params(start, end, if_match))
            if response["ContentLength"] <= _SMALL:
                data: bytes = response["Body"].read()
                return data
            break
        except Exception as exc:
            if status_of(exc) == 416:
                return b""
            requests.failed(attempts, exc)
    return b"".join(_Body(requests, path, start, response, attempts))


def stream(requests: Requests, path: str, start: int, end: int | None, if_match: str | None) -> Download:
    """The bytes of a range in pieces, and the blob's ``Stat``."""
    attempts = requests.attempts()
    try:
        response = requests.send_within(attempts, "get_object", Key=path, **_params(start, end, if_match))
    except Exception as exc:
        if status_of(exc) != 416:
            raise
        condition = {} if if_match is None else {"IfMatch": quoted(if_match)}
        return Download(stat_of(requests.send("head_object", Key=path, **condition)), iter(()))
    return Download(stat_of(response, total_size(response)), iter(_Body(requests, path, start, response, attempts)))


def _params(start: int, end: int | None, if_match: str | None) -> dict[str, str]:
    params = {}
    if start or end is not None:
        params["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    if if_match is not None:
        params["IfMatch"] = quoted(if_match)
    return params


class _Body:
    """The body of an answer to a GET that began at ``start``; what is cut off is asked for again, by etag."""

    def __init__(self, requests: Requests, path: str, start: int, response: Any, attempts: Attempts) -> None:
        self._requests, self._path = requests, path
        self._etag = response["ETag"].strip('"')
        self._position = start
        self._end = start + int(response["ContentLength"])
        self._response = response
        self._attempts = attempts

    def __iter__(self) -> Iterator[bytes]:
        body = self._response["Body"]
        process = os.getpid()
        try:
            while self._position < self._end:
                try:
                    if body is None or os.getpid() != process:
                        # In a forked child the connection is its parent's.
                        body, process = self._ask(), os.getpid()
                    chunk = body.read(_CHUNK)
                    self._check(chunk)
                except Exception as exc:
                    _close(body)
                    body = None
                    self._requests.failed(self._attempts, exc)
                    continue
                self._position += len(chunk)
                # Tries are counted anew for what is left: the server does deliver.
                self._attempts = self._requests.attempts()
                yield chunk
            if body is not None and os.getpid() == process:
                body.read()  # checks the checksum, and gives the connection back
                body = None
        finally:
            _close(body)

    def _check(self, chunk: bytes) -> None:
        if not chunk:
            raise IncompleteReadError(actual_bytes=self._position, expected_bytes=self._end)

    def _ask(self) -> Any:
        params = _params(self._position, self._end, self._etag)
        return self._requests.once("get_object", Key=self._path, **params)["Body"]


def _close(body: Any) -> None:
    if body is not None:
        with contextlib.suppress(Exception):
            body.close()
