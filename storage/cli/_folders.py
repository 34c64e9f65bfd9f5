"""Moves local folders by the rules of ``set_dir`` and ``get_dir``: ``set -r``; ``get`` with ``-r``, ``--glob`` or a list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from storage import NotFoundError, ObjectInfo, Storage
from storage._facade.core import core_of
from storage._facade.directories import store_directory, write_files
from storage._globs import Filter
from storage.cli import _output
from storage.cli._app import Place
from storage.cli._many import folder


def upload_folder(
    place: Place, store: Storage, key: str, directory: str, concurrency: int | None, options: dict[str, Any]
) -> None:
    """Stores every file below ``directory`` below the folder ``key``; says what was left out."""
    done = _Done(place)
    with _output.transfer_progress(directory, None) as progress:
        store_directory(
            store,
            folder(key),
            directory,
            place.storage_type,
            Filter(),
            concurrency,
            progress,
            stored=done.add,
            skipped=_say_left_out,
            **options,
        )
    done.end()


def download(
    place: Place,
    store: Storage,
    concurrency: int | None,
    directory: str,
    prefix: str,
    keys: Callable[[], Iterable[str]],
    none: NotFoundError | None,
) -> None:
    """Writes blobs into ``directory``, each to the path that its key is without ``prefix``.

    Args:
        keys: gives those of the blobs, in order; called twice.
        none: the error if there are no keys.
    """
    done = _Done(place)
    new = not os.path.isdir(directory)
    with _output.transfer_progress(prefix or "blobs", None) as progress:
        count = write_files(
            core_of(store),
            prefix,
            lambda: (key[len(prefix) :] for key in keys()),
            directory,
            place.storage_type,
            concurrency,
            progress,
            written=done.add,
        )
    if count == 0 and none is not None:
        if new:
            with suppress(OSError):
                os.rmdir(directory)
        raise none
    done.end()


class _Done:
    """Counts the blobs that were moved, and prints them as JSON if that is wanted."""

    def __init__(self, place: Place) -> None:
        self._as_json = place.as_json
        self._count = self._size = 0

    def add(self, info: ObjectInfo) -> None:
        self._count += 1
        self._size += info.size
        if self._as_json:
            _output.emit_json(vars(info))

    def end(self) -> None:
        _output.note(f"{self._count:,} blob{'' if self._count == 1 else 's'}, {_output.human(self._size)}")


def _say_left_out(path: str) -> None:
    why = "a link, which is not followed" if os.path.islink(path) else "neither a file nor a folder"
    _output.note(f"left out: {path!r} is {why}")
