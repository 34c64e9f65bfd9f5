"""Copies and updates blobs inside S3, without the bytes passing through the client where the server can do that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote, urlencode

from storage._backend import Changes, PutOptions, Stat
from storage._metadata import encode_value
from storage._threads import Pool
from storage.backends._http import Answer
from storage.backends.s3._answers import Asked, head
from storage.backends.s3._calls import Call
from storage.backends.s3._documents import copy_result
from storage.backends.s3._errors import status_of
from storage.backends.s3._headers import META, Encryption, add_nonce, answered_at, put_headers, quoted
from storage.backends.s3._reading import get
from storage.backends.s3._requests import Requests
from storage.backends.s3._writing import Condition, S3Parts, put
from storage.exceptions import PreconditionFailedError, UnsupportedOperationError

_MIB = 1024 * 1024

COPY_LIMIT = 5 * 1024 * _MIB
"""Bytes that one CopyObject copies at most."""

COPY_PART = 512 * _MIB
"""Bytes of a part of a larger copy."""

THROUGH_CLIENT = 8 * _MIB
"""Up to so many bytes a create-only copy is read and written where the server knows no conditional copy."""

_IN_FLIGHT = 8
_AT_MOST = 4  # times a copy is begun anew because its source changed meanwhile

# What a copy in parts, or one with metadata of its own, must be told, as CopyObject would take it along by itself.
_KEPT: Final = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)


class Copier:
    """Copies blobs of one bucket."""

    def __init__(self, requests: Requests, encryption: Encryption) -> None:
        self._requests, self._encryption = requests, encryption
        self.limit, self.part = COPY_LIMIT, COPY_PART

    def copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        """Copies one version of ``source``; begins anew where it is replaced meanwhile, unless ``if_match`` names it."""
        for _ in range(_AT_MOST):
            origin = _Source(self._requests, source, if_match)
            try:
                return self._copy(origin, target, overwrite=overwrite)
            except _SourceChangedError as changed:
                if if_match is not None:
                    raise PreconditionFailedError from changed
                cause = changed
        raise PreconditionFailedError(f"{source!r} was replaced again and again while it was copied") from cause

    def update(self, path: str, changes: Changes, if_match: str | None) -> Stat:
        """Copies a blob onto itself with other headers, on the condition that it is still the version that was looked at."""
        for _ in range(_AT_MOST):
            origin = _Source(self._requests, path, if_match)
            stat = origin.stat
            options = PutOptions(
                changes.content_type or stat.content_type or "application/octet-stream",
                stat.cache_control if changes.cache_control is None else changes.cache_control,
                stat.content_encoding if changes.content_encoding is None else changes.content_encoding,
                (stat.metadata or {}) if changes.metadata is None else changes.metadata,
                if_match=stat.etag,
            )
            try:
                return self._rewrite(origin, path, options)
            except (_SourceChangedError, PreconditionFailedError) as changed:
                if if_match is not None:
                    raise PreconditionFailedError from changed
                cause = changed
        raise PreconditionFailedError(f"{path!r} was replaced again and again while it was updated") from cause

    def _copy(self, source: _Source, target: str, *, overwrite: bool) -> Stat:
        stat = source.stat
        options = PutOptions(
            stat.content_type or "application/octet-stream",
            stat.cache_control,
            stat.content_encoding,
            stat.metadata or {},
            overwrite,
        )
        if stat.size > self.limit:
            return self._in_parts(source, target, options, source.kept())
        if overwrite:
            return self._at_once(source, target)
        if self._requests.gate.aws:
            try:
                return self._on_condition(source, target, options, source.kept())
            except UnsupportedOperationError:
                pass  # this boto3 cannot say so; nothing was sent
        # CopyObject with a condition is AWS's, and others ignore the condition. A conditional PUT, and completing an upload
        # on a condition, are older and understood by many more.
        if stat.size <= THROUGH_CLIENT:
            return self._through_client(source, target, options)
        return self._in_parts(source, target, options, source.kept())

    def _rewrite(self, source: _Source, path: str, options: PutOptions) -> Stat:
        kept = {name: value for name, value in source.kept().items() if not name.startswith(META)}
        headers = {**kept, **put_headers(options, {}, None)}
        if self._requests.gate.aws and source.stat.size <= self.limit:
            return self._on_condition(source, path, options, headers)
        if source.stat.size == 0:  # there is nothing that could be a part
            return put(self._requests, path, source.read(), options, {**headers, **self._encryption})
        return self._in_parts(source, path, options, headers)

    def _at_once(self, source: _Source, target: str) -> Stat:
        call = Call("copy_object", "PUT", target, "", {**source.headers, **self._encryption})
        with _noting_change():
            return self._requests.read(call, lambda answer: _copied(source.stat, answer))

    def _on_condition(self, source: _Source, target: str, options: PutOptions, kept: Mapping[str, str]) -> Stat:
        """CopyObject with a condition on its target, which is AWS's."""
        condition = Condition(self._requests, target, options)
        attempts = self._requests.attempts()
        headers = {
            **kept,
            "x-amz-metadata-directive": "REPLACE",
            **source.headers,
            **self._encryption,
            **condition.headers,
        }
        add_nonce(headers, condition.nonce)
        described = source.stat._replace(
            content_type=options.content_type,
            cache_control=options.cache_control,
            content_encoding=options.content_encoding,
            metadata=options.metadata,
        )
        call = Call("copy_object", "PUT", target, "", headers, repeatable=False)
        while True:
            try:
                return _copied(described, self._requests.once(call))
            except Exception as exc:
                if condition.failed_by(exc):
                    # Either condition may have failed: that of the source is looked at first.
                    if not options.overwrite:
                        source.check()
                    return condition.settle(exc, attempts)
                self._requests.failed(attempts, exc)

    def _through_client(self, source: _Source, target: str, options: PutOptions) -> Stat:
        with _noting_change():
            data = source.read()
        others = {name: value for name, value in source.kept().items() if not name.startswith(META)}
        return put(self._requests, target, data, options, {**others, **source.tags(), **self._encryption})

    def _in_parts(self, source: _Source, target: str, options: PutOptions, kept: Mapping[str, str]) -> Stat:
        parts = S3Parts(self._requests, target, options, self._encryption)
        headers = {**kept, **source.tags(), **self._encryption}
        add_nonce(headers, parts.nonce)
        parts.start(headers)
        size = source.stat.size
        try:
            ranges = enumerate(_ranges(size, self.part), 1)
            with _noting_change(), Pool(_IN_FLIGHT, "storage-copy") as pool:
                futures = [
                    pool.submit(parts.copy_part, number, {**source.headers, "x-amz-copy-source-range": text})
                    for number, text in ranges
                ]
                results = [future.result() for future in futures]
            return parts.finish(results, size)
        except BaseException:
            parts.cancel()
            raise


