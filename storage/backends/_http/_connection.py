"""One connection: sends a request, reads the head of its answer, then bytes of its body."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from typing import Final

from storage import _stop
from storage._fork import forks
from storage.backends._http._dial import PATIENCE, Server, dial
from storage.backends._http._errors import (
    BodyCutError,
    ConnectionLostError,
    ProtocolError,
    ReadTimeoutError,
    TransportError,
    let_others_through,
)
from storage.backends._http._parser import MAX_HEAD, Parser
from storage.backends._http._poll import DO_NOT_WAIT, POLLIN, POLLOUT, new_poll

_RECEIVE: Final = 64 * 1024  # bytes: a small answer comes whole with one call
_SEND: Final = 256 * 1024  # bytes of a large body that one call is given
_JOIN: Final = 64 * 1024  # bytes: a body up to this length is copied behind the head, so that one call sends both
_MAX_INTERIM: Final = 16  # answers such as "100 Continue" before the real one

_AGAIN: Final = (BlockingIOError, ssl.SSLWantReadError)


class Connection:
    """A connection on which one request at a time is made.

    What waits is a poll, with a timeout. Its socket never blocks, but for one call: see ``_begin``.

    Attributes:
        parser: what is known of the answer.
        rest: bytes that have come and that nobody has taken yet.
        reusable: whether the server will take another request once the answer has been read.
        idle_since: when it was put away, on the monotonic clock.
    """

    __slots__ = (
        "__weakref__",
        "_flags",
        "_milliseconds",
        "_poll",
        "_sent",
        "_server",
        "_socket",
        "_unsent",
        "idle_since",
        "parser",
        "rest",
        "reusable",
    )

    def __init__(self, server: Server) -> None:
        self._socket: socket.socket | None = None
        self._server = server
        self._flags = DO_NOT_WAIT if server.tls is None else 0
        self._milliseconds = server.read_timeout * 1000
        self._poll = new_poll()
        self._unsent: list[bytes | memoryview] = []  # the next piece is the last
        self._sent = False
        self.rest = b""
        self.reusable = False
        self.idle_since = 0.0
        self.parser = Parser()
        self._socket = dial(server)
        self._poll.register(self._socket, POLLIN)
        forks.watch(self)

    def close(self) -> None:
        """Ends it without a word to the server. Idempotent."""
        self.reusable = False
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def is_quiet(self) -> bool:
        """Whether a request can go out: the server has neither closed the connection nor sent what nobody asked for."""
        sock = self._socket
        if sock is None or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            return False
        if not self._poll.poll(0):
            return True
        try:
            sock.recv(1, self._flags)
        except ssl.SSLWantReadError:
            return True  # a message of TLS itself, such as a session ticket
        except OSError as exc:
            let_others_through(exc)
        return False

    # ---- a request and the head of its answer ------------------------------------------------------------------

    def exchange(self, method: str, head: bytes, body: Sequence[bytes | memoryview]) -> None:
        """Sends a request, and reads the head of its answer into ``parser``.

        Raises:
            TransportError: none came.
        """
        self.parser.status = 0
        self._sent = self.reusable = False
        sock = self._open()
        if not body:
            self._unsent = [head]
        elif len(body) == 1 and len(body[0]) <= _JOIN:
            self._unsent = [head + body[0]]
        elif sum([len(piece) for piece in body]) <= _JOIN:
            self._unsent = [b"".join([head, *body])]
        else:
            self._unsent = [*[memoryview(piece) for piece in reversed(body)], head]
        sent = self._send(sock)
        interim = 0
        self._read_head(sock, method)
        while self.parser.status < 200:
            interim += 1
            if interim == _MAX_INTERIM:
                raise self.failure(ProtocolError, f"{_MAX_INTERIM} interim answers came, and no real one")
            sent = sent or self._send(sock)
            self._read_head(sock, method)
        self._unsent.clear()
        # A server that answers before it has the whole request reads no other one.
        self.reusable = sent and self.parser.keep_alive

    def _send(self, sock: socket.socket) -> bool:
        """Sends what is left. False: an answer has begun to come, or the server reads no more and may have answered."""
        unsent, poll = self._unsent, None
        while True:
            piece = unsent[-1]
            try:
                count = sock.send(piece[:_SEND], self._flags)
                self._sent = True
            except ssl.SSLWantReadError:
                self._wait()
                continue
            except (BlockingIOError, ssl.SSLWantWriteError):
                count = 0
            except OSError as exc:
                let_others_through(exc)
                return False
            if count < len(piece):
                unsent[-1] = memoryview(piece)[count:]
            else:
                unsent.pop()
                if not unsent:
                    return True
            if poll is None:
                poll = new_poll()
                poll.register(sock, POLLIN | POLLOUT)
            events = _stop.wait_for(poll.poll, self._milliseconds)
            if not events:
                raise self.failure(ReadTimeoutError, f"took no more bytes for {self._server.read_timeout:g} seconds")
            if events[0][1] & POLLIN and self._has_answer(sock):
                return False

    def _has_answer(self, sock: socket.socket) -> bool:
        """Whether bytes of an answer, or the end of the connection, have come already."""
        try:
            self.rest += sock.recv(_RECEIVE, self._flags)
        except _AGAIN:
            return False
        except OSError as exc:
            let_others_through(exc)  # whoever reads next meets the system's again
        return True

    def _read_head(self, sock: socket.socket, method: str) -> None:
        data = self.rest or self._begin(sock)
        while True:
            head, end, self.rest = data.partition(b"\r\n\r\n")
            if end or len(data) > MAX_HEAD or not b"HTTP/".startswith(data[:5]):
                break
            self.rest = data
            more = self.receive(_RECEIVE)
            if not more:
                raise self.failure(ConnectionLostError, "closed the connection before its answer was whole")
            data += more
        if len(head) > MAX_HEAD:
            raise self.failure(ProtocolError, f"the head of the answer has more than {MAX_HEAD} bytes")
        try:
            self.parser.head(head, method)
        except ProtocolError as exc:
            raise self.failure(ProtocolError, str(exc)) from None

    def _begin(self, sock: socket.socket) -> bytes:
        """The first bytes of an answer, which is seldom there at once."""
        if not self._flags or _stop.current.get() is not None:
            self._wait()
            return self.receive(_RECEIVE)
        try:
            return sock.recv(_RECEIVE)
        except BlockingIOError:
            self._wait(self._milliseconds - PATIENCE * 1000)
            return self.receive(_RECEIVE)
        except OSError as exc:
            raise self._lost(exc) from exc

    # ---- bytes -------------------------------------------------------------------------------------------------

    def receive(self, size: int) -> bytes:
        """The next bytes of the socket, at most ``size``; ``b""`` at the end of the connection."""
        sock = self._open()
        if size > _RECEIVE and isinstance(sock, ssl.SSLSocket):
            return self._decrypt(sock, size)
        while True:
            try:
                return sock.recv(size, self._flags)
            except _AGAIN:
                self._wait()
            except OSError as exc:
                raise self._lost(exc) from exc

    def _decrypt(self, sock: ssl.SSLSocket, size: int) -> bytes:
        """As ``receive``: as many records as have come, since one alone holds 16 KiB."""
        pieces = [self.receive(_RECEIVE)]
        size -= len(pieces[0])
        try:
            while size and pieces[-1]:
                pieces.append(sock.recv(size))
                size -= len(pieces[-1])
        except OSError as exc:
            let_others_through(exc)  # nothing more for now, or an error that the next one to read meets again
        return b"".join(pieces)

    def receive_into(self, view: memoryview) -> int:
        """As ``receive``, into ``view``; how many."""
        sock = self._open()
        while True:
            try:
                return sock.recv_into(view, len(view), self._flags)
            except _AGAIN:
                self._wait()
            except OSError as exc:
                raise self._lost(exc) from exc

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise self.failure(ConnectionLostError, "the connection was closed, or is another process's")
        return self._socket

    def _wait(self, milliseconds: float | None = None) -> None:
        if not _stop.wait_for(self._poll.poll, self._milliseconds if milliseconds is None else milliseconds):
            raise self.failure(ReadTimeoutError, f"sent nothing for {self._server.read_timeout:g} seconds")

    def _lost(self, exc: OSError) -> TransportError:
        let_others_through(exc)
        return self.failure(ConnectionLostError, f"the connection was lost: {exc}")

    def failure(self, kind: type[TransportError], what: str) -> TransportError:
        """The exception for this request, which ends the connection."""
        self.close()
        status = self.parser.status
        if kind is ConnectionLostError and status >= 200:
            kind = BodyCutError
        exc = kind(f"{self._server}: {what}")
        exc.sent = self._sent
        exc.answered = exc.answered or bool(status or self.rest)
        exc.status = status if status >= 200 else None
        return exc

    def forked(self) -> None:
        """In a child: lets go of the parent's connection, and touches nothing that they share."""
        sock, self._socket = self._socket, None
        self.reusable = False
        if sock is not None:
            forks.keep(sock)  # freeing what OpenSSL holds for it, perhaps while another thread was at it, may crash
            os.close(sock.detach())
