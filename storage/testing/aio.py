"""The conformance suite on ``AsyncStorage``: a ``Storage`` whose every call goes through an event loop.

::

    class TestMineOnTrio(Conformance):
        harness = Asynchronous(MyHarness(), "trio")
"""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from typing_extensions import Self

from storage import AsyncStorage, Storage, UnsupportedOperationError
from storage.testing._harness import Harness

__all__ = ["Asynchronous", "BlockingStorage"]

_COROUTINES = (
    "check",
    "close",
    "copy",
    "delete",
    "delete_many",
    "exists",
    "get",
    "get_bytes",
    "get_file",
    "get_signed_url",
    "get_upload_url",
    "info",
    "list",
    "move",
    "set",
    "set_file",
    "set_many",
    "setup",
    "sign_download",
    "sign_upload",
    "sync_to",
)
_ITERATORS = ["get_many", "iter_bytes", "iter_dir", "iter_info", "iter_list"]


class _Portal:
    """An event loop in a thread. What was begun in it cannot go on in a child after ``fork``, which has none of the threads."""

    def __init__(self, library: str) -> None:
        self._process = os.getpid()
        self._stack = ExitStack()
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal(library))

    @property
    def inherited(self) -> bool:
        return os.getpid() != self._process

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        if self.inherited:
            raise UnsupportedOperationError(
                "this was begun in an event loop before this process was forked; begin it here"
            )
        return self._portal.call(function, *args)

    def close(self) -> None:
        self._stack.close()


# One for each library and process.
_portals: dict[tuple[int, str], _Portal] = {}


def _portal(library: str) -> _Portal:
    where = (os.getpid(), library)
    if where not in _portals:
        _portals[where] = _Portal(library)
    return _portals[where]


@atexit.register
def _close_portals() -> None:
    """Ends the loops while their threads still run: what waits for one later, when modules are taken apart, waits for ever."""
    for (process, _), portal in _portals.items():
        if process == os.getpid():
            portal.close()


# An asynchronous generator that is dropped tells its loop so, and Trio takes a lock for it, which a thread of the parent may
# have held at the fork. So none of the parent's may be freed in the child: neither as garbage, nor by us.
_inherited: list[Any] = []
_collected: list[bool] = []  # before each fork that goes on


def _hold_garbage() -> None:
    _collected.append(gc.isenabled())
    gc.disable()


def _go_on() -> None:
    if _collected.pop():
        gc.enable()


def _keep_garbage() -> None:
    if _portals:
        gc.freeze()
    _go_on()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_garbage, after_in_parent=_go_on, after_in_child=_keep_garbage)


class BlockingStorage(Storage):
    """``AsyncStorage`` with the face of ``Storage``: each call is awaited in an event loop of another thread."""

    @classmethod
    def over(cls, store: Storage, library: str) -> BlockingStorage:
        """The asynchronous face of ``store``, which shares everything with it."""
        self = cls.__new__(cls)
        vars(self).update(vars(store), _library=library, _async=AsyncStorage.__new__(AsyncStorage))
        self._async._start(store)  # noqa: SLF001 (both faces must share a private memory://)
        return self

    _library: str
    _async: AsyncStorage

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self._async._sync, self._library)  # noqa: SLF001

    def open(self, key: str, *args: Any, **options: Any) -> Any:
        """As ``Storage.open``."""
        portal = _portal(self._library)
        file = self._async.open(key, *args, **options)
        portal.call(file._open)  # noqa: SLF001
        return _BlockingFile(portal, file)


def _rebuilt(store: Storage, library: str) -> BlockingStorage:
    return BlockingStorage.over(store, library)


def _coroutine(name: str) -> Callable[..., Any]:
    @wraps(getattr(Storage, name))
    def method(self: BlockingStorage, *args: Any, **options: Any) -> Any:
        if name == "sync_to" and isinstance(args[0], BlockingStorage):
            args = (args[0]._async, *args[1:])  # noqa: SLF001

        async def call() -> Any:
            return await getattr(self._async, name)(*args, **options)

        return _portal(self._library).call(call)

    return method


def _iterator(name: str) -> Callable[..., Any]:
    @wraps(getattr(Storage, name))
    def method(self: BlockingStorage, *args: Any, **options: Any) -> Any:
        iterator = getattr(self._async, name)(*args, **options)
        return _items(_portal(self._library), iterator)

    return method


def _items(portal: _Portal, iterator: Any) -> Iterator[Any]:
    async def step() -> tuple[bool, Any]:
        try:
            return True, await anext_(iterator)
        except StopAsyncIteration:
            return False, None

    async def close() -> None:
        await iterator.aclose()

    try:
        while True:
            going, item = portal.call(step)
            if not going:
                return
            yield item
    finally:
        if portal.inherited:
            _inherited.append(iterator)
        else:
            portal.call(close)


async def anext_(iterator: Any) -> Any:
    """``anext``, which Python 3.10 has only as a builtin that mypy and trio disagree on."""
    return await iterator.__anext__()


for _name in _COROUTINES:
    if hasattr(Storage, _name):
        setattr(BlockingStorage, _name, _coroutine(_name))
for _name in _ITERATORS:
    setattr(BlockingStorage, _name, _iterator(_name))


class _BlockingFile:
    """The file of ``AsyncStorage.open`` with blocking methods."""

    def __init__(self, portal: _Portal, file: Any) -> None:
        self._portal = portal
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._portal.call(self._file.__aexit__, *exc)

    def __iter__(self) -> Iterator[Any]:
        while line := self.readline():
            yield line

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._file, name)
        if name in (
            "close",
            "flush",
            "read",
            "readinto",
            "readline",
            "readlines",
            "seek",
            "tell",
            "write",
            "writelines",
        ):
            return lambda *args: self._portal.call(value, *args)
        return value


class Asynchronous(Harness):
    """Another harness, its stores driven through ``AsyncStorage``.

    Args:
        harness: the one to drive.
        library: ``"asyncio"`` or ``"trio"``.
    """

    def __init__(self, harness: Harness, library: str = "asyncio") -> None:
        self._harness = harness
        self._library = library

    def __getattribute__(self, name: str) -> Any:
        # What the base class has a default for is the other harness's to say, and so is what it keeps for itself.
        if name in _OURS or name.startswith("__"):
            return object.__getattribute__(self, name)
        return getattr(object.__getattribute__(self, "_harness"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OURS:
            object.__setattr__(self, name, value)
        else:
            setattr(self._harness, name, value)

    def storage(self, name: str, **options: Any) -> Storage:
        return BlockingStorage.over(self._harness.storage(name, **options), self._library)


_OURS = {"_harness", "_library", "storage"}
