"""A backend that passes every call on to another and remembers its name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from storage import SignedRequest
from storage._backend import servable
from storage.backends import Backend, Download, PutOptions, Setup, SigningKeys, SignOptions, Stat, Writer
from storage.exceptions import StorageError

__all__ = ["Spy"]


class Spy(Backend):
    """``backend``, watched.

    Args:
        backend: what answers.
        before: called with each call's name before it is passed on; what it raises is what the call raises.
    """

    scheme: ClassVar[str] = "spy"

    def __init__(self, backend: Backend, before: Callable[[str], object] | None = None) -> None:
        self.calls: list[str] = []
        self._backend = backend
        self._before = before
        self._lock = threading.Lock()
        self.concurrency = backend.concurrency
        self.batch_size = backend.batch_size
        self.chunk_size = backend.chunk_size
        self.parallel_from = backend.parallel_from
        self.private = backend.private
        self.volatile = backend.volatile
        served = servable(backend)
        if served is not None:  # the facade signs with its keys
            self.signing_keys = self._signing_keys
            self.serve_url, self.cors_origins = served.serve_url, served.cors_origins

    def _watched(self, name: str) -> Backend:
        with self._lock:
            self.calls.append(name)
        if self._before is not None:
            self._before(name)
        return self._backend

    @property
    def client(self) -> Any:
        return self._backend.client

    @property
    def location(self) -> str:
        return self._backend.location

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        return self._watched("put").put(path, data, options)

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> Writer:
        return self._watched("writer").writer(path, options, size)

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        return self._watched("get").get(path, start, end, if_match)

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        return self._watched("stream").stream(path, start, end, if_match)

    def stat(self, path: str) -> Stat:
        return self._watched("stat").stat(path)

    def delete(self, path: str) -> None:
        self._watched("delete").delete(path)

    def copy(self, source: str, target: str, *, overwrite: bool) -> Stat:
        return self._watched("copy").copy(source, target, overwrite=overwrite)

    def scan(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        detail: bool = False,
        delimiter: bool = False,
        page_size: int = 1000,
    ) -> Iterator[Iterable[tuple[str, Stat | None]]]:
        pages = self._watched("scan").scan(
            prefix, start_after=start_after, detail=detail, delimiter=delimiter, page_size=page_size
        )
        for page in pages:
            with self._lock:
                self.calls.append("page")
            yield page

    def _signing_keys(self, *, create: bool = False) -> SigningKeys | None:
        served = servable(self._watched("sign") if create else self._backend)
        return None if served is None else served.signing_keys(create=create)

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        return self._watched("sign").sign(path, options)

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return self._backend.classify(exc)

    def bucket_exists(self) -> bool:
        return self._watched("bucket_exists").bucket_exists()

    def setup(self, wanted: Setup) -> Sequence[str]:
        return self._watched("setup").setup(wanted)
