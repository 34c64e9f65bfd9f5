"""``SyncResult``, ``SyncEvent`` and ``SyncFailure``: the result and the progress events of a sync."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from storage._frozen import Frozen


class SyncFailure(Frozen):
    """One blob that could not be synced.

    Attributes:
        storage_type: its storage type.
        key: its key; ``None``: the listing itself failed.
        error: what was raised.
    """

    storage_type: str
    key: str | None
    error: Exception


class SyncResult(Frozen):
    """What a sync did, or, with ``dry_run``, would do.

    Attributes:
        copied: blobs that were copied and verified.
        copied_bytes: their bytes.
        deleted: blobs that were deleted at the destination.
        same: blobs that were there already.
        vanished: blobs that were listed at the source and gone when they were to be copied; nothing was done about them.
        kept: blobs that were to be deleted and were not: the source has them again, or some other blob failed.
        failed: blobs that failed.
        failures: the first 1,000 of them.
        compared: how many blobs that both sides had were compared by ``"checksum"``, by ``"etag"``, by ``"size"`` (it differs),
            by ``"size and time"``, or by ``"content"`` (both were read).
        dry_run: nothing was changed.
        resumed: key ranges that an earlier, interrupted run with an ``executor`` had finished; they are in no other count.
        digest: a digest of the types, keys, sizes and checksums of all blobs, if every blob was the same on both sides by its
            checksum, so both are proved equal; two other stores with these blobs give the same digest. ``None``: not proved.
    """

    copied: int = 0
    copied_bytes: int = 0
    deleted: int = 0
    same: int = 0
    vanished: int = 0
    kept: int = 0
    failed: int = 0
    failures: tuple[SyncFailure, ...] = ()
    compared: Mapping[str, int] = {}
    dry_run: bool = False
    resumed: int = 0
    digest: str | None = None


class SyncEvent(Frozen):
    """One thing that a sync found out or did; with ``dry_run``, what it would do.

    Attributes:
        action: ``"listed"``: ``count`` blobs were compared so far. ``"planned"``: ``count`` blobs of ``size`` bytes together are
            to be copied or read. With an ``executor``: ``"ranges"``: ``count`` of the ``total`` key ranges that are known now
            are done, and with them ``blobs`` blobs, of which ``size`` bytes were copied. For one blob: ``"copied"``, ``"same"``
            (after reading both), ``"deleted"``, ``"kept"``, ``"vanished"``, ``"failed"``.
        storage_type: the blob's storage type; empty for ``"planned"``.
        key: its key.
        size: bytes.
        count: see ``action``.
        reason: why, in a few words.
        error: what was raised.
        total: see ``action``.
        blobs: see ``action``.
    """

    action: Literal["listed", "planned", "ranges", "copied", "same", "deleted", "kept", "vanished", "failed"]
    storage_type: str = ""
    key: str | None = None
    size: int = 0
    count: int = 0
    reason: str = ""
    error: Exception | None = None
    total: int = 0
    blobs: int = 0
