"""The small frozen values that calls take and return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

__all__ = ["ObjectInfo", "SignedRequest"]


@dataclass(frozen=True)  # without slots: see _core.made_info
class ObjectInfo:
    """What is known of one blob.

    Attributes:
        key: its key.
        storage_type: its storage type.
        size: bytes.
        etag: an opaque version, without quotes; another one whenever the bytes change.
        last_modified: when the bytes were written, aware, UTC.
        content_type: its media type; may be ``None`` in ``iter_info`` and ``iter_dir``.
        cache_control: the ``Cache-Control`` header to serve it with, or ``None``.
        content_encoding: the ``Content-Encoding`` it was stored with, or ``None``.
        metadata: the caller's own names and values; ``{}`` without any; may be ``None`` in ``iter_info`` and ``iter_dir``.
    """

    key: str
    storage_type: str
    size: int
    etag: str
    last_modified: datetime
    content_type: str | None = None
    cache_control: str | None = None
    content_encoding: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """An HTTP request that anyone can send until it expires.

    Attributes:
        method: ``"GET"``, ``"HEAD"`` or ``"PUT"``.
        url: where to send it. A secret: whoever has it can use it.
        headers: the headers that must be sent with it, exactly these values.
        expires_at: when it stops working, aware, UTC; earlier than asked for where the credentials die earlier.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    expires_at: datetime

    def __repr__(self) -> str:
        # The URL and its headers are a credential: a repr ends up in logs and tracebacks.
        where = self.url.partition("?")[0]
        return f"SignedRequest(method={self.method!r}, url='{where}?…', expires_at={self.expires_at!r})"
