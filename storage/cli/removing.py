"""Deleting blobs: ``rm``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from storage import NotFoundError
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
)
from storage.cli._many import Outcome, all_keys, each

__all__: list[str] = []


@command(
    "rm",
    "storage rm reports/a.csv reports/b.csv",
    "storage rm --glob 'reports/2019-*.csv'",
    "storage ls -r reports/2019 | storage rm --keys-from -",
)
@click.argument("keys", nargs=-1, metavar="KEY...", shell_complete=complete_keys)
@click.option("-f", "--missing-ok", is_flag=True, help="A blob that is not there is fine.")
@glob_option
@keys_from_option
@json_option
@type_option
@url_option
def rm(
    keys: Sequence[str],
    missing_ok: bool,
    glob: bool,
    keys_from: str | None,
    as_json: bool,
    storage_type: str,
    url: str | None,
) -> None:
    """Delete blobs.

    Every key of the command line is checked before the first blob is deleted. A blob that is not there is exit status 1; the
    others are deleted all the same.
    """
    outcome = Outcome()
    with opened(url) as store:
        wanted = all_keys(store, keys, keys_from, storage_type, outcome, glob=glob)

        def drop(key: str) -> bool:
            try:
                store.delete(key, storage_type)
            except NotFoundError:
                # A key that matched a pattern was there; somebody else has deleted it, or it matched two.
                if not (missing_ok or glob):
                    raise
                return False
            return True

        for key, deleted, error in each(drop, wanted, store.backend.concurrency):
            if error is not None:
                outcome.failed(error)
            elif as_json:
                _output.emit_json({"key": key, "storage_type": storage_type, "deleted": deleted})
    outcome.end()
