"""What is to be done: two ordered listings merged, and each pair compared. Pure: no I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, NamedTuple

__all__ = [
    "Entry",
    "OutOfOrder",
    "Verdict",
    "checked_order",
    "compare",
    "entry_of",
    "is_md5",
    "merge",
]

_MD5 = re.compile(r"[0-9a-f]{32}").fullmatch
_PARTS = re.compile(r"[0-9a-f]{32}-[0-9]+").fullmatch
_SECOND = 1_000_000  # microseconds
_TICK = 10_000  # microseconds: what the kernel's clock for files may be behind


class OutOfOrder(Exception):  # noqa: N818 (it is an answer)
    """A listing does not come in the order of its keys' UTF-8 bytes."""


class Entry(NamedTuple):
    """A blob as a listing shows it, small enough to be kept by the hundred thousand."""

    key: str
    size: int
    etag: str
    modified: int  # microseconds since the epoch, UTC


def entry_of(key: str, size: int, etag: str, modified: datetime) -> Entry:
    """The entry of a blob; its time exact to the microsecond."""
    # timestamp() is a float, which has no room for microseconds after the year 2255, and rounds before.
    return Entry(key, size, etag, int(modified.timestamp()) * _SECOND + modified.microsecond)


# ---- merging -------------------------------------------------------------------------------------------------------


def checked_order(entries: Iterable[Entry]) -> Iterator[Entry]:
    """``entries``, each key once; ``OutOfOrder`` as soon as one comes too late."""
    last: str | None = None
    for entry in entries:
        key = entry.key  # code points compare as their UTF-8 bytes do
        if last is not None and key <= last:
            if key == last:
                continue
            raise OutOfOrder(f"{key!r} after {last!r}")
        last = key
        yield entry


def merge(source: Iterable[Entry], target: Iterable[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Pairs of what stands under the same key in both; ``None`` where a side has nothing.

    Both sides must come in order; which one does not, its iterator says by raising.
    """
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
    """Whether a blob that both sides have is the same, and what told.

    ``outcome``: ``"same"`` or ``"differs"``; ``"ask"``: the bytes are the same, their headers may not be; ``"read"``: only the
    bytes can tell; ``"doubt"``: the MD5s differ, if that is what these etags are, although the destination is younger.
    """

    outcome: Literal["same", "differs", "ask", "read", "doubt"]
    by: str


def is_md5(etag: str) -> bool:
    """Whether an etag looks like the MD5 of the bytes, as those of most S3 buckets are, but not of encrypted ones."""
    return _MD5(etag) is not None


def compare(source: Entry, target: Entry, *, checksum: bool, doubt: int = 0) -> Verdict:
    """Compares a blob of both sides by what their listings say.

    Sizes that differ settle it. Equal etags of the S3 kinds (an MD5, or MD5s of parts) mean equal bytes, and two MD5s that
    differ mean other bytes. Else time tells: the source's blob is the younger one, or it is older by more than ``doubt``.
    What lies between may have been published after its copy was made, under a time before that: only its bytes can tell.

    Args:
        source: as listed.
        target: as listed.
        checksum: do not trust times at all.
        doubt: microseconds by which the time of the source's blob may be behind the moment at which it could be seen. 0: by none.
    """
    if source.size != target.size:
        return Verdict("differs", "size")
    younger = source.modified > target.modified + max(_cut_off(target), _TICK)
    older = source.modified + (max(_cut_off(source), doubt) if doubt else 0) <= target.modified
    if source.etag == target.etag and (_MD5(source.etag) or _PARTS(source.etag)):
        # The same bytes written anew may have got other headers, which no listing tells.
        return Verdict("same" if older else "ask", "checksum" if is_md5(source.etag) else "etag")
    if is_md5(source.etag) and is_md5(target.etag):
        return Verdict("differs" if younger else "doubt", "checksum")
    if checksum:
        return Verdict("read", "content")
    if younger:
        return Verdict("differs", "size and time")
    return Verdict("same", "size and time") if older else Verdict("read", "content")


def _cut_off(entry: Entry) -> int:
    """The microseconds that a service which tells whole seconds or milliseconds may have cut off a time."""
    return _SECOND - 1 if entry.modified % _SECOND == 0 else 999 if entry.modified % 1000 == 0 else 0
