"""Copies inside S3: nothing passes through the client where the server can do what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from storage._backend import PutOptions, Stat
from storage._threads import Pool
from storage.backends.s3._errors import status_of
from storage.backends.s3._headers import Encryption, add_nonce, copied, quoted, stat_of
from storage.backends.s3._requests import Requests
from storage.backends.s3._writing import Condition, S3Parts, put
from storage.exceptions import PreconditionFailedError

__all__ = ["COPY_LIMIT", "COPY_PART", "THROUGH_CLIENT", "Copier"]

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
_KEPT = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "StorageClass",
    "WebsiteRedirectLocation",
)
_UNKNOWN_TO_PUT = ("ContentDisposition", "ContentLanguage", "Expires", "StorageClass", "WebsiteRedirectLocation")


class Copier:
    """Copies blobs of one bucket.

    Attributes:
        limit: :data:`COPY_LIMIT`.
        part: :data:`COPY_PART`.
    """

    def __init__(self, requests: Requests, encryption: Encryption) -> None:
        self._requests, self._encryption = requests, encryption
        self.limit, self.part = COPY_LIMIT, COPY_PART

    def copy(self, source: str, target: str, *, overwrite: bool) -> Stat:
        """Copies one version of ``source``; begins anew where it is replaced meanwhile."""
        for left in range(_AT_MOST, 0, -1):
            response = self._requests.send("head_object", Key=source)
            try:
                return self._copy(source, target, response, overwrite=overwrite)
            except _SourceChangedError as changed:
                if left == 1:
                    raise PreconditionFailedError(
                        f"{source!r} was replaced again and again while it was copied"
                    ) from changed
        raise AssertionError  # pragma: no cover

    def _copy(self, source: str, target: str, head: dict[str, Any], *, overwrite: bool) -> Stat:
        stat = stat_of(head)
        origin = {
            "CopySource": {"Bucket": self._requests.bucket, "Key": source},
            "CopySourceIfMatch": quoted(stat.etag),
        }
        options = PutOptions(
            stat.content_type or "application/octet-stream",
            stat.cache_control,
            stat.content_encoding,
            stat.metadata or {},
            overwrite,
        )
        if stat.size > self.limit:
            return self._in_parts(target, head, stat, origin, options)
        if overwrite:
            return self._at_once(target, stat, origin)
        if self._requests.shared.aws and self._knows_condition():
            return self._create_only(target, head, stat, origin, options)
        # CopyObject with a condition is AWS's, and others copy without a word. A conditional PUT, and completing an upload
        # on a condition, are older and understood by many more.
        if stat.size <= THROUGH_CLIENT:
            return self._through_client(source, target, head, stat, options)
        return self._in_parts(target, head, stat, origin, options)

    def _at_once(self, target: str, stat: Stat, origin: dict[str, Any]) -> Stat:
        try:
            response = self._requests.send("copy_object", Key=target, **origin, **self._encryption)
        except Exception as exc:
            _note_change(exc)
            raise
        return copied(stat, response["CopyObjectResult"], response)

    def _create_only(
        self, target: str, head: dict[str, Any], stat: Stat, origin: dict[str, Any], options: PutOptions
    ) -> Stat:
        condition = Condition(self._requests, target, options)
        attempts = self._requests.attempts()
        params = {**_kept(head, condition.nonce), "MetadataDirective": "REPLACE", **origin, **self._encryption}
        while True:
            try:
                response = self._requests.once("copy_object", Key=target, **params, **condition.params)
            except Exception as exc:
                if condition.failed_by(exc):
                    # Either condition may have failed: that of the source is looked at first.
                    self._check_source(origin, stat)
                    return condition.settle(exc, attempts)
                self._requests.failed(attempts, exc)
            else:
                return copied(stat, response["CopyObjectResult"], response)

    def _check_source(self, origin: dict[str, Any], stat: Stat) -> None:
        head = self._requests.send("head_object", Key=origin["CopySource"]["Key"])
        if stat_of(head).etag != stat.etag:
            raise _SourceChangedError

    def _through_client(self, source: str, target: str, head: dict[str, Any], stat: Stat, options: PutOptions) -> Stat:
        try:
            data = read_all(self._requests, source, IfMatch=quoted(stat.etag)) if stat.size else b""
        except Exception as exc:
            _note_change(exc)
            raise
        others = {name: head[name] for name in _UNKNOWN_TO_PUT if head.get(name) is not None}
        return put(self._requests, target, data, options, {**others, **self._encryption})

    def _in_parts(
        self, target: str, head: dict[str, Any], stat: Stat, origin: dict[str, Any], options: PutOptions
    ) -> Stat:
        parts = S3Parts(self._requests, target, options, self._encryption)
        parts.start({**_kept(head, parts.nonce), **self._encryption})
        try:
            ranges = enumerate(_ranges(stat.size, self.part), 1)
            with Pool(_IN_FLIGHT, "storage-copy") as pool:
                futures = [
                    pool.submit(parts.copy_part, number, CopySourceRange=text, **origin) for number, text in ranges
                ]
                try:
                    results = [future.result() for future in futures]
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
        except BaseException as exc:
            parts.cancel()
            _note_change(exc)
            raise
        try:
            return parts.finish(results, stat.size)
        except BaseException:
            parts.cancel()
            raise

    def _knows_condition(self) -> bool:
        """Whether this boto3 can send the condition: since the end of 2025."""
        operation = self._requests.shared.get().meta.service_model.operation_model("CopyObject")
        return "IfNoneMatch" in operation.input_shape.members


class _SourceChangedError(Exception):
    """The source is no longer the version that was looked at."""


def read_all(requests: Requests, path: str, **params: Any) -> bytes:
    """A small blob's bytes."""
    attempts = requests.attempts()
    while True:
        try:
            body = requests.once("get_object", Key=path, **params)["Body"]
            data: bytes = body.read()
            return data
        except Exception as exc:
            requests.failed(attempts, exc)


def _note_change(exc: BaseException) -> None:
    """Raises that the source has changed, where that is what ``exc`` says."""
    if status_of(exc) == 412:
        raise _SourceChangedError from exc


def _kept(head: dict[str, Any], nonce: str | None) -> dict[str, Any]:
    """The headers and metadata of a blob, for its copy."""
    params = {name: head[name] for name in _KEPT if head.get(name) is not None}
    metadata = dict(head.get("Metadata", {}))
    add_nonce(metadata, nonce)
    return {**params, "Metadata": metadata}


def _ranges(size: int, part: int) -> Iterator[str]:
    for start in range(0, size, part):
        yield f"bytes={start}-{min(start + part, size) - 1}"
