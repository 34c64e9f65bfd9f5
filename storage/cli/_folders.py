"""Moves local folders by the rules of ``set_dir`` and ``get_dir``: ``set -r``; ``get`` with ``-r``, ``--glob`` or a list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from storage import NotFoundError, ObjectInfo, Storage
from storage._facade.core import core_of
from storage._facade.directories import store_directory, write_files
from storage._globs import Filter
from storage.cli import _output
from storage.cli._many import Glob, folder


def upload_folder(
    store: Storage,
    key: str,
    directory: str,
    storage_type: str,
    concurrency: int | None,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Stores every file below ``directory`` below the folder ``key``; says what was left out."""
    done = _Done(as_json=as_json)
    with _output.transfer_progress(directory, None) as progress:
        store_directory(
            store,
            folder(key),
            directory,
            storage_type,
            Filter(),
            concurrency,
            progress,
            stored=done.add,
            skipped=_say_left_out,
            **options,
        )
    done.end()


def download_folder(
    store: Storage, key: str, directory: str, storage_type: str, concurrency: int | None, *, as_json: bool
) -> None:
    """Writes every blob below the folder ``key`` into ``directory``."""
    prefix = folder(key)
    where = f"of type {storage_type!r} in {store.backend.location}"
    none = NotFoundError(f"get({prefix!r}) {where}: there is no blob below this folder", storage_type=storage_type)
    keys = partial(store.iter_list, prefix, storage_type)
    _download(store, prefix, keys, directory, storage_type, concurrency, none, as_json=as_json)


def download_matches(
    store: Storage, pattern: str, directory: str, storage_type: str, concurrency: int | None, *, as_json: bool
) -> None:
    """Writes every blob whose key matches a pattern into ``directory``, without the folder that the pattern names."""
    glob = Glob.parse(pattern)
    keys = partial(glob.keys, store, storage_type)
    none = glob.no_match(store, storage_type)
    _download(store, glob.folder, keys, directory, storage_type, concurrency, none, as_json=as_json)


def download_keys(
    store: Storage, keys: Iterable[str], directory: str, storage_type: str, concurrency: int | None, *, as_json: bool
) -> None:
    """Writes each blob to the path below ``directory`` that its key is."""
    wanted = sorted(set(keys))
    _download(store, "", lambda: wanted, directory, storage_type, concurrency, None, as_json=as_json)


def _download(
    store: Storage,
    prefix: str,
    keys: Callable[[], Iterable[str]],
    directory: str,
    storage_type: str,
    concurrency: int | None,
    none: NotFoundError | None,
    *,
    as_json: bool,
) -> None:
    """``none``: the error if there are no keys."""
    done = _Done(as_json=as_json)
    new = not os.path.isdir(directory)
    with _output.transfer_progress(prefix or "blobs", None) as progress:
        count = write_files(
            core_of(store),
            prefix,
            lambda: (key[len(prefix) :] for key in keys()),
            directory,
            storage_type,
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

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._count = self._size = 0

    def add(self, info: ObjectInfo) -> None:
        self._count += 1
        self._size += info.size
        if self._as_json:
            _output.emit_json(_output.info_fields(info))

    def end(self) -> None:
        _output.note(f"{self._count:,} blob{'' if self._count == 1 else 's'}, {_output.human(self._size)}")


def _say_left_out(path: str) -> None:
    why = "a link, which is not followed" if os.path.islink(path) else "neither a file nor a folder"
    _output.note(f"left out: {path!r} is {why}")
