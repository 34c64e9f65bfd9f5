"""Records: the etag, headers and metadata of a blob, in an extended attribute of its file or in a sidecar.

A record names the size and the time of change of the body that it belongs to. If the file has another size or time, it was
edited in place: the record's headers still count, its etag does not.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Final

from storage._backend import PutOptions, Stat
from storage._content_types import guess_content_type

_ATTRIBUTE: Final = "user.storage"
_UTC = timezone.utc
_VERSION = 1
# Extended attributes are unknown, forbidden, or too small for this record.
_UNATTACHABLE = frozenset(
    {errno.ENOTSUP, errno.EPERM, errno.E2BIG, errno.ENOSPC, errno.ERANGE, errno.ENOSYS, errno.EINVAL, errno.EDQUOT}
)
_NO_ATTRIBUTE = frozenset({getattr(errno, "ENODATA", errno.ENOTSUP), errno.ENOTSUP, errno.EPERM, errno.ENOSYS})

_getxattr = getattr(os, "getxattr", None)
_setxattr = getattr(os, "setxattr", None)

_Headers = tuple[str, "str | None", "str | None", Mapping[str, str]]
"""Content type, cache control, content encoding, metadata: the last four fields of a ``Stat``."""

Record = tuple[int, int, bytes, _Headers]
"""Bytes of the body and its time of change in nanoseconds when the record was written, the etag, the headers."""

_FIXED = struct.Struct("<BQQ8s")  # version, size, time of change in nanoseconds, etag
_TEXTS = 4


class Unattached(Exception):  # noqa: N818 (not an error: the record goes into a sidecar)
    """This file cannot carry this record."""


def encode(etag: bytes, st: os.stat_result, options: PutOptions) -> bytes:
    """The record of a body whose file is as ``st`` says.

    It is short, because ext4 keeps 64 bytes in the inode and writes another block for more. The texts need no escapes:
    headers are printable, and JSON has no line breaks.
    """
    metadata = json.dumps(dict(options.metadata), ensure_ascii=False) if options.metadata else ""
    texts = _encode_texts(options.content_type, options.cache_control, options.content_encoding, metadata)
    return _FIXED.pack(_VERSION, st.st_size, st.st_mtime_ns, etag) + texts


@lru_cache(maxsize=128)
def _encode_texts(content_type: str, cache_control: str | None, content_encoding: str | None, metadata: str) -> bytes:
    return f"{content_type}\n{cache_control or ''}\n{content_encoding or ''}\n{metadata}".encode()


def decode(data: bytes) -> Record | None:
    """The inverse of :func:`encode`; ``None`` for anything that it did not write."""
    try:
        version, size, mtime_ns, etag = _FIXED.unpack_from(data)
    except struct.error:
        return None
    headers = _decode_texts(data[_FIXED.size :]) if version == _VERSION else None
    return None if headers is None else (size, mtime_ns, etag, headers)


@lru_cache(maxsize=128)
def _decode_texts(data: bytes) -> _Headers | None:
    try:
        texts = data.decode().split("\n")
        if len(texts) != _TEXTS:
            return None
        content_type, cache_control, content_encoding, metadata = texts
        known = json.loads(metadata) if metadata else {}
    except ValueError:
        return None
    return (content_type, cache_control or None, content_encoding or None, known) if isinstance(known, dict) else None


def attach(fd: int, record: bytes) -> None:
    """Writes the encoded record into the open file, in one step.

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


def fetch(file: int | str, *, follow_symlinks: bool = True) -> Record | None:
    """The record in the open file; ``None``: there is none (a file that was dropped in, or one with a sidecar)."""
    if _getxattr is None:
        return None
    try:
        return decode(_getxattr(file, _ATTRIBUTE, follow_symlinks=follow_symlinks))
    except OSError as exc:
        if exc.errno in _NO_ATTRIBUTE:
            return None
        raise


def fetch_named(fd: int, name: str) -> Record | None:
    """As :func:`fetch`, of the file ``name`` in the directory ``fd``; an ``OSError`` where the system has no ``/proc``."""
    return fetch(f"/proc/self/fd/{fd}/{name}", follow_symlinks=False)


def to_stat(path: str, st: os.stat_result, record: Record | None) -> Stat:
    """The ``Stat`` of the file at ``path``. ``record``: what is kept with it; ``None``: it was dropped in."""
    modified = datetime.fromtimestamp(st.st_mtime, _UTC)
    if record is None:
        return Stat(st.st_size, _derived_etag(st), modified, guess_content_type(path), None, None, {})
    return Stat(st.st_size, etag_of(st, record), modified, *record[3])


def etag_of(st: os.stat_result, record: Record | None) -> str:
    """The etag of a blob's file. ``record``: as for :func:`to_stat`."""
    etag = None if record is None else own_etag(record, st)
    return _derived_etag(st) if etag is None else etag.hex()


def own_etag(record: Record, st: os.stat_result) -> bytes | None:
    """The etag in ``record`` if that was written for the body ``st``; ``None``: the body was edited in place since."""
    size, mtime_ns, etag, _ = record
    return etag if size == st.st_size and mtime_ns == st.st_mtime_ns else None


def _derived_etag(st: os.stat_result) -> str:
    """An etag for a body that has none of its own. The time of the inode changes also where the body's was set back."""
    return f"{st.st_ino:x}-{st.st_mtime_ns:x}-{st.st_ctime_ns:x}-{st.st_size:x}"


def new_stat(etag: bytes, st: os.stat_result, options: PutOptions) -> Stat:
    """The ``Stat`` of a body that was just written."""
    return Stat(st.st_size, etag.hex(), datetime.fromtimestamp(st.st_mtime, _UTC), *options[:4])
