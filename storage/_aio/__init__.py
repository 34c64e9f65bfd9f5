"""``AsyncStorage``: every method of ``Storage``, for asyncio and trio.

Nothing of ``Storage`` is written again here. What is pure it does itself; a backend that never waits is called at once; one
whose SDK is asynchronous is awaited; everything else runs in worker threads of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from storage._aio.blobs import AsyncBlobs
from storage._aio.core import same_as
from storage._aio.files import AsyncFiles
from storage._aio.many import AsyncMany
from storage._aio.signing import AsyncSigning
from storage._storage import Storage

__all__ = ["AsyncStorage"]


class AsyncStorage(AsyncBlobs, AsyncFiles, AsyncMany, AsyncSigning):
    """``Storage`` for an event loop: the same arguments, results and exceptions, on asyncio and trio.

    What is a plain method there is a coroutine here; ``iter_list``, ``iter_info``, ``iter_dir``, ``iter_bytes`` and ``get_many``
    are asynchronous iterators, and ``open`` gives an asynchronous context manager. ``set`` and ``set_file`` also take
    asynchronous iterators of bytes and asynchronous files. Callbacks are called in a worker thread.

    A call that is cancelled is undone: a blob is stored whole or not at all, and no thread, task or connection outlives it. A
    request that is under way is waited for, at most ``timeout`` seconds, and not tried again.
    """

    @same_as(Storage.setup)
    async def setup(
        self,
        *,
        create_bucket: bool = False,
        cors_origins: Iterable[str] | None = None,
        tmp_days: int | None = None,
    ) -> Sequence[str]:
        return await self._workers.run(
            lambda: self._sync.setup(create_bucket=create_bucket, cors_origins=cors_origins, tmp_days=tmp_days)
        )

    @same_as(Storage.check)
    async def check(self) -> Sequence[str]:
        return await self._workers.run(self._sync.check)
