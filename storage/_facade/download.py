"""Downloads a blob to a file: a large one in parallel ranges, in bounded memory."""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from queue import SimpleQueue
from typing import Any, BinaryIO

from storage import _stop
from storage._backend import Backend, Chunks, Stat
from storage._threads import Pool, Task, next_of
from storage.exceptions import IntegrityError, PreconditionFailedError

RANGE_SIZE = 8 * 1024 * 1024
"""Bytes of a range of a parallel download."""

RANGES_IN_FLIGHT = 10
"""Ranges that come down at once."""

# A file that has to be written in order holds the ranges that come too early: this many at most.
_RANGES_AHEAD = 5


class CallerFault(Exception):  # noqa: N818 (it is carried, never raised to a user)
    """Carries an exception of the caller's own file or callback past the backend's error mapping, which must not see it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Sink:
    """The caller's file and progress callback, whose own errors are carried as :class:`CallerFault`.

    ``descriptor``: that of ``file`` where it is a new, empty, regular file, which may be written in any order.
    """

    def __init__(
        self, file: Any, progress: Callable[[int], object] | None = None, *, descriptor: int | None = None
    ) -> None:
        self._file = file
        self.progress = progress
        self.descriptor = descriptor

    @classmethod
    def new_file(cls, file: BinaryIO, progress: Callable[[int], object] | None = None) -> Sink:
        """For a file that nobody else has open; if it is a regular one it may be written in any order."""
        descriptor = file.fileno()
        return cls(file, progress, descriptor=descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None)

    def write(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                written = self._file.write(view)
                # A raw file may take less than it was given; one of the caller's own may not say.
                view = view[written:] if isinstance(written, int) else view[:0]
        except BaseException as exc:
            raise CallerFault(exc) from exc
        self.moved(len(data))

    def write_at(self, offset: int, data: bytes) -> None:
        """Writes bytes at their place in ``descriptor``, without ``progress``; from any thread."""
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(-1 if self.descriptor is None else self.descriptor, view, offset)
                offset += written
                view = view[written:]
        except BaseException as exc:
            raise CallerFault(exc) from exc

    def moved(self, count: int) -> None:
        if self.progress is not None:
            try:
                self.progress(count)
            except BaseException as exc:
                raise CallerFault(exc) from exc


def download(backend: Backend, path: str, sink: Sink) -> Stat:
    """Writes the blob at ``path`` to ``sink``, all of one version, and returns its ``Stat``.

    A large one comes in parallel ranges, each asked for with the etag of the first answer.

    Raises:
        IntegrityError: more or fewer bytes came than were asked for.
        PreconditionFailedError: bytes of another version came.
    """
    found, chunks = backend.stream(path)
    with closing(chunks):
        if backend.parallel_from is None or found.size < backend.parallel_from or found.size <= RANGE_SIZE:
            for chunk in exactly(chunks, found.size):
                _stop.check()
                sink.write(chunk)
        elif sink.descriptor is not None:
            _Scatter(backend, path, found, sink).run(chunks)
        else:
            _in_order(backend, path, found, sink, chunks)
    _stop.check()  # what was not wanted is not published
    return found


def exactly(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """``chunks``; ``IntegrityError`` unless they have ``size`` bytes in all."""
    count = 0
    for chunk in chunks:
        count += len(chunk)
        if count > size:
            raise _wrong_length(size, f"more than {size:,} bytes came")
        yield chunk
    if count != size:
        raise _wrong_length(size, f"{count:,} bytes came")


def whole_range(data: bytes, size: int) -> bytes:
    """``data``; ``IntegrityError`` unless it has ``size`` bytes."""
    if len(data) != size:
        raise _wrong_length(size, f"{len(data):,} bytes came")
    return data


def _wrong_length(size: int, what: str) -> IntegrityError:
    return IntegrityError(f"{what} where {size:,} were asked for; try again, and check proxies and gateways on the way")


def _beginning(chunks: Iterable[bytes], end: int, size: int) -> Iterator[bytes]:
    """A stream of ``size`` bytes up to ``end``, and no more: the service reads ahead for a stream what others ask for, too."""
    count = 0
    for chunk in chunks:
        piece = chunk[: end - count]
        count += len(piece)
        yield piece
        if count == end:
            return
    raise _wrong_length(size, f"{count:,} bytes came")


def _in_order(backend: Backend, path: str, found: Stat, sink: Sink, chunks: Iterator[bytes]) -> None:
    """For a file that must be written from front to back: some ranges ahead, held until it is their turn."""
    starts = iter(range(RANGE_SIZE, found.size, RANGE_SIZE))
    verifier = backend.checksum_verifier(found)
    ahead: deque[Task[tuple[int, bytes]]] = deque()

    def fetch(start: int) -> tuple[int, bytes]:
        end = min(start + RANGE_SIZE, found.size)
        return start, whole_range(backend.get(path, start, end, found.etag), end - start)

    def ask(count: int) -> None:
        ahead.extend(pool.submit(fetch, start) for start in islice(starts, count))

    def take(position: int, data: bytes) -> None:
        _stop.check()
        if verifier is not None:
            verifier.add(position, data)
        sink.write(data)

    with Pool(_RANGES_AHEAD, "storage-range") as pool:
        ask(_RANGES_AHEAD)
        position = 0
        for piece in _beginning(chunks, RANGE_SIZE, found.size):  # of the stream that is open already
            take(position, piece)
            position += len(piece)
        while ahead:
            take(*ahead.popleft().result())
            ask(1)
    if verifier is not None:
        verifier.check()


class _Scatter:
    """Writes ranges at their places: the first one comes from the stream that is open already."""

    def __init__(self, backend: Backend, path: str, found: Stat, sink: Sink) -> None:
        self._backend, self._path, self._found, self._sink = backend, path, found, sink
        self._position = 0  # where the next range begins
        self._workers = min(RANGES_IN_FLIGHT, -(-found.size // RANGE_SIZE))
        self._lock = threading.Lock()
        self._verifier = backend.checksum_verifier(found)
        self._moved = 0
        # The bytes of each piece, where there is a `progress`; and for each worker that has ended, its exception or `None`.
        self._news: SimpleQueue[int | BaseException | None] = SimpleQueue()

    def run(self, chunks: Chunks) -> None:
        running = self._workers
        _, end = self._take() or (0, 0)
        with Pool(running, "storage-range") as pool:
            pool.submit(self._work, chunks, end)
            for _ in range(1, running):
                pool.submit(self._work)
            while running:
                news = next_of(self._news)
                if isinstance(news, int):
                    self._sink.moved(news)
                elif news is None:
                    running -= 1
                else:
                    raise news
        if self._moved != self._found.size:
            raise _wrong_length(self._found.size, f"{self._moved:,} bytes came")
        if self._verifier is not None:
            self._verifier.check()

    def _work(self, chunks: Chunks | None = None, end: int = 0) -> None:
        """Takes ranges until none is left, the first of them from ``chunks``, if they are given."""
        try:
            if chunks is not None:
                with closing(chunks):
                    self._write(0, _beginning(chunks, end, self._found.size))
            while (taken := self._take()) is not None:
                self._fetch(*taken)
        except BaseException as exc:
            self._news.put(exc)
        else:
            self._news.put(None)

    def _fetch(self, position: int, end: int) -> None:
        stat, chunks = self._backend.stream(self._path, position, end, self._found.etag)
        with closing(chunks):
            if stat.etag != self._found.etag:
                raise PreconditionFailedError
            self._write(position, exactly(chunks, end - position))

    def _take(self) -> tuple[int, int] | None:
        """The next range, begin and end; ``None``: all are taken."""
        with self._lock:
            begin, left = self._position, self._found.size - self._position
            if not left:
                return None
            size = min(left, RANGE_SIZE)
            if self._found.size > RANGE_SIZE * self._workers:
                # The last ones are smaller, so that no worker has a long one left when the others have ended.
                size = min(size, max(left // self._workers, RANGE_SIZE // 4))
            self._position += size
        return begin, begin + size

    def _write(self, position: int, chunks: Iterable[bytes]) -> None:
        for chunk in filter(None, chunks):
            _stop.check()
            if self._verifier is not None:
                self._verifier.add(position, chunk)
            self._sink.write_at(position, chunk)
            position += len(chunk)
            with self._lock:
                self._moved += len(chunk)
            if self._sink.progress is not None:  # each time wakes the caller's thread
                self._news.put(len(chunk))
