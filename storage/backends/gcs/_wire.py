"""Makes connections of our own transport. What sends requests over ``requests`` is in ``_requests_wire``."""

from __future__ import annotations

from collections.abc import Sequence

from storage._retry import Timeout
from storage.backends._http import Pool, tls_context
from storage.backends.gcs._gate import bundle
from storage.exceptions import ConfigurationError

Body = bytes | Sequence["bytes | memoryview"]
"""A request's body: bytes, or pieces that are sent one after another."""


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
