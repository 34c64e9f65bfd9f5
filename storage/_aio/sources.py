"""Asynchronous sources for ``AsyncStorage.set``, and the file that ``AsyncStorage.open`` gives."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator
from contextlib import aclosing, nullcontext
from typing import Any, Protocol, cast

from typing_extensions import Self, TypeIs

from storage._aio.threads import Workers
from storage._facade.values import as_bytes, read_bytes


class AsyncReadable(Protocol):
    """A file whose ``read`` is a coroutine."""

    async def read(self, size: int, /) -> Any:
        """Up to ``size`` bytes or characters; empty at the end."""


AsyncSource = AsyncIterable[bytes] | AsyncReadable


def is_async_source(value: object) -> TypeIs[AsyncSource]:
    """Whether ``value`` is an asynchronous file or iterator of bytes."""
    return inspect.iscoroutinefunction(getattr(value, "read", None)) or hasattr(value, "__aiter__")


async def async_chunks(source: AsyncSource, size: int) -> AsyncGenerator[bytes, None]:
    """The bytes of an asynchronous source in pieces of exactly ``size`` bytes but for the last.

    A generator that is not read to its end is closed, as the collector would do with a plain one.
    """
    buffer = bytearray()
    async with aclosing(_pieces(source, size)) as pieces:
        async for piece in pieces:
            if not buffer and len(piece) == size:
                yield piece
                continue
            buffer += piece
            while len(buffer) >= size:
                part = bytes(memoryview(buffer)[:size])
                del buffer[:size]
                yield part
    if buffer:
        yield bytes(buffer)


async def _pieces(source: AsyncSource, size: int) -> AsyncGenerator[bytes, None]:
    # A file may be iterable too, by lines: its `read` comes first.
    read = getattr(source, "read", None)
    if read is None:
        items = cast("AsyncGenerator[bytes, None]", source)  # or an iterator without `aclose`
        async with aclosing(items) if hasattr(items, "aclose") else nullcontext():
            async for item in items:
                yield as_bytes(item, "the asynchronous iterator yielded")
        return
    while data := read_bytes(await read(size)):
        yield data


_NOT_OPEN = "the file is not open yet: async with storage.open(…) as file, or file = await storage.open(…)"


class AsyncBlobFile:
    """A file object of ``Storage.open`` whose methods are coroutines, and the context manager that opens and closes it.

    ``async with storage.open(key) as file`` opens it; so does ``file = await storage.open(key)``, after which the caller must
    ``await file.close()``.
    """

    def __init__(self, workers: Workers, opener: Callable[[], Any]) -> None:
        self._workers = workers
        self._opener = opener
        self._opened: Any = None

    async def _open(self) -> Self:
        if self._opened is None:
            self._opened = await self._workers.run(self._opener)
        return self

    @property
    def _file(self) -> Any:
        if self._opened is None:
            raise ValueError(_NOT_OPEN)
        return self._opened

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._open().__await__()

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        # Shielded where it undoes: a blob half written must be forgotten also when the task is cancelled.
        run = self._workers.run if kind is None else self._workers.undo
        await run(self._file.__exit__, kind, *exc)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    async def read(self, size: int = -1) -> Any:
        """Up to ``size`` bytes or characters; all that is left where it is negative."""
        return await self._workers.run(self._file.read, size)

    async def readinto(self, buffer: Any) -> int:
        """Fills ``buffer`` and returns how many bytes."""
        return cast("int", await self._workers.run(self._file.readinto, buffer))

    async def readline(self, size: int = -1) -> Any:
        """One line with its end."""
        return await self._workers.run(self._file.readline, size)

    async def readlines(self) -> list[Any]:
        """All lines that are left."""
        return await self._workers.run(list, self._file)

    async def write(self, data: Any) -> int:
        """Takes the next bytes or text."""
        return cast("int", await self._workers.run(self._file.write, data))

    async def writelines(self, lines: Any) -> None:
        """Takes the next lines."""
        await self._workers.run(self._file.writelines, lines)

    async def seek(self, offset: int, whence: int = 0) -> int:
        """Moves to a position, for reading."""
        return cast("int", await self._workers.run(self._file.seek, offset, whence))

    async def tell(self) -> int:
        """The position."""
        return cast("int", await self._workers.run(self._file.tell))

    async def flush(self) -> None:
        """Does nothing that can be seen: a blob appears at ``close``."""
        await self._workers.run(self._file.flush)

    async def close(self) -> None:
        """Closes the file; a blob that was written appears."""
        if self._opened is not None:
            await self._workers.run(self._opened.close)

    aclose = close

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._opened is None or bool(self._opened.closed)

    def __getattr__(self, name: str) -> Any:
        # What neither reads nor writes is the file's own: name, mode, encoding, info, readable …
        if name.startswith("_"):
            raise AttributeError(name)
        if self._opened is None:
            raise AttributeError(f"{name}: {_NOT_OPEN}")
        return getattr(self._opened, name)
