"""Uploads and downloads local folders as ``set_dir`` and ``get_dir`` do, for ``set -r`` and ``get`` of many keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any

from storage import NotFoundError, ObjectInfo, Storage
from storage._facade.core import core_of
from storage._facade.directories import store_directory, write_files
from storage._globs import Filter
from storage.cli import _output
from storage.cli._app import Target
from storage.cli._many import folder


def upload_folder(
    target: Target, store: Storage, key: str, directory: str, concurrency: int | None, options: dict[str, Any]
) -> None:
    """Stores every file below ``directory`` below the folder ``key``; says what was left out."""
    with _output.transfer_progress(directory, None) as progress:
        count, size = _shown(
            target,
            store_directory(
                store,
                folder(key),
                directory,
                target.storage_type,
                Filter(),
                concurrency,
                progress,
                skipped=_say_left_out,
                **options,
            ),
        )
    _say_done(count, size)


def download(
    target: Target,
    store: Storage,
    directory: str,
    prefix: str,
    keys: Callable[[], Iterable[str]],
    none: NotFoundError | None,
    concurrency: int | None,
) -> None:
    """Writes the blobs of ``keys()`` into ``directory``, each to its key without ``prefix``; without any raises ``none``."""
    new = not os.path.isdir(directory)

    def names() -> Generator[str, None, None]:
        return (key[len(prefix) :] for key in keys())

    with _output.transfer_progress(prefix or "blobs", None) as progress:
        written = write_files(core_of(store), prefix, names, directory, target.storage_type, concurrency, progress)
        count, size = _shown(target, written)
    if count == 0 and none is not None:
        if new:
            with suppress(OSError):
                os.rmdir(directory)
        raise none
    _say_done(count, size)


def _shown(target: Target, moved: Iterable[ObjectInfo]) -> tuple[int, int]:
    """How many blobs were moved, and their bytes; prints them as JSON if that is wanted."""
    count = size = 0
    for info in moved:
        count += 1
        size += info.size
        if target.as_json:
            _output.emit_json(vars(info))
    return count, size


def _say_done(count: int, size: int) -> None:
    _output.note(f"{count:,} blob{'' if count == 1 else 's'}, {_output.human(size)}")


def _say_left_out(path: str) -> None:
    why = "a link, which is not followed" if os.path.islink(path) else "neither a file nor a folder"
    _output.note(f"left out: {path!r} is {why}")
