"""Shared by commands on many keys: selects the keys, and reports each failure while the others go on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import BinaryIO, NamedTuple, TypeVar, cast

from storage import NotFoundError, ObjectInfo, Storage
from storage._facade.call import Call
from storage._facade.concurrent import ordered_map
from storage._facade.core import core_of
from storage._globs import Filter
from storage.cli import _output
from storage.cli._app import Target, usage
from storage.cli._status import Ended, status_of

T = TypeVar("T")
R = TypeVar("R")

_WILD = re.compile(r"[*?[\\]")


class Outcome:
    """Collects the failures of a command, and ends it with the gravest status of them."""

    def __init__(self) -> None:
        self.status = 0

    def failed(self, exc: Exception) -> None:
        """Prints a failure; the command goes on."""
        _output.failure(exc)
        self.status = max(self.status, status_of(exc))

    def end(self) -> None:
        """Ends the command, if anything failed."""
        if self.status:
            raise Ended(self.status)


class Glob(NamedTuple):
    """A pattern of ``--glob``, which is matched against whole keys."""

    pattern: str  # as it was typed
    prefix: str  # every key that matches begins with this text
    matches: Callable[[str], bool]

    @classmethod
    def parse(cls, pattern: str) -> Glob:
        """The pattern of a word of the command line."""
        try:
            # A pattern without a slash would be matched against the last part of a key alone.
            matches = Filter([f"/{pattern}"])
        except ValueError as exc:
            usage(f"--glob {pattern!r}: {str(exc).partition(': ')[2]}.")
        wild = _WILD.search(pattern)
        return cls(pattern, pattern[: wild.start()] if wild else pattern, matches)

    @property
    def folder(self) -> str:
        """The folder that every match is in: empty, or with a slash at its end."""
        return self.prefix[: self.prefix.rfind("/") + 1]

    def keys(self, store: Storage, storage_type: str, **bounds: str | None) -> Iterator[str]:
        """The keys that match."""
        return filter(self.matches, store.iter_list(self.prefix, storage_type, **bounds))

    def infos(self, store: Storage, storage_type: str, **bounds: str | None) -> Iterator[ObjectInfo]:
        """The blobs whose keys match."""
        return (info for info in store.iter_info(self.prefix, storage_type, **bounds) if self.matches(info.key))

    def no_match(self, store: Storage, storage_type: str) -> NotFoundError:
        """The error that no key matches."""
        return nothing(store, storage_type, f"--glob {self.pattern!r}", "no key matches")


def nothing(store: Storage, storage_type: str, what: str, why: str) -> NotFoundError:
    """The error that ``what``, a word of the command line, names nothing."""
    where = f"of type {storage_type!r} in {store.backend.location}"
    return NotFoundError(f"{what} {where}: {why}", storage_type=storage_type)


class Selection(NamedTuple):
    """Keys that a command takes."""

    folder: str  # that all of them are in: empty, or with a slash at its end
    keys: Callable[[], Iterator[str]]  # in order
    none: NotFoundError  # the error if there are none


def select(store: Storage, storage_type: str, key: str, *, glob: bool) -> Selection:
    """Every key that the pattern ``key`` matches, or else every key below the folder ``key``."""
    if glob:
        pattern = Glob.parse(key)
        return Selection(
            pattern.folder, partial(pattern.keys, store, storage_type), pattern.no_match(store, storage_type)
        )
    inside = folder(key)
    none = nothing(store, storage_type, repr(inside), "there is no blob below this folder")
    return Selection(inside, partial(store.iter_list, inside, storage_type), none)


def all_keys(
    store: Storage,
    storage_type: str,
    keys: Sequence[str],
    keys_from: str | None,
    outcome: Outcome,
    *,
    glob: bool = False,
) -> Iterator[str]:
    """The keys of the command line, checked before anything is done, and then those of a file.

    With ``glob`` those of the command line are patterns, and every key that matches one of them is given; a pattern that no key
    matches is a failure of ``outcome``.
    """
    if not keys and keys_from is None:
        usage("Missing argument 'KEY': give a key, or --keys-from FILE.")
    if glob:
        patterns = [Glob.parse(key) for key in keys]
        return _chain(_matches(store, patterns, storage_type, outcome), keys_from)
    for key in keys:
        Call.about(core_of(store), "", key, storage_type)  # which checks it
    return _chain(keys, keys_from)


def _matches(store: Storage, patterns: Sequence[Glob], storage_type: str, outcome: Outcome) -> Iterator[str]:
    """Every key that matches a pattern, each once."""
    met: set[int] = set()
    for index, pattern in enumerate(patterns):
        for key in pattern.keys(store, storage_type):
            matching = [other for other, candidate in enumerate(patterns) if candidate.matches(key)]
            met.update(matching)
            if matching[0] == index:
                yield key
        # The blobs that it matches may have been deleted as matches of another one.
        if index not in met:
            outcome.failed(pattern.no_match(store, storage_type))


def _chain(keys: Iterable[str], keys_from: str | None) -> Iterator[str]:
    yield from keys
    if keys_from == "-":
        yield from _lines(sys.stdin.buffer)
    elif keys_from is not None:
        with open(keys_from, "rb") as file:
            yield from _lines(file)


def _lines(file: BinaryIO) -> Iterator[str]:
    for line in file:
        key = line.rstrip(b"\r\n")
        if key:
            # What is no UTF-8 becomes a key that the library refuses, with the reason.
            yield key.decode("utf-8", "surrogateescape")


def each(
    function: Callable[[T], R], items: Iterable[T], concurrency: int
) -> Iterator[tuple[T, R | None, Exception | None]]:
    """``(item, result, error)`` for each item, in order, several at once; an error stops none of the others."""

    def attempt(item: T) -> tuple[T, R | None, Exception | None]:
        try:
            return item, function(item), None
        except Exception as exc:
            return item, None, exc

    return ordered_map(attempt, items, concurrency)


def over_keys(
    target: Target,
    function: Callable[[Storage, str, str], R],
    keys: Sequence[str],
    keys_from: str | None,
    *,
    glob: bool = False,
) -> Iterator[tuple[str, R]]:
    """Each key of :func:`all_keys`, and ``function(store, key, type)``. Failures are printed; they end the command last."""
    outcome = Outcome()
    with target.opened() as store:
        wanted = all_keys(store, target.storage_type, keys, keys_from, outcome, glob=glob)
        for key, result, error in each(
            lambda key: function(store, key, target.storage_type), wanted, store.backend.concurrency
        ):
            if error is not None:
                outcome.failed(error)
            else:
                yield key, cast("R", result)
    outcome.end()


def folder(prefix: str) -> str:
    """A prefix as a folder: empty, or with a slash at its end."""
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"
