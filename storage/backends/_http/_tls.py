"""Makes the TLS contexts that trust a bundle of certificates."""

from __future__ import annotations

import os
import ssl
from typing import Final

from storage.backends._http._dial import TLSSocket

_contexts: Final[dict[tuple[str | None, float, int], ssl.SSLContext]] = {}


def tls_context(bundle: str | None = None) -> ssl.SSLContext:
    """A context that checks the server's certificate and host name.

    The same bundle gives the same context: reading one takes 10 to 30 ms of CPU.

    Args:
        bundle: a file or a directory of CA certificates; ``None``: the system's.

    Raises:
        OSError: there is no such file, or it holds no certificate.
    """
    key: tuple[str | None, float, int] = (None, 0, 0)
    if bundle is not None:
        found = os.stat(bundle)
        key = (bundle, found.st_mtime, found.st_size)
    context = _contexts.get(key)
    if context is None:
        # Two threads may both make one, rather than share a lock that a fork could leave closed for ever.
        context = _contexts.setdefault(key, _make(bundle))
    return context


def _make(bundle: str | None) -> ssl.SSLContext:
    is_folder = bundle is not None and os.path.isdir(bundle)
    context = ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
    # Else, where Python is built so, a body that lasts until the close may be cut without anyone's noticing.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = TLSSocket
    return context
