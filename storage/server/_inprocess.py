"""The server of this process: started on 127.0.0.1 for the first URL that needs it, stopped when the process ends."""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import threading
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from storage._backend import Backend
from storage._url_signing import SigningKeys
from storage.server._app import DEFAULT_MAX_UPLOAD, Servable, SignedURLs, keys_of, servable
from storage.server._uvicorn import Server, listen, make_server

if TYPE_CHECKING:
    from storage import AsyncStorage, Storage

__all__ = ["adopt", "serve", "stop", "warn_once"]

_JOIN_SECONDS = 5.0


class _Stores(SignedURLs):
    """The application of this process: it knows the stores that have signed a URL."""

    def __init__(self, *stores: Storage | AsyncStorage | Backend, max_upload: int = DEFAULT_MAX_UPLOAD) -> None:
        super().__init__(*stores, max_upload=max_upload)
        # A private store in memory lives as long as its owner wants. A directory outlives whoever signed.
        self._private: WeakValueDictionary[str, Backend] = WeakValueDictionary()
        self._kept: dict[str, Backend] = {}

    def add(self, backend: Backend) -> None:
        keys = backend.signing_keys() if isinstance(backend, Servable) else None
        if keys is not None:
            (self._private if backend.private else self._kept)[keys.store_id] = backend

    def find(self, store_id: str) -> tuple[Backend, SigningKeys] | None:
        backend = self._private.get(store_id) or self._kept.get(store_id)
        keys = None if backend is None else keys_of(backend)
        if backend is None or keys is None or keys.store_id != store_id:
            return super().find(store_id)
        return backend, keys


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that a child after ``fork``, which has it but not its thread, drops in silence."""

    def __init__(self) -> None:
        super().__init__()
        self._made_in = os.getpid()
        self.set_debug(False)  # the user's PYTHONASYNCIODEBUG is for the user's loops

    def __del__(self) -> None:
        if os.getpid() == self._made_in:
            super().__del__()


class _Running:
    """A server in a daemon thread."""

    def __init__(self, app: SignedURLs) -> None:
        self.listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.server: Server = make_server(app)
        self._thread = threading.Thread(target=self._run, name="storage-server", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._loop = loop = _Loop()
        try:
            loop.run_until_complete(self.server.serve([self.listener]))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            # A server that was stopped before it had started closes nothing.
            self.listener.close()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(_JOIN_SECONDS)


_lock = threading.Lock()
_stores = _Stores()
_running: _Running | None = None
_adopted: str | None = None
_warned = False
# What a child after `fork` inherits and must neither use nor take apart: parent and child share its descriptors.
_inherited: list[_Running] = []


def serve(backend: Backend) -> str:
    """The base URL where the signed URLs of ``backend`` are answered from now on; starts the server if none runs."""
    global _running  # noqa: PLW0603
    with _lock:
        _stores.add(backend)
        if _adopted is not None:
            return _adopted
        if _running is None or not _running.alive:
            _running = _Running(_stores)
        return _running.url


def adopt(url: str, *stores: Storage | AsyncStorage | Backend, max_upload: int = DEFAULT_MAX_UPLOAD) -> SignedURLs:
    """For a process that is a server itself (``storage serve``): no other one is started in it from now on.

    Args:
        url: where the caller serves the application that it gets.
        stores: those of them that are local it serves, also without having signed anything itself.
        max_upload: bytes; a longer body is refused.
    """
    global _adopted, _stores
    with _lock:
        _adopted, _stores = url, _Stores(*filter(servable, stores), max_upload=max_upload)
        return _stores


def warn_once() -> bool:
    """Whether somebody should say that these URLs die with the process: once, unless the process is a server."""
    global _warned
    with _lock:
        first, _warned = not _warned and _adopted is None, True
    return first


def stop() -> None:
    """Stops the server of this process and its threads, if it runs; the next signed URL starts another. Idempotent."""
    global _running
    with _lock:
        running, _running = _running, None
    if running is not None:
        running.stop()


def _after_fork_in_child() -> None:
    global _lock, _running, _adopted  # noqa: PLW0603
    _lock = threading.Lock()
    running, _running, _adopted = _running, None, None
    if running is not None:
        _inherited.append(running)
        # Else the parent's port would stay taken, and be answered by nobody, as long as the child lives.
        os.close(running.listener.detach()) if isinstance(running.listener, socket.socket) else None


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
