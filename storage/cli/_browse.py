"""The page of ``storage serve --browse``, for the person at this machine alone.

Any web page that is open in the user's browser can send requests to this machine. So the page is served only under the
loopback address itself (which no host name can be rebound to) and never through a proxy. Every call carries a token that
stands in the printed URL alone (in its fragment, which browsers do not send). Calls are POSTs of JSON, which no form of another
page can make.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from storage._backend import servable
from storage._content_types import guess_content_type
from storage._facade.core import core_of
from storage._types import ObjectInfo
from storage._url_signing import RefusedError
from storage.exceptions import NotFoundError, PreconditionFailedError, StorageError
from storage.server._http import ASGIApp, Receive, Request, Response, Scope, Send, StalledError
from storage.server._threads import in_thread

if TYPE_CHECKING:
    from storage import Storage

_ENTRIES: Final = 1000  # of one level, in one call
_CALL_BYTES: Final = 64 * 1024
_STALL_SECONDS: Final = 60.0
_PROXIED: Final = ("forwarded", "x-real-ip", "via")  # and x-forwarded-…
_NO_TOKEN: Final = "open the page by the URL that storage serve printed; this one has no token, or an old one"  # noqa: S105
_SCRIPTS: Final = ("calls", "details", "listing", "page", "uploads", "view")
_ASSETS: Final = {
    "": ("index.html", "text/html; charset=utf-8"),
    "-/page.css": ("page.css", "text/css; charset=utf-8"),
    **{f"-/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in _SCRIPTS},
}
_COMMON: Final = (
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)


class Browse:
    """An ASGI application: the page of a store at ``/``, its calls below ``/-/``; everything else is answered by ``served``.

    The local backends of the store are made to sign for this server, which is at ``base_url``, ``http://127.0.0.1:PORT``.
    """

    def __init__(self, store: Storage, served: ASGIApp, base_url: str) -> None:
        self._store = store
        self._served = served
        self._base = base_url
        self._host = urlsplit(base_url).netloc
        self._token = secrets.token_urlsafe(32)
        self._origins: list[str] | None = None
        self.page_url = f"{base_url}/#token={self._token}"  # whoever has it can read and write the store
        for backend in core_of(store).backends():
            local = servable(backend)
            if local is not None and local.serve_url is not None:
                # It may be served elsewhere too; but the page's own origin needs no permission from another one.
                local.serve_url = base_url
        self._calls: dict[str, Callable[..., dict[str, Any]]] = {
            "-/store": self._describe,
            "-/list": self._list,
            "-/info": self._info,
            "-/sign": self._sign,
            "-/delete": self._delete,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and (scope["path"] == "/" or scope["path"].startswith("/-/")):
            await self._answer(Request(scope, receive), Response(send, scope["method"], _COMMON))
        else:
            await self._served(scope, receive, send)

    async def _answer(self, request: Request, response: Response) -> None:
        path = request.path or ""
        try:
            self._guard(request)
            request.check_length()
            if path in _ASSETS:
                _check_method(request, "GET", "HEAD")
                await self._send_asset(response, *_ASSETS[path])
            elif path in self._calls:
                _check_method(request, "POST")
                self._check_token(request)
                result = await in_thread(_checked_call, self._calls[path], await _arguments(request))
                await _send_json(response, 200, result)
            else:
                await _send_json(response, 404, {"error": "the page has no such part"})
        except RefusedError as refused:
            await _send_json(response, refused.status, {"error": refused.reason}, refused.headers)
        except StalledError:
            return  # the client is gone

    # ---- the page ----------------------------------------------------------------------------------------------

    async def _send_asset(self, response: Response, name: str, kind: str) -> None:
        data = files("storage.cli").joinpath("page").joinpath(name).read_bytes()
        policy = await in_thread(self._policy)
        await _send(response, 200, kind, data, [("content-security-policy", policy)])

    def _policy(self) -> str:
        """Allows nothing but this page's own parts, and the bucket that the signed URLs point to."""
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

    # ---- who may call ------------------------------------------------------------------------------------------

    def _guard(self, request: Request) -> None:
        """Refuses what did not come straight from a browser on this machine to this very address."""
        if list(request.headers.get("host", ())) != [self._host]:
            raise RefusedError(403, f"this page is at http://{self._host} and nowhere else")
        if any(name in _PROXIED or name.startswith("x-forwarded") for name in request.headers):
            raise RefusedError(403, "this page is for this machine alone, so it is not served through a proxy")
        if (request.header("origin") or self._base) != self._base:
            raise RefusedError(403, "another page may not call this one")
        if (request.header("sec-fetch-site") or "none") not in ("none", "same-origin") and request.method != "GET":
            raise RefusedError(403, "another page may not call this one")

    def _check_token(self, request: Request) -> None:
        given = request.header("x-storage-token") or ""
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise RefusedError(401, _NO_TOKEN)

    # ---- its calls ---------------------------------------------------------------------------------------------

    def _describe(self) -> dict[str, Any]:
        return {"url": core_of(self._store).url, "types": list(self._store.storage_types), "entries": _ENTRIES}

    def _list(self, storage_type: str, prefix: str = "", after: str | None = None) -> dict[str, Any]:
        """The next entries of one level, and after which one to ask for more; ``None``: that was all."""
        level = self._store.iter_dir(prefix, storage_type, start_after=after)
        # A folder is met again, since there are keys in it that come after its own name.
        new = (entry for entry in level if entry != after)
        found = list(islice(new, _ENTRIES + 1))
        more, found = len(found) > _ENTRIES, found[:_ENTRIES]
        last = found[-1] if found else ""
        return {
            "entries": [entry if isinstance(entry, str) else _listed(entry) for entry in found],
            "next": (last if isinstance(last, str) else last.key) if more else None,
        }

    def _info(self, storage_type: str, key: str) -> dict[str, Any]:
        return _fields(self._store.info(key, storage_type))

    def _sign(self, storage_type: str, key: str, method: str, **options: Any) -> dict[str, Any]:
        if method == "PUT":
            signed = self._store.sign_upload(key, storage_type, **options)
        else:
            checked = cast("Any", method)  # there
            signed = self._store.sign_download(key, storage_type, method=checked, **options)
        return {**vars(signed), "headers": dict(signed.headers), "expires_at": signed.expires_at.isoformat()}

    def _delete(self, storage_type: str, key: str, etag: str) -> dict[str, Any]:
        """Deletes the version that the page shows, and no other."""
        if not isinstance(etag, str):
            raise TypeError("etag must be that of the version to delete")
        self._store.delete(key, storage_type, if_match=etag)
        return {}


