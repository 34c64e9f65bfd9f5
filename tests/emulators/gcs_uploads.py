"""Uploads to the strict proxy: multipart bodies, resumable sessions, the XML API's multipart uploads, by the service's rules."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from typing import TYPE_CHECKING, Any

import google_crc32c

from tests.emulators.gcs_wire import Answer, Refused, Request, as_json, xml_refusal

if TYPE_CHECKING:
    from tests.emulators.gcs_rules import StrictProxy

__all__ = ["Multipart", "Resumable", "body_of", "parts_of"]

STEP = 256 * 1024
LEAST_PART = 5 * 1024 * 1024


def body_of(meta: dict[str, Any], data: bytes) -> tuple[bytes, str]:
    """A ``multipart/related`` body and its type."""
    boundary = secrets.token_hex(16)
    body = b"".join(
        (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode(),
            json.dumps(meta).encode(),
            f"\r\n--{boundary}\r\nContent-Type: {meta.get('contentType', 'application/octet-stream')}\r\n\r\n".encode(),
            data,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )
    return body, f'multipart/related; boundary="{boundary}"'


def parts_of(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """The resource and the bytes that a ``multipart/related`` body holds."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    mark = b"--" + found[1].encode() if found else b""
    head, separator, rest = body.partition(b"\r\n" + mark + b"\r\n")
    end = rest.rfind(b"\r\n" + mark + b"--")
    if not found or not separator or end < 0 or not head.startswith(mark):
        raise Refused(400, "badContent", "Malformed multipart body.")
    meta = json.loads(head.partition(b"\r\n\r\n")[2])
    return meta, rest[:end].partition(b"\r\n\r\n")[2]


