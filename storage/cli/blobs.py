"""The commands ``set``, ``get``, ``cat``, ``info`` and ``exists``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from storage import NotFoundError, ObjectInfo, Storage
from storage.cli import _folders, _output
from storage.cli._app import (
    Target,
    complete_keys,
    concurrency_option,
    glob_option,
    keys_from_option,
    store_command,
    usage,
)
from storage.cli._many import Outcome, all_keys, over_keys, select
from storage.cli._status import NOT_THERE, Ended


@store_command(
    "set",
    "storage set reports/a.csv a.csv",
    "date | storage set log/today --content-type text/plain",
    "storage set greeting --text 'Hello' --no-overwrite",
    "storage set -r photos ~/Pictures",
)
@click.argument("key", shell_complete=complete_keys)
@click.argument("file", required=False, type=click.Path())
@click.option("--text", metavar="S", help="Store this text.")
@click.option("-r", "--recursive", is_flag=True, help="FILE is a folder: store every file of it below KEY.")
@click.option("--content-type", metavar="T", help="The media type. [default: by the suffix of the key]")
@click.option("--cache-control", metavar="C", help="The Cache-Control to serve it with.")
@click.option("--content-encoding", metavar="E", help="The Content-Encoding to serve it with.")
@click.option("--metadata", metavar="NAME=VALUE", multiple=True, help="Metadata; may be given more than once.")
@click.option("--no-overwrite", is_flag=True, help="Fail if there is a blob.")
@click.option("--if-match", metavar="ETAG", help="Fail unless there is a blob with this etag.")
@concurrency_option("files")
def set_(
    target: Target,
    key: str,
    file: str | None,
    text: str | None,
    recursive: bool,
    concurrency: int | None,
    metadata: Sequence[str],
    no_overwrite: bool,
    **options: Any,
) -> None:
    """Store a file, a text, or standard input.

    Without FILE, or with '-', standard input is stored. The blob is replaced whole or not at all. With -r every name is checked
    before anything is sent; links are not followed, and what is left out is named.
    """
    options |= {"metadata": _metadata(metadata), "overwrite": not no_overwrite}
    if text is not None and file is not None:
        usage("FILE and --text exclude each other.")
    with target.opened() as store:
        if recursive:
            if text is not None or file in (None, "-") or options["if_match"] is not None:
                usage("-r stores a folder: name it as FILE, without --text and --if-match.")
            _folders.upload_folder(target, store, key, str(file), concurrency, options)
            return
        info = _store(store, key, file, text, target.storage_type, options)
    if target.as_json:
        _output.emit_json(vars(info))


def _store(
    store: Storage, key: str, file: str | None, text: str | None, storage_type: str, options: dict[str, Any]
) -> ObjectInfo:
    if text is not None:
        return store.set(key, text, storage_type, **options)
    if file is None or file == "-":
        with _output.transfer_progress(key, None) as progress:
            return store.set_file(key, sys.stdin.buffer, storage_type, progress=progress, **options)
    with _output.transfer_progress(key, os.stat(file).st_size) as progress:
        return store.set_file(key, file, storage_type, progress=progress, **options)


def _metadata(items: Sequence[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not separator:
            usage(f"--metadata {item!r}: write NAME=VALUE.")
        found[name] = value
    return found or None


@store_command(
    "get",
    "storage get reports/a.csv a.csv",
    "storage get log/today | less",
    "storage get -r photos ~/Pictures",
    "storage get --glob 'reports/2026-*.csv' DIR",
    "storage get --keys-from wanted.txt DIR",
)
@click.argument("words", nargs=-1, metavar="KEY [FILE]", shell_complete=complete_keys)
@click.option(
    "-r", "--recursive", is_flag=True, help="KEY is a folder: write every blob below it into the folder FILE."
)
@concurrency_option("blobs")
@glob_option()
@keys_from_option
def get(
    target: Target,
    words: Sequence[str],
    recursive: bool,
    concurrency: int | None,
    glob: bool,
    keys_from: str | None,
) -> None:
    """Write a blob to a file or to standard output.

    Without FILE, or with '-', the bytes go to standard output as they are. A file appears whole or not at all; if FILE is a
    folder, the file is named by the last part of the key. With -r, --glob or --keys-from, FILE is a folder (default with --glob
    and --keys-from: the current one). Each blob is written to a file below it whose path is the key; with -r and --glob, the
    folder named in KEY is left out of that path. --json prints what is known of each blob that was written, so it needs a FILE.
    """
    most = 1 if keys_from is not None else 2
    if len(words) > most or (not words and keys_from is None):
        usage("Give KEY and FILE, or --keys-from and a folder.")
    if recursive + glob + (keys_from is not None) > 1:
        usage("-r, --glob and --keys-from exclude each other.")
    with target.opened() as store:
        if keys_from is not None:
            keys = sorted(set(all_keys(store, target.storage_type, (), keys_from, Outcome())))
            _folders.download(target, store, words[0] if words else ".", "", lambda: keys, None, concurrency)
            return
        key, file = words[0], words[1] if len(words) == 2 else None
        if glob or recursive:
            if recursive and file in (None, "-"):
                usage("-r writes into a folder: name it as FILE.")
            chosen = select(store, target.storage_type, key, glob=glob)
            _folders.download(target, store, file or ".", *chosen, concurrency)
            return
        info = _fetch(target, store, key, file)
    if target.as_json:
        _output.emit_json(vars(info))


def _fetch(target: Target, store: Storage, key: str, file: str | None) -> ObjectInfo:
    storage_type = target.storage_type
    if file is None or file == "-":
        if target.as_json:
            usage("--json needs a FILE: standard output has the blob.")
        info = store.get_file(key, sys.stdout.buffer, storage_type)
        sys.stdout.flush()
        return info
    if os.path.isdir(file) or file.endswith("/"):
        file = os.path.join(file, key.rpartition("/")[2])
    size = store.info(key, storage_type).size if _output.on_terminal() else None
    with _output.transfer_progress(key, size) as progress:
        return store.get_file(key, file, storage_type, progress=progress)


@store_command("cat", "storage cat log/1 log/2", "storage cat --keys-from parts.txt | gzip > all.gz", json=False)
@click.argument("keys", nargs=-1, metavar="KEY...", shell_complete=complete_keys)
@keys_from_option
def cat(target: Target, keys: Sequence[str], keys_from: str | None) -> None:
    """Write blobs to standard output, one after the other, bytes as they are.

    A blob that is not there is exit status 1; the others are written all the same.
    """
    outcome = Outcome()
    with target.opened() as store:
        for key in all_keys(store, target.storage_type, keys, keys_from, outcome):
            try:
                store.get_file(key, sys.stdout.buffer, target.storage_type)
            except NotFoundError as exc:
                outcome.failed(exc)
        sys.stdout.flush()
    outcome.end()


@store_command("info", "storage info reports/a.csv", "storage info reports/a.csv --json | jq -r .etag")
@click.argument("keys", nargs=-1, metavar="KEY...", shell_complete=complete_keys)
@keys_from_option
def info(target: Target, keys: Sequence[str], keys_from: str | None) -> None:
    """Show what is known of a blob: size, etag, time, headers and metadata."""
    for _, found in over_keys(target, Storage.info, keys, keys_from):
        if target.as_json:
            _output.emit_json(vars(found))
        else:
            _show(found)


def _show(found: ObjectInfo) -> None:
    fields = {**vars(found)}
    metadata = fields.pop("metadata") or {}
    fields["last_modified"] = found.last_modified.isoformat()
    fields["size"] = f"{found.size} ({_output.human(found.size)})" if found.size >= 1024 else found.size
    rows = [*fields.items(), *((f"metadata {name}", value) for name, value in sorted(metadata.items()))]
    for name, value in rows:
        if value is not None:
            _output.emit(f"{name.replace('_', '-'):<17} {value}")


@store_command(
    "exists", "storage exists reports/a.csv && echo yes", "storage exists --keys-from wanted.txt > there.txt"
)
@click.argument("keys", nargs=-1, metavar="KEY...", shell_complete=complete_keys)
@keys_from_option
def exists(target: Target, keys: Sequence[str], keys_from: str | None) -> None:
    """Tell whether there is a blob: exit status 0, or 1 if it is not there.

    With --keys-from, the keys that are there are printed, and the status is 1 if any is not. Only absence is 1: no permission,
    no bucket and no network are errors.
    """
    missing = False
    for key, there in over_keys(target, Storage.exists, keys, keys_from):
        missing = missing or not there
        if target.as_json:
            _output.emit_json({"key": key, "storage_type": target.storage_type, "exists": there})
        elif there and keys_from is not None:
            _output.emit(key)
    if missing:
        raise Ended(NOT_THERE)
