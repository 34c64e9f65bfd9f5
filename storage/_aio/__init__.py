"""``AsyncStorage``: every method of ``Storage``, for asyncio and trio.

Nothing is written twice: most methods are made from those of ``Storage`` and run in worker threads; only those that take
asynchronous sources or files, or that may run on the event loop, have code of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, MutableMapping
from functools import partial, update_wrapper
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from storage._aio.blobs import AsyncBlobs
from storage._aio.core import AsyncCore, in_thread, iterated, same_as
from storage._aio.files import AsyncFiles
from storage._storage import Storage

P = ParamSpec("P")
T = TypeVar("T")

_PAGE = 1000  # items of a listing that one call in a worker thread takes


def _between(
    method: Callable[Concatenate[Storage, Storage | os.PathLike[Any], P], T],
) -> Callable[Concatenate[AsyncCore, AsyncCore | os.PathLike[Any], P], Coroutine[Any, Any, T]]:
    """As ``in_thread``, for a method whose first argument is another store or a path."""

    async def call(self: AsyncCore, /, other: AsyncCore | os.PathLike[Any], *args: P.args, **options: P.kwargs) -> T:
        if not isinstance(other, (AsyncCore, os.PathLike)):
            raise TypeError(f"other must be an AsyncStorage or a path, not {type(other).__name__}")
        place = other._sync if isinstance(other, AsyncCore) else other  # noqa: SLF001
        return await self._workers.run(partial(method, self._sync, place, *args, **options))

    update_wrapper(call, method)
    return call  # type: ignore[return-value]  # (to mypy `other` has no name)


class AsyncStorage(AsyncBlobs, AsyncFiles):
    """``Storage`` for an event loop: the same arguments, results and exceptions, on asyncio and trio.

    Each method is a coroutine, except these: ``iter_list``, ``iter_info``, ``iter_dir``, ``iter_bytes``, ``get_many`` and
    ``map_keys`` return asynchronous iterators, ``open`` returns an asynchronous context manager, and ``mapping`` returns a plain
    mapping, whose calls block. ``set`` and ``set_file`` also take asynchronous iterators of bytes and asynchronous files.
    Callbacks are called in a worker thread.

    Raises:
        MissingDependencyError: the package of the backend, or anyio, is not installed.

    A call that is cancelled sends nothing more, and raises once the request that is under way has ended. What had been sent by
    then may have been carried out; a blob is stored whole or not at all. No thread, task or connection outlives the call; but the
    workers of an ``executor`` end the pieces that they have begun.
    """

    list: Final = in_thread(Storage.list)
    iter_list: Final = iterated(Storage.iter_list, _PAGE)
    iter_info: Final = iterated(Storage.iter_info, _PAGE)
    iter_dir: Final = iterated(Storage.iter_dir, _PAGE)

    set_many: Final = in_thread(Storage.set_many)
    get_many: Final = iterated(Storage.get_many, 1)
    delete_many: Final = in_thread(Storage.delete_many)
    delete_prefix: Final = in_thread(Storage.delete_prefix)

    set_dir: Final = in_thread(Storage.set_dir)
    get_dir: Final = in_thread(Storage.get_dir)

    get_signed_url: Final = in_thread(Storage.get_signed_url)
    get_upload_url: Final = in_thread(Storage.get_upload_url)
    sign_download: Final = in_thread(Storage.sign_download)
    sign_upload: Final = in_thread(Storage.sign_upload)
    sign_form: Final = in_thread(Storage.sign_form)

    sync_to: Final = _between(Storage.sync_to)
    split_keys: Final = in_thread(Storage.split_keys)
    map_keys: Final = iterated(Storage.map_keys, 1)

    setup: Final = in_thread(Storage.setup)
    check: Final = in_thread(Storage.check)

    @same_as(Storage.mapping)
    def mapping(self, storage_type: str = "data") -> MutableMapping[str, bytes]:
        return self._sync.mapping(storage_type)
