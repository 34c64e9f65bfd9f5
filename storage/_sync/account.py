"""Counts what a sync did, collects its failures, and calls the caller's ``report`` and ``progress``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from threading import RLock
from typing import Any, Final, Literal

from storage._stop import Stop
from storage._sync.pace import Abandoned
from storage._sync.plan import Entry
from storage._sync_types import SyncEvent, SyncFailure, SyncResult

Report = Callable[[SyncEvent], object]

_DIGEST_BITS: Final = 256
_COUNTED: Final = ("copied", "copied_bytes", "deleted", "same", "vanished", "kept", "failed")


class Account:
    """The account of a sync, which many threads write to.

    ``stop`` is set, and ``error`` is what was raised, where a callback raises. ``progress`` is called with the number of bytes
    copied since the last call, ``report`` with each event; one call at a time, of both. ``most_failures``: how many failures
    are kept; all are counted.
    """

    def __init__(
        self,
        stop: Stop,
        progress: Callable[[int], object] | None = None,
        report: Report | None = None,
        *,
        most_failures: int = 1000,
    ) -> None:
        self._stop, self._progress, self._report = stop, progress, report
        self._most_failures = most_failures
        self._lock = RLock()
        self.error: BaseException | None = None
        self._counts: Counter[str] = Counter()
        self._compared: Counter[str] = Counter()
        self._failures: list[SyncFailure] = []
        # The sum of the digests of all blobs whose MD5 was seen on both sides; None: of some blob it was not.
        self._digest: int | None = 0

    def count(self, name: str) -> int:
        """A count so far, by its name in ``SyncResult``."""
        return self._counts[name]

    # ---- writing -----------------------------------------------------------------------------------------------

    def compared(self, by: str) -> None:
        """A blob of both sides was compared, by its ``"size"``, ``"checksum"`` and so on."""
        with self._lock:
            self._compared[by] += 1

    def same(self, storage_type: str, entry: Entry, etag: str | None) -> None:
        """A blob was found to be the same. ``etag``: the checksum of both sides, if they were compared by one."""
        with self._lock:
            self._counts["same"] += 1
            if etag is None:
                self._digest = None
            elif self._digest is not None:
                text = "\0".join((storage_type, entry.key, str(entry.size), etag))
                blob = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
                self._digest = (self._digest + int.from_bytes(blob, "big")) % 2**_DIGEST_BITS

    def done(
        self, action: Literal["copied", "deleted", "kept", "vanished"], storage_type: str, entry: Entry, reason: str
    ) -> None:
        """Something was done about a blob."""
        with self._lock:
            self._digest = None
            self._counts[action] += 1
            if action == "copied":
                self._counts["copied_bytes"] += entry.size
        if self._report is not None:
            self.tell(SyncEvent(action, storage_type, entry.key, entry.size, reason=reason))

    def fail(self, failure: SyncFailure) -> None:
        """A blob failed."""
        with self._lock:
            self._digest = None
            self._counts["failed"] += 1
            if len(self._failures) < self._most_failures:
                self._failures.append(failure)
        self.tell(SyncEvent("failed", failure.storage_type, failure.key, error=failure.error))

    def add(self, part: SyncResult) -> None:
        """Adds what another account found."""
        with self._lock:
            for failure in part.failures:
                self.fail(failure)
            self._counts["failed"] += part.failed - len(part.failures)
            self._counts.update({name: getattr(part, name) for name in _COUNTED if name != "failed"})
            self._compared.update(part.compared)
            if self._digest is not None:
                one = None if part.digest is None else int(part.digest, 16)
                self._digest = None if one is None else (self._digest + one) % 2**_DIGEST_BITS

    # ---- telling -----------------------------------------------------------------------------------------------

    def tell(self, event: SyncEvent) -> None:
        """Reports an event."""
        if self._report is not None:
            with self._lock:
                self._callback(self._report, event)

    def moved(self, count: int) -> None:
        """Reports so many more bytes."""
        if self._progress is not None:
            with self._lock:
                self._callback(self._progress, count)

    def _callback(self, function: Callable[[Any], object], value: Any) -> None:
        try:
            function(value)
        except BaseException as exc:  # the caller's own: it ends the sync and comes out bare
            self.error = self.error or exc
            self._stop.set()
            raise Abandoned(exc) from None

    # ---- reading -----------------------------------------------------------------------------------------------

    def mark(self) -> tuple[Counter[str], Counter[str], int | None]:
        """The account as it is now, for :meth:`back_to`."""
        return self._counts.copy(), self._compared.copy(), self._digest

    def back_to(self, mark: tuple[Counter[str], Counter[str], int | None]) -> None:
        """Forgets what was counted since the mark."""
        self._counts, self._compared, self._digest = mark

    def result(self, *, dry_run: bool, resumed: int = 0) -> SyncResult:
        """The account as the caller gets it."""
        return SyncResult(
            **{name: self._counts[name] for name in _COUNTED},
            failures=tuple(self._failures),
            compared=dict(self._compared),
            dry_run=dry_run,
            resumed=resumed,
            digest=None if self._digest is None else f"{self._digest:064x}",
        )
