"""The base of backends that wrap another backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, update_wrapper
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from storage._backend import Backend, SigningKeys, Stat, Tally, servable
from storage._retry import Retries, Timeout
from storage._urls import StorageURL, factory_for
from storage.exceptions import StorageError

P = ParamSpec("P")
T = TypeVar("T")


def open_inner(
    url: StorageURL, own: Sequence[str], *, auth: Any, retries: Retries | None, timeout: Timeout | None
) -> Backend:
    """The backend of ``NAME+SCHEME://…``: that of ``SCHEME://…``, without the query parameters that are the wrapper's own."""
    inner = url.without(*own).__replace__(scheme=url.scheme.partition("+")[2])
    return factory_for(inner.scheme)(inner, auth=auth, retries=retries, timeout=timeout)


def _passed_on(method: Callable[Concatenate[Backend, P], T]) -> Callable[Concatenate[Wrapper, P], T]:
    """A method of the protocol, as a call of the same method of the backend inside."""
    name = method.__name__

    def call(self: Wrapper, /, *args: P.args, **options: P.kwargs) -> T:
        path = args[0] if args and isinstance(args[0], str) else None
        inside: Callable[P, T] = getattr(self._backend, name)
        return self._run(name, path, partial(inside, *args, **options))

    return update_wrapper(call, method, updated=())  # not what marks it as abstract


class Wrapper(Backend):
    """Passes every call on to ``backend``; a subclass changes what it wants, or :meth:`_run` for all."""

    scheme: ClassVar[str] = "wrapper"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.__dict__["owns_path"] = backend.owns_path  # the class cannot know it
        for name in ("concurrency", "batch_size", "chunk_size", "parallel_from", "private", "volatile"):
            setattr(self, name, getattr(backend, name))
        served = servable(backend)
        if served is not None:  # the facade signs with its keys
            self.signing_keys: Callable[..., SigningKeys | None] = self._signing_keys
            self.serve_url: str | None = served.serve_url
            self.cors_origins: Sequence[str] = served.cors_origins

    def _run(self, method: str, path: str | None, function: Callable[[], T]) -> T:
        """Every call of the backend goes through here, with the name of the method and the path that it is about."""
        del method, path
        return function()

    @property
    def client(self) -> Any:
        return self._backend.client

    @property
    def location(self) -> str:
        return self._backend.location

    put = _passed_on(Backend.put)
    writer = _passed_on(Backend.writer)
    get = _passed_on(Backend.get)
    stream = _passed_on(Backend.stream)
    stat = _passed_on(Backend.stat)
    probe = _passed_on(Backend.probe)
    delete = _passed_on(Backend.delete)
    delete_unseen = _passed_on(Backend.delete_unseen)
    delete_batch = _passed_on(Backend.delete_batch)
    copy = _passed_on(Backend.copy)
    move = _passed_on(Backend.move)
    update = _passed_on(Backend.update)
    scan = _passed_on(Backend.scan)
    sign = _passed_on(Backend.sign)
    sign_form = _passed_on(Backend.sign_form)
    bucket_exists = _passed_on(Backend.bucket_exists)
    is_there = _passed_on(Backend.is_there)
    setup = _passed_on(Backend.setup)
    sweep = _passed_on(Backend.sweep)
    lint = _passed_on(Backend.lint)
    examine = _passed_on(Backend.examine)
    count_outside = _passed_on(Backend.count_outside)

    def _signing_keys(self, *, create: bool = False) -> SigningKeys | None:
        served = servable(self._backend)
        if served is None:
            return None
        if not create:
            return served.signing_keys(create=False)
        return self._run("sign", None, lambda: served.signing_keys(create=True))

    def tally(self, found: Stat) -> Tally | None:
        return self._backend.tally(found)

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return self._backend.classify(exc)

    def explain(self, exc: BaseException) -> str | None:
        return self._backend.explain(exc)

    def close(self) -> None:
        self._backend.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backend!r})"