class _SourceChangedError(Exception):
    """The source is no longer the version that was looked at."""


class _Source:
    """One version of a blob that is copied; ``headers`` name it to the service."""

    def __init__(self, requests: Requests, path: str, if_match: str | None) -> None:
        self._requests, self._path = requests, path
        self._answer = requests.send(Call("head_object", "HEAD", path))
        self.stat = head(self._answer)
        if if_match not in (None, self.stat.etag):
            raise PreconditionFailedError
        self.headers = {
            "x-amz-copy-source": quote(f"{requests.bucket}/{path}", errors="surrogateescape"),
            "x-amz-copy-source-if-match": quoted(self.stat.etag),
        }

    def kept(self) -> dict[str, str]:
        """The headers and metadata of the blob, for its copy."""
        headers = self._answer.headers
        kept = {name: headers[name] for name in _KEPT if name in headers}
        stat = self.stat
        if "content-encoding" in kept:
            del kept["content-encoding"]
            if stat.content_encoding is not None:
                kept["content-encoding"] = stat.content_encoding
        return {**kept, **{META + name: encode_value(value) for name, value in (stat.metadata or {}).items()}}

    def tags(self) -> dict[str, str]:
        """The header that gives a new blob this one's tags; CopyObject takes them along by itself."""
        if self._answer.headers.get("x-amz-tagging-count", "0") == "0":
            return {}
        tags = self._requests.rare("get_object_tagging", Key=self._path)["TagSet"]
        return {"x-amz-tagging": urlencode({tag["Key"]: tag["Value"] for tag in tags})}

    def read(self) -> bytes:
        """Its bytes. A HEAD that says that there are none is not believed: some proxies answer so of every blob."""
        return get(self._requests, self._path, Asked(if_match=self.stat.etag))

    def check(self) -> None:
        """Raises ``_SourceChangedError`` if it was replaced."""
        if head(self._requests.send(Call("head_object", "HEAD", self._path))).etag != self.stat.etag:
            raise _SourceChangedError


def _copied(stat: Stat, answer: Answer) -> Stat:
    etag, moment, _ = copy_result(answer.body, "CopyObjectResult")
    return stat._replace(etag=etag, last_modified=moment or answered_at(answer.headers))


@contextmanager
def _noting_change() -> Iterator[None]:
    """Raises ``_SourceChangedError`` where an exception says that the source has changed."""
    try:
        yield
    except Exception as exc:
        if status_of(exc) == 412 or type(exc) is PreconditionFailedError:
            raise _SourceChangedError from exc
        raise


def _ranges(size: int, part: int) -> Iterator[str]:
    for start in range(0, size, part):
        yield f"bytes={start}-{min(start + part, size) - 1}"
