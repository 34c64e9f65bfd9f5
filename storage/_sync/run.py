"""Runs one sync: checks both stores, does the work in this process or on an executor, and returns the result."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from storage._facade.core import Core
from storage._keys import check_prefix
from storage._stop import Stop, Stopped, current
from storage._sync.account import Account, Report
from storage._sync.bulk import spread_sync
from storage._sync.copying import Pair, check_there
from storage._sync.engine import Engine, Options
from storage._sync.overlap import check_apart
from storage._sync.pace import Abandoned
from storage._sync_types import SyncResult
from storage._types import KeyRange
from storage.exceptions import SyncError


def sync(
    source: Core,
    target: Core,
    storage_type: str | None,
    options: Options,
    executor: Executor | None,
    progress: Callable[[int], object] | None,
    report: Report | None,
) -> SyncResult:
    """Makes ``target`` what ``source`` is; see :meth:`storage.Storage.sync_to`.

    Raises:
        SyncError: some blobs failed; everything else was done.
        StorageError: nothing could be begun, or a listing failed: nothing was deleted.
    """
    types = tuple(source.routes) if storage_type is None else (storage_type,)
    pairs = [Pair(name, source.route(name), target.route(name)) for name in types]
    if not all(pair.source.raw for pair in pairs):
        check_prefix(options.prefix)
    check_apart(pairs)
    for pair in pairs:
        check_there(pair)
    stop = Stop(current.get())
    account = Account(stop, progress, report)
    resumed = 0
    try:
        if executor is None:
            Engine(pairs, options, account, stop).run(KeyRange())
        else:
            resumed = spread_sync(source, target, pairs, options, account, executor)
    except Abandoned:
        raise (account.error or Stopped()) from None
    result = account.result(dry_run=options.dry_run, resumed=resumed)
    if result.failed:
        raise SyncError(_summary(result), url=target.backend.location, result=result)
    return result


def _summary(result: SyncResult) -> str:
    first = result.failures[0]
    more = f" and {result.failed - 1:,} more" if result.failed > 1 else ""
    return (
        f"sync_to(): {result.failed:,} of the blobs failed, {result.copied:,} were copied; first {first.key!r} of type "
        f"{first.storage_type!r}{more}: {first.error}; run it again to go on"
    )
