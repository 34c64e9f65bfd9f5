"""The backend: one call of obstore for each call of the facade."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

import obstore
from obstore.store import S3Store

from storage._keys import is_portable
from storage._retry import Attempts, outcome_unknown
from storage._types import SignedRequest
from storage.backends._protocol import AsyncBackend, Backend, Download, PutOptions, Setup, SignOptions, Stat, Writer
from storage.backends._sigv4 import presign
from storage.backends.obstore._errors import classify, fault_of
from storage.backends.obstore._listing import Lister
from storage.backends.obstore._settings import Settings
from storage.backends.obstore._translate import NONCE, attributes_of, get_options, made, quoted, signed_parts, stat_of
from storage.backends.obstore._writer import ConditionalWriter, Counted, PartsWriter
from storage.exceptions import (
    PreconditionFailedError,
    SigningError,
    StorageError,
    UnsupportedOperationError,
)

__all__ = ["ObstoreBackend"]

_MIB = 1024 * 1024
_PART = 5 * _MIB  # the least that S3 takes
_PARTS_IN_FLIGHT = 8
_MAX_PARTS = 10_000
_CHUNK = _MIB


class ObstoreBackend(Backend, AsyncBackend):
    """A bucket of S3 or of a server that speaks its protocol.

    ``put`` and ``copy`` report the local clock's time, in whole seconds: the Rust library does not hand on the answer's.
    """

    scheme: ClassVar[str] = "s3+obstore"
    concurrency = 128
    batch_size = 1000
    chunk_size = _PART
    parallel_from = 16 * _MIB

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._store: S3Store | None = None
        self._careful: S3Store | None = None
        self._asking: Lister | None = None

    # ---- stores --------------------------------------------------------------------------------------------------

    def _open(self) -> S3Store:
        """The store whose requests the Rust library retries: those that may be done twice."""
        if _process.forked:
            _refuse()
        store = self._store
        if store is None:
            with self._lock:
                if self._store is None:
                    self._store = self._settings.store()
                store = self._store
            _process.used = True
        return store

    def _open_careful(self) -> S3Store:
        """The store that tries once, so that a lost answer is known to be lost."""
        if _process.forked:
            _refuse()
        with self._lock:
            if self._careful is None:
                self._careful = self._settings.store(0, bulk_delete=False)
            store = self._careful
        _process.used = True
        return store

    @property
    def _lister(self) -> Lister:
        if _process.forked:
            _refuse()
        with self._lock:
            if self._asking is None:
                self._asking = Lister(self._settings)
            return self._asking

    @property
    def client(self) -> S3Store:
        return self._open()

    @property
    def location(self) -> str:
        where = self._settings.endpoint_url
        # The same name at two servers is two buckets.
        return f"s3://{self._settings.bucket}" + (f" at {where}" if where else "")

    def close(self) -> None:
        if _process.forked:
            return
        with self._lock:
            if self._asking is not None:
                self._asking.close()
            self._store = self._careful = self._asking = None

    # ---- writing -------------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        if options.overwrite and options.if_match is None:
            store = self._open()
            result = obstore.put(
                store, path, data, attributes=attributes_of(options), chunk_size=_PART, max_concurrency=_PARTS_IN_FLIGHT
            )
            return made(result, len(data), options)
        return self._put_conditional(path, data, options)

    async def aput(self, path: str, data: bytes, options: PutOptions) -> Stat:
        if options.overwrite and options.if_match is None:
            result = await obstore.put_async(
                self._open(), path, data, attributes=attributes_of(options), use_multipart=False
            )
            return made(result, len(data), options)
        return await asyncio.to_thread(self._put_conditional, path, data, options)

    def _put_conditional(self, path: str, data: bytes, options: PutOptions) -> Stat:
        store = self._open_careful()
        nonce = secrets.token_hex(8)
        attributes = {**attributes_of(options), NONCE: nonce}
        mode: Any = "create" if options.if_match is None else {"e_tag": quoted(options.if_match)}
        attempts = Attempts(self._settings.retries)
        while True:
            try:
                result = obstore.put(store, path, data, attributes=attributes, mode=mode, use_multipart=False)
                return made(result, len(data), options)
            except Exception as exc:
                kind = classify(exc)
                if kind is None:
                    raise
                if issubclass(kind, PreconditionFailedError):
                    if attempts.lost:
                        return self._recognise(path, nonce, options, exc)
                    raise
                fault = fault_of(exc)
                attempts.failed(exc, status=fault.status, retryable=fault.retryable)

    def _recognise(self, path: str, nonce: str, options: PutOptions, exc: Exception) -> Stat:
        """What to say of a condition that does not hold any more, perhaps through our own earlier try."""
        try:
            result = obstore.get(self._open(), path, options={"head": True})
        except FileNotFoundError:
            raise outcome_unknown("a conditional write") from exc
        if result.attributes.get(NONCE) == nonce:
            return stat_of(result)
        if not options.overwrite:
            raise exc
        raise outcome_unknown("a write with if_match") from exc

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> Writer:
        if not options.overwrite or options.if_match is not None:
            return ConditionalWriter(lambda data: self._put_conditional(path, data, options), size)
        store = self._open()
        part = max(_PART, -(-(size or 0) // _MAX_PARTS))
        part = -(-part // _MIB) * _MIB
        nonce = secrets.token_hex(8)
        attributes = {**attributes_of(options), NONCE: nonce}

        def upload(pieces: Iterator[bytes]) -> Stat:
            counted = Counted(pieces)
            try:
                result = obstore.put(
                    store,
                    path,
                    counted,
                    attributes=attributes,
                    use_multipart=True,
                    chunk_size=part,
                    # Larger parts, fewer of them, in the same memory.
                    max_concurrency=max(1, _PART * _PARTS_IN_FLIGHT // part),
                )
            except FileNotFoundError as exc:
                if fault_of(exc).code != "NoSuchUpload":
                    raise
                # The answer to "complete" was lost, and at the next try the upload was there no more.
                return self._recognise(path, nonce, options, exc)
            return made(result, counted.size, options)

        return PartsWriter(upload)

    # ---- reading -------------------------------------------------------------------------------------------------

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        options = get_options(start, end, if_match)
        try:
            return obstore.get(self._open(), path, options=options).bytes().to_bytes()
        except Exception as exc:
            return self._get_again(path, options, exc)

    async def aget(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        options = get_options(start, end, if_match)
        try:
            result = await obstore.get_async(self._open(), path, options=options)
            return (await result.bytes_async()).to_bytes()
        except Exception as exc:
            return await asyncio.to_thread(self._get_again, path, options, exc)

    def _get_again(self, path: str, options: Any, exc: Exception) -> bytes:
        attempts = Attempts(self._settings.retries)
        while True:
            fault = fault_of(exc)
            if fault.status == 416:
                return b""
            if not fault.in_body:
                raise exc
            # The Rust library goes on where a body was cut, but not where the blob was replaced meanwhile: begin anew.
            attempts.failed(exc, status=None)
            try:
                return obstore.get(self._open(), path, options=options).bytes().to_bytes()
            except Exception as again:
                exc = again

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        try:
            result = obstore.get(self._open(), path, options=get_options(start, end, if_match))
        except Exception as exc:
            if fault_of(exc).status != 416:
                raise
            stat = self.stat(path)
            if if_match is not None and stat.etag != if_match:
                raise PreconditionFailedError from exc
            return Download(stat, iter(()))
        stat = stat_of(result)
        return Download(stat, self._chunks(path, stat.etag, result, start, end))

    def _chunks(self, path: str, etag: str, result: Any, start: int, end: int | None) -> Iterator[bytes]:
        attempts = Attempts(self._settings.retries)
        while True:
            try:
                for chunk in result.stream(min_chunk_size=_CHUNK):
                    data = bytes(chunk)
                    start += len(data)
                    yield data
                return
            except Exception as exc:
                if not fault_of(exc).in_body:
                    raise
                attempts.failed(exc, status=None)
            result = obstore.get(self._open(), path, options=get_options(start, end, etag))

    # ---- asking and deleting -------------------------------------------------------------------------------------

    def stat(self, path: str) -> Stat:
        return stat_of(obstore.get(self._open(), path, options={"head": True}))

    async def astat(self, path: str) -> Stat:
        return stat_of(await obstore.get_async(self._open(), path, options={"head": True}))

    def delete(self, path: str) -> None:
        # S3 deletes what is not there without a word.
        obstore.head(self._open(), path)
        self._remove(path)

    async def adelete(self, path: str) -> None:
        await obstore.head_async(self._open(), path)
        try:
            await obstore.delete_async(self._open_careful(), path)
        except Exception as exc:
            await asyncio.to_thread(self._remove, path, exc)

    def _remove(self, path: str | list[str], exc: Exception | None = None) -> None:
        """Deletes what is there, as often as it takes: once more does no harm."""
        store = self._open_careful() if isinstance(path, str) else self._open()
        attempts = Attempts(self._settings.retries)
        while True:
            if exc is not None:
                fault = fault_of(exc)
                attempts.failed(exc, status=fault.status, retryable=fault.retryable)
            try:
                return obstore.delete(store, path)
            except Exception as failure:
                exc = failure

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        try:
            self._remove(list(paths))
        except Exception as exc:
            if not fault_of(exc).of_one_key:
                raise
            # One key's failure hides the fate of the others.
            failed: dict[str, Exception] = {}
            for path in paths:
                try:
                    self._remove(path)
                except Exception as failure:
                    failed[path] = failure
            return failed
        return {}

    def copy(self, source: str, target: str, *, overwrite: bool) -> Stat:
        if not overwrite:
            raise UnsupportedOperationError(
                "s3+obstore:// has no copy that fails where there is a blob; copy through s3://, or read and set(overwrite=False)"
            )
        obstore.copy(self._open(), source, target)
        return self.stat(target)

    def move(self, source: str, target: str, *, overwrite: bool) -> Stat:
        stat = self.copy(source, target, overwrite=overwrite)
        self._remove(source)  # it was there: no need to ask
        return stat

    # ---- listing -------------------------------------------------------------------------------------------------

    def scan(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        detail: bool = False,
        delimiter: bool = False,
        page_size: int = 1000,
    ) -> Iterator[list[tuple[str, Stat | None]]]:
        return self._lister.pages(
            prefix, start_after=start_after, detail=detail, delimiter=delimiter, page_size=page_size
        )

    def bucket_exists(self) -> bool:
        return self._lister.exists()

    def lint(self, prefix: str) -> list[str]:
        markers = others = 0
        for page in self.scan(prefix):
            for path, _ in page:
                key = path[len(prefix) :]
                if key.endswith("/") and is_portable(key[:-1]):
                    markers += 1
                elif not is_portable(key):
                    others += 1
        kinds = ((markers, "folder marker(s), whose names end in a slash"), (others, "name(s) that are no portable keys"))
        return [f"{count} {kind}: never listed, read or deleted" for count, kind in kinds if count]

    # ---- signing and the bucket itself ---------------------------------------------------------------------------

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        settings = self._settings
        keys = settings.keys()
        if keys is None:
            raise SigningError(f"s3+obstore://{settings.bucket}: anonymous=true cannot sign; open it with credentials")
        now = datetime.now(timezone.utc)
        headers, query = signed_parts(options)
        url = presign(
            options.method,
            settings.base,
            path,
            keys=keys,
            region=settings.found_region,
            now=now,
            expires_in=options.expires_in,
            query=query,
            headers=headers,
        )
        expires_at = now.replace(microsecond=0) + timedelta(seconds=options.expires_in)
        dies_at = settings.keys_expire()
        return SignedRequest(options.method, url, headers, expires_at if dies_at is None else min(expires_at, dies_at))

    def setup(self, wanted: Setup) -> list[str]:
        if wanted == Setup(tmp_prefix=wanted.tmp_prefix):
            return []
        raise UnsupportedOperationError(
            f"s3+obstore:// sets no bucket up; do it once through s3://{self._settings.bucket}, it is the same bucket"
        )

    # ---- errors --------------------------------------------------------------------------------------------------

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return classify(exc)

    def __repr__(self) -> str:
        return f"ObstoreBackend({self.location!r})"


class _Process:
    """Whether the Rust library's threads run in this process, or ran in the one that it was forked from."""

    used = False
    forked = False


_process = _Process()


def _after_fork() -> None:
    # Its threads are not copied, and every call would wait for them for ever.
    _process.forked = _process.forked or _process.used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _refuse() -> None:
    raise UnsupportedOperationError(
        "s3+obstore:// was used before this process was forked, and its Rust runtime hangs in a forked child; start processes "
        "with multiprocessing's 'spawn', or use the default driver, s3://"
    )
