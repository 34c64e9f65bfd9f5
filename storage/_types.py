"""The values that the methods of ``Storage`` take and return: ``ObjectInfo``, ``SignedRequest``, ``SignedForm``, ``KeyRange``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from storage._frozen import Frozen


class KeyRange(Frozen):
    """A range of keys; both bounds are texts, need not be keys, and are not included.

    Attributes:
        start_after: only keys after this text; ``None``: from the first key on.
        end_before: only keys before this text; ``None``: up to the last key.
    """

    start_after: str | None = None
    end_before: str | None = None


class ObjectInfo(Frozen):
    """One blob's key, size, etag, time, headers and metadata: a frozen value. ``vars`` gives its fields as a dict.

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

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them: the time in ISO 8601, UTC."""
        return {**vars(self), "last_modified": self.last_modified.isoformat().replace("+00:00", "Z")}


class SignedRequest(Frozen):
    """An HTTP request that anyone can send until it expires.

    Attributes:
        method: ``"GET"``, ``"HEAD"`` or ``"PUT"``.
        url: where to send it. A secret: whoever has it can use it.
        headers: the headers that must be sent with it, exactly these values.
        expires_at: when it stops working, aware, UTC; earlier than asked for if the credentials expire before.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    expires_at: datetime

    def __repr__(self) -> str:
        # The URL and its headers are a credential: a repr ends up in logs and tracebacks.
        where = self.url.partition("?")[0]
        return f"SignedRequest(method={self.method!r}, url='{where}?…', expires_at={self.expires_at!r})"


class SignedForm(Frozen):
    """A browser form (``multipart/form-data``) that anyone can post until it expires.

    Attributes:
        url: where to post it.
        fields: the form's fields, in this order; after them comes the field ``file`` with the bytes. A secret, like ``url``.
        expires_at: when it stops working, aware, UTC; earlier than asked for if the credentials expire before.
    """

    url: str
    fields: Mapping[str, str]
    expires_at: datetime

    def __repr__(self) -> str:
        return f"SignedForm(url={self.url.partition('?')[0]!r}, fields=…, expires_at={self.expires_at!r})"
