"""The backend: one call of obstore for each call of the facade."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar
from urllib.parse import quote

import obstore
from obstore.store import S3Store

from storage._keys import is_portable
from storage._retry import Attempts
from storage._types import SignedRequest
from storage.backends._protocol import AsyncBackend, Backend, Download, PutOptions, Setup, SignOptions, Stat, Writer
from storage.backends._sigv4 import presign
from storage.backends.obstore._errors import AnswerError, classify, fault_of
from storage.backends.obstore._listing import pages
from storage.backends.obstore._settings import Settings
from storage.backends.obstore._stores import Stores
from storage.backends.obstore._translate import attributes_of, get_options, made, signed_parts, stat_of
from storage.backends.obstore._writing import PART_SIZE, Uploads, is_plain
from storage.exceptions import PreconditionFailedError, SigningError, StorageError, UnsupportedOperationError

__all__ = ["ObstoreBackend"]

_MIB = 1024 * 1024
_CHUNK = _MIB


class ObstoreBackend(Backend, AsyncBackend):
    """A bucket of S3 or of a server that speaks its protocol.

    ``put`` and ``copy`` report the local clock's time, in whole seconds: the Rust library does not hand on the answer's.
    """

    scheme: ClassVar[str] = "s3+obstore"
    concurrency = 128
    batch_size = 1000
    chunk_size = PART_SIZE
    parallel_from: int | None = 16 * _MIB

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stores = Stores(settings)
        self._uploads = Uploads(self._stores)
        self._open = self._stores.open

    @property
    def client(self) -> S3Store:
        return self._open()

    @property
    def location(self) -> str:
        endpoint = self._settings.endpoint_url
        bucket = quote(self._settings.bucket)
        # As at s3://, for it is the same place.
        return f"s3://{bucket}" if endpoint is None else f"{endpoint}/{bucket}"

    def close(self) -> None:
        self._stores.close()

    # ---- writing -------------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        return self._uploads.put(path, data, options)

    async def aput(self, path: str, data: bytes, options: PutOptions) -> Stat:
        if not is_plain(options):
            return await asyncio.to_thread(self._uploads.carefully, path, data, options)
        result = await obstore.put_async(
            self._open(), path, data, attributes=attributes_of(options), use_multipart=False
        )
        return made(result["e_tag"], len(data), options)

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> Writer:
        return self._uploads.writer(path, options, size)

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
                    self._open()  # refuses in a child after fork
                return
            except Exception as exc:
                if not fault_of(exc).in_body:
                    raise
                attempts.failed(exc, status=None)
            result = obstore.get(self._open(), path, options=get_options(start, end, etag))

    # ---- asking and deleting -------------------------------------------------------------------------------------

    def stat(self, path: str) -> Stat:
        try:
            return stat_of(obstore.get(self._open(), path, options={"head": True}))
        except Exception as exc:
            self._look_closer(path, exc)
            raise

    async def astat(self, path: str) -> Stat:
        try:
            return stat_of(await obstore.get_async(self._open(), path, options={"head": True}))
        except Exception as exc:
            await asyncio.to_thread(self._look_closer, path, exc)
            raise

    def _look_closer(self, path: str, exc: Exception) -> None:
        """A HEAD that is refused does not say why; a GET does, in its body. Raises what it says."""
        status = fault_of(exc).status
        if status not in (400, 403):
            return
        try:
            obstore.get(self._open(), path, options={"range": (0, 1)})
        except Exception as told:
            if fault_of(told).status == status:
                raise told from exc

    def delete(self, path: str) -> None:
        # S3 deletes what is not there without a word.
        self.stat(path)
        self._remove(path)

    async def adelete(self, path: str) -> None:
        await self.astat(path)
        try:
            await obstore.delete_async(self._stores.careful(), path)
        except Exception as exc:
            await asyncio.to_thread(self._remove, path, exc)

    def _remove(self, path: str | list[str], exc: Exception | None = None) -> None:
        """Deletes what is there, as often as it takes: once more does no harm."""
        store = self._stores.careful() if isinstance(path, str) else self._open()
        attempts = Attempts(self._settings.retries)
        while True:
            if exc is not None:
                fault = fault_of(exc)
                attempts.failed(exc, status=fault.status, retryable=fault.retryable, sent=fault.sent)
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
        return pages(
            self._stores.requests(),
            prefix,
            start_after=start_after,
            detail=detail,
            delimiter=delimiter,
            page_size=page_size,
        )

    def bucket_exists(self) -> bool:
        try:
            self._stores.requests().send("HEAD")
        except AnswerError as exc:
            if exc.status == 404:
                return False
            raise
        return True

    def lint(self, prefix: str) -> list[str]:
        markers = others = 0
        for page in self.scan(prefix):
            for path, _ in page:
                key = path[len(prefix) :]
                if key.endswith("/") and is_portable(key[:-1]):
                    markers += 1
                elif not is_portable(key):
                    others += 1
        kinds = (
            (markers, "folder marker(s), whose names end in a slash"),
            (others, "name(s) that are no portable keys"),
        )
        return [f"{count} {kind}: never listed, read or deleted" for count, kind in kinds if count]

    # ---- signing and the bucket itself ---------------------------------------------------------------------------

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        settings = self._settings
        keys = settings.keys()
        if keys is None:
            raise SigningError(f"s3+obstore://{settings.bucket}: anonymous=true cannot sign; open it with credentials")
        now = datetime.now(timezone.utc)
        headers, query = signed_parts(options)
        if options.method == "PUT":
            headers.update(settings.encryption)
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
        if wanted.cors_origins is not None or wanted.tmp_days is not None:
            raise UnsupportedOperationError(
                f"s3+obstore:// sets no rules; do it once through s3://{self._settings.bucket}, it is the same bucket"
            )
        if not wanted.create_bucket or self.bucket_exists():
            return []
        region = self._settings.found_region
        body = (
            '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        )
        # The default region is the one that may not be named.
        self._stores.requests().send("PUT", body=None if region == "us-east-1" else body.encode())
        return [f"created the bucket {self._settings.bucket!r}"]

    def sweep(self) -> Sequence[str]:
        raise UnsupportedOperationError(
            f"s3+obstore:// ends no unfinished uploads; do it once through s3://{self._settings.bucket}, it is the same bucket"
        )

    # ---- errors --------------------------------------------------------------------------------------------------

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return classify(exc)

    def __repr__(self) -> str:
        return f"ObstoreBackend({self.location!r})"
