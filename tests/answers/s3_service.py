"""S3 as far as the driver asks it: a service that answers rightly, so that each of its answers can be spoilt."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from dataclasses import dataclass, field
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from tests.answers.wire import Answer, Request

__all__ = ["S3Service"]

DATE = "Mon, 02 Nov 2026 10:00:00 GMT"
MOMENT = "2026-11-02T10:00:00.000Z"
XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
KEPT = ("content-type", "cache-control", "content-encoding")


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status, self.code = status, code


@dataclass
class Blob:
    data: bytes
    headers: dict[str, str] = field(default_factory=dict)  # type, cache control, encoding, x-amz-meta-…
    etag: str = ""

    def __post_init__(self) -> None:
        self.etag = self.etag or hashlib.md5(self.data).hexdigest()


class S3Service:
    """One bucket. Path style."""

    def __init__(self, bucket: str = "bucket") -> None:
        self.bucket = bucket
        self.there = True
        self.blobs: dict[str, Blob] = {}
        self.uploads: dict[str, tuple[str, dict[str, str], dict[int, bytes]]] = {}
        self.settings: dict[str, bytes] = {}
        self.page = 1000
        self._lock = threading.RLock()
        self._made = 0

    def store(self, key: str, data: bytes, **headers: str) -> None:
        self.blobs[key] = Blob(data, {"content-type": "text/plain", **headers})

    @staticmethod
    def kind(request: Request) -> str:
        """What sort of request it is: the method, and the subresource that it names."""
        query = request.query
        marks = [
            name
            for name in (
                "uploads",
                "partNumber",
                "uploadId",
                "delete",
                "list-type",
                "cors",
                "lifecycle",
                "location",
                "versioning",
                "policy",
                "tagging",
            )
            if name in query
        ]
        place = "object" if len(request.path.strip("/").split("/")) > 1 else "bucket"
        source = ["copy"] if "x-amz-copy-source" in request.headers else []
        span = ["range"] if "range" in request.headers else []
        return " ".join([request.method, place, *(["part"] if "partNumber" in marks else marks), *source, *span])

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self._made += 1
            try:
                made = self._route(request)
            except Refused as exc:
                body = f"{HEAD}<Error><Code>{exc.code}</Code><Message>Said</Message><RequestId>R</RequestId></Error>"
                made = Answer(exc.status, [("Content-Type", "application/xml")], body.encode())
        always = [("x-amz-id-2", "ID2/long+id="), ("x-amz-request-id", f"REQUEST{self._made:09}"), ("Date", DATE)]
        return Answer(made.status, [*always, *made.headers, ("Server", "AmazonS3")], made.body)

    def _route(self, request: Request) -> Answer:  # noqa: PLR0911 (one line a request)
        bucket, _, key = request.path.lstrip("/").partition("/")
        query, method = request.query, request.method
        if bucket != self.bucket or (not self.there and (key or method not in ("PUT", "HEAD", "GET"))):
            raise Refused(404, "NoSuchBucket")
        if not key:
            return self._bucket(request, method, query)
        if method == "POST" and "uploads" in query:
            upload = f"upload-{self._made}"
            self.uploads[upload] = (key, self._headers(request), {})
            return self._xml(
                "InitiateMultipartUploadResult",
                f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>",
            )
        if "uploadId" in query:
            return self._upload(request, method, query, key)
        if method == "PUT" and "x-amz-copy-source" in request.headers:
            return self._copy(request, key)
        if method == "PUT":
            self._conditions(request, key)
            self._compare(request)
            self.blobs[key] = Blob(request.body, self._headers(request))
            return Answer(200, [("ETag", f'"{self.blobs[key].etag}"')])
        if method == "DELETE":
            wanted = request.headers.get("if-match")
            if wanted is not None and (key not in self.blobs or wanted.strip('"') not in (self.blobs[key].etag, "*")):
                raise Refused(
                    412 if key in self.blobs else 404, "PreconditionFailed" if key in self.blobs else "NoSuchKey"
                )
            self.blobs.pop(key, None)
            return Answer(204)
        if method in ("GET", "HEAD"):
            return self._read(request, key)
        raise Refused(405, "MethodNotAllowed")

    @staticmethod
    def _compare(request: Request) -> None:
        digest = base64.b64encode(hashlib.md5(request.body).digest()).decode()
        if request.headers.get("content-md5", digest) != digest:
            raise Refused(400, "BadDigest")

    def _read(self, request: Request, key: str) -> Answer:
        blob = self.blobs.get(key)
        if blob is None:
            raise Refused(404, "NoSuchKey")
        if request.headers.get("if-match", blob.etag).strip('"') != blob.etag:
            raise Refused(412, "PreconditionFailed")
        headers = [
            ("ETag", f'"{blob.etag}"'),
            ("Last-Modified", DATE),
            ("Accept-Ranges", "bytes"),
            *blob.headers.items(),
        ]
        size, span = len(blob.data), re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if not span:
            if request.method == "HEAD":
                return Answer(200, [*headers, ("Content-Length", str(size))])
            return Answer(200, headers, blob.data)
        first = int(span[1]) if span[1] else max(0, size - int(span[2]))
        last = min(int(span[2]), size - 1) if span[1] and span[2] else size - 1
        if first > last or first >= size:
            raise Refused(416, "InvalidRange")
        return Answer(206, [*headers, ("Content-Range", f"bytes {first}-{last}/{size}")], blob.data[first : last + 1])

    def _conditions(self, request: Request, key: str) -> None:
        there = self.blobs.get(key)
        if request.headers.get("if-none-match") == "*" and there is not None:
            raise Refused(412, "PreconditionFailed")
        wanted = request.headers.get("if-match")
        if wanted is not None and there is None:
            raise Refused(404, "NoSuchKey")
        if wanted is not None and there is not None and wanted.strip('"') != there.etag:
            raise Refused(412, "PreconditionFailed")

    @staticmethod
    def _headers(request: Request) -> dict[str, str]:
        return {
            name: value for name, value in request.headers.items() if name in KEPT or name.startswith("x-amz-meta-")
        }

    def _source(self, request: Request) -> Blob:
        source = self.blobs.get(unquote(request.headers["x-amz-copy-source"]).lstrip("/").partition("/")[2])
        if source is None:
            raise Refused(404, "NoSuchKey")
        wanted = request.headers.get("x-amz-copy-source-if-match", source.etag).strip('"')
        if wanted != source.etag:
            raise Refused(412, "PreconditionFailed")
        return source

    def _copy(self, request: Request, key: str) -> Answer:
        source = self._source(request)
        self._conditions(request, key)
        replaced = request.headers.get("x-amz-metadata-directive") == "REPLACE"
        self.blobs[key] = Blob(source.data, self._headers(request) if replaced else dict(source.headers), source.etag)
        return self._xml(
            "CopyObjectResult", f"<LastModified>{MOMENT}</LastModified><ETag>&quot;{source.etag}&quot;</ETag>"
        )

    def _upload(self, request: Request, method: str, query: dict[str, str], key: str) -> Answer:
        if query["uploadId"] not in self.uploads:
            raise Refused(404, "NoSuchUpload")
        _, headers, parts = self.uploads[query["uploadId"]]
        if method == "PUT" and "x-amz-copy-source" in request.headers:
            source = self._source(request)
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("x-amz-copy-source-range", ""))
            part = source.data[int(span[1]) : int(span[2]) + 1] if span else source.data
            parts[int(query["partNumber"])] = part
            etag = hashlib.md5(part).hexdigest()
            return self._xml("CopyPartResult", f"<LastModified>{MOMENT}</LastModified><ETag>&quot;{etag}&quot;</ETag>")
        if method == "PUT":
            parts[int(query["partNumber"])] = request.body
            return Answer(200, [("ETag", f'"{hashlib.md5(request.body).hexdigest()}"')])
        if method == "DELETE":
            del self.uploads[query["uploadId"]]
            return Answer(204)
        self._conditions(request, key)
        numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", request.body)]
        if not numbers or not set(numbers) <= set(parts):
            raise Refused(400, "InvalidPart")
        sums = b"".join(hashlib.md5(parts[number]).digest() for number in numbers)
        etag = f"{hashlib.md5(sums).hexdigest()}-{len(numbers)}"
        self.blobs[key] = Blob(b"".join(parts[number] for number in numbers), headers, etag)
        del self.uploads[query["uploadId"]]
        return self._xml(
            "CompleteMultipartUploadResult",
            f"<Location>x</Location><Bucket>{self.bucket}</Bucket><Key>{escape(key)}</Key><ETag>&quot;{etag}&quot;</ETag>",
        )

    # ---- the bucket --------------------------------------------------------------------------------------------

    def _bucket(self, request: Request, method: str, query: dict[str, str]) -> Answer:  # noqa: C901, PLR0911, PLR0912 (one line a request)
        if method == "PUT" and not query:
            self.there = True
            return Answer(200, [("Location", f"/{self.bucket}")])
        if not self.there:
            raise Refused(404, "NoSuchBucket")
        if method == "POST" and "delete" in query:
            errors = ""
            for key in re.findall(r"<Key>(.*?)</Key>", request.body.decode(), re.DOTALL):
                self.blobs.pop(key.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"), None)
            return self._xml("DeleteResult", errors)
        for name, missing in (("cors", "NoSuchCORSConfiguration"), ("lifecycle", "NoSuchLifecycleConfiguration")):
            if name in query:
                if method == "PUT":
                    self.settings[name] = request.body
                    return Answer(200)
                if method == "DELETE":
                    self.settings.pop(name, None)
                    return Answer(204)
                if name not in self.settings:
                    raise Refused(404, missing)
                return Answer(200, [("Content-Type", "application/xml")], self.settings[name])
        if "location" in query:
            return self._xml("LocationConstraint", "")
        if "uploads" in query:
            return self._uploads()
        if method == "HEAD":
            return Answer(200, [("x-amz-bucket-region", "us-east-1")])
        if method == "GET":
            return self._list(query)
        raise Refused(405, "MethodNotAllowed")

    def _uploads(self) -> Answer:
        listed = "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{upload}</UploadId><Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>"
            for upload, (key, _, _) in self.uploads.items()
        )
        return self._xml(
            "ListMultipartUploadsResult", f"<Bucket>{self.bucket}</Bucket><IsTruncated>false</IsTruncated>{listed}"
        )

    def _list(self, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        token = query.get("continuation-token")
        after = base64.b64decode(token).decode() if token else query.get("start-after", "")
        entries: dict[str, Blob | None] = {}
        for key, blob in sorted(self.blobs.items()):
            if not key.startswith(prefix):
                continue
            slash = key.find(delimiter, len(prefix)) if delimiter else -1
            name = key if slash < 0 else key[: slash + 1]
            if name > after and not (slash >= 0 and after.startswith(name)):
                entries.setdefault(name, blob if slash < 0 else None)
        most = min(self.page, int(query.get("max-keys", 1000)))
        names, more = list(entries)[:most], len(entries) > most
        said = quote if query.get("encoding-type") == "url" else escape
        text = ""
        for name in names:
            listed = entries[name]
            if listed is None:
                text += f"<CommonPrefixes><Prefix>{said(name)}</Prefix></CommonPrefixes>"
            else:
                text += (
                    f"<Contents><Key>{said(name)}</Key><LastModified>{MOMENT}</LastModified><ETag>&quot;{listed.etag}&quot;</ETag>"
                    f"<Size>{len(listed.data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                )
        if more:
            text += f"<NextContinuationToken>{base64.b64encode(names[-1].encode()).decode()}</NextContinuationToken>"
        url = "<EncodingType>url</EncodingType>" if said is quote else ""
        head = (
            f"<Name>{self.bucket}</Name><Prefix>{said(prefix)}</Prefix><KeyCount>{len(names)}</KeyCount>"
            f"<MaxKeys>{most}</MaxKeys>{url}"
        )
        return self._xml("ListBucketResult", f"{head}<IsTruncated>{str(more).lower()}</IsTruncated>{text}")

    @staticmethod
    def _xml(name: str, inner: str) -> Answer:
        return Answer(200, [("Content-Type", "application/xml")], f"{HEAD}<{name} {XMLNS}>{inner}</{name}>".encode())
