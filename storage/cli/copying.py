"""The commands ``cp`` and ``mv``, inside one store or to another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import filterfalse
from typing import Any

import click

from storage import AlreadyExistsError, ObjectInfo, PreconditionFailedError, Storage
from storage._facade.blobs import carry
from storage._facade.call import Call
from storage._facade.core import core_of
from storage.cli import _output
from storage.cli._app import Target, complete_keys, concurrency_option, glob_option, opened, store_command, usage
from storage.cli._many import Outcome, Selection, each, folder, select

_TRIES = 3


def _options(function: Callable[..., object]) -> Callable[..., object]:
    """The arguments that ``cp`` and ``mv`` share."""
    for option in (
        concurrency_option("blobs"),
        click.option("--if-match", metavar="ETAG", help="Fail unless this is KEY's etag."),
        click.option("--no-overwrite", is_flag=True, help="Fail if there is a blob under NEW_KEY."),
        click.option("--new-url", metavar="URL", help="The store of NEW_KEY, or a path. [default: that of KEY]"),
        click.option("--new-type", metavar="TYPE", help="The storage type of NEW_KEY. [default: that of KEY]"),
        glob_option(),
        click.option("-r", "--recursive", is_flag=True, help="KEY and NEW_KEY are folders: all blobs below KEY."),
        click.argument("new_key", required=False, shell_complete=complete_keys),
        click.argument("key", shell_complete=complete_keys),
    ):
        function = option(function)
    return function


@store_command(
    "cp",
    "storage cp reports/a.csv archive/a.csv",
    "storage cp -r reports archive/2026",
    "storage cp --glob 'reports/*.csv' archive",
    "storage cp k k --new-type tmp",
    "storage cp reports/a.csv --url s3://bucket --new-url gs://other",
)
@_options
def cp(target: Target, **words: Any) -> None:
    """Copy a blob with its headers and metadata.

    Inside one store the bytes do not pass through this machine where the service can copy. With --new-url they do; NEW_KEY is
    then the same as KEY unless it is given. With --glob, NEW_KEY is a folder; blobs that are already in it are not copied.
    """
    _transfer(target, **words, move=False)


@store_command(
    "mv",
    "storage mv draft.md final.md",
    "storage mv -r incoming done",
    "storage mv --glob 'incoming/*.csv' done",
)
@_options
def mv(target: Target, **words: Any) -> None:
    """Move a blob with its headers and metadata.

    On a cloud, and with --new-url, this is a copy, then a delete: a failure between leaves both, never neither.
    """
    _transfer(target, **words, move=True)


def _transfer(
    target: Target,
    *,
    key: str,
    new_key: str | None,
    new_url: str | None,
    new_type: str | None,
    recursive: bool,
    glob: bool,
    no_overwrite: bool,
    if_match: str | None,
    concurrency: int | None,
    move: bool,
) -> None:
    """Copies or moves the blob, or all blobs, that ``key`` names."""
    storage_type = target.storage_type
    new_type = new_type or storage_type
    if if_match is not None and (recursive or glob):
        usage("--if-match goes with one KEY.")
    with target.opened() as source, nullcontext(source) if new_url is None else opened(new_url) as destination:
        new_key = _target_key(key, new_key, glob=glob, same_store=destination is source)
        transfer = _between(
            source, destination, storage_type, new_type, if_match, overwrite=not no_overwrite, move=move
        )
        if not (recursive or glob):
            info = transfer(key, new_key)
            if target.as_json:
                _output.emit_json(vars(info))
            return
        new = folder(new_key)
        Call.about(
            core_of(destination), "copy", f"{new}x", new_type
        )  # a mistake in what all of them share is one error
        inside = new if destination is source and new_type == storage_type else None
        selected = _selected(source, key, storage_type, inside, glob=glob)
        outcome, empty = Outcome(), True
        at_once = concurrency or max(source.backend.concurrency, destination.backend.concurrency)
        for _, found, error in each(
            lambda name: transfer(name, new + name[len(selected.folder) :]), selected.keys(), at_once
        ):
            empty = False
            if error is not None:
                outcome.failed(error)
            elif target.as_json and found is not None:
                _output.emit_json(vars(found))
        if empty:
            raise selected.none
    outcome.end()


def _target_key(key: str, new_key: str | None, *, glob: bool, same_store: bool) -> str:
    for word in (key, new_key or ""):
        if "://" in word:
            usage(f"{word!r}: give keys, and the stores as --url and --new-url.")
    if new_key is not None:
        return new_key
    if same_store:
        usage("Missing argument 'NEW_KEY'.")
    return "" if glob else key


def _selected(store: Storage, key: str, storage_type: str, new: str | None, *, glob: bool) -> Selection:
    """The blobs to copy or move. ``new``: the folder that they go to, if that is in the same store and type."""
    chosen = select(store, storage_type, key, glob=glob)
    if new is None:
        return chosen
    if glob:  # what has been copied must not be met again
        return chosen._replace(keys=lambda: filterfalse(lambda found: found.startswith(new), chosen.keys()))
    old = chosen.folder
    if old.startswith(new) or new.startswith(old):
        usage(f"{old or '(everything)'!r} and {new or '(everything)'!r} are one folder, or one is inside the other.")
    return chosen


def _between(
    source: Storage,
    destination: Storage,
    storage_type: str,
    new_type: str,
    if_match: str | None,
    *,
    overwrite: bool,
    move: bool,
) -> Callable[[str, str], ObjectInfo]:
    """Copies or moves one blob: from its key to another."""
    if destination is source:
        method = source.move if move else source.copy
        return lambda key, new_key: method(
            key, new_key, storage_type, new_storage_type=new_type, overwrite=overwrite, if_match=if_match
        )

    def copy(key: str, new_key: str) -> ObjectInfo:
        call = Call.about(core_of(source), "copy", key, storage_type)
        new = Call.about(core_of(destination), "copy", new_key, new_type)
        for _ in range(_TRIES):
            try:
                with call.record() as record:
                    stat, info = carry(call, new, overwrite=overwrite, if_match=if_match)
                    record.size = info.size
            except PreconditionFailedError as exc:
                if if_match is not None or isinstance(exc, AlreadyExistsError):
                    raise
                continue  # it was replaced while it was read
            if move:
                source.delete(key, storage_type, if_match=stat.etag)
            return info
        raise PreconditionFailedError(
            f"{call}: the blob changed {_TRIES} times while it was copied; try again when nobody writes to it",
            key=key,
            storage_type=storage_type,
        )

    return copy
