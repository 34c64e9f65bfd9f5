"""A folder becomes a prefix, and a prefix a folder: ``set -r``, ``get -r``, ``get --keys-from``."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from storage import InvalidKeyError, NotFoundError, ObjectInfo, Storage
from storage._facade.call import Call
from storage._facade.core import core_of
from storage._keys import RESERVED, is_portable
from storage.cli import _output
from storage.cli._many import Glob, Outcome, each, folder

__all__ = ["download", "download_all", "fetch", "upload"]


def upload(
    store: Storage,
    prefix: str,
    directory: str,
    storage_type: str,
    options: dict[str, Any],
    concurrency: int | None,
    *,
    as_json: bool,
) -> None:
    """Stores every file below ``directory`` under ``prefix`` and its relative path. Links to files are followed."""
    prefix = folder(prefix)
    outcome = Outcome()
    # A mistake in what is common to all of them is one error, before anything is sent.
    Call.about(core_of(store), "set_file", f"{prefix}x", storage_type)
    with os.scandir(directory):
        pass

    with _output.transfer_progress(directory, None) as progress:

        def store_one(file: tuple[str, str]) -> ObjectInfo:
            path, relative = file
            key = prefix + relative
            return store.set_file(key, path, storage_type, progress=progress, **options)

        files = _files(directory)
        _finish(each(store_one, files, concurrency or store.backend.concurrency), outcome, as_json=as_json)
    outcome.end()


def _files(directory: str) -> Iterator[tuple[str, str]]:
    """Path and path below ``directory`` of each file, with slashes, in order. What is neither file nor folder is noted."""

    def fail(exc: OSError) -> None:
        raise exc

    for where, folders, names in os.walk(directory, onerror=fail):
        folders.sort()
        for name in folders:
            if os.path.islink(os.path.join(where, name)):
                _output.note(f"{os.path.join(where, name)!r} is a link to a folder: left out")
        for name in sorted(names):
            path = os.path.join(where, name)
            try:
                regular = stat.S_ISREG(os.stat(path).st_mode)
            except FileNotFoundError:
                regular = False
            if regular:
                yield path, os.path.relpath(path, directory).replace(os.sep, "/")
            else:
                _output.note(f"{path!r} is no file: left out")


def download_all(
    store: Storage, prefix: str, directory: str, storage_type: str, concurrency: int | None, *, as_json: bool
) -> None:
    """Writes every blob below the folder ``prefix`` into ``directory``."""
    prefix = folder(prefix)
    where = f"of type {storage_type!r} in {store.backend.location}"
    error = NotFoundError(f"get({prefix!r}) {where}: there is no blob below this folder")
    keys = _nonempty(store.iter_list(prefix, storage_type), error)
    download(store, keys, prefix, directory, storage_type, concurrency, as_json=as_json)


def download_glob(
    store: Storage, pattern: str, directory: str, storage_type: str, concurrency: int | None, *, as_json: bool
) -> None:
    """Writes every blob whose key matches a pattern into ``directory``."""
    glob = Glob.parse(pattern)
    keys = _nonempty(glob.keys(store, storage_type), glob.no_match(store, storage_type))
    download(store, keys, glob.folder, directory, storage_type, concurrency, as_json=as_json)


def _nonempty(keys: Iterable[str], error: Exception) -> Iterator[str]:
    empty = True
    for key in keys:
        empty = False
        yield key
    if empty:
        raise error


def download(
    store: Storage,
    keys: Iterable[str],
    prefix: str,
    directory: str,
    storage_type: str,
    concurrency: int | None,
    *,
    as_json: bool,
) -> None:
    """Writes each blob to the path below ``directory`` that its key is, without ``prefix``."""
    outcome = Outcome()
    os.makedirs(directory, exist_ok=True)
    with _output.transfer_progress(prefix or "blobs", None) as progress:

        def fetch_one(key: str) -> ObjectInfo:
            relative = key[len(prefix) :]
            if not is_portable(relative):
                # keys=raw may have `..` in a key, which must not lead out of the folder.
                raise InvalidKeyError(f"key {key!r} is no portable key, so it is no path below {directory!r}", key=key)
            Call.about(core_of(store), "get_file", key, storage_type)
            path = os.path.join(directory, *relative.split("/"))
            if len(relative.split("/")) > 1:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            return fetch(store, key, path, storage_type, progress)

        _finish(each(fetch_one, keys, concurrency or store.backend.concurrency), outcome, as_json=as_json)
    outcome.end()


def fetch(
    store: Storage, key: str, path: str, storage_type: str, progress: Callable[[int], object] | None
) -> ObjectInfo:
    """``get_file``, whose errors name the file that was asked for, not the temporary one that was to replace it."""
    try:
        return store.get_file(key, path, storage_type, progress=progress)
    except OSError as exc:
        if isinstance(exc.filename, str) and os.path.basename(exc.filename).startswith(RESERVED):
            exc.filename, exc.filename2 = path, None
        raise


def _finish(
    results: Iterable[tuple[Any, ObjectInfo | None, Exception | None]], outcome: Outcome, *, as_json: bool
) -> None:
    count = size = 0
    for _, info, error in results:
        if error is not None:
            outcome.failed(error)
        elif info is not None:
            count, size = count + 1, size + info.size
            if as_json:
                _output.emit_json(_output.info_fields(info))
    _output.note(f"{count:,} blobs, {_output.human(size)}")
