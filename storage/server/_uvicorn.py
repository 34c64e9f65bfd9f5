"""uvicorn, with the limits that it lacks, for one application on one socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from storage.server._http import ASGIApp

__all__ = ["Server", "listen", "make_server"]

_HEADER_BYTES: Final = 32 * 1024  # a key of 1,024 bytes, percent-encoded, with every option takes 8 KiB
_HEADER_SECONDS: Final = 15.0
_CUT_SECONDS: Final = 5.0  # for a thread that reads or writes a file to notice that nobody wants it any more
_TURNS: Final = 5  # of the event loop, more than enough for what was accepted to become a connection
_CONNECTIONS: Final = 400  # with a file open for each this stays below the usual 1,024 descriptors


class _Connection(H11Protocol):
    """uvicorn's HTTP/1.1, but for: a request's header has a deadline, a body cut short is a 400, no own access log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn's own access log holds whole URLs; and to switch it off in its configuration does so for the process.
        self.access_log = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Bytes outside of a request's turn must become a request in time, however slowly they drip.
        if self._idle() and not self.transport.is_closing():
            self._arm()
        else:
            self._disarm()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. True: it may still read."""
        self.conn.receive_data(b"")
        if not self._idle():
            if self.cycle.more_body:
                # h11 knows whether the body is whole; if not, `handle_events` answers 400 and the application aborts.
                self.handle_events()
            else:
                self.cycle.keep_alive = False
            return not self.transport.is_closing()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, unless an answer has begun: then the connection is closed."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(_HEADER_SECONDS, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._idle():
            self.transport.close()


class Server(uvicorn.Server):
    """A uvicorn server that can be asked to stop from another thread."""

    async def main_loop(self) -> None:
        """Runs until ``should_exit``. uvicorn looks ten times a second, which an idle process would feel."""
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        while not await self.on_tick(0):
            try:
                await asyncio.wait_for(self._wake.wait(), 1.0)
            except asyncio.TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends: requests in flight get ``timeout_graceful_shutdown`` seconds, then their connections are cut.

        uvicorn would cancel their tasks instead, and write a traceback for each into the log of a program that merely ends.
        """
        # What was accepted in the last turn belongs to nobody yet, and a server that is closed would not take it: asyncio would
        # leave it open. So no more is accepted, then what was is taken, and then the server is closed.
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listening in server.sockets:
                loop.remove_reader(listening.fileno())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        await self._until(lambda: not state.connections and not state.tasks, self.config.timeout_graceful_shutdown or 0)
        for connection in list(state.connections):
            connection.transport.abort()  # the application sees that its client is gone
        await self._until(lambda: not state.connections and not state.tasks, _CUT_SECONDS)
        await self.lifespan.shutdown()

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        # uvicorn tells nobody when its sets of connections and tasks are empty.
        while not done() and not self.force_exit and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Asks the server to stop, from any thread."""
        self.should_exit = True
        if hasattr(self, "_wake"):
            self._loop.call_soon_threadsafe(self._wake.set)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. From now on clients can connect; they are answered once a server runs on it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
        listener.setblocking(False)  # noqa: FBT003
    except BaseException:
        listener.close()
        raise
    return listener


def make_server(app: ASGIApp, *, graceful_seconds: int = 1) -> Server:
    """A server for ``app``, to be run on sockets. It configures no logging and trusts no proxy's headers."""
    config = uvicorn.Config(
        app,
        interface="asgi3",
        loop="asyncio",
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=None,
        access_log=True,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=graceful_seconds,
        h11_max_incomplete_event_size=_HEADER_BYTES,
    )
    return Server(config)
