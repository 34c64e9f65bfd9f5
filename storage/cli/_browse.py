"""The page of ``storage serve --browse``: the store, for the person in front of this machine and nobody else.

What a web page elsewhere can reach on this machine it reaches with the user's browser, so: the address is the loopback
one, spelled as such (no name can be rebound to it), no proxy is in between, every call carries a token that only the printed
URL has (in its fragment, which no browser sends), and calls are POSTs of JSON, which no form of another page can make.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from storage._types import ObjectInfo
from storage.exceptions import NotFoundError, StorageError
from storage.server._http import ASGIApp, Receive, Scope, Send
from storage.server._threads import in_thread

if TYPE_CHECKING:
    from storage import Storage

__all__ = ["Browse"]

_ENTRIES: Final = 1000  # of one level, at once; whoever wants others types how they begin
_CALL_BYTES: Final = 64 * 1024
_PROXIED: Final = ("forwarded", "x-real-ip", "via")  # and x-forwarded-…
_NO_TOKEN: Final = "open the page by the URL that storage serve printed; this one has no token, or an old one"  # noqa: S105
_ASSETS: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/-/page.css": ("page.css", "text/css; charset=utf-8"),
    "/-/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_FIXED: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_DOWNLOAD: Final = ("expires_in", "content_disposition", "content_type")
_UPLOAD: Final = ("expires_in", "content_type", "content_length", "content_md5", "overwrite")


class _WrongCallError(Exception):
    """A call that the page does not make."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class Browse:
    """An ASGI application: the page at ``/``, its calls below ``/-/``, everything else is what ``served`` answers.

    Attributes:
        page_url: where the page is, with the token: whoever has it can read and write the store.
    """

    def __init__(self, store: Storage, served: ASGIApp, base_url: str) -> None:
        """For one store, on one address.

        Args:
            store: what is shown. Its local backends are made to sign for this server.
            served: the application for signed URLs of local backends.
            base_url: ``http://127.0.0.1:PORT``, where this application is.
        """
        self._store = store
        self._served = served
        self._base = base_url
        self._host = urlsplit(base_url).netloc
        self._token = secrets.token_urlsafe(32)
        self._origins: list[str] | None = None
        self.page_url = f"{base_url}/#token={self._token}"
        for backend in store._backends():  # noqa: SLF001 (the same package)
            if getattr(backend, "serve_url", None) is not None:
                # Somewhere else it may be served, too; the page's own origin needs no permission of another.
                backend.serve_url = base_url  # type: ignore[attr-defined]
        self._page = Starlette(
            routes=[
                *(Route(path, self._asset, methods=["GET"]) for path in _ASSETS),
                Route("/-/store", self._call(self._describe), methods=["POST"]),
                Route("/-/list", self._call(self._list), methods=["POST"]),
                Route("/-/info", self._call(self._info), methods=["POST"]),
                Route("/-/sign", self._call(self._sign), methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and (scope["path"] == "/" or scope["path"].startswith("/-/")):
            await self._page(scope, receive, send)
        else:
            await self._served(scope, receive, send)

    # ---- the page ----------------------------------------------------------------------------------------------

    async def _asset(self, request: Request) -> Response:
        try:
            self._guard(request)
        except _WrongCallError as wrong:
            return _refused(wrong)
        name, kind = _ASSETS[request.url.path]
        data = files("storage.cli").joinpath("page").joinpath(name).read_bytes()
        return Response(
            data, media_type=kind, headers={**_FIXED, "content-security-policy": await in_thread(self._policy)}
        )

    def _policy(self) -> str:
        """Nothing but this page's own, and the bucket that the signed URLs point to."""
        if self._origins is None:
            self._origins = sorted({origin for name in self._store.storage_types if (origin := self._origin(name))})
        elsewhere = " ".join(self._origins)
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; "
            f"frame-ancestors 'none'; connect-src 'self' {elsewhere}; img-src 'self' data: {elsewhere}"
        )

    def _origin(self, storage_type: str) -> str | None:
        try:
            url = urlsplit(self._store.get_signed_url("x", storage_type, expires_in=1))
        except StorageError:
            return None  # the page will say why, when it asks for a URL
        return f"{url.scheme}://{url.netloc}"

    # ---- its calls ---------------------------------------------------------------------------------------------

    def _guard(self, request: Request) -> None:
        """Refuses what did not come straight from a browser on this machine to this very address."""
        if request.headers.getlist("host") != [self._host]:
            raise _WrongCallError(403, f"this page is at http://{self._host} and nowhere else")
        if any(name in _PROXIED or name.startswith("x-forwarded") for name in request.headers):
            raise _WrongCallError(403, "this page is for this machine alone, so it is not served through a proxy")
        if request.headers.get("origin", self._base) != self._base:
            raise _WrongCallError(403, "another page may not call this one")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and request.method != "GET":
            raise _WrongCallError(403, "another page may not call this one")

    def _check_token(self, request: Request) -> None:
        given = request.headers.get("x-storage-token", "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise _WrongCallError(401, _NO_TOKEN)

    def _call(self, function: Callable[..., Any]) -> Callable[[Request], Any]:
        """An endpoint that checks who asks, and gives ``function`` the members of the JSON object that was sent."""

        async def endpoint(request: Request) -> Response:
            try:
                self._guard(request)
                self._check_token(request)
                arguments = await _arguments(request)
                result = await in_thread(_checked_call, function, arguments)
            except _WrongCallError as wrong:
                return _refused(wrong)
            return JSONResponse(result, headers=_FIXED)

        return endpoint

    def _describe(self) -> dict[str, Any]:
        shown = self._store._shown  # noqa: SLF001 (the same package)
        return {"url": shown, "types": list(self._store.storage_types), "entries": _ENTRIES}

    def _list(self, storage_type: str, prefix: str = "") -> dict[str, Any]:
        level = self._store.iter_dir(prefix, storage_type)
        found = list(islice(level, _ENTRIES + 1))
        return {
            "entries": [entry if isinstance(entry, str) else _shown(entry) for entry in found[:_ENTRIES]],
            "more": len(found) > _ENTRIES,
        }

    def _info(self, storage_type: str, key: str) -> dict[str, Any]:
        return _shown(self._store.info(key, storage_type))

    def _sign(self, storage_type: str, key: str, method: str, **options: Any) -> dict[str, Any]:
        allowed = _UPLOAD if method == "PUT" else _DOWNLOAD
        unknown = set(options) - set(allowed)
        if unknown:
            raise TypeError(f"unknown: {', '.join(sorted(unknown))}")
        if method == "PUT":
            signed = self._store.sign_upload(key, storage_type, **options)
        else:
            signed = self._store.sign_download(
                key, storage_type, method=cast("Any", method), **options
            )  # checked there
        return {**vars(signed), "headers": dict(signed.headers), "expires_at": signed.expires_at.isoformat()}


async def _arguments(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _WrongCallError(415, "a call is a POST of application/json")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _CALL_BYTES:
            raise _WrongCallError(413, f"a call has at most {_CALL_BYTES} bytes")
    try:
        arguments = json.loads(body)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise _WrongCallError(400, "a call is a JSON object")
    return arguments


def _checked_call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return function(**arguments)
    except NotFoundError as exc:
        raise _WrongCallError(404, str(exc)) from exc
    except (StorageError, ValueError, TypeError) as exc:
        raise _WrongCallError(400, str(exc)) from exc


def _refused(wrong: _WrongCallError) -> Response:
    return JSONResponse({"error": wrong.reason}, wrong.status, headers=_FIXED)


def _shown(info: ObjectInfo) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in vars(info).items()}
