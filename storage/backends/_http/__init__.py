"""The HTTP/1.1 transport that the drivers of S3 and Cloud Storage share. It knows neither service.

::

    pool = Pool("https", host, 443, connect_timeout=9.5, read_timeout=120, tls=tls_context(bundle))
    answer = pool.request("GET", "/bucket/key?x=1", {"authorization": "…"}, repeatable=True)
    answer.status, answer.headers["etag"], answer.body

    with pool.request("GET", target, headers, repeatable=True, stream=True) as answer:
        while chunk := answer.read(256 * 1024): ...

It adds ``Host`` (which is ``pool.authority``, for signatures) and ``Content-Length`` and no other header, follows no redirect,
and asks a second time in one case only: see :meth:`Pool.request`. What goes wrong is a :class:`TransportError`, which says
whether the request may have been carried out.
"""

from __future__ import annotations

from storage.backends._http._errors import (
    BodyCutError,
    CertificateError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ProtocolError,
    ReadTimeoutError,
    TransportError,
)
from storage.backends._http._pool import Pool, header_lines
from storage.backends._http._response import Answer, Response
from storage.backends._http._times import http_date, iso_time
from storage.backends._http._tls import tls_context

__all__ = [
    "Answer",
    "BodyCutError",
    "CertificateError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "Pool",
    "ProtocolError",
    "ReadTimeoutError",
    "Response",
    "TransportError",
    "header_lines",
    "http_date",
    "iso_time",
    "tls_context",
]
