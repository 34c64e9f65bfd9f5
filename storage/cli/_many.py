"""Many keys in one command: where they come from, and what one failure means for the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, TypeVar

from storage import Storage
from storage._facade.call import Call
from storage._facade.concurrent import ordered_map
from storage._facade.core import core_of
from storage.cli._app import Reported, usage

__all__ = ["Outcome", "all_keys", "each", "folder"]

T = TypeVar("T")
R = TypeVar("R")


class Outcome:
    """Collects what failed, and ends the command with the gravest status."""

    def __init__(self) -> None:
        self.status = 0

    def failed(self, exc: Exception) -> None:
        """Says what failed; the command goes on."""
        from storage.cli import _output, _run

        _output.failure(exc)
        self.status = max(self.status, _run.status_of(exc))

    def end(self) -> None:
        """Ends the command, if anything failed."""
        if self.status:
            raise Reported(self.status)


def all_keys(store: Storage, keys: Sequence[str], keys_from: str | None, storage_type: str) -> Iterator[str]:
    """The keys of the command line, checked before anything is done, and then those of a file."""
    if not keys and keys_from is None:
        usage("Missing argument 'KEY': give a key, or --keys-from FILE.")
    for key in keys:
        Call.about(core_of(store), "", key, storage_type)  # which checks it
    return _chain(keys, keys_from)


def _chain(keys: Sequence[str], keys_from: str | None) -> Iterator[str]:
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


def folder(prefix: str) -> str:
    """A prefix as a folder: empty, or with a slash at its end."""
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"
