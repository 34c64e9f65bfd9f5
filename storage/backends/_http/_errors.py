"""The exceptions of the transport.

::

    TransportError
    ├── ConnectError              no connection: nothing was sent
    │   ├── ConnectTimeoutError
    │   └── CertificateError      another try will not mend it
    ├── ReadTimeoutError          no packet for `read_timeout` seconds
    ├── ConnectionLostError       the server, or something between, closed the connection
    │   └── BodyCutError          … after the answer's head had come
    └── ProtocolError             what came is no HTTP answer, or an ambiguous one
"""

from __future__ import annotations


class TransportError(Exception):
    """A request that got no whole answer. Its message names host and port, never the target or a header.

    Attributes:
        sent: whether a byte of the request may have reached the server; ``False``: it certainly was not carried out.
        answered: whether a byte of an answer came.
        status: the status of the answer, once its head has come whole.
    """

    sent: bool = True
    answered: bool = False
    status: int | None = None


class ConnectError(TransportError):
    """No connection: the name is unknown, nobody listens, or the TLS handshake failed."""

    sent = False


class ConnectTimeoutError(ConnectError):
    """No connection within the connect timeout, TLS handshake included."""


class CertificateError(ConnectError):
    """The server's certificate is not trusted, has expired, or is another host's."""


class ReadTimeoutError(TransportError):
    """The connection was silent, or took no more bytes, for as long as the read timeout."""


class ConnectionLostError(TransportError):
    """The connection was closed or reset before the answer's head had come whole."""


class BodyCutError(ConnectionLostError):
    """The connection was closed or reset before the answer's body had come whole."""

    answered = True


class ProtocolError(TransportError):
    """The answer is not HTTP/1.1, is ambiguous about its length, or goes over a limit."""

    answered = True


def let_others_through(exc: OSError) -> None:
    """Raises ``exc`` again unless the system raised it: a signal handler's ``TimeoutError`` is its caller's, not the network's.

    What the system raises has an ``errno``. No socket here has a timeout of its own, whose exception would have none.
    """
    if exc.errno is None:
        raise exc
