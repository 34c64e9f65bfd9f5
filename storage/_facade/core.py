"""What ``Storage`` and ``AsyncStorage`` share: construction, routes, pickling, and the words of every error."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from storage._backend import Backend, BlobOrBucketMissing, Stat, is_backend, trace
from storage._facade.routes import DEFAULT_TYPES, Route, build_routes, parse_url
from storage._keys import check_key, check_prefix
from storage._log import debug, debugging
from storage._retry import parse_retries, parse_timeout
from storage._types import ObjectInfo
from storage.exceptions import (
    AlreadyExistsError,
    AuthenticationError,
    BucketNotFoundError,
    ConfigurationError,
    IntegrityError,
    InvalidKeyError,
    InvalidStorageTypeError,
    NotFoundError,
    NotTextError,
    PermissionDeniedError,
    PreconditionFailedError,
    SigningError,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
    UnsupportedOperationError,
)

if TYPE_CHECKING:
    from typing_extensions import Self  # 8 ms
    from urllib3.util.retry import Retry

__all__ = ["Core", "Line", "decoded", "is_absent", "made_info", "moved_bytes"]

T = TypeVar("T")

_WORDS: dict[type[StorageError], str] = {
    NotFoundError: "there is no such blob",
    AlreadyExistsError: "there is a blob already, and overwrite=False",
    PreconditionFailedError: "the blob is not the version that was asked for",
    BucketNotFoundError: "the bucket or directory does not exist; create it, or call setup(create_bucket=True)",
    AuthenticationError: "no valid credentials; check auth= or the environment",
    PermissionDeniedError: "not allowed; check the permissions of these credentials",
    StorageTimeoutError: "no answer in time, after the retries",
    UnavailableError: "the service cannot be reached or refuses for now, after the retries",
    IntegrityError: "the bytes do not match their checksum or length",
    SigningError: "these credentials cannot sign",
    UnsupportedOperationError: "this backend cannot do that",
    ConfigurationError: "this configuration cannot work",
}
# A URL in an SDK's message may be signed: its query is a credential.
_QUERY = re.compile(r"\?[^\s'\"<>)]+")
_MAX_DETAIL = 300
_new = object.__new__


class Core:
    """A URL opened: a route for each storage type.

    Attributes:
        backend: the backend of the URL; its ``client`` is the SDK's own.
    """

    TIMEOUT: ClassVar[float | tuple[float, float]] = (9.5, 120)
    """Seconds to connect, and between two received packets, where ``timeout`` is not given; a subclass may set its own."""

    backend: Backend

    def __init__(
        self,
        url: str | os.PathLike[Any] | None = None,
        auth: Any = None,
        retries: int | Retry | None = None,
        *,
        timeout: float | tuple[float, float] | None = None,
        storage_types: Mapping[str, str | Backend] | None = None,
        backend: Backend | None = None,
    ) -> None:
        if backend is not None:
            if url is not None:
                raise TypeError("give either url or backend, not both")
            if not is_backend(backend):
                raise TypeError(f"backend must be a storage.backends.Backend, not {type(backend).__name__}")
        parsed = None if backend is not None else parse_url(url)
        self._recipe = {
            "url": None if parsed is None else parsed.full(),
            "retries": parse_retries(retries),
            "timeout": parse_timeout(timeout, self.TIMEOUT),
            "storage_types": None if storage_types is None else dict(storage_types),
            "backend": backend,
        }
        self._has_auth = auth is not None
        self.backend, self._routes = build_routes(
            parsed,
            backend,
            storage_types,
            auth=auth,
            retries=self._recipe["retries"],  # type: ignore[arg-type]
            timeout=self._recipe["timeout"],  # type: ignore[arg-type]
        )
        self._shown = self.backend.location if parsed is None else str(parsed)

    # ---- the object itself -------------------------------------------------------------------------------------

    @property
    def storage_types(self) -> tuple[str, ...]:
        """The names of the storage types, in the order given."""
        return tuple(self._routes)

    def _backends(self) -> list[Backend]:
        """The main backend and those of the storage types, each once."""
        return list(
            {id(backend): backend for backend in (self.backend, *(r.backend for r in self._routes.values()))}.values()
        )

    def __repr__(self) -> str:
        types = "" if list(self._routes) == list(DEFAULT_TYPES) else f", storage_types={list(self._routes)}"
        return f"{type(self).__name__}({self._shown!r}{types})"

    def __getstate__(self) -> dict[str, Any]:
        if self._has_auth:
            raise TypeError(
                f"{self!r} has an explicit auth, which pickling would write out; pickle the URL and pass auth again"
            )
        if any(backend.private for backend in self._backends()):
            raise TypeError(f"{self!r} is private to this process; give it a name, as in memory://NAME, to pickle it")
        return {**self._recipe, **{k: v for k, v in vars(self).items() if k not in _OWN}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Core.__init__(
            self, **{name: state.pop(name) for name in ("url", "retries", "timeout", "storage_types", "backend")}
        )
        vars(self).update(state)

    # ---- routes ------------------------------------------------------------------------------------------------

    def _route(self, storage_type: str) -> Route:
        try:
            return self._routes[storage_type]
        except (KeyError, TypeError):
            known = ", ".join(map(repr, self._routes))
            raise InvalidStorageTypeError(
                f"storage type {storage_type!r}: this store has {known}",
                storage_type=storage_type if isinstance(storage_type, str) else None,
                url=self._shown,
            ) from None

    def _locate(self, key: str, storage_type: str) -> tuple[Route, str]:
        """The route of a storage type and the path of a key, both checked."""
        try:
            route = self._routes[storage_type]
        except (KeyError, TypeError):
            route = self._route(storage_type)  # which says what is wrong
        try:
            if not route.raw or not isinstance(key, str) or not key:
                check_key(key)
        except InvalidKeyError as exc:
            exc.storage_type, exc.url = storage_type, route.url
            raise
        return route, route.prefix + key

    def _locate_prefix(self, prefix: str | None, storage_type: str) -> tuple[Route, str]:
        route = self._route(storage_type)
        if prefix is None:
            prefix = ""
        try:
            if not route.raw or not isinstance(prefix, str):
                check_prefix(prefix)
        except InvalidKeyError as exc:
            exc.storage_type, exc.url = storage_type, route.url
            raise
        return route, route.prefix + prefix

    # ---- errors ------------------------------------------------------------------------------------------------

    def _do(
        self, name: str, route: Route, key: str | None, storage_type: str | None, method: Callable[..., T], *args: Any
    ) -> T:
        """``method(*args)`` of a backend, its exceptions classified, worded and chained."""
        try:
            return method(*args)
        except Exception as exc:
            self._raise(exc, name, route, key, storage_type)

    def _call(
        self, name: str, route: Route, key: str | None, storage_type: str | None, method: Callable[..., T], *args: Any
    ) -> T:
        """As ``_do``, for what is all of a user's call: with its line in the log."""
        if not debugging():
            try:
                return method(*args)
            except Exception as exc:
                self._raise(exc, name, route, key, storage_type)
        with Line(name, storage_type, key) as line:
            result = self._do(name, route, key, storage_type, method, *args)
            line.size = moved_bytes(result)
            return result

    def _mapped(
        self, name: str, route: Route, key: str | None, storage_type: str | None, items: Iterable[T]
    ) -> Iterator[T]:
        """``items`` of a backend, its exceptions classified, worded and chained also while they come."""
        iterator = iter(items)
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except Exception as exc:
                self._raise(exc, name, route, key, storage_type)
            yield item

    def _raise(self, exc: Exception, name: str, route: Route, key: str | None, storage_type: str | None) -> NoReturn:
        """Raises what a backend's exception is for the user."""
        error = self._failure(exc, name, route, key, storage_type)
        if error is exc:
            raise exc
        raise error from (None if isinstance(exc, BlobOrBucketMissing) and exc.__cause__ is None else exc)

    def _failure(self, exc: Exception, name: str, route: Route, key: str | None, storage_type: str | None) -> Exception:
        kind = type(exc) if isinstance(exc, StorageError) else route.backend.classify(exc)
        if kind is None:
            return exc
        if kind is BlobOrBucketMissing:
            kind = self._which_is_missing(route.backend)
        if isinstance(exc, StorageError) and kind is type(exc):
            if not exc.message:
                exc.message = _worded(name, key, storage_type, route, _WORDS.get(kind, kind.__name__))
                exc.args = (exc.message,)
            exc.key, exc.storage_type, exc.url = exc.key or key, exc.storage_type or storage_type, exc.url or route.url
            return exc
        words = _worded(name, key, storage_type, route, _WORDS.get(kind, kind.__name__)) + _detail(exc)
        return kind(words, key=key, storage_type=storage_type, url=route.url)

    def _which_is_missing(self, backend: Backend) -> type[StorageError]:
        try:
            return NotFoundError if backend.bucket_exists() else BucketNotFoundError
        except Exception as exc:
            kind = type(exc) if isinstance(exc, StorageError) else backend.classify(exc)
            if kind is None or issubclass(kind, PermissionDeniedError):
                return NotFoundError
            return kind


