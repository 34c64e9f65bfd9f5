"""The ASGI application that answers signed URLs and forms."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Final

from storage import _url_signing
from storage._backend import Backend, HoldsBackends, SigningKeys, is_backend, kind_of, servable
from storage._url_signing import METHODS, Grant, RefusedError
from storage.exceptions import (
    BucketNotFoundError,
    ConfigurationError,
    InvalidKeyError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
    UnsupportedOperationError,
)
from storage.server._cors import cors_headers, preflight
from storage.server._download import download
from storage.server._form import is_form, post_form
from storage.server._http import Receive, Request, Response, Scope, Send, StalledError
from storage.server._upload import upload

if TYPE_CHECKING:
    from storage._backend import ServableBackend

log = logging.getLogger("storage.server")

DEFAULT_MAX_UPLOAD: Final = 5 * 1024**3
"""Bytes; what S3 takes in one PUT."""

# A server's own limit need not hold for a head that comes in one piece. A URL with everything signed takes 8 KiB.
_HEAD_BYTES: Final = 32 * 1024
_ALLOW = ("allow", ", ".join((*METHODS, "POST")))
_NOT_OURS = "only signed URLs of this server's stores are answered here; ask for one"
_STATUSES: tuple[tuple[type[StorageError], int, str], ...] = (
    (NotFoundError, 404, "there is no such blob"),
    (BucketNotFoundError, 404, "there is no such blob, nor the directory that would hold it"),
    (PreconditionFailedError, 412, "the blob is not in the state that the request asks for; nothing was changed"),
    (PermissionDeniedError, 403, "the server may not do that in this store"),
    (InvalidKeyError, 400, "this store cannot hold such a key"),
    (UnsupportedOperationError, 409, "this store cannot hold such a key beside those it has"),
    (UnavailableError, 503, "the store cannot be reached for now; try later"),
)


def served_backends(store: HoldsBackends | Backend) -> list[ServableBackend]:
    """The backends of a ``Storage`` (or the one backend) whose URLs this application can serve."""
    backends = [store] if is_backend(store) else store.__backends__()
    return [served for backend in backends if (served := servable(backend)) is not None]


class SignedURLs:
    """Answers the signed URLs of stores in memory and in local directories; nothing else, and nothing unsigned.

    An ASGI application for any server, also mounted below a path of another application: then the stores are opened with
    ``?serve_url=`` naming that path. Use it from one event loop or from many.
    """

    def __init__(
        self,
        *stores: HoldsBackends | Backend,
        max_upload: int = DEFAULT_MAX_UPLOAD,
        stall_seconds: float = 60.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Serves the local stores among ``stores``.

        Args:
            stores: each a ``Storage``, an ``AsyncStorage`` or a backend.
            max_upload: bytes; a longer body is refused with 413.
            stall_seconds: seconds without a byte from or to a client, after which its request is ended.
            clock: seconds since 1970; default: the system's.

        Raises:
            ConfigurationError: a store that is neither in memory nor in a directory, or two directories with one id.
        """
        self._backends: list[ServableBackend] = []
        for store in stores:
            found = served_backends(store)
            if not found:
                raise ConfigurationError(
                    f"{store!r}: its URLs are signed and answered by its own service; serve local stores"
                )
            self._backends += found
        seen: dict[str, ServableBackend] = {}
        for backend in self._backends:
            keys = keys_of(backend)
            if keys is not None:
                check_one_place(seen.setdefault(keys.store_id, backend), backend)
        self._max_upload = max_upload
        self._stall_seconds = stall_seconds
        self._clock = clock

    def find(self, store_id: str) -> tuple[ServableBackend, SigningKeys] | None:
        """The store with this id, and the keys to verify its URLs with; ``ConfigurationError``: two stores have it."""
        found: tuple[ServableBackend, SigningKeys] | None = None
        for backend in self._backends:
            keys = keys_of(backend)
            if keys is not None and keys.store_id == store_id:
                if found is not None:
                    check_one_place(found[0], backend)
                found = backend, keys
        return found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or the start and end of a server; refuses a websocket."""
        if scope["type"] == "http":
            request = Request(scope, receive)
            await self._serve(request, Response(send, request.method, [("x-content-type-options", "nosniff")]))
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _serve(self, request: Request, response: Response) -> None:
        began = perf_counter()
        failure: Exception | None = None
        try:
            await self._answer(request, response)
        except StalledError:
            # The client is gone; a server that is told nothing more closes the connection.
            if not response.status:
                await _try_refuse(request, response, RefusedError(400, "the body ended early; nothing was stored"))
        except RefusedError as refused:
            await _try_refuse(request, response, refused)
        except Exception as exc:
            failure = exc
            if not response.status:
                await _try_refuse(request, response, RefusedError(500, "the server met an error; its log says which"))
        finally:
            log.info(
                '%s "%s %s" %d %d %.1fms%s',
                request.client,
                ascii(request.method)[1:-1],
                request.logged_path,
                response.status,
                response.sent,
                (perf_counter() - began) * 1000,
                "" if response.complete else " (broken off)",
            )
        if failure is not None:
            log.error("%s %s: the store failed", ascii(request.method)[1:-1], request.logged_path, exc_info=failure)

    async def _answer(self, request: Request, response: Response) -> None:
        if request.head_bytes > _HEAD_BYTES:
            raise RefusedError(431, f"target and headers have more than {_HEAD_BYTES} bytes")
        request.check_length()
        store_id, _, path = (request.path or "").partition("/")
        try:
            found = self.find(store_id)
        except ConfigurationError as exc:
            log.error("a URL cannot be answered: %s", exc)  # noqa: TRY400 (the message says all)
            found = None
        origins = _origins(found[0]) if found else ()
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            await response.whole(*preflight(request.headers, origins))
            return
        response.common += cors_headers(request.headers, origins)
        if request.method not in METHODS and not (request.method == "POST" and is_form(request)):
            raise RefusedError(405, "use GET, HEAD, PUT or a form's POST, whichever was signed", [_ALLOW])
        if found is None or not path:
            raise RefusedError(403, _NOT_OURS)
        backend, keys = found
        try:
            await self._carry_out(backend, keys, path, request, response)
        except (RefusedError, StalledError):
            raise
        except Exception as exc:
            raise _refusal(backend, exc) from exc

    async def _carry_out(
        self, backend: Backend, keys: SigningKeys, path: str, request: Request, response: Response
    ) -> None:
        clock = self._clock or _url_signing.clock
        if request.method == "POST":

            def verify(fields: Sequence[tuple[str, str]]) -> Grant:
                return _url_signing.verify_form(keys, path, fields, clock())

            stat = await post_form(backend, verify, request, self._max_upload, self._stall_seconds)
            status = 204  # as S3 and Cloud Storage answer; a page that posted a plain form stays where it is
        else:
            grant = _url_signing.verify(keys, request.method, path, request.query, request.headers, clock())
            if grant.method != "PUT":
                await download(backend, grant, request, response, self._stall_seconds)
                return
            stat = await upload(backend, grant, request, self._max_upload, self._stall_seconds)
            status = 200
        await response.whole(status, [("etag", f'"{stat.etag}"'), ("cache-control", "no-store")])


def keys_of(backend: ServableBackend) -> SigningKeys | None:
    """The keys that a backend's URLs are verified with; ``None`` also where they cannot be read, which the log then says."""
    try:
        return backend.signing_keys()
    except StorageError as exc:
        # The other stores are served all the same.
        log.warning("a store cannot be served: %s", exc)
        return None


