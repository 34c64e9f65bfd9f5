"""Inside one store: ``cp`` and ``mv``."""

from __future__ import annotations

from collections.abc import Callable

import click

from storage import NotFoundError, ObjectInfo, Storage
from storage._facade.call import Call
from storage._facade.core import core_of
from storage.cli import _output
from storage.cli._app import command, complete_keys, json_option, opened, type_option, url_option, usage
from storage.cli._many import Outcome, each, folder

__all__: list[str] = []


def _options(function: Callable[..., object]) -> Callable[..., object]:
    """The arguments that ``cp`` and ``mv`` share."""
    for option in (
        url_option,
        type_option,
        json_option,
        click.option("--concurrency", type=click.IntRange(1), metavar="N", help="With -r: so many blobs at once."),
        click.option("--no-overwrite", is_flag=True, help="Fail if there is a blob under NEW_KEY."),
        click.option("--new-type", metavar="TYPE", help="The storage type of NEW_KEY. [default: that of KEY]"),
        click.option("-r", "--recursive", is_flag=True, help="KEY and NEW_KEY are folders: all blobs below KEY."),
        click.argument("new_key", shell_complete=complete_keys),
        click.argument("key", shell_complete=complete_keys),
    ):
        function = option(function)
    return function


@command(
    "cp",
    "storage cp reports/a.csv archive/a.csv",
    "storage cp -r reports archive/2024",
    "storage cp k k --new-type tmp",
)
@_options
def cp(
    key: str,
    new_key: str,
    recursive: bool,
    new_type: str | None,
    no_overwrite: bool,
    concurrency: int | None,
    as_json: bool,
    storage_type: str,
    url: str | None,
) -> None:
    """Copy a blob with its headers and metadata, inside the service where it can."""
    with opened(url) as store:
        _transfer(
            store, store.copy, key, new_key, storage_type, new_type, concurrency,
            recursive=recursive, overwrite=not no_overwrite, as_json=as_json,
        )  # fmt: skip


@command("mv", "storage mv draft.md final.md", "storage mv -r incoming done")
@_options
def mv(
    key: str,
    new_key: str,
    recursive: bool,
    new_type: str | None,
    no_overwrite: bool,
    concurrency: int | None,
    as_json: bool,
    storage_type: str,
    url: str | None,
) -> None:
    """Move a blob with its headers and metadata.

    On a cloud this is a copy, then a delete: a failure between leaves both, never neither.
    """
    with opened(url) as store:
        _transfer(
            store, store.move, key, new_key, storage_type, new_type, concurrency,
            recursive=recursive, overwrite=not no_overwrite, as_json=as_json,
        )  # fmt: skip


def _transfer(
    store: Storage,
    method: Callable[..., ObjectInfo],
    key: str,
    new_key: str,
    storage_type: str,
    new_type: str | None,
    concurrency: int | None,
    *,
    recursive: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    if not recursive:
        info = method(key, new_key, storage_type, new_storage_type=new_type, overwrite=overwrite)
        if as_json:
            _output.emit_json(_output.info_fields(info))
        return
    old, new = folder(key), folder(new_key)
    target = storage_type if new_type is None else new_type
    if target == storage_type and (old.startswith(new) or new.startswith(old)):
        usage(f"{old or '(everything)'!r} and {new or '(everything)'!r} are one folder, or one is inside the other.")
    Call.about(core_of(store), method.__name__, f"{new}x", target)  # a mistake in what all of them share is one error
    outcome = Outcome()
    count = 0

    def transfer(name: str) -> ObjectInfo:
        return method(name, new + name[len(old) :], storage_type, new_storage_type=new_type, overwrite=overwrite)

    for _, info_, error in each(transfer, store.iter_list(old, storage_type), concurrency or store.backend.concurrency):
        count += 1
        if error is not None:
            outcome.failed(error)
        elif as_json and info_ is not None:
            _output.emit_json(_output.info_fields(info_))
    if not count:
        raise NotFoundError(
            f"{old!r} of type {storage_type!r} in {store.backend.location}: there is no blob below this folder"
        )
    outcome.end()
