"""The command ``rm``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from storage import NotFoundError, Storage
from storage._facade.call import Call
from storage._facade.core import core_of
from storage.cli import _output
from storage.cli._app import Target, complete_keys, glob_option, keys_from_option, store_command, usage
from storage.cli._many import Outcome, nothing, over_keys


@store_command(
    "rm",
    "storage rm reports/a.csv reports/b.csv",
    "storage rm -r reports/2019/",
    "storage rm --glob 'reports/2019-*.csv'",
    "storage ls -r reports/ | grep old | storage rm --keys-from -",
)
@click.argument("keys", nargs=-1, metavar="KEY...", shell_complete=complete_keys)
@click.option(
    "-r",
    "--recursive",
    is_flag=True,
    help="KEY is a prefix (a folder: end it with /): delete every key that ls -r KEY lists.",
)
@click.option("-f", "--missing-ok", is_flag=True, help="A blob that is not there is fine.")
@click.option("--if-match", metavar="ETAG", help="Fail unless this is the blob's etag; with one KEY.")
@glob_option()
@keys_from_option
def rm(
    target: Target,
    keys: Sequence[str],
    recursive: bool,
    missing_ok: bool,
    if_match: str | None,
    glob: bool,
    keys_from: str | None,
) -> None:
    """Delete blobs.

    Every key of the command line is checked before the first blob is deleted. A blob that is not there is exit status 1; the
    others are deleted all the same. With -r, KEY is a prefix, a text that keys start with, and not a folder: 'rm -r
    reports/2019' deletes reports/2019-old/ too. For a folder end KEY with a slash: 'rm -r reports/2019/'.
    """
    if recursive and (glob or keys_from is not None):
        usage("-r, --glob and --keys-from exclude each other.")
    if if_match is not None and (recursive or glob or keys_from is not None or len(keys) != 1):
        usage("--if-match goes with one KEY.")
    if recursive:
        _delete_prefixes(target, keys, missing_ok=missing_ok)
        return

    def drop(store: Storage, key: str, storage_type: str) -> bool:
        try:
            store.delete(key, storage_type, if_match=if_match)
        except NotFoundError:
            # A key that matched a pattern was there; somebody else has deleted it, or it matched two.
            if not (missing_ok or glob):
                raise
            return False
        return True

    for key, deleted in over_keys(target, drop, keys, keys_from, glob=glob):
        if target.as_json:
            _output.emit_json({"key": key, "storage_type": target.storage_type, "deleted": deleted})


def _delete_prefixes(target: Target, prefixes: Sequence[str], *, missing_ok: bool) -> None:
    if not prefixes:
        usage("Missing argument 'KEY': give a prefix.")
    if not all(prefixes):
        usage("An empty prefix would delete everything: use 'storage ls -r | storage rm --keys-from -' for that.")
    storage_type, outcome = target.storage_type, Outcome()
    with target.opened() as store:
        for prefix in prefixes:
            Call.about_prefix(core_of(store), "delete_prefix", prefix, storage_type)  # which checks it
        for prefix in prefixes:
            count = store.delete_prefix(prefix, storage_type)
            if target.as_json:
                _output.emit_json({"prefix": prefix, "storage_type": storage_type, "deleted": count})
            elif count:
                _output.note(f"{count:,} blob{'' if count == 1 else 's'} deleted")
            if not (count or missing_ok):
                outcome.failed(nothing(store, storage_type, f"delete_prefix({prefix!r})", "no key starts with this"))
    outcome.end()
