"""Uploads a blob in parallel parts, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from storage import _stop
from storage._backend import Stat
from storage._threads import Pool, Task, next_of

T = TypeVar("T")

_MIB = 1024 * 1024

PART_SIZE = 5 * _MIB
"""Bytes of a part of an upload: the least that S3 allows, so that many of them fit into little memory."""

PARTS_IN_FLIGHT = 10
"""Parts that go up at once, as many as boto3's transfer manager sends: an upload holds 50 MiB of them."""

# S3 takes 10,000 parts. Parts are equally long (some servers insist) until a stream turns out to be huge, then they double.
_MAX_PARTS = 10_000
_PARTS_OF_A_SIZE = 1000


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
        size: how many bytes will probably come, if that is known: parts are larger where it needs more than 10,000 of them.
    """

    def __init__(self, parts: Parts[T], size: int | None = None) -> None:
        self._parts = parts
        self._expected = size or 0
        least = -(-self._expected // _MAX_PARTS)
        self._part_size = PART_SIZE if least <= PART_SIZE else -(-least // _MIB) * _MIB
        self._buffer = bytearray()
        self._size = 0
        self._pool: Pool | None = None
        self._sent: list[Task[T]] = []
        self._under_way = 0
        self._ended: SimpleQueue[BaseException | None] = SimpleQueue()  # for each part that has ended, why it failed

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
        with self._pool:
            results = [task.result() for task in self._sent]
        _stop.check()
        return self._parts.finish(results, self._size)

    def abort(self) -> None:
        """Ends what is under way and forgets the upload."""
        self._buffer = bytearray()
        if self._pool is not None:
            self._pool.stop.set()
            self._pool.close()
            with _stop.cleaning_up():
                self._parts.cancel()

    def _flush(self) -> None:
        data = bytes(self._buffer)
        self._buffer = bytearray()
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self._pool is None:
            self._parts.start()
            self._pool = Pool(PARTS_IN_FLIGHT, "storage-part")
        self._sent.append(self._pool.submit(self._part, len(self._sent) + 1, data))
        self._size += len(data)
        self._under_way += 1
        # Waiting after a part, and not before the next, means that nothing else holds that one meanwhile.
        while self._under_way >= max(1, PART_SIZE * PARTS_IN_FLIGHT // self._part_size):  # fewer where parts are larger
            self._under_way -= 1
            failure = next_of(self._ended)
            if failure is not None:
                raise failure
        # A stream that is longer than was said, or of unknown length, must not run out of numbers.
        if len(self._sent) % _PARTS_OF_A_SIZE == 0 and self._size > self._expected:
            self._part_size *= 2

    def _part(self, number: int, data: bytes) -> T:
        try:
            result = self._parts.part(number, data)
        except BaseException as exc:
            self._ended.put(exc)
            raise
        self._ended.put(None)
        return result
