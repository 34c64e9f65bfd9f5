"""``cached+SCHEME://…?cache=DIR``: keeps blobs that were read whole in a local directory, and reads them there again.

A cached body is found by the store, the path and the etag, so it is never another version's. Each read asks the store for the
etag, in one request, unless ``cache_trust`` says for how many seconds the last answer holds.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, ClassVar, Final, TypeVar

from storage._backend import Backend, Chunks, Download, Stat, kind_of
from storage._descriptors import FileRange
from storage._retry import Retries, Timeout
from storage._urls import StorageURL
from storage.backends._wrapper import Wrapper, open_inner
from storage.exceptions import ConfigurationError, PreconditionFailedError

__all__ = ["CachedBackend", "create"]

T = TypeVar("T")

_OWN: Final = ("cache", "cache_size", "cache_trust")
_GIB: Final = 1024**3
_REMEMBERED: Final = 10_000  # etags that are held for cache_trust
_TEMPORARY: Final = ".new-"
_LEFT_OVER: Final = 3600.0  # seconds after which a temporary file counts as left over


def create(
    url: StorageURL, *, auth: Any = None, retries: Retries | None = None, timeout: Timeout | None = None
) -> CachedBackend:
    """The backend of the URL behind ``cached+``, read through a directory.

    Raises:
        ConfigurationError: no ``cache=DIR``, a relative one, or a size or time that is no number.
    """
    given = url.without(*(set(url.query) - set(_OWN))).options(cache=str, cache_size=int, cache_trust=float)
    directory, size, trust = (given[name] for name in _OWN)
    if directory is None or not os.path.isabs(directory):
        raise ConfigurationError(f"{url}: say where the cache is: cache=/absolute/directory")
    if size is not None and size < 1:
        raise ConfigurationError(f"{url}: cache_size={size}: use bytes, 1 or more")
    if trust is not None and not 0 <= trust < float("inf"):
        raise ConfigurationError(f"{url}: cache_trust={trust}: use seconds, 0 or more")
    inner = open_inner(url, _OWN, auth=auth, retries=retries, timeout=timeout)
    return CachedBackend(inner, directory, size or _GIB, trust or 0.0)


class CachedBackend(Wrapper):
    """Another backend, whose whole blobs are kept in a directory when they are read.

    Args:
        backend: where the blobs are.
        directory: where their copies are; made when it is needed. Many processes and stores may share it.
        size: bytes; what was not read for the longest time goes when there are more.
        trust: seconds for which a blob that was looked at is taken to be the same.
    """

    scheme: ClassVar[str] = "cached"

    def __init__(self, backend: Backend, directory: str, size: int = _GIB, trust: float = 0.0) -> None:
        super().__init__(backend)
        # Ranges are not kept, so a large blob comes in one stream.
        self.parallel_from: int | None = None
        self.inline = False
        self._bodies = _Bodies(directory, size)
        self._trust = trust
        self._known: dict[str, tuple[Stat, float]] = {}  # each with the time.monotonic() until which it holds

    def _run(self, method: str, path: str | None, function: Callable[[], T]) -> T:
        if method not in ("get", "stream", "stat", "probe", "scan", "sign", "sign_form"):
            self._known.clear()  # whatever this process changes it sees at once
        return super()._run(method, path, function)

    def _current(self, path: str, if_match: str | None) -> Stat:
        """The blob as it is now, or as it was at most ``cache_trust`` seconds ago."""
        known = self._known.get(path)
        if known is not None and known[1] >= time.monotonic() and if_match in (None, known[0].etag):
            return known[0]
        stat = self._backend.stat(path)
        if self._trust:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[path] = (stat, time.monotonic() + self._trust)
        if if_match not in (None, stat.etag):
            raise PreconditionFailedError
        return stat

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        stat = self._current(path, if_match)
        name = self._name(path, stat)
        begin, stop = _bounds(start, end, stat.size)
        data = self._bodies.read(name, stat.size, begin, stop)
        if data is not None:
            return data
        whole = (begin, stop) == (0, stat.size)
        try:
            data = super().get(path, *((0, None) if whole else (start, end)), stat.etag)
        except Exception as exc:
            if if_match is None and self._is_other_version(exc):
                return super().get(path, start, end)  # replaced since it was looked at
            raise
        if whole:
            with closing(_New(self._bodies, name, stat.size)) as body:
                body.write(data)
                body.close(keep=True)
        return data

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        stat = self._current(path, if_match)
        name = self._name(path, stat)
        begin, stop = _bounds(start, end, stat.size)
        fd = self._bodies.open(name, stat.size)
        if fd is not None:
            return Download(stat, FileRange(fd, begin, stop))
        try:
            found = super().stream(path, start, end, stat.etag)
        except Exception as exc:
            if if_match is None and self._is_other_version(exc):
                return super().stream(path, start, end)
            raise
        if (begin, stop) != (0, stat.size):
            return found
        return Download(found.stat, _Kept(found.chunks, _New(self._bodies, name, stat.size)))

    def _is_other_version(self, exc: Exception) -> bool:
        return issubclass(kind_of(exc, self._backend) or Exception, PreconditionFailedError)

    def _name(self, path: str, stat: Stat) -> str:
        parts = (self.location, path, stat.etag)
        return hashlib.sha256(
            "\0".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")
        ).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedBackend, (self._backend, self._bodies.directory, self._bodies.size, self._trust)


def _bounds(start: int, end: int | None, size: int) -> tuple[int, int]:
    begin, stop, _ = slice(start, end).indices(size)
    return begin, max(begin, stop)


class _Bodies:
    """The directory of the cache: one file a body, named by a hash, that appears whole or not at all.

    A body's time of change is the time of its last use.
    """

    def __init__(self, directory: str, size: int) -> None:
        self.directory, self.size = directory, size
        self._lock = threading.Lock()
        self._added = size  # so that the first new body looks at what is there

    def path(self, name: str) -> str:
        """Where a body is, or is to be."""
        return os.path.join(self.directory, name[:2], name)

    def open(self, name: str, size: int) -> int | None:
        """A descriptor of a body of ``size`` bytes; ``None``: it is not here."""
        try:
            fd = os.open(self.path(name), os.O_RDONLY)
        except OSError:
            return None  # a cache that cannot be read is none
        if os.fstat(fd).st_size != size:
            os.close(fd)
            return None
        with suppress(OSError):
            os.utime(self.path(name))
        return fd

    def read(self, name: str, size: int, begin: int, end: int) -> bytes | None:
        """A part of a body; ``None``: it is not here."""
        fd = self.open(name, size)
        data = None if fd is None else b"".join(FileRange(fd, begin, end))
        return data if data is not None and len(data) == end - begin else None

    def added(self, size: int) -> None:
        """Makes room from time to time, when a sixteenth of the cache is new."""
        with self._lock:
            self._added += size
            if self._added < self.size // 16:
                return
            self._added = 0
        self._make_room()

    def _make_room(self) -> None:
        found, total, now = [], 0, time.time()
        for folder, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(folder, name)
                with suppress(OSError):
                    st = os.stat(path, follow_symlinks=False)
                    if name.startswith(_TEMPORARY):
                        if now - st.st_mtime > _LEFT_OVER:
                            os.unlink(path)
                        continue
                    found.append((st.st_mtime, st.st_size, path))
                    total += st.st_size
        for _, size, path in sorted(found):
            if total <= self.size * 0.9:
                return
            with suppress(OSError):
                os.unlink(path)
            total -= size


class _New:
    """A body that is being written. What goes wrong with the cache's own disk only means that nothing is kept."""

    def __init__(self, bodies: _Bodies, name: str, size: int) -> None:
        self._bodies, self._path, self._left, self._size = bodies, bodies.path(name), size, size
        self._fd: int | None = None
        if size > bodies.size:
            return
        folder = os.path.dirname(self._path)
        self._temporary = os.path.join(folder, _TEMPORARY + os.urandom(8).hex())
        with suppress(OSError):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._left -= len(data)
        if self._fd is None:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self.close()

    def close(self, *, keep: bool = False) -> None:
        """Keeps the body, if all of it was written, or drops it. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            if keep and self._left == 0:
                os.fsync(fd)  # else a crash could leave a body of zeros under a good name
                os.rename(self._temporary, self._path)
                self._bodies.added(self._size)
        except OSError:
            pass
        finally:
            os.close(fd)
            with suppress(OSError):
                os.unlink(self._temporary)


class _Kept:
    """The bytes of a blob as they come from the store, written to the cache on the way."""

    def __init__(self, chunks: Chunks, body: _New) -> None:
        self._chunks, self._body = chunks, body
        self._iterator = iter(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            data = next(self._iterator)
        except BaseException as exc:
            self._body.close(keep=isinstance(exc, StopIteration))
            raise
        self._body.write(data)
        return data

    def close(self) -> None:
        self._body.close()
        self._chunks.close()

    def __del__(self) -> None:
        self._body.close()
