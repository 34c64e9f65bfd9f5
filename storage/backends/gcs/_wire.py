"""``Wire``: the interface that sends one request, and its implementation over our own transport.

The implementation over ``requests`` is in ``_requests_wire``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from storage._retry import Timeout
from storage.backends._http import Answer, Pool, tls_context
from storage.backends.gcs._gate import bundle
from storage.exceptions import ConfigurationError

Body = bytes | Sequence["bytes | memoryview"]
"""A request's body: bytes, or pieces that are sent one after another."""


class WholeAnswer(NamedTuple):
    """An :class:`Answer` that has come otherwise than over a :class:`Wire`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    length: int | None = None

    def load(self) -> None:
        """Does nothing."""

    def read(self, size: int) -> bytes:
        """Nothing: the body has been read."""
        del size
        return b""

    def close(self) -> None:
        """Does nothing."""


class Wire(Protocol):
    """Makes requests to the service's endpoint, from any number of threads, each once."""

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, *, repeatable: bool, stream: bool
    ) -> Answer:
        """The answer, whatever its status; redirects are not followed.

        Args:
            method: in upper case.
            target: path and query below the endpoint, percent-encoded.
            headers: all of them, but for ``Host`` and ``Content-Length``.
            body: may be empty.
            repeatable: whether it does no harm if the request is carried out twice.
            stream: leave the body of a 2xx answer to ``Answer.read``.
        """

    def close(self) -> None:
        """Gives the idle connections back."""


def new_pool(scheme: str, host: str, port: int | None, timeout: Timeout, connections: int = 1) -> Pool:
    """Connections to one server, which is trusted as ``requests`` would trust it."""
    tls = None
    if scheme == "https":
        trusted = bundle()
        try:
            tls = tls_context(trusted)
        except OSError as exc:
            raise ConfigurationError(
                f"the CA certificates in {trusted!r} cannot be read ({exc.strerror or exc}); check REQUESTS_CA_BUNDLE, "
                "CURL_CA_BUNDLE and SSL_CERT_FILE"
            ) from exc
    return Pool(
        scheme,
        host,
        port,
        connections=connections,
        connect_timeout=timeout.connect,
        read_timeout=timeout.read,
        tls=tls,
    )


class PoolWire:
    """The :class:`Wire` over this library's own transport. ``base``: the endpoint's path, without a slash at its end."""

    def __init__(self, pool: Pool, base: str) -> None:
        self.pool: Pool = pool
        self._base = base

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, *, repeatable: bool, stream: bool
    ) -> Answer:
        return self.pool.request(method, self._base + target, headers, body, repeatable=repeatable, stream=stream)

    def close(self) -> None:
        self.pool.close()
