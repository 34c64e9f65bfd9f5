"""One call of a user: what it is about, and how its steps are made on the backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn, TypeVar

from storage._backend import BlobOrBucketMissing, Stat
from storage._facade.core import Core
from storage._facade.errors import translate
from storage._facade.routes import Route
from storage._keys import check_key, check_prefix
from storage._log import CallRecord, debugging, moved_bytes
from storage._types import ObjectInfo
from storage.exceptions import InvalidKeyError, NotTextError, StorageError

__all__ = ["Call", "info_of"]

T = TypeVar("T")
_new = object.__new__


class Call:
    """One call of a user: its name, and the blob, the prefix or the whole route that it is about.

    Making one checks the key and the storage type. Every exception of the backend that leaves one of its methods has been
    translated, and carries the key, the storage type and the URL.

    Args:
        core: the store.
        name: the method's name, for messages and the log.
        key: the key of the blob.
        storage_type: one of the store's types.

    Attributes:
        name: the method's name.
        route: where the blobs of the storage type live.
        path: the key (or the prefix) below the root of the backend.
        key: the key of the blob; ``None``: the call is about more than one.
        storage_type: the storage type; ``None``: the call is about all of them.
    """

    __slots__ = ("key", "name", "path", "route", "storage_type")

    key: str | None
    storage_type: str | None

    def __init__(self, core: Core, name: str, key: str, storage_type: str) -> None:
        try:
            route = core.routes[storage_type]
        except (KeyError, TypeError):
            route = core.route(storage_type)  # which says what is wrong
        try:
            if not route.raw or not isinstance(key, str) or not key:
                check_key(key)
        except InvalidKeyError as exc:
            exc.storage_type, exc.url = storage_type, route.url
            raise
        self.name = name
        self.route = route
        self.path: str = route.prefix + key
        self.key = key
        self.storage_type = storage_type

    @classmethod
    def about_prefix(cls, core: Core, name: str, prefix: str | None, storage_type: str) -> Call:
        """A call about every blob whose key starts with ``prefix`` (``None``: all)."""
        route = core.route(storage_type)
        if prefix is None:
            prefix = ""
        try:
            if not route.raw or not isinstance(prefix, str):
                check_prefix(prefix)
        except InvalidKeyError as exc:
            exc.storage_type, exc.url = storage_type, route.url
            raise
        return cls._make(name, route, route.prefix + prefix, None, storage_type)

    @classmethod
    def about_route(cls, name: str, route: Route, storage_type: str | None = None) -> Call:
        """A call about a bucket or directory itself, or about everything below a route."""
        return cls._make(name, route, route.prefix, None, storage_type)

    @classmethod
    def _make(cls, name: str, route: Route, path: str, key: str | None, storage_type: str | None) -> Call:
        call = _new(cls)
        call.name, call.route, call.path, call.key, call.storage_type = name, route, path, key, storage_type
        return call

    def __str__(self) -> str:
        """What messages begin with."""
        where = "" if self.key is None else repr(self.key)
        kind = "" if self.storage_type is None else f" of type {self.storage_type!r}"
        return f"{self.name}({where}){kind} in {self.route.url}"

    # ---- steps on the backend ----------------------------------------------------------------------------------

    def run(self, method: Callable[..., T], *args: object) -> T:
        """``method(*args)`` of the backend as the whole of the user's call: with its line in the log."""
        if not debugging():
            try:
                return method(*args)
            except Exception as exc:
                self.fail(exc)
        with self.record() as record:
            result = self.do(method, *args)
            record.size = moved_bytes(result)
            return result

    def do(self, method: Callable[..., T], *args: object) -> T:
        """``method(*args)`` of the backend as one step among others: without a line in the log."""
        try:
            return method(*args)
        except Exception as exc:
            self.fail(exc)

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """``items`` of the backend; exceptions are translated also while they come."""
        iterator = iter(items)
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except Exception as exc:
                self.fail(exc)
            yield item

    def record(self) -> CallRecord:
        """The call's line in the log, for a call of several steps."""
        return CallRecord(self.name, self.storage_type, self.key)

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

    def text(self, data: bytes) -> str:
        """The blob's bytes as text; ``NotTextError`` where they are none."""
        try:
            return data.decode()
        except UnicodeDecodeError as exc:
            raise NotTextError(
                f"{self}: byte {exc.start} is not UTF-8; use get_bytes",
                key=self.key,
                storage_type=self.storage_type,
                url=self.route.url,
            ) from exc


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
