"""Waiting for one socket: with ``poll``, or with ``select`` on systems without it, as Windows is."""

from __future__ import annotations

import select
import socket
from typing import Any, Final

POLLIN: Final[int] = getattr(select, "POLLIN", 1)
POLLOUT: Final[int] = getattr(select, "POLLOUT", 4)


class _Select:
    """What of ``select.poll`` the transport uses, for the socket that was registered last."""

    def register(self, sock: socket.socket, events: int) -> None:
        self._socket, self._events = sock, events

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        reading = [self._socket] if self._events & POLLIN else []
        writing = [self._socket] if self._events & POLLOUT else []
        # Windows tells of a connection that failed among the exceptions alone.
        readable, writable, failed = select.select(reading, writing, writing, milliseconds / 1000)
        events = (POLLIN if readable else 0) | (POLLOUT if writable or failed else 0)
        return [(self._socket.fileno(), events)] if events else []


new_poll: Final[Any] = getattr(select, "poll", _Select)

DO_NOT_WAIT: Final[int] = getattr(socket, "MSG_DONTWAIT", 0)
"""By this flag one call on a socket that blocks does not. 0: the system has none, and sockets never block."""
