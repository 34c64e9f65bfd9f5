"""Opens a connection: address, TCP and TLS, within one timeout."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import struct
import time
from typing import Final, NamedTuple

from storage._stop import wait_for
from storage.backends._http._errors import CertificateError, ConnectError, ConnectTimeoutError, let_others_through
from storage.backends._http._poll import DO_NOT_WAIT, POLLIN, POLLOUT, new_poll

PATIENCE: Final = 0.25
"""Seconds that a plain ``recv`` waits at most: a Ctrl-C that comes just before one is not seen until it is over."""


class _Socket(socket.socket):
    """Closes itself when nobody holds it any more.

    Python's own warns then, or does not: that depends on the order in which the collector takes a dropped store apart.
    """

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


class TLSSocket(ssl.SSLSocket):
    """As :class:`_Socket`."""

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


class Server(NamedTuple):
    """A server's address, and the timeouts and TLS context of connections to it.

    Attributes:
        host: a name or an address, an IPv6 one without brackets.
        port: its port.
        connect_timeout: seconds for a connection, over all addresses of the host and with the TLS handshake.
        read_timeout: seconds between two packets.
        tls: checks the server's certificate; ``None``: plain HTTP.
    """

    host: str
    port: int
    connect_timeout: float
    read_timeout: float
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def dial(server: Server) -> socket.socket:
    """A connected socket. With TLS, the handshake is done, and it does not block; without, see ``let_wait``.

    Raises:
        ConnectError: as it says.
    """
    deadline = time.monotonic() + server.connect_timeout
    try:
        sock = _connect(server, deadline)
    except TimeoutError as exc:
        let_others_through(exc)
        raise ConnectTimeoutError(f"{server}: no connection within {server.connect_timeout:g} seconds") from None
    except OSError as exc:
        let_others_through(exc)
        raise ConnectError(f"{server}: no connection: {exc}") from exc
    except UnicodeError as exc:
        raise ConnectError(f"{server}: no connection: this is no name of a host") from exc
    try:
        # A request goes out with one call, so there is nothing to wait for before it is sent.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.tls is None:
            let_wait(sock, min(server.read_timeout, PATIENCE))
            return sock
        return _shake_hands(sock, server, server.tls, deadline)
    except BaseException:
        sock.close()
        raise


def let_wait(sock: socket.socket, seconds: float) -> None:
    """Lets a plain ``recv`` wait for so long, and then raise ``BlockingIOError``: one system call, where a poll needs two."""
    if not DO_NOT_WAIT:
        sock.settimeout(0)
        return
    whole, part = divmod(max(seconds, 1e-6), 1)  # none at all would mean for ever
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(whole), int(part * 1e6)))


def _connect(server: Server, deadline: float) -> socket.socket:
    """The first address that answers; each gets its share of the time that is left."""
    addresses = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    if not addresses:
        raise ConnectError(f"{server}: no connection: the name has no address")
    for left in range(len(addresses), 0, -1):
        family, kind, protocol, _, address = addresses[-left]
        sock = _Socket(family, kind, protocol)
        try:
            sock.settimeout(0)
            number = sock.connect_ex(address)
            if number in (errno.EINPROGRESS, errno.EWOULDBLOCK):  # the second is Windows'
                poll = new_poll()
                poll.register(sock, POLLOUT)
                share = max(1.0, (deadline - time.monotonic()) / left * 1000)
                number = (
                    sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if wait_for(poll.poll, share)
                    else errno.ETIMEDOUT
                )
        except BaseException:
            sock.close()
            raise
        if not number:
            return sock
        sock.close()
    raise OSError(number, os.strerror(number))


def _shake_hands(sock: socket.socket, server: Server, tls: ssl.SSLContext, deadline: float) -> ssl.SSLSocket:
    secure = tls.wrap_socket(
        sock, server_hostname=server.host, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )
    poll = new_poll()
    try:
        while True:
            try:
                secure.do_handshake()
                return secure
            except ssl.SSLWantReadError:
                poll.register(secure, POLLIN)
            except ssl.SSLWantWriteError:
                poll.register(secure, POLLOUT)
            if not wait_for(poll.poll, max(0, (deadline - time.monotonic()) * 1000)):
                break
    except ssl.SSLCertVerificationError as exc:
        secure.close()
        raise CertificateError(f"{server}: {exc.verify_message or exc}") from exc
    except OSError as exc:
        secure.close()
        let_others_through(exc)
        raise ConnectError(f"{server}: no TLS: {exc}") from exc
    except BaseException:
        secure.close()
        raise
    secure.close()
    raise ConnectTimeoutError(f"{server}: no TLS within {server.connect_timeout:g} seconds")
