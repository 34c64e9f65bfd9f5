"""Syncs key ranges in this process: plans, copies, and deletes last.

Both listings of a range are compared before anything in it is changed, and the plan is kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from threading import Lock
from typing import Any, Final, NamedTuple

from storage._facade.call import Call
from storage._facade.routes import Route
from storage._globs import Filter
from storage._keys import is_portable
from storage._stop import Stop
from storage._sync.account import Account
from storage._sync.copying import Copier, Pair
from storage._sync.pace import Abandoned, Pace
from storage._sync.plan import Entry, OutOfOrder, checked_order, compare, entry_of, merge
from storage._sync.spool import Spool, sorted_on_disk
from storage._sync_types import SyncEvent, SyncFailure
from storage._threads import Pool
from storage._types import KeyRange
from storage.exceptions import NotFoundError

JOURNAL: Final = "storage-sync~/"
"""What the keys of the journal begin with, in the type ``tmp``: a sync leaves such blobs alone on both sides."""

_MOST_THREADS: Final = 64
_TELL_EVERY: Final = 1000  # blobs between two events of the listing
_REASONS: Final = {
    "copy": "not there",
    "size": "another size",
    "checksum": "another checksum",
    "content": "other bytes",
    "headers": "other headers",
}


class Options(NamedTuple):
    """What the caller of a sync wants; see :meth:`storage.Storage.sync_to`."""

    prefix: str = ""
    delete: bool = False
    dry_run: bool = False
    keys: Filter = Filter()
    checksum: bool = False
    concurrency: int | None = None
    bwlimit: float | None = None


class Limit(NamedTuple):
    """Where the plan of a range is cut off; what is left of the range is returned."""

    compared: int  # blobs
    jobs: int  # blobs that are to be copied or read
    size: int  # bytes of these


class Engine:
    """Makes the target what the source is.

    ``stop`` ends everything soon once it is set. ``patience``: seconds for which a call is made again that a service refuses or
    does not answer, with growing pauses.
    """

    def __init__(
        self, pairs: Sequence[Pair], options: Options, account: Account, stop: Stop, *, patience: float = 0.0
    ) -> None:
        self._pairs, self._options, self._account, self._stop = pairs, options, account, stop
        self._pace = Pace(patience, stop.wait)
        self._copier = Copier(account.moved, stop, options.bwlimit, options.concurrency)
        backends = [route.backend for pair in pairs for route in (pair.source, pair.target)]
        self._threads = options.concurrency or min(_MOST_THREADS, max(backend.concurrency for backend in backends))
        self._disordered: set[int] = set()  # ids of the backends whose listings are to be sorted
        self._has_false_md5s = False  # whether some etags that look like MD5s have turned out to be none

    def run(self, keys: KeyRange, limit: Limit | None = None) -> KeyRange | None:
        """Syncs the keys of all types that lie in a range. Returns what ``limit`` left over of the range.

        Raises:
            StorageError: a listing failed, and nothing was changed.
            Abandoned: the sync was interrupted.
        """
        rest = None
        with Spool() as jobs, Spool() as deletions:
            size = 0
            for number, pair in enumerate(self._pairs):
                planned, rest = self._pace.run(self._plan, number, pair, keys, limit, jobs, deletions)
                size += planned
            self._account.tell(SyncEvent("planned", count=jobs.count, size=size))
            self._each(jobs, self._job)
            # While some blob is missing at the target, what is there under another key may be all that is left of it.
            self._each(deletions, self._keep if self._account.count("failed") else self._deletion)
        return rest

    # ---- planning ----------------------------------------------------------------------------------------------

    def _plan(
        self, number: int, pair: Pair, keys: KeyRange, limit: Limit | None, jobs: Spool, deletions: Spool
    ) -> tuple[int, KeyRange | None]:
        """Writes down what to do for one storage type. Returns the bytes to copy or read, and what the limit left over."""
        while True:
            marks = jobs.mark(), deletions.mark(), self._account.mark()
            try:
                return self._compare(number, pair, keys, limit, jobs, deletions)
            except BaseException as exc:
                jobs.back_to(marks[0])
                deletions.back_to(marks[1])
                self._account.back_to(marks[2])
                if not isinstance(exc, OutOfOrder):
                    raise
                self._disordered.add(exc.listing)  # which is made again, and sorted

    def _compare(
        self, number: int, pair: Pair, keys: KeyRange, limit: Limit | None, jobs: Spool, deletions: Spool
    ) -> tuple[int, KeyRange | None]:
        total = seen = 0
        before = jobs.count
        with ExitStack() as stack:
            ours = self._entries(stack, pair.source, pair.storage_type, keys)
            theirs = self._entries(stack, pair.target, pair.storage_type, keys)
            for source, target in merge(ours, theirs):
                seen += 1
                last = source.key if source is not None else target.key if target is not None else ""
                if seen % _TELL_EVERY == 0:
                    self._account.tell(SyncEvent("listed", pair.storage_type, count=seen))
                if source is not None:
                    action = self._action(pair, source, target)
                    if action is not None:
                        jobs.append((number, action, *source))
                        total += source.size
                elif target is not None and self._options.delete:
                    deletions.append((number, "", *target))
                if limit is not None and (
                    seen >= limit.compared or jobs.count - before >= limit.jobs or total >= limit.size
                ):
                    return total, KeyRange(last, keys.end_before)
        return total, None

    def _action(self, pair: Pair, source: Entry, target: Entry | None) -> str | None:
        """What has to be done about a blob; ``None``: nothing."""
        if target is None:
            return "copy"
        outcome, by = compare(source, target, checksum=self._options.checksum)
        if outcome == "same":
            self._account.compared(by)
            self._account.same(pair.storage_type, source, None if by == "size and time" else source.etag)
            return None
        if outcome == "differs":
            self._account.compared(by)
            return by
        return outcome

    def _entries(self, stack: ExitStack, route: Route, storage_type: str, keys: KeyRange) -> Iterator[Entry]:
        """The blobs of one side that the filter takes, in order."""
        listing = self._listing(route, storage_type, keys)
        if id(route.backend) in self._disordered:
            listing = stack.enter_context(sorted_on_disk(listing))
        return checked_order(listing, id(route.backend))

    def _listing(self, route: Route, storage_type: str, keys: KeyRange) -> Iterator[Entry]:
        cut = len(route.prefix)
        pages = route.backend.scan(
            route.prefix + self._options.prefix,
            start_after=None if keys.start_after is None else route.prefix + keys.start_after,
            end_before=None if keys.end_before is None else route.prefix + keys.end_before,
            detail=True,
        )
        for page in Call.about_route("sync_to", route, storage_type).each(pages):
            if self._stop.is_set():
                raise Abandoned
            for path, stat in page:
                key = path[cut:]
                # A name that is no key cannot be copied, nor asked for at the other side.
                if (
                    stat is not None
                    and key
                    and (route.raw or is_portable(key))
                    and self._options.keys(key)
                    and not (storage_type == "tmp" and key.startswith(JOURNAL))
                ):
                    yield entry_of(key, stat.size, stat.etag, stat.last_modified)

    # ---- working -----------------------------------------------------------------------------------------------

    def _each(self, rows: Iterable[Sequence[Any]], function: Callable[[Pair, str, Entry], None]) -> None:
        """Calls ``function`` for each row, in several threads. A failure is noted, and does not stop the others."""
        iterator, lock = iter(rows), Lock()

        def work() -> None:
            while not self._stop.is_set():
                with lock:
                    row = next(iterator, None)
                if row is None:
                    return
                pair, action, entry = self._pairs[row[0]], row[1], Entry(*row[2:])
                try:
                    self._pace.run(function, pair, action, entry)
                except Exception as exc:
                    self._account.fail(SyncFailure(pair.storage_type, entry.key, exc))
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

    def _job(self, pair: Pair, action: str, entry: Entry) -> None:
        by = None
        try:
            if action in ("headers", "read", "unlike"):
                by, checksum, same = self._look(pair, action, entry)
                if same:
                    self._account.compared(by)
                    self._account.same(pair.storage_type, entry, checksum)
                    self._account.tell(SyncEvent("same", pair.storage_type, entry.key, entry.size, reason=by))
                    return
            if not self._options.dry_run:
                entry = entry._replace(size=self._copier.copy(pair, entry.key))
        except NotFoundError:
            self._account.done("vanished", pair.storage_type, entry, "it was deleted meanwhile")
            return
        if by is not None:
            self._account.compared(by)
        reason = _REASONS.get(by if by == "content" else action, "the source is newer")
        self._account.done("copied", pair.storage_type, entry, reason)

    def _look(self, pair: Pair, action: str, entry: Entry) -> tuple[str, str | None, bool]:
        """Looks at what the listings leave open: what showed it, the checksum of both sides, whether the blob is the same."""
        if action == "headers":
            return "checksum", entry.etag, self._copier.same_headers(pair, entry.key)
        if action == "unlike" and self._has_false_md5s and not self._options.checksum:
            return "size and time", None, True
        checksum = self._copier.compare_bytes(pair, entry.key)
        if action == "unlike" and checksum is not None:
            self._has_false_md5s = True
        return "content", checksum, checksum is not None

    def _deletion(self, pair: Pair, _: str, entry: Entry) -> None:
        if self._copier.source_has(pair, entry.key):
            self._account.done("kept", pair.storage_type, entry, "the source has it again")
            return
        if not self._options.dry_run:
            self._copier.delete(pair, entry.key)
        self._account.done("deleted", pair.storage_type, entry, "not at the source")

    def _keep(self, pair: Pair, _: str, entry: Entry) -> None:
        self._account.done("kept", pair.storage_type, entry, "other blobs failed; run again")
