"""Writes: in one request, in parallel parts, or once and carefully where a lost answer must not be asked for twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import obstore

from storage._retry import Attempts, outcome_unknown
from storage.backends._protocol import PutOptions, Stat, Writer
from storage.backends.obstore._errors import classify, fault_of
from storage.backends.obstore._stores import Stores
from storage.backends.obstore._translate import (
    attributes_of,
    headers_of,
    made,
    needs_headers,
    new_nonce,
    nonce_of,
    quoted,
    stat_of,
)
from storage.backends.obstore._writer import Counted, PartsWriter, WholeWriter
from storage.exceptions import AlreadyExistsError, PreconditionFailedError

__all__ = ["PART_SIZE", "Uploads", "is_plain"]

_MIB = 1024 * 1024
PART_SIZE = 5 * _MIB
"""Bytes of a part: the least that S3 takes."""

_PARTS_IN_FLIGHT = 8
_MAX_PARTS = 10_000


def is_plain(options: PutOptions) -> bool:
    """Whether a write may be done twice, and the Rust library can say it."""
    return options.overwrite and options.if_match is None and not needs_headers(options)


class Uploads:
    """Stores blobs."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        """As ``Backend.put``."""
        if not is_plain(options):
            return self.carefully(path, data, options)
        result = obstore.put(
            self._stores.open(),
            path,
            data,
            attributes=attributes_of(options),
            chunk_size=PART_SIZE,
            max_concurrency=_PARTS_IN_FLIGHT,
        )
        return made(result["e_tag"], len(data), options)

    def writer(self, path: str, options: PutOptions, size: int | None) -> Writer:
        """As ``Backend.writer``."""
        if not is_plain(options):
            return WholeWriter(lambda data: self.carefully(path, data, options), size)
        part = max(PART_SIZE, -(-(size or 0) // _MAX_PARTS))
        part = -(-part // _MIB) * _MIB
        return PartsWriter(partial(self._in_parts, path, options, part))

    def _in_parts(self, path: str, options: PutOptions, part: int, pieces: Iterator[bytes]) -> Stat:
        counted = Counted(pieces)
        nonce = new_nonce()
        try:
            result = obstore.put(
                self._stores.open(),
                path,
                counted,
                attributes=attributes_of(options, nonce),
                use_multipart=True,
                chunk_size=part,
                # Of larger parts fewer, in the same memory.
                max_concurrency=max(1, PART_SIZE * _PARTS_IN_FLIGHT // part),
            )
        except FileNotFoundError as exc:
            if fault_of(exc).code != "NoSuchUpload":
                raise
            # The answer to "complete" was lost, and at the next try the upload was there no more.
            return self._recognise(path, nonce, exc)
        return made(result["e_tag"], counted.size, options)

    def carefully(self, path: str, data: bytes, options: PutOptions) -> Stat:
        """Stores ``data`` in one request that is never repeated without remembering that it was."""
        nonce = new_nonce()
        once = self._one_request(path, data, options, nonce)
        attempts = Attempts(self._stores.settings.retries)
        while True:
            try:
                return made(once(), len(data), options)
            except Exception as exc:
                fault = fault_of(exc)
                if not _refused(exc, options):
                    attempts.failed(exc, status=fault.status, retryable=fault.retryable, sent=fault.sent)
                elif attempts.lost:
                    return self._recognise(path, nonce, exc, options)
                elif options.overwrite:
                    raise PreconditionFailedError from exc
                else:
                    raise AlreadyExistsError from exc

    def _one_request(self, path: str, data: bytes, options: PutOptions, nonce: str) -> Callable[[], str | None]:
        if needs_headers(options):
            requests = self._stores.requests()
            headers = {**headers_of(options, nonce), **self._stores.settings.encryption}
            return lambda: requests.once("PUT", path, headers=headers, body=bytes(data)).headers.get("etag")
        mode: Any = "overwrite"
        if not options.overwrite:
            mode = "create"
        elif options.if_match is not None:
            mode = {"e_tag": quoted(options.if_match)}
        put = partial(
            obstore.put,
            self._stores.careful(),
            path,
            data,
            attributes=attributes_of(options, nonce),
            mode=mode,
            use_multipart=False,
        )
        return lambda: put()["e_tag"]

    def _recognise(self, path: str, nonce: str, exc: Exception, options: PutOptions | None = None) -> Stat:
        """The blob that an earlier try has stored, if it is ours; else what can be said of another's."""
        try:
            result = obstore.get(self._stores.open(), path, options={"head": True})
        except FileNotFoundError:
            raise outcome_unknown("a write") from exc
        if nonce_of(result) == nonce:
            return stat_of(result)
        if options is not None and not options.overwrite and nonce in attributes_of(options, nonce).values():
            raise AlreadyExistsError from exc  # ours would have had it
        raise outcome_unknown("a write") from exc


def _refused(exc: Exception, options: PutOptions) -> bool:
    """Whether the condition of a write did not hold."""
    kind = classify(exc)
    if kind is None:
        raise exc
    if issubclass(kind, PreconditionFailedError):
        return True
    # AWS answers If-Match on an absent key with 404.
    return options.if_match is not None and fault_of(exc).code == "NoSuchKey"
