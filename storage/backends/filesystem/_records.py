"""What is known of a blob beside its bytes: a record, in an extended attribute of its file or in a sidecar.

A record names the size and the time of change of the body it belongs to. Where these are no longer the file's, somebody
edited it in place: its headers still hold, its etag does not.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Final, NamedTuple

from storage._backend import PutOptions, Stat
from storage._content_types import guess_content_type

__all__ = [
    "Record",
    "Unattached",
    "attach",
    "derived_etag",
    "encode",
    "fetch",
    "fetch_named",
    "new_stat",
    "to_stat",
]

_ATTRIBUTE: Final = "user.storage"
_UTC = timezone.utc
_VERSION = 1
# Extended attributes unknown, forbidden, or too small for this record.
_UNATTACHABLE = frozenset(
    {errno.ENOTSUP, errno.EPERM, errno.E2BIG, errno.ENOSPC, errno.ERANGE, errno.ENOSYS, errno.EINVAL, errno.EDQUOT}
)
_NO_ATTRIBUTE = frozenset({getattr(errno, "ENODATA", errno.ENOTSUP), errno.ENOTSUP, errno.EPERM, errno.ENOSYS})

_getxattr = getattr(os, "getxattr", None)
_setxattr = getattr(os, "setxattr", None)


_FIXED = struct.Struct("<BQQ8s")  # version, size, time of change in nanoseconds, etag
_TEXTS = 4


class Unattached(Exception):  # noqa: N818 (not an error: the sidecar takes over)
    """This file cannot carry this record."""


class Record(NamedTuple):
    """What is kept with a body."""

    etag: str
    size: int
    mtime_ns: int
    content_type: str
    cache_control: str | None = None
    content_encoding: str | None = None
    metadata: Mapping[str, str] = {}

    @classmethod
    def decode(cls, data: bytes) -> Record | None:
        """The inverse of ``encode``; ``None`` for what it did not write."""
        try:
            version, size, mtime_ns, etag = _FIXED.unpack_from(data)
            texts = data[_FIXED.size :].decode().split("\n")
            if version != _VERSION or len(texts) != _TEXTS:
                return None
            content_type, cache_control, content_encoding, metadata = texts
            return cls(
                etag.hex(),
                size,
                mtime_ns,
                content_type,
                cache_control or None,
                content_encoding or None,
                json.loads(metadata) if metadata else {},
            )
        except (struct.error, ValueError):
            return None

    def fits(self, st: os.stat_result) -> bool:
        """Whether the body is still the one that this record was written for."""
        return self.size == st.st_size and self.mtime_ns == st.st_mtime_ns


def encode(etag: bytes, st: os.stat_result, options: PutOptions) -> bytes:
    """The record of a body whose file is as ``st`` says.

    It is short, because ext4 keeps 64 bytes in the inode and writes another block for more. The texts need no escapes:
    headers are printable, and JSON has no line breaks.
    """
    content_type, cache_control, content_encoding, metadata, _, _ = options
    if metadata:
        texts = _texts(content_type, cache_control, content_encoding, json.dumps(dict(metadata), ensure_ascii=False))
    else:
        texts = _texts(content_type, cache_control, content_encoding, "")
    return _FIXED.pack(_VERSION, st.st_size, st.st_mtime_ns, etag) + texts


@lru_cache(maxsize=128)
def _texts(content_type: str, cache_control: str | None, content_encoding: str | None, metadata: str) -> bytes:
    return f"{content_type}\n{cache_control or ''}\n{content_encoding or ''}\n{metadata}".encode()


def attach(fd: int, record: bytes) -> None:
    """Writes the encoded record into the open file.

    Raises:
        Unattached: it must go into a sidecar.
    """
    if _setxattr is None:
        raise Unattached
    try:
        _setxattr(fd, _ATTRIBUTE, record)
    except OSError as exc:
        if exc.errno in _UNATTACHABLE:
            raise Unattached from exc
        raise


def fetch(fd: int) -> Record | None:
    """The record in the open file; ``None``: there is none (a file that was dropped in, or one with a sidecar)."""
    if _getxattr is None:
        return None
    try:
        return Record.decode(_getxattr(fd, _ATTRIBUTE))
    except OSError as exc:
        if exc.errno in _NO_ATTRIBUTE:
            return None
        raise


def fetch_named(fd: int, name: str) -> Record | None:
    """As ``fetch``, of the file ``name`` in the directory ``fd``; an ``OSError`` where the system has no ``/proc``."""
    if _getxattr is None:
        return None
    try:
        return Record.decode(_getxattr(f"/proc/self/fd/{fd}/{name}", _ATTRIBUTE, follow_symlinks=False))
    except OSError as exc:
        if exc.errno in _NO_ATTRIBUTE:
            return None
        raise


def derived_etag(st: os.stat_result) -> str:
    """An etag for a file that has none of its own."""
    return f"{st.st_ino:x}-{st.st_mtime_ns:x}-{st.st_size:x}"


def to_stat(path: str, st: os.stat_result, record: Record | None) -> Stat:
    """The ``Stat`` of the file at ``path``. ``record``: what is kept with it; ``None``: it was dropped in."""
    modified = datetime.fromtimestamp(st.st_mtime, _UTC)
    if record is None:
        return Stat(st.st_size, derived_etag(st), modified, guess_content_type(path), None, None, {})
    return Stat(
        st.st_size,
        record.etag if record.fits(st) else derived_etag(st),
        modified,
        record.content_type,
        record.cache_control,
        record.content_encoding,
        record.metadata,
    )


def new_stat(etag: bytes, st: os.stat_result, options: PutOptions) -> Stat:
    """The ``Stat`` of a body that was just written."""
    modified = datetime.fromtimestamp(st.st_mtime, _UTC)
    # What Stat(…) does, without its call in Python; the options begin with the four fields that a Stat ends with.
    return tuple.__new__(Stat, (st.st_size, etag.hex(), modified, *options[:4]))
