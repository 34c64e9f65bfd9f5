"""The commands ``sign`` and ``upload-url``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from storage import SignedRequest, Storage
from storage._backend import servable
from storage._facade.core import core_of
from storage.cli import _output
from storage.cli._app import Target, complete_keys, keys_from_option, store_command, usage
from storage.cli._many import over_keys

_EXPIRES: dict[str, Any] = {
    "type": int,
    "metavar": "SECONDS",
    "default": 3600,
    "show_default": True,
    "help": "How long the URL works, up to 7 days.",
}


def _check_served(store: Storage, storage_type: str) -> None:
    """A local store's URLs are served by a process: one that ends with this command would serve none."""
    backend = core_of(store).route(storage_type).backend
    served = servable(backend)
    if served is None or served.serve_url is not None:
        return
    usage(
        f"{backend.location} has no server, so a signed URL would end with this command: run `storage serve --url URL`, and name "
        "it in the URL as ?serve_url=http://HOST:PORT."
    )


def _print(target: Target, request: SignedRequest, key: str) -> None:
    if target.as_json:
        _output.emit_json({"key": key, "storage_type": target.storage_type, **vars(request)})
    else:
        _output.emit(request.url)


@store_command("sign", "storage sign reports/a.csv", 'curl -O "$(storage sign reports/a.csv --expires 600)"')
@click.argument("keys", nargs=-1, metavar="KEY...", shell_complete=complete_keys)
@click.option("--expires", "expires_in", **_EXPIRES)
@click.option("--download-name", metavar="NAME", help="A browser saves the blob under this name.")
@click.option("--content-disposition", metavar="D", help="The response's Content-Disposition.")
@click.option("--content-type", metavar="T", help="The response's Content-Type.")
@keys_from_option
def sign(target: Target, keys: Sequence[str], keys_from: str | None, **options: Any) -> None:
    """Print a URL that anyone can GET until it expires.

    It is a secret: whoever has it can read the blob. Whether there is one is not checked.
    """
    with target.opened() as store:
        _check_served(store, target.storage_type)
    for key, request in over_keys(target, partial(Storage.sign_download, **options), keys, keys_from):
        _print(target, request, key)


@store_command(
    "upload-url",
    "storage upload-url inbox/a.csv --content-type text/csv",
    'curl -T a.csv "$(storage upload-url inbox/a.csv)"',
)
@click.argument("key", shell_complete=complete_keys)
@click.option("--expires", "expires_in", **_EXPIRES)
@click.option("--content-type", metavar="T", help="The type that has to be sent; another is refused.")
@click.option("--content-length", type=click.IntRange(0), metavar="BYTES", help="The length that has to be sent.")
@click.option("--content-md5", metavar="BASE64", help="The MD5 that the bytes must have.")
@click.option("--no-overwrite", is_flag=True, help="Refuse the upload if there is a blob by then.")
def upload_url(target: Target, key: str, no_overwrite: bool, **options: Any) -> None:
    """Print a URL that anyone can PUT a blob to until it expires.

    It is a secret. What is bound into it has to be sent as headers: --json shows them, and else they are named on standard
    error.
    """
    with target.opened() as store:
        _check_served(store, target.storage_type)
        request = store.sign_upload(key, target.storage_type, overwrite=not no_overwrite, **options)
    _print(target, request, key)
    if not target.as_json and request.headers:
        # Names and values are no secret without the URL.
        _output.note("send with it " + ", ".join(f"'{name}: {value}'" for name, value in request.headers.items()))
