"""The command ``serve``: serves the signed URLs of a store, and a page to browse it."""

from __future__ import annotations

import errno
import logging
import socket
from typing import TYPE_CHECKING

import click

from storage._backend import servable
from storage._facade.core import core_of
from storage.cli._app import Target, store_command, usage
from storage.exceptions import StorageError

if TYPE_CHECKING:
    from storage import Storage
    from storage.server._http import ASGIApp

_LOOPBACK = ("127.0.0.1", "::1")
_MAX_UPLOAD = 5 * 1024**3


@store_command(
    "serve",
    "storage serve --url file:///srv/blobs",
    "storage serve --url file:///srv/blobs --host 0.0.0.0 --max-upload 100000000",
    "storage serve --url s3://bucket --browse",
    json=False,
)
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8900, show_default=True, help="The port; 0: a free one.")
@click.option(
    "--max-upload",
    metavar="BYTES",
    type=click.IntRange(0),
    default=_MAX_UPLOAD,
    show_default=True,
    help="A longer upload is refused.",
)
@click.option("--browse", is_flag=True, help="Also show a page to browse the store, on this machine only.")
def serve(target: Target, host: str, port: int, max_upload: int, browse: bool) -> None:
    """Serve the signed URLs of a store until interrupted.

    The first line of output is the base URL: what ?serve_url= in the URL of a file:// store names. With --browse the second
    line is the page; whoever knows it can read and write the store. Every storage type is served, whatever --type is.
    """
    from storage.server._inprocess import process_server
    from storage.server._uvicorn import make_server

    if browse and host not in _LOOPBACK:
        usage(
            f"--host {host}: the page of --browse shows the whole store, so it is for this machine alone; use {_LOOPBACK[0]}"
        )
    with target.opened() as store, _listen(host, port) as listener:
        core_of(store).route(target.storage_type)  # a wrong type is wrong usage here too
        _check(store, browse=browse)
        shown = f"[{host}]" if ":" in host else host
        base = f"http://{shown}:{listener.getsockname()[1]}"
        application: ASGIApp = process_server.adopt(base, store, max_upload=max_upload)
        lines = [base]
        if browse:
            from storage.cli._browse import Browse

            application = page = Browse(store, application, base)
            lines.append(page.page_url)
        # What is asked of the server belongs to standard error, beside its errors.
        logging.getLogger("storage.server").setLevel(logging.INFO)
        for line in lines:
            click.echo(line)
        make_server(application, graceful_seconds=10).run([listener])


def _check(store: Storage, *, browse: bool) -> None:
    backends = [served for backend in core_of(store).backends() if (served := servable(backend)) is not None]
    for backend in backends:
        backend.signing_keys()  # better an error now than a refusal to each client
    if browse:
        return
    if not backends:
        usage(f"the URLs of {store!r} are signed and served by its own service; --browse shows a page of it")
    if all(backend.volatile for backend in backends):
        usage(
            f"{store!r} is in the memory of this process alone, so no other process can sign URLs of it; use file:///dir"
        )


def _listen(host: str, port: int) -> socket.socket:
    from storage.server._uvicorn import listen

    try:
        return listen(host, port)
    except socket.gaierror as exc:
        usage(f"--host {host}: there is no such address ({exc.strerror})")
    except OSError as exc:
        if exc.errno == errno.EADDRNOTAVAIL:
            usage(f"--host {host} is no address of this machine")
        raise StorageError(f"cannot listen on {host} port {port}: {exc.strerror}; choose another --port") from exc
