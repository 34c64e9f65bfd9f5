"""The base of ``AsyncStorage``, and the decorators that make its methods from those of ``Storage``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar

from typing_extensions import Self

from storage._aio.sources import AsyncSource, async_chunks
from storage._aio.threads import Workers
from storage._backend import Backend, PutOptions
from storage._facade.call import Call
from storage._facade.core import Facade, core_of
from storage._facade.upload import Upload
from storage._storage import Storage
from storage._types import ObjectInfo

if TYPE_CHECKING:
    from urllib3.util.retry import Retry

P = ParamSpec("P")
T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])

_LEAST_THREADS = 8
SMALL = 1024 * 1024  # bytes that may be copied or decoded on the event loop: well under a millisecond


def same_as(original: Callable[..., Any]) -> Callable[[Method], Method]:
    """Gives a method the docstring of the one that it stands for."""

    def adopt(method: Method) -> Method:
        method.__doc__ = original.__doc__
        return method

    return adopt


class AsyncCore(Facade):
    """A ``Storage``, and the threads that its calls run in."""

    TIMEOUT: ClassVar[float | tuple[float, float]] = Storage.TIMEOUT

    def __init__(
        self,
        url: str | os.PathLike[Any] | None = None,
        auth: Any = None,
        retries: int | Retry | None = None,
        *,
        timeout: float | tuple[float, float] | None = None,
        storage_types: Mapping[str, str | Backend] | None = None,
        backend: Backend | None = None,
    ) -> None:
        if timeout is None:
            timeout = self.TIMEOUT
        self._start(Storage(url, auth, retries, timeout=timeout, storage_types=storage_types, backend=backend))

    def _start(self, sync: Storage) -> None:
        self._sync = sync
        self._core = core_of(sync)
        backends = self._core.backends()
        self._workers = Workers(max(_LEAST_THREADS, *(backend.concurrency for backend in backends)))
        # Whether no call ever waits, so that the event loop may make the small ones itself.
        self._inline = all(backend.inline for backend in backends)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_core", "_workers", "_inline")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state.pop("_sync"))
        vars(self).update(state)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @same_as(Storage.close)
    async def close(self) -> None:
        await self._workers.run(self._sync.close)
        self._workers.close()

    async def _quick(self, function: Callable[..., T], *args: Any) -> T:
        """``function(*args)``, which takes microseconds where nothing waits: then on the event loop, else in a thread."""
        return function(*args) if self._inline else await self._workers.run(function, *args)

    async def _upload(
        self, call: Call, options: PutOptions, value: AsyncSource, progress: Callable[[int], object] | None = None
    ) -> ObjectInfo:
        """An asynchronous source, piece by piece: at most one of them is held."""
        upload = Upload(call, options)
        try:
            async with aclosing(async_chunks(value, call.route.backend.chunk_size)) as chunks:
                async for chunk in chunks:
                    await self._workers.run(upload.write, chunk)
                    if progress is not None:
                        progress(len(chunk))
            return await self._workers.run(upload.commit)
        except BaseException:
            await self._workers.undo(upload.abort)
            raise


# Two decorators of one argument: mypy carries overloads through no other.
def in_thread(
    method: Callable[Concatenate[Storage, P], T],
) -> Callable[Concatenate[AsyncCore, P], Coroutine[Any, Any, T]]:
    """A method of ``Storage`` as a coroutine, which runs in a worker thread."""

    async def call(self: AsyncCore, /, *args: P.args, **options: P.kwargs) -> T:
        return await self._workers.run(partial(method, self._sync, *args, **options))

    update_wrapper(call, method)
    return call


def quick(method: Callable[Concatenate[Storage, P], T]) -> Callable[Concatenate[AsyncCore, P], Coroutine[Any, Any, T]]:
    """Like ``in_thread``, but runs on the event loop if no backend of the store ever waits."""

    async def call(self: AsyncCore, /, *args: P.args, **options: P.kwargs) -> T:
        return await self._quick(partial(method, self._sync, *args, **options))

    update_wrapper(call, method)
    return call


def iterated(
    method: Callable[Concatenate[Storage, P], Iterator[T]], at_once: int
) -> Callable[Concatenate[AsyncCore, P], AsyncIterator[T]]:
    """A method of ``Storage`` that gives an iterator, as an asynchronous one; ``at_once``: items for one turn of a thread."""

    def call(self: AsyncCore, /, *args: P.args, **options: P.kwargs) -> AsyncIterator[T]:
        return self._workers.iterate(method(self._sync, *args, **options), at_once)

    update_wrapper(call, method)
    return call
