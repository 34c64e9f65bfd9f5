"""An answer, whose body is read whole or in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from storage.backends._http._connection import Connection
from storage.backends._http._errors import ConnectionLostError, ProtocolError
from storage.backends._http._parser import CHUNKED, UNTIL_CLOSE

if TYPE_CHECKING:
    from typing_extensions import Self  # 8 ms

_RECEIVE: Final = 256 * 1024  # bytes
_TRUSTED: Final = 64 * 1024 * 1024  # bytes: up to this length, memory for a body is taken before it comes


class Answer:
    """An HTTP answer that has come whole; the base of those whose body is still to be read.

    Attributes:
        status: as it came.
        headers: names in lower case; values that came more than once are joined by ``", "``.
        body: all of it, unless it is streamed (``b""`` then).
        length: how many bytes of body were announced; ``None`` where the answer does not tell.
    """

    __slots__ = ("body", "headers", "length", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"", length: int | None = None) -> None:
        self.status, self.headers, self.body, self.length = status, headers, body, length

    def load(self) -> None:
        """Reads all of a streamed body into ``body``, or ends the connection."""

    def read(self, size: int) -> bytes:  # noqa: ARG002
        """The next bytes of a streamed body, 1 to ``size``, not decoded; ``b""`` after the last."""
        return b""

    def close(self) -> None:
        """Ends the connection unless the body has been read whole. Idempotent."""


class Response(Answer):
    """An answer over this transport.

    For a ``HEAD``, and for statuses that have no body, ``length`` is 0: there ``headers["content-length"]`` is about another
    body.
    """

    __slots__ = ("_connection", "_give_back", "_left", "_pieces")

    def __init__(self, connection: Connection, give_back: Callable[[Connection], None]) -> None:
        parser = connection.parser
        self.status, self.headers = parser.status, parser.headers
        self._left = left = parser.length
        self.length = left if left >= 0 else None
        self.body = b""
        self._pieces: list[bytes] = []
        self._connection: Connection | None = connection
        self._give_back = give_back
        if not left:
            self._end(connection)

    def load(self, limit: int | None = None) -> None:
        """Reads all of the body into ``body``, or ends the connection. More than ``limit`` bytes: ``ProtocolError``.

        Raises as ``read``.
        """
        connection, left = self._connection, self._left
        if connection is not None:
            if left == len(connection.rest):  # the usual case: it came with the head
                self.body, connection.rest, self._left = connection.rest, b"", 0
                self._end(connection)
            else:
                try:
                    self.body = self._load(connection, limit)
                except BaseException:
                    self.close()
                    raise

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception that tells of it may go to another process; its connection may not.
        return Answer, (self.status, self.headers, self.body)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        """The body in pieces of at most 256 KiB."""
        while chunk := self.read(_RECEIVE):
            yield chunk

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def read(self, size: int) -> bytes:
        """The next bytes of the body, 1 to ``size``; ``b""`` after the last.

        Raises:
            BodyCutError: the connection was lost before the last byte.
            ReadTimeoutError: as it says.
            ProtocolError: the body is not well formed.
        """
        connection = self._connection
        if connection is None:
            return self._nothing()
        if self._left == CHUNKED:
            return self._piece(connection, size)
        size = min(size, self._left) if self._left >= 0 else size
        rest = connection.rest
        if rest:
            data, connection.rest = rest[:size], rest[size:]
        else:
            data = connection.receive(size)
        self._took(connection, len(data))
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Reads the next bytes of the body into ``buffer`` (not an empty one): how many; 0 after the last. Raises as ``read``."""
        connection, left = self._connection, self._left
        if connection is None or connection.rest or left == CHUNKED:
            data = self.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)
        # Given back in any case: what the frames of an exception still hold cannot be closed or made longer.
        with memoryview(buffer) as whole, whole[: left if left >= 0 else None] as view:
            count = connection.receive_into(view)
        self._took(connection, count)
        return count

    def _load(self, connection: Connection, limit: int | None) -> bytes:
        left = self._left
        if limit is not None and left > limit:
            raise self._too_long(connection, limit)
        if 0 < left <= _TRUSTED:
            # A buffer that gives its bytes away without another copy: it has just their length.
            whole = BytesIO()
            whole.seek(left - 1)
            whole.write(b"\0")
            with whole.getbuffer() as view:
                position = 0
                while position < left:
                    with view[position:] as rest:
                        position += self.readinto(rest)
            return whole.getvalue()
        pieces, total = [], 0
        for piece in self:
            pieces.append(piece)
            total += len(piece)
            if limit is not None and total > limit:
                raise self._too_long(connection, limit)
        return b"".join(pieces)

    def _nothing(self) -> bytes:
        if self._left:
            raise ConnectionLostError("the answer was closed before its body had been read")
        return b""

    def _took(self, connection: Connection, count: int) -> None:
        if count == 0:
            if self._left != UNTIL_CLOSE:
                raise self._cut(connection)
            self._left = 0
        elif self._left > 0:
            self._left -= count
        if self._left == 0:
            self._end(connection)

    def _piece(self, connection: Connection, size: int) -> bytes:
        parser, pieces = connection.parser, self._pieces
        while not pieces:
            if parser.complete:
                connection.reusable = connection.reusable and not parser.extra
                self._left = 0
                self._end(connection)
                return b""
            data, connection.rest = connection.rest or connection.receive(_RECEIVE), b""
            if not data:
                raise self._cut(connection)
            try:
                pieces = self._pieces = parser.chunked(data)[::-1]
            except ProtocolError as exc:
                raise connection.failure(ProtocolError, str(exc)) from None
        piece = pieces.pop()
        if len(piece) > size:
            pieces.append(piece[size:])
            piece = piece[:size]
        return piece

    def _end(self, connection: Connection) -> None:
        self._connection = None
        if connection.rest:
            connection.reusable = False  # more came than was announced: it belongs to nobody
        self._give_back(connection)

    @staticmethod
    def _cut(connection: Connection) -> Exception:
        return connection.failure(ConnectionLostError, "closed the connection before its answer was whole")

    @staticmethod
    def _too_long(connection: Connection, limit: int) -> Exception:
        return connection.failure(ProtocolError, f"the answer has more than {limit} bytes")
