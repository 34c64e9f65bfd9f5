"""Remembers in the target which key ranges a sync has done, so that another process, on any machine, can go on with it.

The journal is a blob of type ``tmp`` for each range. The worker that did the range writes it; the sync removes all when it ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple

from storage._facade.routes import Route
from storage._sync.copying import Pair
from storage._sync.engine import JOURNAL, Options
from storage._sync.stores import Store
from storage._types import KeyRange
from storage.exceptions import AlreadyExistsError

_TYPE: Final = "tmp"
_RANGES: Final = "ranges/"
_GOOD_FOR: Final = timedelta(days=1)
"""A range that was done longer ago is compared again: the source may have changed since."""


class Done(NamedTuple):
    """A range that is done."""

    storage_type: str
    keys: KeyRange
    digest: str | None  # see SyncResult.digest


def name_of(pairs: Sequence[Pair], options: Options) -> str:
    """The name of a sync's journal: the same for the same places and the same choice of keys."""
    places = [(pair.storage_type, *_place(pair.source), *_place(pair.target)) for pair in pairs]
    choice = [options.prefix, options.keys.include, options.keys.exclude, options.checksum]
    return hashlib.sha256(json.dumps([places, choice]).encode()).hexdigest()[:16]


def _place(route: Route) -> tuple[str, str]:
    return route.backend.location, route.prefix


class Journal:
    """The journal of one sync, in its target."""

    def __init__(self, target: Store, name: str) -> None:
        self.name = name
        self._target, self._folder = target, f"{JOURNAL}{name}/"

    def begin(self) -> None:
        """Writes a blob by which workers can tell that they see this target."""
        self._target.set(f"{self._folder}run", "", _TYPE)

    def is_here(self) -> bool:
        """Whether the target that is seen here is the one of the sync."""
        return self._target.exists(f"{self._folder}run", _TYPE)

    def write(self, done: Done) -> None:
        """Writes down that a range is done. Somebody else may have done so before."""
        text = json.dumps([done.storage_type, done.keys.start_after, done.keys.end_before, done.digest])
        key = f"{self._folder}{_RANGES}{hashlib.sha256(text.encode()).hexdigest()[:32]}"
        try:
            self._target.set(key, text, _TYPE, overwrite=False)
        except AlreadyExistsError:
            return

    def read(self) -> list[Done]:
        """The ranges that were done within the last day."""
        since = datetime.now(timezone.utc) - _GOOD_FOR
        infos = self._target.iter_info(self._folder + _RANGES, _TYPE)
        keys = (info.key for info in infos if info.last_modified > since)
        rows = [json.loads(data) for _, data in self._target.get_many(keys, _TYPE)]
        return [Done(storage_type, KeyRange(start, end), digest) for storage_type, start, end, digest in rows]

    def clear(self) -> None:
        """Removes the journal."""
        self._target.delete_many(self._target.iter_list(self._folder, _TYPE), _TYPE)


def part_done(keys: KeyRange, rest: KeyRange | None) -> KeyRange:
    """A range without what is left of it. What is left begins after a key, which is done."""
    return keys if rest is None else KeyRange(keys.start_after, f"{rest.start_after}\0")


def missing(wanted: KeyRange, done: Iterable[KeyRange]) -> Iterator[KeyRange]:
    """The parts of a range that are not done. Ranges that are done end before a text that is no key, or as ``part_done`` says."""
    after, last = wanted.start_after, None if wanted.end_before is None else wanted.end_before.removesuffix("\0")
    for one in sorted(done, key=lambda one: one.start_after or ""):
        if one.start_after is not None and (after is None or one.start_after > after):
            if last is not None and one.start_after >= last:
                break
            yield KeyRange(after, f"{one.start_after}\0")
        if one.end_before is None:
            return
        end = one.end_before.removesuffix("\0")
        after = end if after is None else max(after, end)
    if last is None or after is None or after < last:
        yield KeyRange(after, wanted.end_before)
