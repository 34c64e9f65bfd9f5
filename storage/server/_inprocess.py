"""The server of this process: started on 127.0.0.1 for the first URL that needs it, stopped when the process ends."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from storage._backend import Backend, HoldsBackends, SigningKeys
from storage._fork import forks
from storage.server._app import DEFAULT_MAX_UPLOAD, SignedURLs, check_one_place, keys_of, served_backends
from storage.server._uvicorn import Server, listen, make_server

if TYPE_CHECKING:
    from storage._backend import ServableBackend

_JOIN_SECONDS = 5.0


class _Stores(SignedURLs):
    """The application of this process: it knows the stores that have signed a URL."""

    def __init__(self, *stores: HoldsBackends | Backend, max_upload: int = DEFAULT_MAX_UPLOAD) -> None:
        super().__init__(*stores, max_upload=max_upload)
        # A private store in memory is kept by its owner alone. A directory is there also when the object that signed is gone.
        self._private: WeakValueDictionary[str, ServableBackend] = WeakValueDictionary()
        self._kept: dict[str, ServableBackend] = {}

    def add(self, backend: ServableBackend) -> None:
        keys = keys_of(backend)
        if keys is not None:
            other = self.find(keys.store_id)
            if other is not None:
                check_one_place(other[0], backend)
            (self._private if backend.private else self._kept)[keys.store_id] = backend

    def find(self, store_id: str) -> tuple[ServableBackend, SigningKeys] | None:
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
        self.thread = threading.Thread(target=self._run, name="storage-server", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self._loop = loop = _Loop()
        try:
            loop.run_until_complete(self.server.serve([self.listener]))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            # A server that was stopped before it had started closes nothing.
            self.listener.close()

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(_JOIN_SECONDS)


class ProcessServer:
    """The server of one process: none until a URL needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores = _Stores()
        self._running: _Running | None = None
        self._adopted: str | None = None
        self._warned = False
        forks.watch(self)

    def serve(self, backend: ServableBackend) -> str:
        """The base URL where the signed URLs of ``backend`` are answered from now on; starts the server if none runs.

        Logs one warning that they end with the process, unless the process is a server or the blobs end with it too.
        """
        with self._lock:
            self._stores.add(backend)
            if self._adopted is not None:
                return self._adopted
            if self._running is None or not self._running.thread.is_alive():
                self._running = _Running(self._stores)
            url, warn = self._running.url, not (backend.volatile or self._warned)
            self._warned = self._warned or warn
        if warn:
            logging.getLogger("storage").warning(
                "signed URLs of %s die with this process, which serves them itself; run `storage serve --url %s` and add "
                "?serve_url=http://127.0.0.1:8900 to the URL of the store",
                backend.location,
                backend.location,
            )
        return url

    def adopt(self, url: str, *stores: HoldsBackends | Backend, max_upload: int = DEFAULT_MAX_UPLOAD) -> SignedURLs:
        """An application for a process that is a server itself, at ``url``: no other one is started in it from now on.

        It serves the local ones among ``stores``, also where this process has signed nothing.
        """
        with self._lock:
            self._adopted = url
            self._stores = _Stores(*filter(served_backends, stores), max_upload=max_upload)
            return self._stores

    def stop(self) -> None:
        """Stops the server and its threads, if it runs; the next signed URL starts another. Idempotent."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.stop()

    def forked(self) -> None:
        """In a child: forgets the server of the parent."""
        self._lock = threading.Lock()
        running, self._running, self._adopted = self._running, None, None
        if running is not None:
            forks.keep(running)
            # Else the parent's port would stay taken, and be answered by nobody, as long as the child lives.
            os.close(running.listener.detach())


process_server = ProcessServer()


def stop() -> None:
    """Stops the server of this process and its threads, if it runs; the next signed URL starts another. Idempotent."""
    process_server.stop()


atexit.register(stop)