_OWN = frozenset({"backend", "_recipe", "_routes", "_has_auth", "_shown"})


def made_info(key: str, storage_type: str, stat: Stat) -> ObjectInfo:
    """A backend's ``Stat`` for the user, who may do with the metadata what they like."""
    info = _new(ObjectInfo)
    # Its own __init__ takes four times as long, which is more than a whole get from memory takes.
    fields = info.__dict__
    fields["key"] = key
    fields["storage_type"] = storage_type
    (
        fields["size"],
        fields["etag"],
        fields["last_modified"],
        fields["content_type"],
        fields["cache_control"],
        fields["content_encoding"],
        metadata,
    ) = stat
    fields["metadata"] = None if metadata is None else {**metadata}
    return info


def is_absent(exc: StorageError, backend: Backend) -> bool:
    """Whether a failed delete leaves no blob: there was none, or none is left and only who deleted it is unknown."""
    cause = exc.__cause__
    return isinstance(exc, NotFoundError) or (
        cause is not None and issubclass(backend.classify(cause) or Exception, NotFoundError)
    )


def decoded(data: bytes, key: str, storage_type: str, route: Route) -> str:
    """``data`` as text; else ``NotTextError``."""
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise NotTextError(
            f"get({key!r}) of type {storage_type!r} in {route.url}: byte {exc.start} is not UTF-8; use get_bytes",
            key=key,
            storage_type=storage_type,
            url=route.url,
        ) from exc


