"""Moving the bytes of one large blob: parallel parts up, parallel ranges down, in bounded memory.

Drivers use the upper half (:class:`PartWriter`), the facade the lower one (:func:`download`).
"""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Protocol, TypeVar

from storage.backends import Backend, Stat
from storage.backends._protocol import Tally
from storage.exceptions import IntegrityError

if TYPE_CHECKING:  # 5 ms, which only large blobs pay for
    from concurrent.futures import Future

    from storage._threads import Pool

__all__ = ["PART_SIZE", "RANGE_SIZE", "CallerFault", "PartWriter", "Parts", "Sink", "download"]

T = TypeVar("T")

_MIB = 1024 * 1024

PART_SIZE = 5 * _MIB
"""Bytes of a part of an upload: the least that S3 allows, so that many of them fit into little memory."""

PARTS_IN_FLIGHT = 10
"""Parts that go up at once, as many as boto3's transfer manager sends: an upload holds 50 MiB of them."""

# S3 takes 10,000 parts. Parts are equally long (some servers insist) until a stream turns out to be huge, then they double.
_MAX_PARTS = 10_000
_PARTS_OF_A_SIZE = 1000

RANGE_SIZE = 8 * _MIB
"""Bytes of a range of a parallel download."""

RANGES_IN_FLIGHT = 10
"""Ranges that come down at once."""

# A file that has to be written in order holds the ranges that come too early: this many at most.
_RANGES_AHEAD = 5


# ---- up ----------------------------------------------------------------------------------------------------------------


class Parts(Protocol[T]):
    """One upload in parts, as a driver does it. Each method has retried what the caller allows when it raises."""

    def whole(self, data: bytes) -> Stat:
        """Stores ``data`` as the whole blob, in one request; then nothing else is called."""

    def start(self) -> None:
        """Begins an upload in parts."""

    def part(self, number: int, data: bytes) -> T:
        """Sends part ``number`` (from 1) and returns what ``finish`` needs. Called from several threads at once."""

    def finish(self, parts: Sequence[T], size: int) -> Stat:
        """Publishes the parts, in order, ``size`` bytes in all."""

    def cancel(self) -> None:
        """Forgets the upload and every part of it. Does not raise. No call of ``part`` is under way."""


