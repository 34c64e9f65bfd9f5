"""``memory://``: blobs in a dictionary of this process. Also the simplest example of a backend.

Every change is made under one lock. The bytes of a blob and its ``Stat`` are one immutable pair, so that a reader needs no
lock to see one whole version.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator
from datetime import datetime, timezone
from typing import Any, ClassVar

from storage._backend import Backend, Changes, Download, PutOptions, Servable, Setup, SigningKeys, Stat
from storage._fork import forks
from storage._retry import Retries, Timeout
from storage._urls import StorageURL
from storage.exceptions import (
    AlreadyExistsError,
    NotFoundError,
    PreconditionFailedError,
    StorageError,
    UnsupportedOperationError,
)

__all__ = ["MemoryBackend", "create"]

_UTC = timezone.utc
_now = datetime.now
_tuple = tuple.__new__
_named: dict[str, MemoryBackend] = {}


def create(
    url: StorageURL, *, auth: Any = None, retries: Retries | None = None, timeout: Timeout | None = None
) -> MemoryBackend:
    """Open ``memory://`` (a new private store) or ``memory://NAME`` (one store for each name in the process).

    ``auth``, ``retries`` and ``timeout`` are accepted, as for every scheme, and not used.
    """
    del auth, retries, timeout
    url.options(keys=("raw",))
    if not url.bucket:
        return MemoryBackend()
    # Of threads that come first at once, all get what one of them has made.
    return _named.get(url.bucket) or _named.setdefault(url.bucket, MemoryBackend(url.bucket))


class MemoryBackend(Backend, Servable):
    """A bucket in memory. Linearizable under threads.

    It belongs to its process: a child after ``fork`` has a copy of its own, and a process that was spawned finds
    ``memory://NAME`` empty. ``close`` gives nothing back, so a store goes on answering after it.
    """

    scheme: ClassVar[str] = "memory"
    inline = True
    volatile = True
    serve_url: str | None = None
    cors_origins: tuple[str, ...] = ()

    def __init__(self, name: str = "") -> None:
        self._name = name
        self.private: bool = not name
        self._blobs: dict[str, tuple[bytes, Stat]] = {}
        # Sorted paths, made when a listing wants them, and good until a path comes or goes.
        self._sorted: list[str] | None = None
        self._lock = threading.Lock()
        self._versions = itertools.count(1)
        self._signing_keys = SigningKeys.new()
        forks.watch(self)

    def forked(self) -> None:
        """In a child: a lock that another thread of the parent held would stay locked for ever."""
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        return f"memory://{self._name}"

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        content_type, cache_control, content_encoding, metadata, overwrite, if_match = options
        with self._lock:
            old = self._blobs.get(path)
            if old is None:
                if if_match is not None:
                    raise PreconditionFailedError
                self._sorted = None
            elif not overwrite:
                raise AlreadyExistsError
            elif if_match is not None and if_match != old[1].etag:
                raise PreconditionFailedError
            version = str(next(self._versions))
            # Stat(…) costs three times as much, in the hottest line there is.
            stat = _tuple(
                Stat, (len(data), version, _now(_UTC), content_type, cache_control, content_encoding, metadata)
            )
            self._blobs[path] = (data, stat)
        return stat

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> _MemoryWriter:
        del size
        return _MemoryWriter(self, path, options)

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        data, _ = self._find(path, if_match)
        return data if start == 0 and end is None else data[start:end]

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        data, stat = self._find(path, if_match)
        return Download(stat, _in_one_piece(data[start:end]))

    def stat(self, path: str) -> Stat:
        return self._find(path)[1]

    def probe(self, path: str) -> None:
        if path not in self._blobs:
            raise NotFoundError

    def _find(self, path: str, if_match: str | None = None) -> tuple[bytes, Stat]:
        """The blob at ``path``, of the version ``if_match`` if that is given."""
        try:
            found = self._blobs[path]
        except KeyError:
            raise NotFoundError from None
        if if_match is not None and if_match != found[1].etag:
            raise PreconditionFailedError
        return found

    def delete(self, path: str, *, if_match: str | None = None) -> None:
        with self._lock:
            if if_match is not None:
                self._find(path, if_match)
            if self._blobs.pop(path, None) is None:
                raise NotFoundError
            self._sorted = None

    def copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        return self._copy(source, target, overwrite=overwrite, if_match=if_match, keep=True)

    def move(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        return self._copy(source, target, overwrite=overwrite, if_match=if_match, keep=False)

    def _copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None, keep: bool) -> Stat:
        with self._lock:
            data, stat = self._find(source, if_match)
            if not overwrite and target in self._blobs:
                raise AlreadyExistsError
            stat = stat._replace(etag=str(next(self._versions)), last_modified=_now(_UTC))
            self._blobs[target] = (data, stat)
            if not keep:
                del self._blobs[source]
            self._sorted = None
        return stat

    def update(self, path: str, changes: Changes, *, if_match: str | None = None) -> Stat:
        with self._lock:
            data, stat = self._find(path, if_match)
            # The bytes stay, and so does their etag.
            stat = stat._replace(**{name: value for name, value in changes._asdict().items() if value is not None})
            self._blobs[path] = (data, stat)
        return stat

    def scan(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        end_before: str | None = None,
        detail: bool = False,
        delimiter: bool = False,
        page_size: int = 1000,
    ) -> Iterator[list[tuple[str, Stat | None]]]:
        position = start_after
        while True:
            page, position = self._page(prefix, position, end_before, page_size, delimiter=delimiter)
            if page:
                # As a listing of a service, this tells no headers and no metadata.
                yield [(path, Stat(*stat[:3]) if detail and stat else None) for path, stat in page]
            if position is None:
                return

    def _page(
        self, prefix: str, after: str | None, end_before: str | None, page_size: int, *, delimiter: bool
    ) -> tuple[list[tuple[str, Stat | None]], str | None]:
        """The page after the path ``after``, and where the next page begins (``None``: there is none)."""
        page: list[tuple[str, Stat | None]] = []
        with self._lock:
            paths = self._sorted
            if paths is None:
                # Python sorts text by code point, which is the order of its UTF-8 bytes.
                paths = self._sorted = sorted(self._blobs)
            index = bisect_left(paths, prefix)
            if after is not None:
                index = max(index, bisect_right(paths, after))
            while index < len(paths) and len(page) < page_size:
                path = paths[index]
                slash = path.find("/", len(prefix)) if delimiter else -1
                folder = path[: slash + 1]  # "" if the path is not below one
                if not path.startswith(prefix) or (end_before is not None and (folder or path) >= end_before):
                    return page, None
                if not folder:
                    page.append((path, self._blobs[path][1]))
                    after = path
                    index += 1
                    continue
                # "0" follows "/", so this is the first path that is not in the folder.
                index = bisect_left(paths, folder[:-1] + "0", lo=index)
                if after is None or not after.startswith(folder):
                    page.append((folder, None))
                after = paths[index - 1]
            return page, after if index < len(paths) else None

    def signing_keys(self, *, create: bool = False) -> SigningKeys:
        """They exist as long as this object."""
        del create
        return self._signing_keys

    def setup(self, wanted: Setup) -> list[str]:
        if wanted.tmp_days is not None:
            raise UnsupportedOperationError(
                f"{self.location} ends with its process, so its blobs cannot expire after days"
            )
        if wanted.cors_origins is None or wanted.cors_origins == self.cors_origins:
            return []
        self.cors_origins = wanted.cors_origins
        return [f"CORS: {', '.join(wanted.cors_origins) or 'no origin'} may use signed URLs"]

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        # A dictionary raises nothing of its own: what is raised here is ours already.
        return type(exc) if isinstance(exc, StorageError) else None

    def bucket_exists(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"MemoryBackend({self._name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.private:
            raise TypeError("a private memory:// store cannot be pickled; give it a name, as in memory://NAME")
        return create, (StorageURL("memory", self._name, "", {}),)


class _MemoryWriter:
    """Collects the pieces of a blob, and stores them at ``commit``."""

    def __init__(self, backend: MemoryBackend, path: str, options: PutOptions) -> None:
        self._backend, self._path, self._options = backend, path, options
        self._data = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self._data += data

    def commit(self) -> Stat:
        return self._backend.put(self._path, bytes(self._data), self._options)

    def abort(self) -> None:
        self._data = bytearray()


def _in_one_piece(data: bytes) -> Generator[bytes, None, None]:
    yield data
