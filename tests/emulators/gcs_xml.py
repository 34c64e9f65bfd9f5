"""The strict proxy's XML API: signed requests, browser forms, and multipart uploads."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tests.emulators.gcs_cors import cors_headers
from tests.emulators.gcs_forms import parsed_form, refusal_of
from tests.emulators.gcs_v4 import verify
from tests.emulators.gcs_wire import Answer, Refused, Request, xml_refusal

if TYPE_CHECKING:
    from tests.emulators.gcs_rules import StrictProxy

__all__ = ["XML"]


class XML:
    """Answers as the XML API does."""

    def __init__(self, proxy: StrictProxy) -> None:
        self._proxy = proxy

    def answer(self, request: Request) -> Answer:  # noqa: PLR0911 (one for each way to be refused)
        bucket, _, name = request.path.lstrip("/").partition("/")
        bucket, name = unquote(bucket), unquote(name)
        parameters = request.parameters
        if request.method == "POST" and not name and "authorization" not in request.headers:
            return self._form(request, bucket)
        if "x-goog-signature" not in (each.lower() for each in parameters):
            try:
                self._proxy.authorise(request, bucket)
            except Refused as exc:
                return xml_refusal(exc.answer.status, "AccessDenied", str(exc))
            return self._proxy.multipart.answer(request, bucket, name)
        refusal = verify(
            request.method, request.path, request.query, request.headers, self._proxy.public, datetime.now(timezone.utc)
        )
        if refusal is not None:
            return xml_refusal(*refusal)
        try:
            if request.method == "PUT":
                return self._signed_put(request, bucket, name)
            if request.method in ("GET", "HEAD"):
                return self._signed_get(request, bucket, name)
        except Refused as exc:
            codes = {404: "NoSuchKey", 412: "PreconditionFailed"}
            return xml_refusal(exc.answer.status, codes.get(exc.answer.status, "InvalidArgument"), str(exc))
        return xml_refusal(405, "MethodNotAllowed", "The method is not allowed.")

    def _form(self, request: Request, bucket: str) -> Answer:
        if not request.whole:
            return xml_refusal(400, "IncompleteBody", "The body ended early.")
        form = parsed_form(request.headers.get("content-type", ""), request.body)
        refusal = refusal_of(form, bucket, self._proxy.public, datetime.now(timezone.utc))
        if refusal is not None:
            return xml_refusal(*refusal)
        content_type = form.fields.get("content-type") or "application/octet-stream"
        made = self._proxy.store(
            bucket, {"name": form.fields["key"], "contentType": content_type}, form.file or b"", None
        )
        return Answer(204, {"X-Goog-Generation": made["generation"], "Etag": f'"{made["etag"]}"'}, b"")

    def for_browsers(self, request: Request) -> dict[str, str]:
        """What the bucket's CORS rules add to an answer of the XML API."""
        rules = self._proxy.settings.get(unquote(request.path.lstrip("/").partition("/")[0]), {}).get("cors", [])
        return cors_headers(rules, request.method, request.headers)

    def _signed_get(self, request: Request, bucket: str, name: str) -> Answer:
        answer = self._proxy.media(request, bucket, name, None)
        headers = dict(answer.headers)
        if headers.get("Etag") is not None and headers["Etag"] == request.headers.get("if-none-match"):
            return Answer(304, {"Etag": headers["Etag"]}, b"")
        for header in ("Content-Type", "Content-Disposition"):
            value = request.parameters.get(f"response-{header.lower()}")
            if value:
                headers[header] = value
        return Answer(answer.status, headers, answer.body)

    def _signed_put(self, request: Request, bucket: str, name: str) -> Answer:
        headers, body = request.headers, request.body
        if not request.whole:
            return xml_refusal(400, "IncompleteBody", "The body ended early.")
        bounds = headers.get("x-goog-content-length-range")
        if bounds is not None:
            if "content-length" not in headers:
                return xml_refusal(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
            least, most = map(int, bounds.split(","))
            if not least <= len(body) <= most:
                return xml_refusal(
                    400, "EntityTooLarge" if len(body) > most else "EntityTooSmall", "Not of the size signed."
                )
        if headers.get("content-md5") not in (None, base64.b64encode(hashlib.md5(body).digest()).decode()):
            return xml_refusal(400, "BadDigest", "The MD5 you specified did not match what we received.")
        meta = {"name": name, "contentType": headers.get("content-type") or "application/octet-stream"}
        if "cache-control" in headers:
            meta["cacheControl"] = headers["cache-control"]
        made = self._proxy.store(bucket, meta, body, headers.get("x-goog-if-generation-match"))
        return Answer(200, {"X-Goog-Generation": made["generation"], "Etag": f'"{made["etag"]}"'}, b"")
