"""Runs syncs, deletes and ``map_keys`` on an executor: splits the keys, sends the work, and combines the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from storage._facade.call import Call
from storage._facade.core import Core, Facade, core_of
from storage._sync.account import Account
from storage._sync.copying import Pair
from storage._sync.engine import Options
from storage._sync.journal import Journal, missing, name_of
from storage._sync.scheduler import Scheduler, Task, Work, ranges_for
from storage._sync.splitting import split_keys
from storage._sync.stores import Sent, Store, check_sendable
from storage._sync.work import DeleteWork, MapWork, SyncWork, samples_of
from storage._sync_types import SyncEvent, SyncResult
from storage._types import KeyRange

_NOTHING: Final = f"{0:064x}"  # a digest that adds nothing


def spread_sync(
    source: Core, target: Core, pairs: Sequence[Pair], options: Options, account: Account, executor: Executor
) -> int:
    """Syncs by an executor; returns how many ranges an earlier, interrupted run had done.

    Deletes come in a second pass, which compares all ranges once more, and only if nothing failed in the first.
    """
    check_sendable("sync_to", executor, source, target)
    journal = None if options.dry_run or "tmp" not in target.routes else Journal(Store(target), name_of(pairs, options))
    done = [] if journal is None else journal.read()
    if journal is not None:
        journal.begin()
    for one in done:
        account.add(SyncResult(digest=one.digest))
    sync = _SpreadSync(source, target, journal, account, executor)
    ranges = [
        (pair.storage_type, keys)
        for pair in pairs
        for keys in sync.split(pair.storage_type, options.prefix, None, ranges_for(executor))
    ]
    first = options if options.dry_run else options._replace(delete=False)
    to_do = [
        (name, part)
        for name, keys in ranges
        for part in missing(keys, (one.keys for one in done if one.storage_type == name))
    ]
    sync.run(first, to_do)
    if options != first and not account.count("failed"):
        sync.run(options, ranges, is_second=True)
    if journal is not None:
        journal.clear()
    return len(done)


class _SpreadSync:
    """A sync by an executor."""

    def __init__(
        self, source: Core, target: Core, journal: Journal | None, account: Account, executor: Executor
    ) -> None:
        self._source, self._target, self._account, self._executor = source, target, account, executor
        self._journal = journal
        self._sent = Sent(source), Sent(target)

    def split(self, storage_type: str, prefix: str, keys: KeyRange | None, parts: int) -> Sequence[KeyRange]:
        """Splits by the source's keys, or by the target's where the source has too few."""
        found: Sequence[KeyRange] = ()
        for core in (self._source, self._target):
            if len(found) < 2:
                found = split_keys(Call.about_prefix(core, "sync_to", prefix, storage_type), prefix, parts, keys)
        return found

    def run(self, options: Options, ranges: Sequence[tuple[str, KeyRange]], *, is_second: bool = False) -> None:
        """Syncs ranges of types. The second pass does not count again what is the same."""
        journal, work = self._journal, {}
        name_of_journal = None if journal is None else journal.name
        for name in {name for name, _ in ranges}:
            samples = samples_of(self._source, name, options.prefix)
            work[name] = SyncWork(*self._sent, name, options, samples, name_of_journal)

        def split(some: Work, keys: KeyRange, parts: int) -> Sequence[KeyRange]:
            return self.split(some.storage_type, options.prefix, keys, parts)

        def begin_again() -> None:
            # Another run of the same sync that ends removes the journal, and its mark that workers look for.
            if journal is not None:
                journal.begin()

        scheduler, finished = Scheduler("sync_to", self._executor, split, begin_again), 0
        for piece in scheduler.run(Task(work[name], keys) for name, keys in ranges):
            finished += piece.rest is None
            self._count(piece.result, is_second=is_second)
            self._account.tell(
                SyncEvent(
                    "ranges",
                    count=finished,
                    total=finished + scheduler.open,
                    blobs=self._account.count("copied") + self._account.count("same"),
                    size=self._account.count("copied_bytes"),
                )
            )

    def _count(self, part: SyncResult, *, is_second: bool) -> None:
        if is_second:
            part = part.__replace__(same=0, compared={}, digest=part.digest and _NOTHING)
        self._account.add(part)
        self._account.moved(part.copied_bytes)


def spread_delete(core: Core, prefix: str, storage_type: str, concurrency: int | None, executor: Executor) -> int:
    """Deletes all keys that start with ``prefix`` by an executor; returns how many there were."""
    check_sendable("delete_prefix", executor, core)
    work = DeleteWork(Sent(core), prefix, storage_type, concurrency, samples_of(core, storage_type, prefix))
    return sum(piece.result for piece in _spread("delete_prefix", core, work, executor))


def spread_map(
    store: Facade, function: Callable[[Any, str], Any], prefix: str, storage_type: str, executor: Executor
) -> Iterator[tuple[str, Any]]:
    """Calls ``function(store, key)`` for all keys that start with ``prefix`` by an executor; yields keys and results."""
    check_sendable("map_keys", executor, store)
    core = core_of(store)
    work = MapWork(Sent(store), function, prefix, storage_type, samples_of(core, storage_type, prefix))
    for piece in _spread("map_keys", core, work, executor):
        yield from piece.result.results
        if piece.result.error is not None:
            raise piece.result.error


def _spread(name: str, core: Core, work: DeleteWork | MapWork, executor: Executor) -> Iterator[Any]:
    call = Call.about_prefix(core, name, work.prefix, work.storage_type)

    def split(_: Work, keys: KeyRange | None, parts: int) -> Sequence[KeyRange]:
        return split_keys(call, work.prefix, parts, keys)

    return Scheduler(name, executor, split).run(Task(work, keys) for keys in split(work, None, ranges_for(executor)))
