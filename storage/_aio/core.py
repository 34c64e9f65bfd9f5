"""What every room of ``AsyncStorage`` stands on: its store, its threads, and how a call is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sized
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from typing_extensions import Self

from storage._aio.sources import async_chunks
from storage._aio.threads import Turn, Workers
from storage._backend import Backend
from storage._facade.core import Facade, core_of
from storage._facade.upload import Upload
from storage._storage import Storage
from storage._types import ObjectInfo

if TYPE_CHECKING:
    from urllib3.util.retry import Retry


__all__ = ["SMALL", "AsyncCore", "checked", "is_small", "same_as"]

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
        self._start(
            Storage(url, auth, retries, timeout=timeout, storage_types=storage_types, backend=backend),
        )

    def _start(self, sync: Storage) -> None:
        self._sync = sync
        self._core = core_of(sync)
        self._workers = Workers(max(_LEAST_THREADS, *(backend.concurrency for backend in self._core.backends())))

    def __repr__(self) -> str:
        return repr(self._sync).replace("Storage", "AsyncStorage", 1)

    def __getstate__(self) -> dict[str, Any]:
        return {"sync": self._sync, **{k: v for k, v in vars(self).items() if k not in ("_sync", "_core", "_workers")}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state.pop("sync"))
        vars(self).update(state)

    @property
    def backend(self) -> Backend:
        """The backend of the URL; its ``client`` is the SDK's own."""
        return self._sync.backend

    @property
    def storage_types(self) -> tuple[str, ...]:
        """The names of the storage types, in the order given."""
        return self._sync.storage_types

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @same_as(Storage.close)
    async def close(self) -> None:
        await self._workers.run(self._sync.close)

    async def _hot(self, backend: Backend, function: Callable[..., T], *args: Any) -> T:
        """``function(*args)``: on the event loop where the backend never waits, else in a thread."""
        if backend.inline:
            return function(*args)
        return await self._workers.run(function, *args)

    async def _upload(self, upload: Upload, value: Any, progress: Callable[[int], object] | None = None) -> ObjectInfo:
        """An asynchronous source, piece by piece: at most one of them is held."""
        try:
            async with aclosing(async_chunks(value, upload.chunk_size)) as chunks:
                async for chunk in chunks:
                    await self._workers.run(upload.write, chunk)
                    if progress is not None:
                        progress(len(chunk))
            return await self._workers.run(upload.commit)
        except BaseException:
            await self._workers.undo(upload.abort)
            raise


def is_small(value: object) -> bool:
    """Whether ``value`` may be encoded or copied on the event loop. What has no length is read elsewhere anyway."""
    return isinstance(value, bytes) or not isinstance(value, Sized) or len(value) <= SMALL


def checked(turn: Turn, progress: Callable[[int], object] | None) -> Callable[[int], object]:
    """``progress`` that also ends a call which nobody waits for any more."""

    def check(count: int) -> None:
        if progress is not None:
            progress(count)
        turn.check()

    return check
