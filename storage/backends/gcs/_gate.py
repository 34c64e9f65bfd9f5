"""Chooses how requests are sent: over our own transport, or over ``requests`` where there is a proxy or a client certificate."""

from __future__ import annotations

import os
import sys
from typing import Any


def needs_requests(url: str) -> bool:
    """Whether a request to ``url`` goes through a proxy or may need a client certificate."""
    return _has_proxy(url) or (url.startswith("https:") and wants_client_certificate())


def _has_proxy(url: str) -> bool:
    if sys.platform == "linux" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return False
    from requests.utils import get_environ_proxies, select_proxy  # 90 ms

    return select_proxy(url, get_environ_proxies(url, no_proxy=None)) is not None


def wants_client_certificate() -> bool:
    """Whether google-auth would present one (mutual TLS)."""
    from google.auth.transport import mtls

    ask: Any = getattr(mtls, "should_use_client_cert", None)  # google-auth 2.41 and later
    return bool(ask()) if ask else os.environ.get("GOOGLE_API_USE_CLIENT_CERTIFICATE") == "true"


def bundle() -> str:
    """The file or directory of CA certificates to trust: as ``requests`` chooses it, and ``SSL_CERT_FILE``."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if os.environ.get(name):
            return os.environ[name]
    import certifi  # 20 ms, which plain HTTP never needs

    return certifi.where()
