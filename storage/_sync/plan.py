"""Decides what a sync has to do: merges two ordered listings and compares each pair of blobs. Pure: no I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, Literal, NamedTuple

_MD5 = re.compile(r"[0-9a-f]{32}").fullmatch
_PARTS = re.compile(r"[0-9a-f]{32}-[0-9]+").fullmatch
_SECOND: Final = 1_000_000  # microseconds; some services tell whole seconds
# How much newer, in microseconds, a copy must be for its time alone to prove it: clocks differ, and a blob's time may be that
# at which its upload began.
_MARGIN: Final = 10 * _SECOND


class OutOfOrder(Exception):  # noqa: N818 (caught at once; an answer, not an error)
    """A listing does not come in the order of its keys' UTF-8 bytes.

    Attributes:
        listing: the number that its reader gave to it.
    """

    def __init__(self, listing: int) -> None:
        super().__init__(listing)
        self.listing = listing


class Entry(NamedTuple):
    """One blob of a listing."""

    key: str
    size: int
    etag: str
    modified: int  # microseconds since the epoch, UTC


def entry_of(key: str, size: int, etag: str, modified: datetime) -> Entry:
    """The entry of a blob; its time is exact to the microsecond."""
    # timestamp() is a float, which has no room for microseconds after the year 2255, and rounds before.
    return Entry(key, size, etag, int(modified.timestamp()) * _SECOND + modified.microsecond)


# ---- merging -------------------------------------------------------------------------------------------------------


def checked_order(entries: Iterable[Entry], listing: int = 0) -> Iterator[Entry]:
    """``entries``, each key once; raises ``OutOfOrder(listing)`` at the first key that comes too late."""
    last: str | None = None
    for entry in entries:
        key = entry.key  # code points compare as their UTF-8 bytes do
        if last is not None and key <= last:
            if key == last:
                continue
            raise OutOfOrder(listing)
        last = key
        yield entry


def merge(source: Iterable[Entry], target: Iterable[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Pairs of entries with the same key; ``None`` where a side has no such key. Both sides must come in order."""
    left, right = iter(source), iter(target)
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a.key < b.key):
            yield a, None
            a = next(left, None)
        elif a is None or b.key < a.key:
            yield None, b
            b = next(right, None)
        else:
            yield a, b
            a, b = next(left, None), next(right, None)


# ---- comparing -----------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """Whether a blob that both sides have is the same, and what showed it.

    ``outcome``: ``"same"`` or ``"differs"``. Where the listings cannot tell: ``"headers"``: the bytes are the same, compare the
    headers; ``"read"``: compare the bytes; ``"unlike"``: compare the bytes, unless etags like these are known to be no MD5s.
    """

    outcome: Literal["same", "differs", "headers", "read", "unlike"]
    by: str


def is_md5(etag: str) -> bool:
    """Whether an etag looks like the MD5 of the bytes. It is one in most S3 buckets, but not in encrypted ones."""
    return _MD5(etag) is not None


def compare(source: Entry, target: Entry, *, checksum: bool) -> Verdict:
    """Compares a blob of both sides by what their listings say.

    Another size means another blob, and equal etags of the S3 kinds (an MD5, or MD5s of parts) mean equal bytes. Else a blob
    that is newer at the source differs, and one that is ten seconds older is the same, unless ``checksum``: do not trust times.
    Everything else has to be looked at.
    """
    if source.size != target.size:
        return Verdict("differs", "size")
    newer = source.modified > target.modified + _SECOND
    older = source.modified + _MARGIN <= target.modified
    if source.etag == target.etag and (_MD5(source.etag) or _PARTS(source.etag)):
        # The same bytes, written again, may have other headers, which no listing tells.
        return Verdict("same" if older else "headers", "checksum" if is_md5(source.etag) else "etag")
    if is_md5(source.etag) and is_md5(target.etag):
        return Verdict("differs" if newer else "unlike" if older else "read", "checksum")
    if checksum:
        return Verdict("read", "content")
    if newer:
        return Verdict("differs", "size and time")
    return Verdict("same", "size and time") if older else Verdict("read", "content")