def check_one_place(backend: Backend, other: Backend) -> None:
    """Raises ``ConfigurationError`` unless backends with one id are one store: else a URL of one opens a blob of the other."""
    if backend is not other and (backend.private or backend.location != other.location):
        raise ConfigurationError(
            f"{backend.location} and {other.location} have the same id, so one is a copy of the other and their signed URLs "
            "cannot be told apart; delete the file .storage~/id of the copy, which then gets an id of its own"
        )


def _origins(backend: ServableBackend) -> Sequence[str]:
    try:
        return backend.cors_origins
    except (StorageError, OSError) as exc:
        log.warning("no web origin is allowed for a store: %s", exc)
        return ()


def _refusal(backend: Backend, exc: Exception) -> Exception:
    """The refusal for an exception of a backend; the exception itself, where the client cannot be told what is wrong."""
    kind = kind_of(exc, backend)
    if kind is not None:
        for known, status, reason in _STATUSES:
            if issubclass(kind, known):
                return RefusedError(status, reason)
    return exc


async def _try_refuse(request: Request, response: Response, refused: RefusedError) -> None:
    """Sends a refusal, after the body if that is short, so that the client is listening when it comes."""
    if response.status:
        return  # an answer has begun: breaking it off is all that can still be said
    headers = [*refused.headers, ("cache-control", "no-store")]
    if ("connection", "close") not in headers and not await request.drain():
        headers.append(("connection", "close"))
    with contextlib.suppress(StalledError):
        await response.whole(refused.status, headers, refused.reason)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