class Line:
    """The one line that a user's call leaves in the log, also when it fails.

    Attributes:
        size: bytes moved, where that is known.
    """

    def __init__(self, name: str, storage_type: str | None, key: str | None) -> None:
        self._name, self._storage_type, self._key = name, storage_type, key
        self._began = perf_counter()
        self.size: int | None = None
        trace.tries, trace.request_id = 1, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.write()

    def write(self) -> None:
        """Writes it."""
        debug(
            "%s type=%s key=%r bytes=%s ms=%.3f tries=%d request_id=%s",
            self._name,
            self._storage_type,
            self._key,
            "-" if self.size is None else self.size,
            (perf_counter() - self._began) * 1000,
            trace.tries,
            trace.request_id or "-",
        )


def moved_bytes(result: Any) -> int | None:
    """How many bytes a call moved, by what its backend returned; ``None``: none, or it cannot be told."""
    if isinstance(result, bytes):
        return len(result)
    return result.size if isinstance(result, Stat) else None


def _worded(name: str, key: str | None, storage_type: str | None, route: Route, words: str) -> str:
    where = f"{name}()" if key is None else f"{name}({key!r})"
    kind = "" if storage_type is None else f" of type {storage_type!r}"
    return f"{where}{kind} in {route.url}: {words}"


def _detail(exc: Exception) -> str:
    text = _QUERY.sub("?…", " ".join(str(exc).split()))
    if len(text) > _MAX_DETAIL:
        text = text[:_MAX_DETAIL] + "…"
    return f" ({type(exc).__name__}: {text})" if text else f" ({type(exc).__name__})"
