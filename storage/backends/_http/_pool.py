"""Makes requests to one server, and keeps their connections for the next ones."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from storage import _stop
from storage.backends._http._connection import Connection
from storage.backends._http._dial import Server
from storage.backends._http._errors import ConnectionLostError
from storage.backends._http._response import Response
from storage.exceptions import ConfigurationError

if TYPE_CHECKING:
    from ssl import SSLContext

_PORTS: Final = {"http": 80, "https": 443}
_WITH_BODY: Final = frozenset({"PUT", "POST", "PATCH"})
_IDLE_SECONDS: Final = 60.0  # then something between may have forgotten a connection, and nobody would say so
_MAX_ERROR_BODY: Final = 4 * 1024 * 1024  # bytes


def header_lines(headers: Iterable[tuple[str, str]]) -> str:
    """Headers as lines, each with a line feed at its end.

    Raises:
        ConfigurationError: a name or a value has a line break.
    """
    lines = [f"{name}:{value}\n" for name, value in headers]
    text = "".join(lines)
    if text.count("\n") != len(lines) or "\r" in text:
        raise ConfigurationError(
            "a header of the request would hold a line break; look for one at the end of the credentials or of a setting"
        )
    return text


class Pool:
    """Makes requests to one server, from any number of threads at once, each on a connection of its own.

    After a fork the child makes connections of its own.

    Args:
        scheme: ``http`` or ``https``.
        port: ``None``: the scheme's.
        connections: how many idle ones are kept.
        host, connect_timeout, read_timeout, tls: see ``Server``. ``https`` needs the last.

    Attributes:
        authority: the header ``Host`` that is sent.
    """

    def __init__(
        self,
        scheme: str,
        host: str,
        port: int | None = None,
        *,
        connections: int = 64,
        connect_timeout: float,
        read_timeout: float,
        tls: SSLContext | None = None,
    ) -> None:
        if scheme not in _PORTS or (scheme == "https") != (tls is not None):
            raise ValueError(f"scheme={scheme!r}: http without tls, or https with it")
        usual = _PORTS[scheme]
        self._server = Server(host, port or usual, connect_timeout, read_timeout, tls)
        name = f"[{host}]" if ":" in host else host
        self.authority: str = name if port in {None, usual} else f"{name}:{port}"
        self._connections = connections
        # No lock: what a deque does is atomic, and a lock that is taken during a fork stays taken in the child.
        self._idle: deque[Connection] = deque()
        self._closed = False

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | str,
        body: bytes | memoryview | Sequence[bytes | memoryview] = b"",
        *,
        repeatable: bool,
        stream: bool = False,
    ) -> Response:
        """Makes a request, and returns its answer, whatever its status.

        Args:
            method: in upper case.
            target: the path with its query, percent-encoded.
            headers: without ``Host`` and ``Content-Length``, which are added here; or all but ``Content-Length`` as
                :func:`header_lines` makes them. No name or value has a line break.
            body: bytes, or pieces that are sent one after another; none is copied if it is large.
            repeatable: whether the request may be carried out twice. If so, and it was sent on a connection that had been used
                before, and that connection turns out to be closed before a byte of an answer has come, it is sent once more, on a
                new one. (A server may close an idle connection while a request is on its way.)
            stream: leave the body of a 2xx answer to ``Response.read``; the caller closes the response. All other answers
                come whole.

        Raises:
            TransportError: there is no whole answer (with ``stream``: no whole head).
            ConfigurationError: ``target`` or ``headers`` would break the request's lines.
        """
        pieces = body if isinstance(body, (list, tuple)) else (body,) if body else ()
        head = self._head(method, target, headers, pieces)
        _stop.check()
        connection = self._take()
        try:
            if connection is None:
                connection = Connection(self._server)
                connection.exchange(method, head, pieces)
            else:
                try:
                    connection.exchange(method, head, pieces)
                except ConnectionLostError as exc:
                    if exc.answered or (exc.sent and not repeatable):
                        raise
                    _stop.check()
                    connection = Connection(self._server)
                    connection.exchange(method, head, pieces)
            response = Response(connection, self._give_back)
            if not stream or response.status >= 300:
                response.load(None if response.status < 300 else _MAX_ERROR_BODY)
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        return response

    def _head(
        self, method: str, target: str, headers: Mapping[str, str] | str, pieces: Sequence[bytes | memoryview]
    ) -> bytes:
        lines = headers if isinstance(headers, str) else header_lines({"host": self.authority, **headers}.items())
        if " " in target or "\n" in target or "\r" in target:
            raise ConfigurationError(
                "the target of the request would hold a space or a line break; look for one in the endpoint's URL"
            )
        length = f"content-length:{sum([len(piece) for piece in pieces])}\n" if pieces or method in _WITH_BODY else ""
        return f"{method} {target} HTTP/1.1\n{lines}{length}\n".replace("\n", "\r\n").encode()

    def close(self) -> None:
        """Closes the idle connections; one that is in use is closed when its answer has been read. Idempotent."""
        self._closed = True
        while self._idle:
            self._drop_oldest()

    def _take(self) -> Connection | None:
        """The connection that was used last, if it can be used again."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - connection.idle_since < _IDLE_SECONDS and connection.is_quiet():
                return connection
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        if not connection.reusable:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self._closed or len(self._idle) > self._connections:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            connection = self._idle.popleft()
        except IndexError:
            return  # another thread was faster
        connection.close()