# ---- requests and answers ------------------------------------------------------------------------------------------


def _check_method(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise RefusedError(405, f"use {' or '.join(methods)}")


async def _arguments(request: Request) -> dict[str, Any]:
    """The members of the JSON object that was sent."""
    if (request.header("content-type") or "").partition(";")[0].strip() != "application/json":
        raise RefusedError(415, "a call is a POST of application/json")
    body, more = b"", True
    while more:
        data, more = await request.read(_STALL_SECONDS)
        body += data
        if len(body) > _CALL_BYTES:
            raise RefusedError(413, f"a call has at most {_CALL_BYTES} bytes")
    try:
        arguments = json.loads(body)
        json.dumps(arguments, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise RefusedError(400, "a call is a JSON object")
    return arguments


def _checked_call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return function(**arguments)
    except NotFoundError as exc:
        raise RefusedError(404, str(exc)) from exc
    except PreconditionFailedError as exc:
        raise RefusedError(409, "the blob was replaced meanwhile; look at it again") from exc
    except (StorageError, ValueError, TypeError) as exc:
        raise RefusedError(400, str(exc)) from exc


async def _send_json(
    response: Response, status: int, value: dict[str, Any], headers: Sequence[tuple[str, str]] = ()
) -> None:
    await _send(response, status, "application/json", json.dumps(value).encode(), headers)


async def _send(
    response: Response, status: int, kind: str, data: bytes, headers: Sequence[tuple[str, str]] = ()
) -> None:
    await response.start(status, [("content-type", kind), ("content-length", str(len(data))), *headers])
    await response.body(data, more=False)


def _listed(info: ObjectInfo) -> dict[str, Any]:
    """A blob of a listing. Few listings tell the type; then it is the one that ``set`` gives to such a key."""
    return {**_fields(info), "content_type": info.content_type or guess_content_type(info.key)}


def _fields(info: ObjectInfo) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in vars(info).items()}
