"""What is there: ``ls`` and ``du``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from storage import ObjectInfo
from storage.cli import _output
from storage.cli._app import command, complete_keys, json_option, opened, type_option, url_option

__all__: list[str] = []

_FIELDS = ObjectInfo.__match_args__
_NO_COLUMNS = " " * 34  # the width of size and time


@command(
    "ls",
    "storage ls",
    "storage ls reports/ -l",
    "storage ls -r --json | jq -r 'select(.size > 1000000) | .key'",
)
@click.argument("prefix", default="", shell_complete=complete_keys)
@click.option("-r", "--recursive", is_flag=True, help="Every key, not one level.")
@click.option("-l", "--long", is_flag=True, help="Show size and time too.")
@json_option
@type_option
@url_option
def ls(prefix: str, recursive: bool, long: bool, as_json: bool, storage_type: str, url: str | None) -> None:
    """List keys: one level, or with -r all of them.

    PREFIX is what keys start with, a string and not a folder: 'rep' finds reports/ too. Folders are shown as 'name/'. Keys are
    printed whole, one a line. --json prints ObjectInfo's fields; a folder has a key that ends in a slash, and no size.
    """
    with opened(url) as store:
        if recursive and not long and not as_json:
            for key in store.iter_list(prefix, storage_type):
                _output.emit(key)
            return
        items: Iterable[str | ObjectInfo] = (
            store.iter_info(prefix, storage_type) if recursive else store.iter_dir(prefix, storage_type)
        )
        for item in items:
            if as_json:
                _output.emit_json(
                    _output.info_fields(item) if isinstance(item, ObjectInfo) else _folder(item, storage_type)
                )
            elif isinstance(item, str):
                _output.emit(f"{_NO_COLUMNS if long else ''}{item}", fg="blue", bold=True)
            else:
                _output.emit(_long(item) if long else item.key)


def _folder(name: str, storage_type: str) -> dict[str, Any]:
    return {**dict.fromkeys(_FIELDS), "key": name, "storage_type": storage_type}


def _long(info: ObjectInfo) -> str:
    return f"{info.size:>12} {info.last_modified:%Y-%m-%dT%H:%M:%SZ} {info.key}"


@command("du", "storage du", "storage du reports/ --json")
@click.argument("prefix", default="", shell_complete=complete_keys)
@json_option
@type_option
@url_option
def du(prefix: str, as_json: bool, storage_type: str, url: str | None) -> None:
    """Count the blobs below a prefix, and their bytes."""
    count = size = 0
    with opened(url) as store:
        for info in store.iter_info(prefix, storage_type):
            count += 1
            size += info.size
    if as_json:
        _output.emit_json({"prefix": prefix, "storage_type": storage_type, "bytes": size, "blobs": count})
        return
    about = f" ({_output.human(size)})" if size >= 1024 else ""
    _output.emit(f"{size} bytes{about} in {count} blob{'' if count == 1 else 's'}")
