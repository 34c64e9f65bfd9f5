"""The backend: one bucket through boto3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from botocore.exceptions import ClientError

from storage._backend import Backend, Download, PutOptions, Setup, SignOptions, Stat
from storage._keys import is_portable
from storage._multipart import PART_SIZE, PartWriter
from storage._retry import Retries
from storage._types import SignedRequest
from storage.backends._s3_listing import Page
from storage.backends.s3 import _bucket, _reading, _signing, _writing
from storage.backends.s3._client import POOL_SIZE, Settings, SharedClient
from storage.backends.s3._copying import Copier
from storage.backends.s3._errors import classify, code_of, is_transient, status_of
from storage.backends.s3._headers import Encryption, stat_of
from storage.backends.s3._listing import list_page
from storage.backends.s3._requests import Requests
from storage.exceptions import StorageError

__all__ = ["S3Backend"]

_MULTIPART_FROM = 4 * PART_SIZE  # bytes: below it, whole bodies that are in memory anyway go up in one request
_XML_CANNOT = frozenset(map(chr, [*range(0x20), 0xFFFE, 0xFFFF]))


class S3Backend(Backend):
    """One bucket at AWS, or at a server that speaks the same protocol.

    Args:
        settings: bucket, credentials and how to reach them.
        retries: how often each request is tried again.
        encryption: what each new blob asks for.
    """

    scheme: ClassVar[str] = "s3"
    concurrency = POOL_SIZE
    batch_size = 1000
    chunk_size = PART_SIZE
    parallel_from: int | None = 16 * 1024 * 1024

    def __init__(self, settings: Settings, retries: Retries, encryption: Encryption | None = None) -> None:
        self._settings, self._retries = settings, retries
        self._encryption = dict(encryption or {})
        self._shared = SharedClient(settings)
        self._requests = Requests(self._shared, settings.bucket, retries)
        self._copier = Copier(self._requests, self._encryption)
        self._depth_first = False  # known from the first listing on

    @property
    def client(self) -> Any:
        return self._shared.get()

    @property
    def location(self) -> str:
        endpoint = self._settings.endpoint_url
        bucket = quote(self._settings.bucket)
        # The same name on another server is another bucket.
        return f"s3://{bucket}" if endpoint is None else f"{endpoint}/{bucket}"

    # ---- one blob ----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        if len(data) <= _MULTIPART_FROM:
            return _writing.put(self._requests, path, data, options, self._encryption)
        writer = self.writer(path, options, len(data))
        try:
            writer.write(data)
            return writer.commit()
        except BaseException:
            writer.abort()
            raise

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> PartWriter[dict[str, Any]]:
        return PartWriter(_writing.S3Parts(self._requests, path, options, self._encryption), size)

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        return _reading.get(self._requests, path, start, end, if_match)

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        return _reading.stream(self._requests, path, start, end, if_match)

    def stat(self, path: str) -> Stat:
        try:
            return stat_of(self._requests.send("head_object", Key=path))
        except ClientError as exc:
            self._look_closer(path, exc)
            raise

    def delete(self, path: str, *, if_match: str | None = None) -> None:
        del if_match
        # A DELETE does not say whether there was anything. It may be repeated: a lost answer does no harm.
        self.stat(path)
        try:
            self._requests.send("delete_object", Key=path)
        except ClientError as exc:
            if code_of(exc) != "NoSuchKey":  # some servers say so to whoever comes second
                raise

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        if any(not _XML_CANNOT.isdisjoint(path) for path in paths):
            return super().delete_batch(paths)  # keys=raw: what XML cannot say is deleted one by one
        attempts = self._requests.attempts()
        failed: dict[str, Exception] = {}
        todo = list(dict.fromkeys(paths))
        while True:
            objects = [{"Key": path} for path in todo]
            response = self._requests.send_within(
                attempts, "delete_objects", Delete={"Objects": objects, "Quiet": True}
            )
            errors = {error.get("Key", ""): _error_of(error) for error in response.get("Errors", ())}
            failed.update((path, exc) for path, exc in errors.items() if code_of(exc) != "NoSuchKey")
            todo = [path for path, exc in errors.items() if self._mendable(exc)]
            if not todo:
                return failed
            try:
                self._requests.failed(attempts, errors[todo[0]])
            except ClientError:
                return failed
            for path in todo:
                del failed[path]

    def _mendable(self, exc: Exception) -> bool:
        return bool(is_transient(exc)) or self._retries.retryable(status_of(exc))

    def copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        del if_match
        return self._copier.copy(source, target, overwrite=overwrite)

    # ---- listing -----------------------------------------------------------------------------------------------

    def scan(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        detail: bool = False,
        delimiter: bool = False,
        page_size: int = 1000,
    ) -> Iterator[list[tuple[str, Stat | None]]]:
        params: dict[str, Any] = {"Prefix": prefix, "MaxKeys": min(page_size, 1000), "EncodingType": "url"}
        if delimiter:
            params["Delimiter"] = "/"
        if start_after:
            params["StartAfter"] = start_after + "/" if self._depth_first else start_after
        while True:
            page = self._page(params, detail=detail)
            if page.depth_first and not self._depth_first:
                self._depth_first = True
                if start_after:
                    # SeaweedFS lists `a/b` straight after `a`, but after "a" it goes on behind all of `a/`.
                    params["StartAfter"] = start_after + "/"
                    continue
            entries = page.entries
            if delimiter and start_after:
                # A folder that `start_after` lies in has been given already.
                entries = [entry for entry in entries if entry[1] is not None or not start_after.startswith(entry[0])]
            if entries:
                yield entries
            if not page.truncated:
                return
            if page.token is not None:
                params["ContinuationToken"] = page.token
            else:
                params["StartAfter"] = page.entries[-1][0]  # a server that knows no tokens

    def _page(self, params: dict[str, Any], *, detail: bool) -> Page:
        attempts = self._requests.attempts()
        while True:
            try:
                return list_page(self._shared.get(), {"Bucket": self._settings.bucket, **params}, detail=detail)
            except Exception as exc:
                self._requests.failed(attempts, exc)

    # ---- signing -----------------------------------------------------------------------------------------------

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        return _signing.sign(self._shared, self._settings.bucket, path, options, self._encryption)

    # ---- errors ------------------------------------------------------------------------------------------------

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return classify(exc)

    def _look_closer(self, path: str, exc: ClientError) -> None:
        """A HEAD that is refused does not say why; a GET does, in its body. Raises what it says."""
        if status_of(exc) not in (400, 403):
            return
        try:
            body = self._requests.once("get_object", Key=path, Range="bytes=0-0")["Body"]
        except ClientError as told:
            if status_of(told) == status_of(exc):
                raise told from exc
        else:
            body.close()

    def bucket_exists(self) -> bool:
        try:
            self._requests.send("head_bucket")
        except ClientError as exc:
            if status_of(exc) not in (301, 404):
                raise
            return status_of(exc) == 301  # it is there, in another region
        return True

    # ---- the bucket itself -------------------------------------------------------------------------------------

    def setup(self, wanted: Setup) -> Sequence[str]:
        return _bucket.setup(self._requests, wanted, self.client.meta.region_name)

    def sweep(self) -> Sequence[str]:
        old = datetime.now(timezone.utc) - timedelta(days=_bucket.ABORT_DAYS)
        ended = 0
        markers: dict[str, str] = {}
        while True:
            response = self._requests.send("list_multipart_uploads", **markers)
            for upload in response.get("Uploads", ()):
                if upload["Initiated"] < old:
                    self._requests.send("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])
                    ended += 1
            if not response.get("IsTruncated"):
                break
            markers = {"KeyMarker": response["NextKeyMarker"], "UploadIdMarker": response["NextUploadIdMarker"]}
        return [f"ended {ended} uploads that nobody completed in {_bucket.ABORT_DAYS} days"] if ended else []

    def lint(self, prefix: str) -> Sequence[str]:
        folders = others = 0
        for page in self.scan(prefix):
            for path, _ in page:
                if not is_portable(path[len(prefix) :]):
                    folders += path.endswith("/")
                    others += not path.endswith("/")
        lines = []
        if folders:
            lines.append(f"{folders} folder markers (keys that end in a slash)")
        if others:
            lines.append(f"{others} blobs whose names are no portable keys")
        return lines

    def close(self) -> None:
        self._shared.close()

    def __repr__(self) -> str:
        return f"S3Backend({self.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._settings.auth is not None:
            raise TypeError(
                f"{self!r} has an explicit auth, which pickling would write out; make it anew where it is needed"
            )
        return partial(S3Backend, self._settings, self._retries, self._encryption), ()


def _error_of(error: Mapping[str, Any]) -> ClientError:
    """The failure of one key in a batch, as the exception that a request for it alone would raise."""
    code = error.get("Code", "")
    status = {"InternalError": 500, "SlowDown": 503, "ServiceUnavailable": 503, "AccessDenied": 403}.get(code, 400)
    return ClientError(
        {"Error": {"Code": code, "Message": error.get("Message", "")}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "DeleteObjects",
    )
