"""The base of backends that wrap another backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from storage._backend import (
    Backend,
    Changes,
    ChecksumVerifier,
    Download,
    FormOptions,
    PutOptions,
    Setup,
    SigningKeys,
    SignOptions,
    Stat,
    Writer,
    servable,
)
from storage._retry import Retries, Timeout
from storage._types import SignedForm, SignedRequest
from storage._urls import StorageURL, factory_for
from storage.exceptions import StorageError

T = TypeVar("T")


def open_inner(
    url: StorageURL, own: Sequence[str], *, auth: Any, retries: Retries | None, timeout: Timeout | None
) -> Backend:
    """The backend of ``NAME+SCHEME://…``: that of ``SCHEME://…``, without the query parameters that are the wrapper's own."""
    inner = url.without(*own).__replace__(scheme=url.scheme.partition("+")[2])
    return factory_for(inner.scheme)(inner, auth=auth, retries=retries, timeout=timeout)


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

    # ---- one blob ----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        return self._run("put", path, lambda: self._backend.put(path, data, options))

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> Writer:
        return self._run("writer", path, lambda: self._backend.writer(path, options, size))

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        return self._run("get", path, lambda: self._backend.get(path, start, end, if_match))

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        return self._run("stream", path, lambda: self._backend.stream(path, start, end, if_match))

    def checksum_verifier(self, found: Stat) -> ChecksumVerifier | None:
        return self._backend.checksum_verifier(found)

    def stat(self, path: str) -> Stat:
        return self._run("stat", path, lambda: self._backend.stat(path))

    def probe(self, path: str) -> object:
        return self._run("probe", path, lambda: self._backend.probe(path))

    def delete(self, path: str, *, if_match: str | None = None) -> None:
        return self._run("delete", path, lambda: self._backend.delete(path, if_match=if_match))

    def delete_unseen(self, path: str, etag: str) -> None:
        return self._run("delete", path, lambda: self._backend.delete_unseen(path, etag))

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        return self._run("delete_batch", None, lambda: self._backend.delete_batch(paths))

    def copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        return self._run(
            "copy", source, lambda: self._backend.copy(source, target, overwrite=overwrite, if_match=if_match)
        )

    def move(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        return self._run(
            "move", source, lambda: self._backend.move(source, target, overwrite=overwrite, if_match=if_match)
        )

    def update(self, path: str, changes: Changes, *, if_match: str | None = None) -> Stat:
        return self._run("update", path, lambda: self._backend.update(path, changes, if_match=if_match))

    # ---- listing, signing --------------------------------------------------------------------------------------

    def scan(self, prefix: str, **options: Any) -> Iterator[Iterable[tuple[str, Stat | None]]]:
        return self._run("scan", prefix, lambda: self._backend.scan(prefix, **options))

    def _signing_keys(self, *, create: bool = False) -> SigningKeys | None:
        served = servable(self._backend)
        if served is None:
            return None
        if not create:
            return served.signing_keys(create=False)
        return self._run("sign", None, lambda: served.signing_keys(create=True))

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        return self._run("sign", path, lambda: self._backend.sign(path, options))

    def sign_form(self, path: str, options: FormOptions) -> SignedForm:
        return self._run("sign_form", path, lambda: self._backend.sign_form(path, options))

    # ---- errors, the bucket itself -----------------------------------------------------------------------------

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return self._backend.classify(exc)

    def explain(self, exc: BaseException) -> str | None:
        return self._backend.explain(exc)

    def bucket_exists(self) -> bool:
        return self._run("bucket_exists", None, self._backend.bucket_exists)

    def bucket_exists_now(self) -> bool:
        return self._run("bucket_exists_now", None, self._backend.bucket_exists_now)

    def setup(self, wanted: Setup) -> Sequence[str]:
        return self._run("setup", None, lambda: self._backend.setup(wanted))

    def sweep(self, prefixes: Sequence[str] = ("",)) -> Sequence[str]:
        return self._run("sweep", None, lambda: self._backend.sweep(prefixes))

    def find_foreign_names(self, prefix: str) -> Sequence[str]:
        return self._run("find_foreign_names", prefix, lambda: self._backend.find_foreign_names(prefix))

    def find_problems(self) -> Sequence[str]:
        return self._run("find_problems", None, self._backend.find_problems)

    def count_outside(self, prefixes: Sequence[str], most: int | None = None) -> int:
        return self._run("count_outside", None, lambda: self._backend.count_outside(prefixes, most))

    def close(self) -> None:
        self._backend.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backend!r})"
