"""``Call``: one call by the user: runs the backend's methods, translates their exceptions, and logs the call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, TypeVar

from storage._backend import Backend, BlobOrBucketMissing, Stat
from storage._facade.core import Core
from storage._facade.errors import translate
from storage._facade.routes import Route, whole
from storage._fork import check_owner, forks
from storage._keys import check_prefix
from storage._log import CallRecord, moved_bytes, watched
from storage._types import ObjectInfo
from storage.exceptions import InvalidKeyError, NotTextError, StorageError

T = TypeVar("T")
_new = object.__new__


class Call:
    """One call of a user: its name, and the blob, the prefix or the whole route that it is about.

    Every exception of the backend that leaves one of its methods has been translated, and carries the key, the storage type
    and the URL.
    """

    __slots__ = ("key", "name", "path", "route", "storage_type")

    def __init__(self, name: str, route: Route, path: str, key: str | None, storage_type: str | None) -> None:
        self.name = name  # of the method
        self.route = route
        self.path = path  # of the key or the prefix, below the root of the backend
        self.key = key  # None: the call is about more than one blob
        self.storage_type = storage_type  # None: the call is about all of them

    @classmethod
    def about(cls, core: Core, name: str, key: str, storage_type: str) -> Call:
        """A call about one blob; checks the key and the storage type."""
        route, path = core.locate(key, storage_type)
        return cls(name, route, path, key, storage_type)

    @classmethod
    def about_prefix(cls, core: Core, name: str, prefix: str, storage_type: str) -> Call:
        """A call about every blob whose key starts with ``prefix``."""
        route = core.route(storage_type)
        try:
            if not route.raw or not isinstance(prefix, str):
                check_prefix(prefix)
        except InvalidKeyError as exc:
            exc.storage_type, exc.url = storage_type, route.url
            raise
        return cls(name, route, route.prefix + prefix, None, storage_type)

    @classmethod
    def about_route(cls, name: str, route: Route, storage_type: str | None = None) -> Call:
        """A call about everything below a route."""
        return cls(name, route, route.prefix, None, storage_type)

    @classmethod
    def about_backend(cls, name: str, backend: Backend) -> Call:
        """A call about a bucket or directory itself."""
        return cls.about_route(name, whole(backend))

    def __str__(self) -> str:
        """The call as error messages begin with it."""
        where = "" if self.key is None else repr(self.key)
        kind = "" if self.storage_type is None else f" of type {self.storage_type!r}"
        return f"{self.name}({where}){kind} in {self.route.url}"

    # ---- steps on the backend ----------------------------------------------------------------------------------

    def run(self, method: Callable[..., T], *args: object, absent_is_ok: bool = False) -> T:
        """``method(*args)`` of the backend as the whole of the user's call: with its event for the log and for observers.

        ``absent_is_ok``: the user's call does not fail with ``NotFoundError``, so the event does not say so.
        """
        if not watched():
            return self.do(method, *args)
        with self.record() as record:
            record.absent_is_ok = absent_is_ok
            result = self.do(method, *args)
            record.size = moved_bytes(self.name, result)
            return result

    def do(self, method: Callable[..., T], *args: object) -> T:
        """``method(*args)`` of the backend as one step among others: without an event."""
        try:
            return method(*args)
        except Exception as exc:
            self.fail(exc)

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """``items`` of the backend; exceptions are translated also while they come.

        In a child after ``fork`` an iterator that was begun before raises ``UnsupportedOperationError``.
        """
        iterator, begun = iter(items), forks.count
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except Exception as exc:
                self.fail(exc)
            yield item
            check_owner(begun, self)

    def record(self) -> CallRecord:
        """Measures a call of several steps, for the log and for observers."""
        return CallRecord(self.name, self.route.backend.scheme, self.storage_type, self.key, self.route.url)

    # ---- results -----------------------------------------------------------------------------------------------

    def fail(self, exc: Exception) -> NoReturn:
        """Raises what an exception of the backend is to the user."""
        error = translate(exc, self.route.backend, self)
        if isinstance(error, StorageError):
            error.key = error.key or self.key
            error.storage_type = error.storage_type or self.storage_type
            error.url = error.url or self.route.url
        if error is exc:
            raise exc
        raise error from (None if isinstance(exc, BlobOrBucketMissing) and exc.__cause__ is None else exc)

    def info(self, stat: Stat) -> ObjectInfo:
        """The blob of this call, as the backend described it."""
        return info_of(self.key or "", self.storage_type or "", stat)


def run_once(
    name: str,
    route: Route,
    key: str,
    storage_type: str,
    method: Callable[..., T],
    *args: Any,
    absent_is_ok: bool = False,
) -> T:
    """``Call.run(method, *args)``, but a ``Call`` is made for an event and for an error only.

    Making one takes a quarter of the time of a whole ``get`` from memory.
    """
    if not watched():
        try:
            return method(*args)
        except Exception as exc:
            Call(name, route, route.prefix + key, key, storage_type).fail(exc)
    return Call(name, route, route.prefix + key, key, storage_type).run(method, *args, absent_is_ok=absent_is_ok)


def info_of(key: str, storage_type: str, stat: Stat) -> ObjectInfo:
    """A backend's ``Stat`` as the user's ``ObjectInfo``; its metadata is a copy."""
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


def decoded(data: bytes, route: Route, key: str, storage_type: str) -> str:
    """A blob's bytes as text; ``NotTextError`` where they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        call = Call("get", route, route.prefix + key, key, storage_type)
        raise NotTextError(
            f"{call}: byte {exc.start} is not UTF-8; use get_bytes", key=key, storage_type=storage_type, url=route.url
        ) from exc
