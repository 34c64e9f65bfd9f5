"""Values to be stored, good and bad ones."""

from __future__ import annotations

import io
import mmap
from array import array
from collections.abc import Callable, Iterator
from typing import Any

from storage import Storage


class Boom(Exception):  # noqa: N818 (it stands for any exception of the caller's)
    """What a caller's own object raises."""


class OneWay(io.RawIOBase):
    """A pipe: it cannot seek, and gives less than it is asked for."""

    def __init__(self, data: bytes, most: int = 1000) -> None:
        super().__init__()
        self._data = data
        self._most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._most, len(self._data))
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        return size


class Minimal:
    """The least that is a file object."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int = -1) -> bytes:
        head = self._data if size < 0 else self._data[:size]
        self._data = self._data[len(head) :]
        return head


def _mmap(data: bytes) -> mmap.mmap:
    mapped = mmap.mmap(-1, len(data))
    mapped[:] = data
    return mapped


def _standing_at(file: Any, position: int) -> Any:
    file.seek(position)
    return file


# From the bytes that are meant to be stored (ASCII, a multiple of 8, more than 100) to a value that says so.
VALUES: dict[str, Callable[[bytes], Any]] = {
    "str": lambda data: data.decode(),
    "bytes": bytes,
    "subclass of bytes": type("MyBytes", (bytes,), {}),
    "subclass of str": lambda data: type("MyStr", (str,), {})(data.decode()),
    "bytearray": bytearray,
    "memoryview": memoryview,
    "memoryview of every second byte": lambda data: memoryview(bytes(b for byte in data for b in (byte, 0)))[::2],
    "memoryview of doubles": lambda data: memoryview(bytearray(data)).cast("d"),
    "array of doubles": lambda data: array("d", data),
    "mmap": _mmap,
    "binary file": io.BytesIO,
    "binary file from where it stands": lambda data: _standing_at(io.BytesIO(b"skipped" + data), 7),
    "text file": lambda data: io.StringIO(data.decode()),
    "text file from where it stands": lambda data: _standing_at(io.StringIO("skipped" + data.decode()), 7),
    "buffered reader": lambda data: io.BufferedReader(OneWay(data), 64),
    "file that cannot seek": OneWay,
    "text over a file that cannot seek": lambda data: io.TextIOWrapper(
        io.BufferedReader(OneWay(data)), "utf-8", newline=""
    ),
    "the least of a file": Minimal,
    "generator": lambda data: (data[i : i + 7] for i in range(0, len(data), 7)),
    "list": lambda data: [data[:50], b"", bytearray(data[50:60]), memoryview(data)[60:]],
    "iterator with empty pieces": lambda data: iter([b"", data, b""]),
}


class _StrReader:
    def read(self, _size: int = -1) -> object:
        return 5


BAD_VALUES: tuple[Callable[[], Any], ...] = (
    lambda: None,
    lambda: 5,
    lambda: 1.5,
    lambda: True,
    object,
    lambda: {"a": b"1"},
    lambda: ["text"],
    lambda: [1, 2, 3],
    lambda: iter(["text"]),
    lambda: (part for part in (b"first", "second")),
    lambda: [None],
    _StrReader,
    lambda: object,
)


def breaking_items(size: int) -> Iterator[bytes]:
    """``size`` bytes, and then the caller's generator raises."""
    piece = b"x" * min(size, 256 * 1024)
    for _ in range(size // len(piece)):
        yield piece
    raise Boom("the caller's generator")


def breaking_file(size: int) -> io.RawIOBase:
    """A file object that gives ``size`` bytes, and then raises."""

    class Broken(io.RawIOBase):
        left = size

        def readable(self) -> bool:
            return True

        def read(self, wanted: int = -1) -> bytes:
            if not self.left:
                raise Boom("the caller's file")
            given = self.left if wanted < 0 else min(wanted, self.left)
            self.left -= given
            return b"y" * given

    return Broken()


def writes_that_break(store: Storage, key: str, size: int) -> list[Callable[[], object]]:
    """Each way to write that fails after ``size`` bytes, with an exception of the caller's."""

    def through_a_file() -> None:
        with store.open(key, "wb", metadata={"new": "1"}) as file:
            for piece in breaking_items(size):
                file.write(piece)

    def through_text() -> None:
        with store.open(key, "w") as file:
            for piece in breaking_items(size):
                file.write(piece.decode())

    def stop(_moved: int) -> None:
        raise Boom("the caller's progress")

    return [
        lambda: store.set(key, breaking_items(size), metadata={"new": "1"}, content_type="text/new"),
        lambda: store.set(key, breaking_file(size)),
        lambda: store.set_file(key, breaking_file(size), cache_control="new"),
        lambda: store.set_file(key, io.BytesIO(b"z" * size), progress=stop),
        through_a_file,
        through_text,
    ]


def difference(got: bytes, wanted: bytes) -> str:
    """Where ``got`` is not as it should be; ``""``: nowhere. What pytest itself says of many megabytes takes it minutes."""
    if got == wanted:
        return ""
    same, most = 0, min(len(got), len(wanted))
    while same < most:
        middle = (same + most + 1) // 2
        if got[same:middle] == wanted[same:middle]:
            same = middle
        else:
            most = middle - 1
    found, expected = got[same : same + 20], wanted[same : same + 20]
    return f"{len(got)} bytes of {len(wanted)}; at {same} there is {found!r}, not {expected!r}"


def pattern(size: int, seed: int = 0) -> bytes:
    """``size`` bytes of which no two pieces are alike, the same ones for the same ``seed``."""
    import random

    return random.Random(seed).randbytes(size)  # noqa: S311 (test data)
