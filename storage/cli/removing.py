"""The command ``rm``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from storage import NotFoundError, Storage
from storage._facade.call import Call
from storage._facade.core import core_of
from storage.cli import _output
from storage.cli._app import (
    command,
    complete_keys,
    glob_option,
    json_option,
    keys_from_option,
    opened,
    type_option,
    url_option,
    usage,
)
from storage.cli._many import Outcome, over_keys

__all__: list[str] = []


@command(
    "rm",
    "storage rm reports/a.csv reports/b.csv",
    "storage rm -r reports/2019/",
    "storage rm --glob 'reports/2019-*.csv'",
    "storage ls -r reports/ | grep old | storage rm --keys-from -",
)
@click.argument("keys", nargs=-1, metavar="KEY...", shell_complete=complete_keys)
@click.option("-r", "--recursive", is_flag=True, help="KEY is a prefix: delete every key that ls -r KEY lists.")
@click.option("-f", "--missing-ok", is_flag=True, help="A blob that is not there is fine.")
@click.option("--if-match", metavar="ETAG", help="Fail unless this is the blob's etag; with one KEY.")
@glob_option
@keys_from_option
@json_option
@type_option
@url_option
def rm(
    keys: Sequence[str],
    recursive: bool,
    missing_ok: bool,
    if_match: str | None,
    glob: bool,
    keys_from: str | None,
    as_json: bool,
    storage_type: str,
    url: str | None,
) -> None:
    """Delete blobs.

    Every key of the command line is checked before the first blob is deleted. A blob that is not there is exit status 1; the
    others are deleted all the same. With -r, KEY is what keys start with, a string and not a folder: 'rep' deletes reports/ too,
    'reports/' that folder alone.
    """
    if recursive and (glob or keys_from is not None):
        usage("-r, --glob and --keys-from exclude each other.")
    if if_match is not None and (recursive or glob or keys_from is not None or len(keys) != 1):
        usage("--if-match goes with one KEY.")
    if recursive:
        with opened(url) as store:
            _delete_prefixes(store, keys, storage_type, missing_ok=missing_ok, as_json=as_json)
        return

    def drop(store: Storage, key: str) -> bool:
        try:
            store.delete(key, storage_type, if_match=if_match)
        except NotFoundError:
            # A key that matched a pattern was there; somebody else has deleted it, or it matched two.
            if not (missing_ok or glob):
                raise
            return False
        return True

    for key, deleted in over_keys(drop, url, keys, keys_from, storage_type, glob=glob):
        if as_json:
            _output.emit_json({"key": key, "storage_type": storage_type, "deleted": deleted})


def _delete_prefixes(
    store: Storage, prefixes: Sequence[str], storage_type: str, *, missing_ok: bool, as_json: bool
) -> None:
    if not prefixes:
        usage("Missing argument 'KEY': give a prefix.")
    core = core_of(store)
    for prefix in prefixes:
        if not prefix:
            usage("An empty prefix would delete everything: use 'storage ls -r | storage rm --keys-from -' for that.")
        Call.about_prefix(core, "delete_prefix", prefix, storage_type)  # which checks it
    outcome = Outcome()
    for prefix in prefixes:
        count = store.delete_prefix(prefix, storage_type)
        if as_json:
            _output.emit_json({"prefix": prefix, "storage_type": storage_type, "deleted": count})
        elif count:
            _output.note(f"{count:,} blob{'' if count == 1 else 's'} deleted")
        if not (count or missing_ok):
            where = f"of type {storage_type!r} in {store.backend.location}"
            outcome.failed(NotFoundError(f"delete_prefix({prefix!r}) {where}: no key starts with this"))
    outcome.end()