class PartWriter(Generic[T]):
    """A :class:`storage.backends.Writer` that sends parts in parallel while more is written.

    Args:
        parts: how the driver does it.
        size: how many bytes will probably come, if that is known.
        part_size: bytes of a part; made larger where ``size`` needs more than 10,000 of them.
        in_flight: parts on their way at once; fewer where parts are larger than usual.
        max_parts: as many as the service takes.
    """

    def __init__(
        self,
        parts: Parts[T],
        size: int | None = None,
        *,
        part_size: int = PART_SIZE,
        in_flight: int = PARTS_IN_FLIGHT,
        max_parts: int = _MAX_PARTS,
    ) -> None:
        self._parts = parts
        self._budget = part_size * in_flight
        self._in_flight = in_flight
        self._expected = size or 0
        least = -(-self._expected // max_parts)
        self._part_size = part_size if least <= part_size else -(-least // _MIB) * _MIB
        self._buffer = bytearray()
        self._size = 0
        self._pool: Pool | None = None
        self._sent: list[Future[T]] = []
        self._pending: set[Future[T]] = set()

    def write(self, data: bytes | memoryview) -> None:
        """Takes the next bytes; waits while as many parts as allowed are on their way; raises what a part met."""
        if not self._buffer and isinstance(data, bytes) and len(data) == self._part_size:
            self._send(data)  # the facade's usual piece: nothing to copy
            return
        with memoryview(data) as view:
            position = 0
            while position < len(view):
                piece = view[position : position + self._part_size - len(self._buffer)]
                self._buffer += piece
                position += len(piece)
                if len(self._buffer) == self._part_size:
                    self._flush()

    def commit(self) -> Stat:
        """Sends what is left and publishes the blob."""
        if self._pool is None:
            return self._parts.whole(bytes(self._buffer))
        if self._buffer:
            self._flush()
        try:
            results = [future.result() for future in self._sent]
        finally:
            self._join()
        return self._parts.finish(results, self._size)

    def abort(self) -> None:
        """Ends what is under way and forgets the upload."""
        self._buffer = bytearray()
        if self._pool is not None:
            self._join()
            self._parts.cancel()

    def _flush(self) -> None:
        data = bytes(self._buffer)
        self._buffer = bytearray()
        self._send(data)

    def _send(self, data: bytes) -> None:
        from concurrent.futures import FIRST_COMPLETED, wait

        from storage._threads import Pool

        if self._pool is None:
            self._parts.start()
            self._pool = Pool(self._in_flight, "storage-part")
        future = self._pool.submit(self._parts.part, len(self._sent) + 1, data)
        self._sent.append(future)
        self._pending.add(future)
        # Waiting after a part, and not before the next, means that nobody holds that one meanwhile.
        while len(self._pending) >= max(1, min(self._in_flight, self._budget // self._part_size)):
            done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
        self._size += len(data)
        # A stream that is longer than was said, or of unknown length, must not run out of numbers.
        if len(self._sent) % _PARTS_OF_A_SIZE == 0 and self._size > self._expected:
            self._part_size *= 2

    def _join(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pending = set()


# ---- down --------------------------------------------------------------------------------------------------------------


class CallerFault(Exception):  # noqa: N818 (it is carried, never raised to a user)
    """Carries an exception of the caller's own file or callback past the backend's error mapping, which must not see it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Sink:
    """The caller's file and progress callback, whose own errors are carried as :class:`CallerFault`.

    Args:
        file: what to write to, from where it stands.
        progress: called with the number of bytes moved since the last call, in the caller's thread.
        descriptor: that of ``file`` where it is a new, empty, regular file: it may then be written in any order.
    """

    def __init__(
        self, file: Any, progress: Callable[[int], object] | None = None, *, descriptor: int | None = None
    ) -> None:
        self._file = file
        self._progress = progress
        self.descriptor = descriptor

    @classmethod
    def new_file(cls, file: BinaryIO, progress: Callable[[int], object] | None = None) -> Sink:
        """For a file that nobody else has open; if it is a regular one it may be written in any order."""
        descriptor = file.fileno()
        return cls(file, progress, descriptor=descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None)

    def write(self, data: bytes) -> None:
        """Writes the next bytes."""
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
        """Tells ``progress``."""
        if self._progress is not None:
            try:
                self._progress(count)
            except BaseException as exc:
                raise CallerFault(exc) from exc


def download(backend: Backend, path: str, sink: Sink) -> Stat:
    """Writes the blob at ``path`` to ``sink``, all of one version, and returns its ``Stat``.

    A large one comes in parallel ranges, each asked for with the etag of the first answer.
    """
    found, chunks = backend.stream(path)
    try:
        if backend.parallel_from is None or found.size < backend.parallel_from or found.size <= RANGE_SIZE:
            for chunk in chunks:
                sink.write(chunk)
        elif sink.descriptor is not None:
            _Scatter(backend, path, found, sink).run(chunks)
        else:
            _in_order(backend, path, found, sink, chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    return found


def _ranges(size: int, start: int = 0) -> Iterator[tuple[int, int]]:
    for begin in range(start, size, RANGE_SIZE):
        yield begin, min(begin + RANGE_SIZE, size)


def _in_order(backend: Backend, path: str, found: Stat, sink: Sink, chunks: Iterator[bytes]) -> None:
    """For a file that must be written from front to back: some ranges ahead, held until it is their turn."""
    from storage._threads import Pool

    todo = _ranges(found.size, RANGE_SIZE)
    taker = _Taker(sink, backend.tally(found))
    with Pool(_RANGES_AHEAD, "storage-range") as pool:
        ahead: deque[Future[bytes]] = deque()

        def ask() -> None:
            for start, end in todo:
                ahead.append(pool.submit(backend.get, path, start, end, found.etag))
                return

        try:
            for _ in range(_RANGES_AHEAD):
                ask()
            left = RANGE_SIZE
            for chunk in chunks:  # the first range is the beginning of the stream that is open already
                taker.take(chunk[:left])
                left -= len(chunk)
                if left <= 0:
                    break
            while ahead:
                taker.take(ahead.popleft().result())
                ask()
            taker.check()
        finally:
            for future in ahead:
                future.cancel()


class _Taker:
    """Writes bytes in order, and has them checked where something can."""

    def __init__(self, sink: Sink, tally: Tally | None) -> None:
        self._sink, self._tally = sink, tally
        self._position = 0

    def take(self, data: bytes) -> None:
        if self._tally is not None:
            self._tally.add(self._position, data)
        self._position += len(data)
        self._sink.write(data)

    def check(self) -> None:
        if self._tally is not None:
            self._tally.check()


class _Scatter:
    """Writes ranges at their places: the stream that is open already from the front, others from the end, till they meet."""

    def __init__(self, backend: Backend, path: str, found: Stat, sink: Sink) -> None:
        from queue import SimpleQueue  # 2 ms, which only large blobs need

        self._backend, self._path, self._found, self._sink = backend, path, found, sink
        self._todo = deque(_ranges(found.size))
        self._tally = backend.tally(found)
        self._stop = threading.Event()
        # Bytes moved, or what ended a worker: `None` is a good end.
        self._news: SimpleQueue[int | BaseException | None] = SimpleQueue()

    def run(self, chunks: Iterator[bytes]) -> None:
        from storage._threads import Pool

        running, moved = min(RANGES_IN_FLIGHT, len(self._todo)), 0
        pool = Pool(running, "storage-range")
        try:
            pool.submit(self._work, self._front, chunks)
            for _ in range(1, running):
                pool.submit(self._work, self._back)
            while running:
                news = self._news.get()
                if isinstance(news, int):
                    moved += news
                    self._sink.moved(news)
                elif news is None:
                    running -= 1
                else:
                    raise news
            if moved != self._found.size:
                raise IntegrityError(f"{moved} bytes came, but the blob has {self._found.size}; try again")
            if self._tally is not None:
                self._tally.check()
        finally:
            self._stop.set()
            pool.shutdown()

    def _work(self, serve: Callable[..., None], *args: Any) -> None:
        try:
            serve(*args)
        except BaseException as exc:
            self._news.put(exc)
        else:
            self._news.put(None)

    def _front(self, chunks: Iterator[bytes]) -> None:
        position = end = 0
        for chunk in chunks:
            while position + len(chunk) > end:
                taken = self._take(front=True)
                if taken is None:  # the rest is with the others
                    self._write(position, chunk[: end - position])
                    return
                end = taken[1]
            self._write(position, chunk)
            position += len(chunk)
            if self._stop.is_set():
                return

    def _back(self) -> None:
        while (taken := self._take(front=False)) is not None:
            position, end = taken
            download = self._backend.stream(self._path, position, end, self._found.etag)
            try:
                for chunk in download.chunks:
                    self._write(position, chunk)
                    position += len(chunk)
                    if self._stop.is_set():
                        return
            finally:
                close = getattr(download.chunks, "close", None)
                if close is not None:
                    close()

    def _take(self, *, front: bool) -> tuple[int, int] | None:
        if self._stop.is_set():
            return None
        try:
            return self._todo.popleft() if front else self._todo.pop()
        except IndexError:
            return None

    def _write(self, position: int, chunk: bytes) -> None:
        if chunk:
            if self._tally is not None:
                self._tally.add(position, chunk)
            self._sink.write_at(position, chunk)
            self._news.put(len(chunk))
