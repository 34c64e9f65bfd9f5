"""The small frozen values that calls take and return."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from storage._frozen import Frozen

__all__ = ["KeyRange", "ObjectInfo", "SignedForm", "SignedRequest"]


class KeyRange(Frozen):
    """A range of keys; both bounds are texts, need not be keys, and are not included.

    Attributes:
        start_after: only keys after this text; ``None``: from the first key on.
        end_before: only keys before this text; ``None``: up to the last key.
    """

    __match_args__: ClassVar[tuple[str, ...]] = ("start_after", "end_before")

    def __init__(self, start_after: str | None = None, end_before: str | None = None) -> None:
        self.start_after: Final[str | None] = start_after
        self.end_before: Final[str | None] = end_before


class ObjectInfo(Frozen):
    """What is known of one blob: a frozen value, whose fields ``vars`` gives as a dict.

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

    __match_args__: ClassVar[tuple[str, ...]] = (
        "key",
        "storage_type",
        "size",
        "etag",
        "last_modified",
        "content_type",
        "cache_control",
        "content_encoding",
        "metadata",
    )

    def __init__(
        self,
        key: str,
        storage_type: str,
        size: int,
        etag: str,
        last_modified: datetime,
        content_type: str | None = None,
        cache_control: str | None = None,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.key: Final[str] = key
        self.storage_type: Final[str] = storage_type
        self.size: Final[int] = size
        self.etag: Final[str] = etag
        self.last_modified: Final[datetime] = last_modified
        self.content_type: Final[str | None] = content_type
        self.cache_control: Final[str | None] = cache_control
        self.content_encoding: Final[str | None] = content_encoding
        self.metadata: Final[Mapping[str, str] | None] = metadata

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON takes them: the time in ISO 8601, UTC."""
        return {**vars(self), "last_modified": self.last_modified.isoformat().replace("+00:00", "Z")}


class SignedRequest(Frozen):
    """An HTTP request that anyone can send until it expires.

    Attributes:
        method: ``"GET"``, ``"HEAD"`` or ``"PUT"``.
        url: where to send it. A secret: whoever has it can use it.
        headers: the headers that must be sent with it, exactly these values.
        expires_at: when it stops working, aware, UTC; earlier than asked for where the credentials die earlier.
    """

    __match_args__: ClassVar[tuple[str, ...]] = ("method", "url", "headers", "expires_at")

    def __init__(self, method: str, url: str, headers: Mapping[str, str], expires_at: datetime) -> None:
        self.method: Final[str] = method
        self.url: Final[str] = url
        self.headers: Final[Mapping[str, str]] = headers
        self.expires_at: Final[datetime] = expires_at

    def __repr__(self) -> str:
        # The URL and its headers are a credential: a repr ends up in logs and tracebacks.
        where = self.url.partition("?")[0]
        return f"SignedRequest(method={self.method!r}, url='{where}?…', expires_at={self.expires_at!r})"


class SignedForm(Frozen):
    """A browser form (``multipart/form-data``) that anyone can post until it expires.

    Attributes:
        url: where to post it.
        fields: the form's fields, in this order; after them comes the field ``file`` with the bytes. A secret, like ``url``.
        expires_at: when it stops working, aware, UTC; earlier than asked for where the credentials die earlier.
    """

    __match_args__: ClassVar[tuple[str, ...]] = ("url", "fields", "expires_at")

    def __init__(self, url: str, fields: Mapping[str, str], expires_at: datetime) -> None:
        self.url: Final[str] = url
        self.fields: Final[Mapping[str, str]] = fields
        self.expires_at: Final[datetime] = expires_at

    def __repr__(self) -> str:
        return f"SignedForm(url={self.url.partition('?')[0]!r}, fields=…, expires_at={self.expires_at!r})"
