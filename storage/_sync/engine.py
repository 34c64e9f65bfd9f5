"""The course of a sync: checks, plan, copies, deletions, and the account of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from threading import Event, Lock
from typing import Any, Final

from storage._facade.call import Call
from storage._facade.core import Core
from storage._facade.routes import Route
from storage._globs import Filter
from storage._keys import is_portable
from storage._sync.copying import Abandoned, Copier, Pair, check_there
from storage._sync.overlap import check_apart
from storage._sync.plan import Entry, OutOfOrder, checked_order, compare, entry_of, merge
from storage._sync.spool import Spool, sorted_on_disk
from storage._sync_types import SyncEvent, SyncFailure, SyncResult
from storage._threads import Pool
from storage.exceptions import NotFoundError, SyncError

__all__ = ["Sync"]

_MOST_FAILURES: Final = 1000
_MOST_THREADS: Final = 64
_TELL_EVERY: Final = 1000  # blobs between two events of the listing
# Microseconds. A blob's time may be that of its last byte, or of the upload's begin, and not that of its publication, and the
# clocks of two services differ.
_DOUBT: Final = 10_000_000
_ANSWERS: Final = {
    "copy": "not there",
    "size": "another size",
    "checksum": "another checksum",
    "content": "other bytes",
}


class Sync:
    """One sync of ``source`` to ``target``; see :meth:`storage.Storage.sync_to`."""

    def __init__(
        self,
        source: Core,
        target: Core,
        storage_type: str | None = None,
        *,
        delete: bool = False,
        dry_run: bool = False,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        checksum: bool = False,
        concurrency: int | None = None,
        bwlimit: float | None = None,
        progress: Callable[[int], object] | None = None,
        report: Callable[[SyncEvent], object] | None = None,
    ) -> None:
        types = tuple(source.routes) if storage_type is None else (storage_type,)
        self._pairs = [Pair(name, source.route(name), target.route(name)) for name in types]
        self._source, self._target = source, target
        self._delete, self._dry_run, self._checksum = delete, dry_run, checksum
        self._filter = Filter(include, exclude)
        self._progress, self._report = progress, report
        backends = [route.backend for pair in self._pairs for route in (pair.source, pair.target)]
        self._threads = concurrency or min(_MOST_THREADS, max(backend.concurrency for backend in backends))
        self._stop = Event()
        self._copier = Copier(source, target, self._moved, self._stop, bwlimit, concurrency)
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._compared: Counter[str] = Counter()
        self._failures: list[SyncFailure] = []
        self._disordered: set[int] = set()  # ids of the backends whose listings are to be sorted

    def run(self) -> SyncResult:
        """Does it all.

        Raises:
            SyncError: some blobs failed; everything else was done.
            StorageError: nothing could be begun, or a listing failed: nothing was deleted.
        """
        check_apart(self._source, self._target, self._pairs)
        for pair in self._pairs:
            check_there(pair)
        try:
            with Spool() as jobs, Spool() as deletions:
                total = 0
                for number, pair in enumerate(self._pairs):
                    total += self._plan(number, pair, jobs, deletions)
                self._tell(SyncEvent("planned", count=jobs.count, size=total))
                self._each(jobs, self._job)
                # As long as some blob is missing at the destination, what is there under another key may be all there is of it.
                self._each(deletions, self._keep if self._counts["failed"] else self._deletion)
        except Abandoned as abandoned:
            raise (abandoned.error or KeyboardInterrupt()) from None
        result = self._result()
        if result.failed:
            raise SyncError(_summary(result), url=self._target.backend.location, result=result)
        return result

    def _result(self) -> SyncResult:
        counts = self._counts
        return SyncResult(
            copied=counts["copied"],
            copied_bytes=counts["copied_bytes"],
            deleted=counts["deleted"],
            same=counts["same"],
            vanished=counts["vanished"],
            kept=counts["kept"],
            failed=counts["failed"],
            failures=tuple(self._failures),
            compared=dict(self._compared),
            dry_run=self._dry_run,
        )

    # ---- planning ----------------------------------------------------------------------------------------------

    def _plan(self, number: int, pair: Pair, jobs: Spool, deletions: Spool) -> int:
        """Writes down what is to be done for one storage type; returns the bytes that are to be read."""
        while True:
            before = jobs.mark(), deletions.mark(), self._counts.copy(), self._compared.copy()
            try:
                return self._compare(number, pair, jobs, deletions)
            except _Disordered as exc:
                jobs.back_to(before[0])
                deletions.back_to(before[1])
                self._counts, self._compared = before[2], before[3]
                self._disordered.add(exc.backend)

    def _compare(self, number: int, pair: Pair, jobs: Spool, deletions: Spool) -> int:
        total = seen = 0
        with ExitStack() as stack:
            ours = self._entries(stack, pair.source, pair.storage_type)
            theirs = self._entries(stack, pair.target, pair.storage_type)
            doubt = _doubt(pair)
            for source, target in merge(ours, theirs):
                seen += 1
                if seen % _TELL_EVERY == 0:
                    self._tell(SyncEvent("listed", pair.storage_type, count=seen))
                if source is None:
                    if target is not None and self._delete:
                        deletions.append((number, target.key, target.size))
                    continue
                if target is None:
                    jobs.append((number, source.key, source.size, "copy", "", ""))
                    total += source.size
                    continue
                outcome, by = compare(source, target, checksum=self._checksum, doubt=doubt)
                if outcome in ("same", "differs"):
                    self._compared[by] += 1
                if outcome == "same":
                    self._counts["same"] += 1
                    continue
                action = by if outcome == "differs" else outcome
                jobs.append((number, source.key, source.size, action, source.etag, target.etag))
                total += source.size
        return total

    def _entries(self, stack: ExitStack, route: Route, storage_type: str) -> Iterator[Entry]:
        """The blobs of one side that the filter takes, in order."""
        listing = self._listing(route, storage_type)
        if id(route.backend) in self._disordered:
            return checked_order(stack.enter_context(sorted_on_disk(listing)))
        return _or_disordered(checked_order(listing), route)

    def _listing(self, route: Route, storage_type: str) -> Iterator[Entry]:
        cut = len(route.prefix)
        pages = route.backend.scan(route.prefix, detail=True)
        for page in Call.about_route("sync_to", route, storage_type).each(pages):
            if self._stop.is_set():
                raise Abandoned
            for path, stat in page:
                key = path[cut:]
                # What is no key at the other side can be neither copied nor asked for.
                if stat is not None and key and (route.raw or is_portable(key)) and self._filter(key):
                    yield entry_of(key, stat.size, stat.etag, stat.last_modified)

    # ---- working -----------------------------------------------------------------------------------------------

    def _each(self, rows: Iterable[Sequence[Any]], function: Callable[[Pair, Sequence[Any]], None]) -> None:
        """``function`` of each row, several at once; one that fails is noted, and does not stop the others."""
        iterator, lock = iter(rows), Lock()

        def work() -> None:
            while not self._stop.is_set():
                with lock:
                    row = next(iterator, None)
                if row is None:
                    return
                pair = self._pairs[row[0]]
                try:
                    function(pair, row)
                except Exception as exc:
                    self._failed(pair, row[1], exc)
                except BaseException:
                    self._stop.set()
                    raise

        if self._threads == 1:
            work()
            return
        with Pool(self._threads, "storage-sync") as pool:
            workers = [pool.submit(work) for _ in range(self._threads)]
            try:
                for worker in workers:
                    worker.result()
            except BaseException:
                self._stop.set()
                raise

    def _job(self, pair: Pair, row: Sequence[Any]) -> None:
        _, key, size, action, source_etag, target_etag = row
        try:
            if action in ("ask", "read", "doubt"):
                same, by = self._look(pair, key, action, source_etag, target_etag)
                with self._lock:
                    self._compared[by] += 1
                if same:
                    self._done("same", pair, key, size, by)
                    return
                reason = "other headers" if action == "ask" else _ANSWERS[by]
            else:
                reason = _ANSWERS.get(action, "the source is younger")
            if not self._dry_run:
                size = self._copier.copy(pair, key)
        except NotFoundError:
            self._done("vanished", pair, key, size, "it was deleted meanwhile")
            return
        self._done("copied", pair, key, size, reason)

    def _look(self, pair: Pair, key: str, action: str, source_etag: str, target_etag: str) -> tuple[bool, str]:
        """Whether a blob that the listings leave open is the same, and what told."""
        if action == "ask":
            return self._copier.same_headers(pair, key), "checksum"
        if action == "read":
            return self._copier.same_bytes(pair, key), "content"
        proved = self._copier.md5s_prove()
        if proved:
            return False, "checksum"
        if proved is False and not self._checksum:
            return True, "size and time"
        return self._copier.settle(pair, key, source_etag, target_etag), "content"

    def _deletion(self, pair: Pair, row: Sequence[Any]) -> None:
        _, key, size = row
        if self._copier.source_has(pair, key):
            self._done("kept", pair, key, size, "the source has it again")
            return
        if not self._dry_run:
            self._copier.delete(pair, key)
        self._done("deleted", pair, key, size, "not at the source")

    def _keep(self, pair: Pair, row: Sequence[Any]) -> None:
        self._done("kept", pair, row[1], row[2], "other blobs failed; run again")

    # ---- the account -------------------------------------------------------------------------------------------

    def _done(self, action: Any, pair: Pair, key: str, size: int, reason: str) -> None:
        with self._lock:
            self._counts[action] += 1
            if action == "copied":
                self._counts["copied_bytes"] += size
        self._tell(SyncEvent(action, pair.storage_type, key, size, reason=reason))

    def _failed(self, pair: Pair, key: str, error: Exception) -> None:
        with self._lock:
            self._counts["failed"] += 1
            if len(self._failures) < _MOST_FAILURES:
                self._failures.append(SyncFailure(pair.storage_type, key, error))
        self._tell(SyncEvent("failed", pair.storage_type, key, error=error))

    def _tell(self, event: SyncEvent) -> None:
        if self._report is not None:
            with self._lock:
                self._callback(self._report, event)

    def _moved(self, count: int) -> None:
        if self._progress is not None:
            with self._lock:
                self._callback(self._progress, count)

    def _callback(self, function: Callable[[Any], object], value: Any) -> None:
        try:
            function(value)
        except BaseException as exc:  # the caller's own: it ends the sync and comes out bare
            self._stop.set()
            raise Abandoned(exc) from None


class _Disordered(Exception):  # noqa: N818 (it is caught at once)
    def __init__(self, backend: int) -> None:
        super().__init__()
        self.backend = backend


def _doubt(pair: Pair) -> int:
    """How far the times of a source's blobs are to be doubted: not at all where both sides go by one clock, and publish by it."""
    local = pair.source.backend.scheme == "memory" and pair.target.backend.scheme in ("memory", "file")
    return 0 if local else _DOUBT


def _or_disordered(entries: Iterator[Entry], route: Route) -> Iterator[Entry]:
    try:
        yield from entries
    except OutOfOrder:
        raise _Disordered(id(route.backend)) from None


def _summary(result: SyncResult) -> str:
    first = result.failures[0]
    more = f" and {result.failed - 1:,} more" if result.failed > 1 else ""
    return (
        f"sync_to(): {result.failed:,} of the blobs failed, {result.copied:,} were copied; first {first.key!r} of type "
        f"{first.storage_type!r}{more}: {first.error}; run it again to go on"
    )
