"""What obspec's protocols ask for, the adapter has. It is checked, never run."""

from __future__ import annotations

import obspec

from storage.integrations.obspec import GetResult, ObspecStore


def everything(store: ObspecStore, result: GetResult) -> None:
    """One object is all of them."""
    _reads: tuple[obspec.Get, obspec.GetRange, obspec.GetRanges, obspec.Head] = (store, store, store, store)
    _lists: tuple[obspec.List, obspec.ListWithDelimiter] = (store, store)
    _writes: tuple[obspec.Put, obspec.Delete, obspec.Copy, obspec.Rename] = (store, store, store, store)
    _got: obspec.GetResult = result
    _later: obspec.GetResultAsync = result
    _reads_async: tuple[obspec.GetAsync, obspec.GetRangeAsync, obspec.GetRangesAsync, obspec.HeadAsync]
    _reads_async = (store, store, store, store)
    _lists_async: tuple[obspec.ListAsync, obspec.ListWithDelimiterAsync] = (store, store)
    _writes_async: tuple[obspec.PutAsync, obspec.DeleteAsync, obspec.CopyAsync, obspec.RenameAsync]
    _writes_async = (store, store, store, store)
