"""Cloud Storage as far as the driver asks it: a service that answers rightly, so that each of its answers can be spoilt."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import google_crc32c

from tests.answers.wire import Answer, Request

__all__ = ["GCSService"]

DATE = "Mon, 02 Nov 2026 10:00:00 GMT"
MOMENT = "2026-11-02T10:00:00.123Z"
JSON = ("Content-Type", "application/json; charset=UTF-8")


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason


def crc(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


@dataclass
class Blob:
    data: bytes
    generation: int
    meta: dict[str, Any] = field(default_factory=dict)
    metageneration: int = 1


class GCSService:
    """One bucket."""

    def __init__(self, bucket: str = "bucket") -> None:
        self.bucket = bucket
        self.there = True
        self.blobs: dict[str, Blob] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, tuple[str, dict[str, Any], dict[int, bytes]]] = {}
        self.settings: dict[str, Any] = {}
        self.page = 1000
        self._generation = 1762077600000000
        self._lock = threading.RLock()
        self._made = 0

    def store(self, key: str, data: bytes, **meta: Any) -> None:
        self._generation += 1
        self.blobs[key] = Blob(data, self._generation, {"contentType": "text/plain", **meta})

    @staticmethod
    def kind(request: Request) -> str:
        """What sort of request it is."""
        path, query = urlsplit(request.target).path, request.query
        if path.startswith("/batch/"):
            return "POST batch"
        if path.startswith("/upload/"):
            return f"{request.method} {query.get('uploadType', '')} {'session' if 'upload_id' in query else 'upload'}"
        if not path.startswith(("/storage/", "/download/")):
            marks = [name for name in ("uploads", "partNumber", "uploadId") if name in query]
            return " ".join([request.method, "xml", *(["part"] if "partNumber" in marks else marks)])
        what = "media" if query.get("alt") == "media" else "rewrite" if "/rewriteTo/" in path else ""
        place = "object" if re.search(r"/o/.", path) else "list" if path.endswith("/o") else "bucket"
        span = "range" if "range" in request.headers else ""
        return " ".join(word for word in (request.method, place, what, span) if word)

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self._made += 1
            try:
                made = self._route(request)
            except Refused as exc:
                error = {"message": "Said", "domain": "global", "reason": exc.reason}
                made = self._json({"error": {"code": exc.status, "message": "Said", "errors": [error]}}, exc.status)
        always = [("X-GUploader-UploadID", f"ABg5-{self._made:09}"), ("Date", DATE), ("Server", "UploadServer")]
        return Answer(made.status, [*made.headers, *always], made.body)

    def _route(self, request: Request) -> Answer:  # noqa: PLR0911 (one line a request)
        path, query = urlsplit(request.target).path, request.query
        if path.startswith("/batch/"):
            return self._batch(request)
        found = re.fullmatch(r"/(?:(upload|download)/)?storage/v1/b(?:/([^/]+)(?:/(o)(?:/([^/]+)(?:/(.+))?)?)?)?", path)
        if not found:
            return self._xml_api(request)
        kind, bucket, listing, name, verb = found.groups()
        if bucket is None:
            if self.there:
                raise Refused(409, "conflict")
            self.there = True
            return self._json({"kind": "storage#bucket", "name": self.bucket})
        if bucket != self.bucket or not self.there:
            raise Refused(404, "notFound")
        if kind == "upload":
            return self._session(request) if "upload_id" in query else self._upload(request)
        if not listing:
            return self._bucket(request)
        if name is None:
            return self._list(query)
        return self._object(request, unquote(name), verb)

    def _check(self, query: dict[str, str], key: str, field: str = "ifGenerationMatch") -> None:
        blob = self.blobs.get(key)
        if field in query and int(query[field]) != (blob.generation if blob else 0):
            raise Refused(412, "conditionNotMet")
        if "ifMetagenerationMatch" in query and blob and int(query["ifMetagenerationMatch"]) != blob.metageneration:
            raise Refused(412, "conditionNotMet")

    def _resource(self, key: str) -> dict[str, Any]:
        blob = self.blobs[key]
        return {
            "kind": "storage#object", "id": f"{self.bucket}/{key}/{blob.generation}", "name": key, "bucket": self.bucket,
            "generation": str(blob.generation), "metageneration": str(blob.metageneration), "storageClass": "STANDARD",
            "size": str(len(blob.data)), "md5Hash": base64.b64encode(hashlib.md5(blob.data).digest()).decode(),
            "crc32c": crc(blob.data), "etag": "CJ+x", "timeCreated": MOMENT, "updated": MOMENT, **blob.meta,
        }  # fmt: skip

    def _object(self, request: Request, key: str, verb: str | None) -> Answer:
        query, method = request.query, request.method
        if key not in self.blobs:
            raise Refused(404, "notFound")
        if verb is not None:
            target = unquote(verb.rpartition("/o/")[2])
            self._check(query, target)
            self._check(query, key, "ifSourceGenerationMatch")
            source = self.blobs[key]
            meta = json.loads(request.body) if request.body.strip() not in (b"", b"{}") else source.meta
            self.store(target, source.data, **{**source.meta, **meta})
            size = str(len(source.data))
            return self._json({"kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size,
                               "done": True, "resource": self._resource(target)})  # fmt: skip
        self._check(query, key)
        if method == "DELETE":
            del self.blobs[key]
            return Answer(204)
        if method == "PATCH":
            blob = self.blobs[key]
            changes = json.loads(request.body)
            if "metadata" in changes:
                own = {**blob.meta.get("metadata", {}), **(changes["metadata"] or {})}
                changes["metadata"] = {name: value for name, value in own.items() if value is not None}
            blob.meta = {name: value for name, value in {**blob.meta, **changes}.items() if value is not None}
            blob.metageneration += 1
        elif query.get("alt") == "media":
            return self._media(request, key)
        return self._json(self._resource(key))

    def _media(self, request: Request, key: str) -> Answer:
        blob = self.blobs[key]
        sums = f"crc32c={crc(blob.data)},md5={base64.b64encode(hashlib.md5(blob.data).digest()).decode()}"
        headers = [
            ("Content-Type", blob.meta.get("contentType", "application/octet-stream")), ("X-Goog-Hash", sums),
            ("X-Goog-Generation", str(blob.generation)), ("X-Goog-Metageneration", str(blob.metageneration)),
            ("X-Goog-Stored-Content-Length", str(len(blob.data))), ("X-Goog-Stored-Content-Encoding", "identity"),
            ("X-Goog-Storage-Class", "STANDARD"), ("Last-Modified", DATE), ("ETag", "CJ+x"),
        ]  # fmt: skip
        size, span = len(blob.data), re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if not span:
            return Answer(200, headers, blob.data)
        first = int(span[1]) if span[1] else max(0, size - int(span[2]))
        last = min(int(span[2]), size - 1) if span[1] and span[2] else size - 1
        if first > last or first >= size:
            raise Refused(416, "requestedRangeNotSatisfiable")
        return Answer(206, [*headers, ("Content-Range", f"bytes {first}-{last}/{size}")], blob.data[first : last + 1])

    def _upload(self, request: Request) -> Answer:
        query = request.query
        if query["uploadType"] == "resumable":
            meta = json.loads(request.body)
            self._check(query, meta["name"])
            name = f"session-{self._made}"
            self.sessions[name] = {"meta": meta, "query": query, "data": bytearray()}
            host = request.headers["host"]
            return Answer(
                200,
                [
                    (
                        "Location",
                        f"http://{host}/upload/storage/v1/b/{self.bucket}/o?uploadType=resumable&upload_id={name}",
                    )
                ],
            )
        found = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
        mark = b"--" + found[1].encode() if found else b""
        head, _, rest = request.body.partition(b"\r\n" + mark + b"\r\n")
        meta = json.loads(head.partition(b"\r\n\r\n")[2])
        data = rest[: rest.rfind(b"\r\n" + mark + b"--")].partition(b"\r\n\r\n")[2]
        return self._stored(query, meta, data)

    def _stored(self, query: dict[str, str], meta: dict[str, Any], data: bytes) -> Answer:
        name = meta.pop("name")
        self._check(query, name)
        if meta.pop("crc32c", crc(data)) != crc(data):
            raise Refused(400, "invalid")
        self.store(name, data, **meta)
        return self._json(self._resource(name))

    def _session(self, request: Request) -> Answer:
        session = self.sessions.get(request.query["upload_id"])
        if session is None:
            raise Refused(404, "notFound")
        if request.method == "DELETE":
            del self.sessions[request.query["upload_id"]]
            return Answer(499)
        found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", request.headers.get("content-range", ""))
        if not found:
            raise Refused(400, "badRequest")
        data = session["data"]
        if found[1] is not None:
            data += request.body[len(data) - int(found[1]) :]
        if found[3] == "*" or len(data) < int(found[3]):
            return Answer(308, [("Range", f"bytes=0-{len(data) - 1}")] if data else [])
        return self._stored(session["query"], dict(session["meta"]), bytes(data))

    def _batch(self, request: Request) -> Answer:
        found = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
        answers = ""
        for part in request.body.decode().split(f"--{found[1] if found else ''}")[1:-1]:
            number = re.search(r"Content-ID: <(.+)>", part, re.IGNORECASE)
            line = re.search(r"\r\n\r\n(\S+) (\S+)", part)
            assert number
            assert line
            inner = self.answer(Request(line[1], line[2], {}, b""))
            answers += (
                f"--batch_x\r\nContent-Type: application/http\r\nContent-ID: <response-{number[1]}>\r\n\r\n"
                f"HTTP/1.1 {inner.status} Said\r\nContent-Type: application/json\r\nContent-Length: {len(inner.body)}\r\n\r\n"
                f"{inner.body.decode()}\r\n"
            )
        return Answer(
            200, [("Content-Type", "multipart/mixed; boundary=batch_x")], f"{answers}--batch_x--\r\n".encode()
        )

    def _list(self, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        token = query.get("pageToken")
        after = base64.b64decode(token).decode() if token else ""
        entries: dict[str, bool] = {}
        for key in sorted(self.blobs):
            if (
                not key.startswith(prefix)
                or key < query.get("startOffset", "")
                or key >= query.get("endOffset", "\U0010ffff")
            ):
                continue
            slash = key.find(delimiter, len(prefix)) if delimiter else -1
            name = key if slash < 0 else key[: slash + 1]
            if name > after and not (slash >= 0 and after.startswith(name)):
                entries.setdefault(name, slash < 0)
        most = min(self.page, int(query.get("maxResults", 1000)))
        names = list(entries)[:most]
        said: dict[str, Any] = {"kind": "storage#objects"}
        if len(entries) > most:
            said["nextPageToken"] = base64.b64encode(names[-1].encode()).decode()
        if folders := [name for name in names if not entries[name]]:
            said["prefixes"] = folders
        if items := [self._resource(name) for name in names if entries[name]]:
            said["items"] = items
        return self._json(said)

    def _bucket(self, request: Request) -> Answer:
        if request.method == "PATCH":
            self.settings.update(json.loads(request.body))
        return self._json(
            {"kind": "storage#bucket", "name": self.bucket, "metageneration": "1", "location": "US", **self.settings}
        )

    # ---- the XML API -------------------------------------------------------------------------------------------

    def _xml_api(self, request: Request) -> Answer:  # noqa: PLR0911 (one line a request)
        bucket, _, key = unquote(urlsplit(request.target).path).lstrip("/").partition("/")
        query, method = request.query, request.method
        if bucket != self.bucket or not self.there:
            return self._xml(404, "<Error><Code>NoSuchBucket</Code></Error>")
        if method == "POST" and "uploads" in query:
            upload = f"upload-{self._made}"
            own = {
                n.removeprefix("x-goog-meta-"): v for n, v in request.headers.items() if n.startswith("x-goog-meta-")
            }
            meta = {"contentType": request.headers.get("content-type", "x/y"), **({"metadata": own} if own else {})}
            self.uploads[upload] = (key, meta, {})
            return self._xml(
                200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )
        if query.get("uploadId") not in self.uploads:
            return self._xml(404, "<Error><Code>NoSuchUpload</Code></Error>")
        _, meta, parts = self.uploads[query["uploadId"]]
        if method == "PUT":
            parts[int(query["partNumber"])] = request.body
            etag = f'"{hashlib.md5(request.body).hexdigest()}"'
            return Answer(200, [("ETag", etag), ("X-Goog-Hash", f"crc32c={crc(request.body)}")])
        numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", request.body)]
        if not parts.keys() >= set(numbers):
            return self._xml(400, "<Error><Code>InvalidPart</Code></Error>")
        del self.uploads[query["uploadId"]]
        if method == "DELETE":
            return Answer(204)
        self.store(key, b"".join(parts[number] for number in numbers), **meta)
        made = self._xml(200, '<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>')
        blob = self.blobs[key]
        return made.also(("X-Goog-Generation", str(blob.generation)), ("X-Goog-Hash", f"crc32c={crc(blob.data)}"))

    @staticmethod
    def _xml(status: int, text: str) -> Answer:
        return Answer(
            status,
            [("Content-Type", "application/xml; charset=UTF-8")],
            f"<?xml version='1.0' encoding='UTF-8'?>{text}".encode(),
        )

    @staticmethod
    def _json(said: dict[str, Any], status: int = 200) -> Answer:
        return Answer(status, [JSON], json.dumps(said).encode())