class Resumable:
    """Sessions, as https://cloud.google.com/storage/docs/resumable-uploads has them."""

    def __init__(self, proxy: StrictProxy) -> None:
        self._proxy = proxy
        self._sessions: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def begin(self, request: Request, bucket: str, wanted: str | None) -> Answer:
        meta = json.loads(request.body)
        if not self._proxy.has_bucket(bucket):
            raise self._proxy.missing(bucket, meta["name"])
        self._proxy.check(bucket, meta["name"], wanted)
        meta.setdefault("contentType", request.headers.get("x-upload-content-type", "application/octet-stream"))
        name = f"ABg5-{secrets.token_urlsafe(30)}"
        self._sessions[name] = {"bucket": bucket, "meta": meta, "wanted": wanted, "data": bytearray(), "made": None,
                                "lock": threading.Lock()}  # fmt: skip
        location = f"http://{request.headers['host']}{request.path}?uploadType=resumable&upload_id={name}"
        return Answer(200, {"Location": location}, b"")

    def answer(self, request: Request) -> Answer:
        session = self._sessions.get(request.parameters["upload_id"])
        if session is None:
            raise Refused(404, "notFound", "Not Found")
        if request.method == "DELETE":
            del self._sessions[request.parameters["upload_id"]]
            return Answer(499, {}, b"")
        with session["lock"]:
            return self._put(request, session)

    def _put(self, request: Request, session: dict[str, Any]) -> Answer:
        if session["made"] is not None:
            return as_json(session["made"])
        found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", request.headers.get("content-range", ""))
        if request.method != "PUT" or not found:
            raise Refused(400, "badRequest", "Failed to parse Content-Range header.")
        data = session["data"]
        if found[1] is not None:
            first, last = int(found[1]), int(found[2])
            declared = last - first + 1
            if first > len(data):
                raise Refused(400, "invalid", "Invalid request. There were bytes before this that never came.")
            if request.whole and len(request.body) != declared:
                raise Refused(400, "invalid", f"Invalid request. Expected {declared} bytes, got {len(request.body)}.")
            if found[3] == "*" and declared % STEP:
                raise Refused(400, "invalid", "Invalid request. The number of bytes is no multiple of 262144.")
            came = request.body if request.whole else request.body[: len(request.body) // STEP * STEP]
            data += came[len(data) - first :]
        if found[3] == "*" or len(data) < int(found[3]):
            return Answer(308, {"Range": f"bytes=0-{len(data) - 1}"} if data else {}, b"")
        crc = base64.b64encode(google_crc32c.Checksum(bytes(data)).digest()).decode()
        told = re.search(r"crc32c=([^,]+)", request.headers.get("x-goog-hash", ""))
        if told and told[1] != crc:
            raise Refused(400, "invalid", f'Provided CRC32C "{told[1]}" doesn\'t match calculated CRC32C "{crc}".')
        session["made"] = self._proxy.store(session["bucket"], session["meta"], bytes(data), session["wanted"])
        session["data"] = bytearray()
        return as_json(session["made"])


class Multipart:
    """The XML API's multipart uploads: https://cloud.google.com/storage/docs/multipart-uploads. No preconditions, as there."""

    def __init__(self, proxy: StrictProxy) -> None:
        self._proxy = proxy
        self._uploads: dict[str, dict[str, Any]] = {}

    def answer(self, request: Request, bucket: str, name: str) -> Answer:  # noqa: PLR0911 (one line a request)
        parameters = request.parameters
        if not request.whole:
            return xml_refusal(400, "IncompleteBody", "The body ended early.")
        if any(header.startswith(("x-goog-if-", "if-")) for header in request.headers):
            return xml_refusal(400, "InvalidArgument", "Preconditions are not supported in multipart uploads.")
        if not self._proxy.has_bucket(bucket):
            return xml_refusal(404, "NoSuchBucket", "The specified bucket does not exist.")
        if request.method == "POST" and "uploads" in parameters:
            return self._begin(request, bucket, name)
        upload = self._uploads.get(parameters.get("uploadId", ""))
        if upload is None or (upload["bucket"], upload["meta"]["name"]) != (bucket, name):
            return xml_refusal(404, "NoSuchUpload", "The requested upload was not found.")
        if request.method == "PUT":
            return self._part(request, upload)
        if request.method == "DELETE":
            del self._uploads[parameters["uploadId"]]
            return Answer(204, {}, b"")
        try:
            answer = self._complete(request, upload)
        except Refused as exc:
            return xml_refusal(exc.answer.status, "InvalidArgument", str(exc))
        if answer.status == 200:
            self._uploads.pop(parameters["uploadId"], None)
        return answer

    def _begin(self, request: Request, bucket: str, name: str) -> Answer:
        headers = request.headers
        meta: dict[str, Any] = {"name": name, "contentType": headers.get("content-type", "application/octet-stream")}
        for field, header in (("cacheControl", "cache-control"), ("contentEncoding", "content-encoding")):
            if header in headers:
                meta[field] = headers[header]
        own = {
            key.removeprefix("x-goog-meta-"): value for key, value in headers.items() if key.startswith("x-goog-meta-")
        }
        if own:
            meta["metadata"] = own
        upload = f"VXB-{secrets.token_hex(12)}"
        self._uploads[upload] = {"bucket": bucket, "meta": meta, "parts": {}}
        body = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        return Answer(200, {"Content-Type": "application/xml"}, body.encode())

    def _part(self, request: Request, upload: dict[str, Any]) -> Answer:
        crc = base64.b64encode(google_crc32c.Checksum(request.body).digest()).decode()
        told = re.search(r"crc32c=([^,]+)", request.headers.get("x-goog-hash", ""))
        if told and told[1] != crc:
            return xml_refusal(400, "BadDigest", "The CRC32C you specified did not match what we received.")
        number = int(request.parameters["partNumber"])
        etag = f'"{hashlib.md5(request.body).hexdigest()}"'
        upload["parts"][number] = (etag, request.body)
        return Answer(200, {"Etag": etag, "X-Goog-Hash": f"crc32c={crc}"}, b"")

    def _complete(self, request: Request, upload: dict[str, Any]) -> Answer:
        listed = re.findall(r"<PartNumber>(\d+)</PartNumber>\s*<ETag>([^<]*)</ETag>", request.body.decode())
        numbers = [int(number) for number, _ in listed]
        if not numbers or numbers != sorted(set(numbers)):
            return xml_refusal(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        parts = []
        for number, etag in listed:
            stored = upload["parts"].get(int(number))
            if stored is None or stored[0] != etag.replace("&quot;", '"'):
                return xml_refusal(400, "InvalidPart", "One or more of the specified parts could not be found.")
            parts.append(stored[1])
        if any(len(part) < LEAST_PART for part in parts[:-1]):
            return xml_refusal(400, "EntityTooSmall", "A part is smaller than the minimum allowed size.")
        made = self._proxy.store(upload["bucket"], upload["meta"], b"".join(parts), None)
        headers = {
            "X-Goog-Generation": made["generation"],
            "X-Goog-Hash": f"crc32c={made['crc32c']}",
            "Content-Type": "application/xml",
        }
        body = f"<?xml version='1.0'?><CompleteMultipartUploadResult><ETag>{made['etag']}</ETag></CompleteMultipartUploadResult>"
        return Answer(200, headers, body.encode())
