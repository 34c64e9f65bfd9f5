"""The work that is sent to workers: sync a key range, delete its keys, or call a function for each key."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, NamedTuple

from storage._facade.call import Call
from storage._facade.core import Core, Facade, core_of
from storage._stop import Stop
from storage._sync.account import Account
from storage._sync.copying import Pair
from storage._sync.engine import Engine, Limit, Options
from storage._sync.journal import Done, Journal, part_done
from storage._sync.pace import Pace
from storage._sync.scheduler import Work
from storage._sync.stores import Sent, Store
from storage._sync_types import SyncResult
from storage._types import KeyRange
from storage.exceptions import NotFoundError, StorageError, UnavailableError

_PATIENCE: Final = 30.0  # seconds for which a call is made again, with pauses that grow from half a second on
# A piece should be short: what a dying worker has not finished is done again.
_SECONDS: Final = 20.0
_SYNCED: Final = Limit(compared=100_000, jobs=5_000, size=1024**3)
_DELETED: Final = 10_000  # keys
_MAPPED: Final = 1_000  # keys; the results of all of them are sent at once
_FAILURES: Final = 100  # of a piece that are sent by name
_SAMPLES: Final = 3


class Sample(NamedTuple):
    """A blob that the caller sees."""

    storage_type: str
    key: str
    etag: str


def samples_of(core: Core, storage_type: str, prefix: str = "") -> tuple[Sample, ...]:
    """A few blobs of a store, by which a worker can tell that it sees the same store."""
    infos = Store(core).iter_info(prefix, storage_type)
    return tuple(Sample(storage_type, info.key, info.etag) for info in islice(infos, _SAMPLES))


def _check_seen(sent: Sent[Any], core: Core, samples: Sequence[Sample]) -> None:
    """Raises ``UnavailableError`` if no sample is here: a directory of another machine, or another process's memory."""
    if not samples or samples in sent.checked:
        return
    for sample in samples:
        call = Call.about(core, "executor", sample.key, sample.storage_type)
        try:
            if call.run(call.route.backend.stat, call.path).etag == sample.etag:
                sent.checked.add(samples)
                return
        except NotFoundError:
            continue
    raise _other_store(core, f"{samples[0].key!r} of type {samples[0].storage_type!r}")


def _other_store(core: Core, what: str) -> UnavailableError:
    return UnavailableError(
        f"{core!r} is another store for this worker than for the caller: {what} is not the same here; all workers must see the "
        "same directory, bucket and endpoint"
    )


def _sendable(error: Exception) -> Exception:
    """An exception that can be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    except Exception:
        return StorageError(f"{type(error).__name__}: {error}")
    return error


@dataclass(frozen=True)
class SyncWork(Work):
    """Syncs ranges of one storage type."""

    source: Sent[Core]
    target: Sent[Core]
    storage_type: str
    options: Options
    samples: tuple[Sample, ...] = ()  # what the worker must see at the source
    journal: str | None = None  # its name

    def run(self, keys: KeyRange) -> tuple[SyncResult, KeyRange | None]:
        """Syncs a piece of a range."""
        with self.source.opened() as source, self.target.opened() as target:
            _check_seen(self.source, source, self.samples)
            journal = None if self.journal is None else Journal(Store(target), self.journal)
            self._check_target(target, journal)
            pair = Pair(self.storage_type, source.route(self.storage_type), target.route(self.storage_type))
            account = Account(stop := Stop(), most_failures=_FAILURES)
            rest = Engine([pair], self.options, account, stop, patience=_PATIENCE).run(keys, self._limit())
            result = account.result(dry_run=self.options.dry_run)
            if journal is not None and not (result.failed or self.options.delete):
                journal.write(Done(self.storage_type, part_done(keys, rest), result.digest))
        failures = tuple(failure.__replace__(error=_sendable(failure.error)) for failure in result.failures)
        return result.__replace__(failures=failures), rest

    def _limit(self) -> Limit:
        if self.options.bwlimit is None:
            return _SYNCED
        return _SYNCED._replace(size=min(_SYNCED.size, int(self.options.bwlimit * _SECONDS) + 1))

    def shared(self, workers: int) -> SyncWork:
        """A worker's share of the bytes a second."""
        if self.options.bwlimit is None:
            return self
        return replace(self, options=self.options._replace(bwlimit=self.options.bwlimit / workers))

    def _check_target(self, target: Core, journal: Journal | None) -> None:
        if journal is None or journal.name in self.target.checked:
            return
        if not journal.is_here():
            raise _other_store(target, "the journal of this sync")
        self.target.checked.add(journal.name)


@dataclass(frozen=True)
class DeleteWork(Work):
    """Deletes the keys in ranges that start with ``prefix``; the result is how many there were."""

    store: Sent[Core]
    prefix: str
    storage_type: str
    concurrency: int | None
    samples: tuple[Sample, ...]

    def run(self, keys: KeyRange) -> tuple[int, KeyRange | None]:
        """Deletes a piece of a range."""
        with self.store.opened() as core:
            _check_seen(self.store, core, self.samples)
            return Pace(_PATIENCE, Stop().wait).run(self._delete, Store(core), keys)

    def _delete(self, store: Store, keys: KeyRange) -> tuple[int, KeyRange | None]:
        listing = store.iter_list(
            self.prefix, self.storage_type, start_after=keys.start_after, end_before=keys.end_before
        )
        found = list(islice(listing, _DELETED))
        store.delete_many(found, self.storage_type, concurrency=self.concurrency)
        return len(found), KeyRange(found[-1], keys.end_before) if len(found) == _DELETED else None


class Mapped(NamedTuple):
    """The results of a function for the keys of a piece, and its exception for the key after them, if it raised."""

    results: list[tuple[str, Any]]
    error: Exception | None = None


@dataclass(frozen=True)
class MapWork(Work):
    """Calls ``function(store, key)`` for the keys in ranges that start with ``prefix``."""

    store: Sent[Any]
    function: Callable[[Any, str], Any]
    prefix: str
    storage_type: str
    samples: tuple[Sample, ...]

    def run(self, keys: KeyRange) -> tuple[Mapped, KeyRange | None]:
        """Does a piece of a range."""
        with self.store.opened() as store:
            core = core_of(store)
            _check_seen(self.store, core, self.samples)
            return self._map(store, Store(core), keys)

    def _map(self, store: Facade, listed: Store, keys: KeyRange) -> tuple[Mapped, KeyRange | None]:
        results: list[tuple[str, Any]] = []
        until = time.monotonic() + _SECONDS
        bounds = {"start_after": keys.start_after, "end_before": keys.end_before}
        for key in listed.iter_list(self.prefix, self.storage_type, **bounds):
            try:
                results.append((key, self.function(store, key)))
            except Exception as exc:
                return Mapped(results, _sendable(exc)), None
            if len(results) == _MAPPED or time.monotonic() > until:
                return Mapped(results), KeyRange(key, keys.end_before)
        return Mapped(results), None
