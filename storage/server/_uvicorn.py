"""Runs an ASGI application on one socket with uvicorn, with the limits that a server without a proxy needs.

What is used of uvicorn beside its documented settings: the protocol class for httptools, its ``access_log``, how it is
constructed, that it hands ``app_state`` on as ``scope["state"]``, and the steps of ``Server`` that are overridden here. The
``server`` extra has a ceiling for uvicorn for their sake, and tests/server/test_limits.py fails if one of them goes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from storage.server._http import ASGIApp, Message, Receive, Scope, Send

_HEAD_SECONDS: Final = 15.0
# Bytes that may come before the application takes some: a head, or what asyncio and uvicorn read ahead of a body (320 KiB).
_UNREAD_BYTES: Final = 512 * 1024
_CONNECTIONS: Final = 400  # with a file open for each this stays below the usual 1,024 descriptors
_CUT_SECONDS: Final = 5.0  # for a thread that reads or writes a file to notice that its client is gone
_TURNS: Final = 5  # of the event loop, more than enough for what was accepted to become a connection
_STATE: Final = "storage.connection"


class _Connection(asyncio.Protocol):
    """One connection: hands what asyncio calls on to uvicorn's protocol for HTTP/1.1, which does the work.

    It adds three things. The head of a request must come in time, and may not be endless. A client that stops sending in the
    middle of a body still gets an answer. No access log, since uvicorn's has whole URLs, which are credentials.
    """

    def __init__(self, *, app_state: dict[str, Any], **options: Any) -> None:
        self._http = HttpToolsProtocol(app_state={**app_state, _STATE: self}, **options)
        self._http.access_log = False
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()  # done once the client has stopped sending
        self._deadline: asyncio.TimerHandle | None = None
        self._unread = 0
        self._requests = 0

    # ---- what asyncio calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._http.connection_made(self._transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        if self._unread > _UNREAD_BYTES:
            self._transport.abort()
            return
        self._unread += len(data)
        self._http.data_received(data)
        # Bytes outside of a request must become one in time, however slowly they drip.
        if not self._requests:
            self._arm()

    def eof_received(self) -> bool:
        """The client has stopped sending. True: it may still read."""
        self._ended.set_result(None)
        return self._requests > 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()

    # ---- what the application's side calls ---------------------------------------------------------------------

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request of this connection."""
        self._requests += 1
        self._unread = 0
        self._disarm()
        whole = False

        async def receive_some() -> Message:
            nonlocal whole
            message = await (receive() if whole else self._unless_ended(receive))
            whole = not message.get("more_body", False)
            self._unread = 0
            return message

        try:
            await app(scope, receive_some, send)
        finally:
            self._requests -= 1
            if self._ended.done():
                # In the next turn, since a request that was sent along with this one begins in this one.
                self._loop.call_soon(self._close_if_idle)

    async def _unless_ended(self, receive: Receive) -> Message:
        """The next message of a body; that the client is gone, if it stopped sending before the end of the body."""
        coming = asyncio.ensure_future(receive())
        try:
            await asyncio.sleep(0)  # all that came before the end counts
            if not coming.done():
                await asyncio.wait((coming, self._ended), return_when=asyncio.FIRST_COMPLETED)
            return await coming if coming.done() else {"type": "http.disconnect"}
        finally:
            coming.cancel()

    def _close_if_idle(self) -> None:
        if not self._requests:
            self._transport.close()

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self._loop.call_later(_HEAD_SECONDS, self._transport.close)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


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

        uvicorn would cancel their tasks instead, and log a traceback for each in a program that merely ends.
        """
        # asyncio leaves a connection open that was accepted in the last turn before its server is closed. So: accept no more,
        # let what was accepted become a connection, and then close the server.
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
        # uvicorn has no event for its sets of connections and tasks being empty.
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

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        connection: _Connection = scope["state"].pop(_STATE)
        await connection.run(app, scope, receive, send)

    config = uvicorn.Config(
        application,
        interface="asgi3",
        loop="asyncio",
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=None,
        access_log=True,  # False would switch it off for the whole process, also for the user's own servers
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=graceful_seconds,
    )
    config.load()
    config.loaded_app = application  # not in what logs each message, query included, at uvicorn's level TRACE
    return Server(config)
