"""The commands ``ls`` and ``du``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import click

from storage import ObjectInfo, Storage, StorageError
from storage._facade.call import Call
from storage._facade.core import core_of
from storage.cli import _output
from storage.cli._app import Target, complete_keys, glob_option, store_command
from storage.cli._many import Glob

_FIELDS = ObjectInfo.__match_args__
_NO_COLUMNS = " " * 34  # the width of size and time


@store_command(
    "ls",
    "storage ls",
    "storage ls reports/ -l --human",
    "storage ls --glob 'reports/**/*.csv'",
    "storage ls -r --start-after logs/2026-11-25 --end-before logs/2026-12",
    "storage ls -r --json | jq -r 'select(.size > 1000000) | .key'",
)
@click.argument("prefix", default="", shell_complete=complete_keys)
@click.option("-r", "--recursive", is_flag=True, help="Every key, not one level.")
@click.option("-l", "--long", is_flag=True, help="Show size and time too.")
@click.option("--human", is_flag=True, help="As -l, sizes in KiB, MiB and so on.")
@glob_option("PREFIX")
@click.option("--start-after", metavar="TEXT", help="Only keys after this text, which need not be a key.")
@click.option("--end-before", metavar="TEXT", help="Only keys before this text.")
def ls(
    target: Target,
    prefix: str,
    recursive: bool,
    long: bool,
    human: bool,
    glob: bool,
    **bounds: str | None,
) -> None:
    """List keys: one level, or with -r all of them.

    PREFIX is what keys start with, a string and not a folder: 'rep' finds reports/ too. Folders are shown as 'name/'. Keys are
    printed whole, one a line. With --glob every key is printed that matches the pattern, on whatever level it is. --json prints
    ObjectInfo's fields; a folder has a key that ends in a slash, and no size.
    """
    storage_type, details = target.storage_type, long or human or target.as_json
    with target.opened() as store:
        items: Iterable[str | ObjectInfo]
        if glob:
            pattern = Glob.parse(prefix)
            items = (pattern.infos if details else pattern.keys)(store, storage_type, **bounds)
        elif recursive:
            items = (store.iter_info if details else store.iter_list)(prefix, storage_type, **bounds)
        else:
            items = store.iter_dir(prefix, storage_type, **bounds)
        empty = True
        for item in items:
            empty = False
            if target.as_json:
                _output.emit_json(vars(item) if isinstance(item, ObjectInfo) else _folder(item, storage_type))
            elif isinstance(item, ObjectInfo):
                _output.emit(_long(item, human=human) if details else item.key)
            elif recursive or glob:
                _output.emit(item)
            else:
                _output.emit(f"{_NO_COLUMNS if details else ''}{item}", fg="blue", bold=True)
        if empty:
            _say_if_missing(store, storage_type)


def _say_if_missing(store: Storage, storage_type: str) -> None:
    """Tells a person at a terminal that there is no store by this name: it may be mistyped."""
    route = core_of(store).route(storage_type)
    if not _output.on_terminal():
        return
    with suppress(StorageError):  # the listing itself went well
        if not Call.about_route("ls", route, storage_type).run(route.backend.bucket_exists_now):
            _output.note(f"{route.url} does not exist yet; the first write makes it")


def _folder(name: str, storage_type: str) -> dict[str, Any]:
    return {**dict.fromkeys(_FIELDS), "key": name, "storage_type": storage_type}


def _long(info: ObjectInfo, *, human: bool) -> str:
    size = _output.human(info.size) if human else info.size
    return f"{size:>12} {info.last_modified:%Y-%m-%dT%H:%M:%SZ} {info.key}"


@store_command("du", "storage du", "storage du reports/ --json")
@click.argument("prefix", default="", shell_complete=complete_keys)
def du(target: Target, prefix: str) -> None:
    """Count the blobs below a prefix, and their bytes."""
    count = size = 0
    with target.opened() as store:
        for info in store.iter_info(prefix, target.storage_type):
            count += 1
            size += info.size
    if target.as_json:
        _output.emit_json({"prefix": prefix, "storage_type": target.storage_type, "bytes": size, "blobs": count})
        return
    about = f" ({_output.human(size)})" if size >= 1024 else ""
    _output.emit(f"{size} bytes{about} in {count} blob{'' if count == 1 else 's'}")
