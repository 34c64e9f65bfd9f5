"""What Cloud Storage refuses, and what it does that its emulator leaves out: the rules of the strict proxy."""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import google_crc32c
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.emulators.gcs_uploads import Multipart, Resumable, body_of, parts_of
from tests.emulators.gcs_wire import Answer, Refused, Request, as_json
from tests.emulators.gcs_xml import XML

__all__ = ["StrictProxy"]

OBJECT = re.compile(r"/(storage|download/storage|upload/storage)/v1/b(?:/([^/]+)(?:/(o)(?:/([^/]+)(?:/(.+))?)?)?)?")
JSON = {"Content-Type": "application/json"}
PASSED = ("content-type", "content-range", "accept-ranges", "cache-control", "content-encoding", "etag", "x-goog-generation",
          "x-goog-hash", "x-goog-stored-content-encoding", "last-modified")  # fmt: skip


def only(request: Request, resource: dict[str, Any]) -> dict[str, Any]:
    """The fields that a request asks for."""
    fields = request.parameters.get("fields")
    return {field: resource[field] for field in fields.split(",") if field in resource} if fields else resource


class StrictProxy:
    """The rules. One object for all connections.

    Args:
        upstream: ``http://HOST:PORT`` of the emulator.
        accounts: the private key, in PEM form, of each service account: for its tokens, its signatures, and IAM.
    """

    def __init__(self, upstream: str, accounts: dict[str, str]) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._local = threading.local()
        self._keys: dict[str, Any] = {
            email: load_pem_private_key(pem.encode(), password=None) for email, pem in accounts.items()
        }
        self.public = {email: key.public_key() for email, key in self._keys.items()}
        self._tokens: dict[str, str] = {}
        self._buckets: set[str] = set()
        self._locks = [threading.Lock() for _ in range(64)]
        self.settings: dict[str, dict[str, Any]] = {}  # what the emulator forgets of buckets
        self._rewrites: dict[str, tuple[str, ...]] = {}
        self._metagenerations: dict[tuple[str, str, str], int] = {}  # the emulator says 1 for ever
        self.resumable = Resumable(self)
        self.multipart = Multipart(self)
        self.xml = XML(self)

    # ---- the emulator ------------------------------------------------------------------------------------------

    def ask(self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """A request to the emulator, on this thread's own connection."""
        connection: HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = HTTPConnection(*self._upstream, timeout=60)
        try:
            connection.request(method, target, body, headers or {})
            response: HTTPResponse = connection.getresponse()
            data = response.read()
        except OSError:
            connection.close()
            raise
        kept = {name.title(): value for name, value in response.getheaders() if name.lower() in PASSED}
        return Answer(response.status, kept, data)

    def object_target(self, bucket: str, name: str) -> str:
        return f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"

    def look(self, bucket: str, name: str) -> dict[str, Any] | None:
        """The object resource; ``None``: there is none."""
        answer = self.ask("GET", self.object_target(bucket, name))
        if answer.status != 200:
            return None
        found: dict[str, Any] = json.loads(answer.body)
        found["metageneration"] = str(self._metagenerations.get((bucket, name, found["generation"]), 1))
        return found

    def lock(self, bucket: str, name: str) -> threading.Lock:
        """Held while a condition is checked and the write that hangs on it is made."""
        return self._locks[hash((bucket, name)) % len(self._locks)]

    @contextmanager
    def locks(self, *objects: tuple[str, str]) -> Iterator[None]:
        """As ``lock``, of several objects."""
        with ExitStack() as stack:
            for number in sorted({hash(one) % len(self._locks) for one in objects}):
                stack.enter_context(self._locks[number])
            yield

    def check(self, bucket: str, name: str, wanted: str | None, *, there: bool = False) -> None:
        """Refuses unless the object's generation is the one wanted (``0``: none); with ``there``, also if there is none."""
        if wanted is None:
            return
        found = self.look(bucket, name)
        if found is None and there:
            raise self.missing(bucket, name)
        if wanted != (found["generation"] if found else "0"):
            raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")

    def check_all(self, request: Request, found: dict[str, Any]) -> None:
        """Refuses unless generation and metageneration of an object that is there are those wanted."""
        for parameter, field in (("ifGenerationMatch", "generation"), ("ifMetagenerationMatch", "metageneration")):
            if request.parameters.get(parameter) not in (None, found[field]):
                raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")

    def has_bucket(self, bucket: str) -> bool:
        if bucket not in self._buckets and self.ask("GET", f"/storage/v1/b/{quote(bucket, safe='')}").status == 200:
            self._buckets.add(bucket)  # no test deletes one
        return bucket in self._buckets

    def missing(self, bucket: str, name: str) -> Refused:
        if not self.has_bucket(bucket):
            return Refused(404, "notFound", "The specified bucket does not exist.")
        return Refused(404, "notFound", f"No such object: {bucket}/{name}")

    def store(self, bucket: str, meta: dict[str, Any], data: bytes, wanted: str | None) -> dict[str, Any]:
        """Makes an object, once its checksum and its precondition hold."""
        name = meta["name"]
        crc = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
        if meta.get("crc32c") not in (None, crc):
            raise Refused(
                400, "invalid", f'Provided CRC32C "{meta["crc32c"]}" doesn\'t match calculated CRC32C "{crc}".'
            )
        if not self.has_bucket(bucket):
            raise self.missing(bucket, name)
        meta = {key: value for key, value in meta.items() if key != "crc32c"}
        body, content_type = body_of(meta, data)
        with self.lock(bucket, name):
            self.check(bucket, name, wanted)
            target = f"/upload/storage/v1/b/{quote(bucket, safe='')}/o?uploadType=multipart"
            answer = self.ask("POST", target, body, {"Content-Type": content_type})
        if answer.status != 200:
            raise Refused(answer.status, "invalid", f"the emulator says {answer.body[:200]!r}")
        made: dict[str, Any] = json.loads(answer.body)
        return made

    # ---- routes ------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Answer:  # noqa: C901, PLR0911 (one line a route)
        """What Cloud Storage would answer."""
        try:
            if request.path == "/token":
                return self._token(request)
            if request.path.endswith(":signBlob"):
                return self._sign_blob(request)
            if request.path == "/batch/storage/v1":
                return self._batch(request)
            match = OBJECT.fullmatch(request.path)
            if match is None:
                return self.xml.answer(request)
            if not request.whole and "upload_id" not in request.parameters:
                raise Refused(400, "badRequest", "The body ended early.")
            where, bucket, objects, name, verb = match.groups()
            bucket = unquote(bucket or "")
            if "upload_id" not in request.parameters:  # whoever has an upload's URL may use it
                self.authorise(request, bucket)
            if where == "upload/storage":
                return self._upload(request, bucket)
            if not bucket or not objects:
                return self._bucket(request, bucket)
            if name is None:
                return self._list(request, bucket)
            return self._object(request, bucket, unquote(name), verb)
        except Refused as exc:
            return exc.answer

    def authorise(self, request: Request, bucket: str) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            if bucket.startswith("public-") and request.method in ("GET", "HEAD"):
                return "anonymous"
            raise Refused(401, "required", "Anonymous caller does not have storage.objects.get access to the object.")
        email = self._tokens.get(token) or self._jwt(token)
        if scheme != "Bearer" or email is None:
            raise Refused(401, "authError", "Invalid Credentials")
        if email.startswith("reader") and request.method not in ("GET", "HEAD"):
            raise Refused(403, "forbidden", f"{email} does not have storage.objects.create access to the object.")
        return email

    def _jwt(self, token: str) -> str | None:
        try:
            head, claims, signature = token.split(".")
            payload = json.loads(base64.urlsafe_b64decode(claims + "=="))
            key = self.public[payload["iss"]]
            key.verify(
                base64.urlsafe_b64decode(signature + "=="),
                f"{head}.{claims}".encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
            return payload["iss"] if payload["exp"] > time.time() else None
        except Exception:
            return None

    def _token(self, request: Request) -> Answer:
        email = self._jwt(dict(parse_qsl(request.body.decode())).get("assertion", ""))
        if email is None:
            body = json.dumps({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}).encode()
            return Answer(400, JSON, body)
        token = f"ya29.{secrets.token_urlsafe(30)}"
        self._tokens[token] = email
        return as_json({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def _sign_blob(self, request: Request) -> Answer:
        self.authorise(request, "")
        email = unquote(request.path.split("/")[-1].removesuffix(":signBlob"))
        key = self._keys.get(email)
        if key is None:
            raise Refused(403, "IAM_PERMISSION_DENIED", "Permission 'iam.serviceAccounts.signBlob' denied on resource.")
        signature = key.sign(base64.b64decode(json.loads(request.body)["payload"]), padding.PKCS1v15(), hashes.SHA256())
        return as_json({"keyId": "1", "signedBlob": base64.b64encode(signature).decode()})

    def _bucket(self, request: Request, bucket: str) -> Answer:
        if request.method == "POST":
            if not request.parameters.get("project"):
                raise Refused(400, "required", "Required parameter: project")
            answer = self.ask("POST", f"{request.path}?{request.query}", request.body, JSON)
            if answer.status == 409:
                raise Refused(
                    409,
                    "conflict",
                    "Your previous request to create the named bucket succeeded and you already own it.",
                )
            return answer
        answer = self.ask("GET", request.path)
        if answer.status != 200:
            raise self.missing(bucket, "")
        with self.lock(bucket, ""):
            settings = self.settings.setdefault(bucket, {"metageneration": "1"})
            if request.method == "PATCH":
                if request.parameters.get("ifMetagenerationMatch") not in (None, settings["metageneration"]):
                    raise Refused(
                        412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."
                    )
                settings.update(json.loads(request.body))
                settings["metageneration"] = str(int(settings["metageneration"]) + 1)
            return as_json({**json.loads(answer.body), **settings})

    def _list(self, request: Request, bucket: str) -> Answer:
        answer = self.ask("GET", f"{request.path}?{request.query}")
        if answer.status == 404:
            raise self.missing(bucket, "")
        listed = json.loads(answer.body)
        wanted = re.search(r"items\(([^)]*)\)", request.parameters.get("fields", ""))
        if wanted and "items" in listed:  # what was not asked for does not come
            listed["items"] = [{field: item[field] for field in wanted[1].split(",")} for item in listed["items"]]
        return as_json(listed)

    def _object(self, request: Request, bucket: str, name: str, verb: str | None) -> Answer:
        wanted = request.parameters.get("ifGenerationMatch")
        if verb is not None and verb.startswith("rewriteTo/b/"):
            return self._rewrite(request, bucket, name, verb)
        if verb is not None:
            raise Refused(404, "notFound", "Not Found")
        if request.method == "DELETE":
            with self.lock(bucket, name):
                self.check(bucket, name, wanted, there=True)
                if self.ask("DELETE", request.path).status == 404:
                    raise self.missing(bucket, name)
            return Answer(204, {}, b"")
        if request.method == "PATCH":
            return self._patch(request, bucket, name)
        if request.method != "GET":
            raise Refused(405, "methodNotAllowed", "Method Not Allowed")
        if request.parameters.get("alt") == "media":
            return self.media(request, bucket, name, wanted)
        with self.lock(bucket, name):  # metadata and metageneration of one moment
            found = self.look(bucket, name)
        if found is None:
            raise self.missing(bucket, name)
        self.check_all(request, found)
        return as_json(only(request, found))

    def _patch(self, request: Request, bucket: str, name: str) -> Answer:
        """Merges what comes into the object, as RFC 7396 says; the emulator keeps what is null."""
        changes = json.loads(request.body)
        with self.lock(bucket, name):
            found = self.look(bucket, name)
            if found is None:
                raise self.missing(bucket, name)
            self.check_all(request, found)
            metadata = {**found.get("metadata", {}), **changes.pop("metadata", {})}
            kept = {"metadata": {key: value for key, value in metadata.items() if value is not None}}
            # The emulator's PATCH knows the headers, its PUT replaces the metadata.
            for method, body in (("PATCH", changes), ("PUT", kept)):
                answer = self.ask(method, request.path, json.dumps(body).encode(), JSON)
                if answer.status != 200:
                    raise Refused(answer.status, "invalid", f"the emulator says {answer.body[:200]!r}")
            key = (bucket, name, found["generation"])
            self._metagenerations[key] = self._metagenerations.get(key, 1) + 1
            return as_json(only(request, self.look(bucket, name) or {}))

    def media(self, request: Request, bucket: str, name: str, wanted: str | None) -> Answer:
        with self.lock(bucket, name):
            self.check(bucket, name, wanted, there=True)
            target = f"/download{self.object_target(bucket, name)}?alt=media"
            # Who does not accept gzip gets what was stored as gzip unpacked.
            passed = {each: value for each, value in request.headers.items() if each in ("range", "accept-encoding")}
            answer = self.ask("GET", target, None, passed)
        if answer.status == 404:
            raise self.missing(bucket, name)
        if answer.headers.get("Content-Range") == "bytes 0--1/0":  # the emulator's own, for the end of nothing
            return Answer(416, {"Content-Range": "bytes */0"}, b"")
        return answer

    def _rewrite(self, request: Request, bucket: str, name: str, verb: str) -> Answer:
        to_bucket, _, to_name = (unquote(part) for part in verb.removeprefix("rewriteTo/b/").partition("/o/"))
        wanted = request.parameters.get("ifGenerationMatch")
        token = request.parameters.get("rewriteToken")
        with self.locks((bucket, name), (to_bucket, to_name)):
            found = self.look(bucket, name)
            if found is None:
                raise self.missing(bucket, name)
            if request.parameters.get("ifSourceGenerationMatch") not in (None, found["generation"]):
                raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
            step = (bucket, name, found["generation"], to_bucket, to_name)
            self.check(to_bucket, to_name, wanted)
            # A large object takes more than one call.
            if token is None and int(found["size"]) > 4 * 1024 * 1024:
                token = secrets.token_urlsafe(12) + "+/="
                self._rewrites[token] = step
                return as_json({"done": False, "rewriteToken": token, "objectSize": found["size"]})
            if token is not None and self._rewrites.pop(token, None) != step:
                raise Refused(400, "invalid", "Invalid rewrite token")
            return self.ask("POST", request.path, request.body or None, JSON)

    def _upload(self, request: Request, bucket: str) -> Answer:
        parameters = request.parameters
        if "upload_id" in parameters:
            return self.resumable.answer(request)
        kind, wanted = parameters.get("uploadType"), parameters.get("ifGenerationMatch")
        if kind == "multipart":
            meta, data = parts_of(request.headers.get("content-type", ""), request.body)
            return as_json(self.store(bucket, meta, data, wanted))
        if kind == "resumable":
            return self.resumable.begin(request, bucket, wanted)
        raise Refused(400, "invalid", "Invalid Upload Type")

    def _batch(self, request: Request) -> Answer:
        self.authorise(request, "")
        boundary = re.search(r'boundary="?([^";]+)', request.headers["content-type"])[1]  # type: ignore[index]
        parts = request.body.decode().split(f"--{boundary}")[1:-1]
        if len(parts) > 100:
            raise Refused(400, "badRequest", "The batch request could not be processed: too many calls.")
        answers = []
        for part in reversed(parts):  # in any order: the Content-ID tells
            number = re.search(r"Content-ID: <(.+)>", part)[1]  # type: ignore[index]
            method, target = re.search(r"\r\n\r\n(\S+) (\S+) HTTP", part).groups()  # type: ignore[union-attr]
            path, _, query = target.partition("?")
            inner = self.answer(Request(method, path, query, {"authorization": request.headers["authorization"]}, b""))
            answers.append(
                f"Content-Type: application/http\r\nContent-ID: <response-{number}>\r\n\r\nHTTP/1.1 {inner.status} Said\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(inner.body)}\r\n\r\n{inner.body.decode()}"
            )
        text = "".join(f"--batch_x\r\n{answer}\r\n" for answer in answers) + "--batch_x--\r\n"
        return Answer(200, {"Content-Type": "multipart/mixed; boundary=batch_x"}, text.encode())
