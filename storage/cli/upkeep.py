"""The commands ``setup``, ``gc``, ``doctor`` and ``completion``."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.shell_completion import get_completion_class

from storage._facade.call import Call
from storage._facade.core import core_of
from storage.cli import _doctor, _output
from storage.cli._app import Target, app, store_command, usage
from storage.cli._status import FAILED, Ended


@store_command(
    "setup",
    "storage setup --url s3://bucket --create-bucket",
    "storage setup --cors-origin https://app.example --tmp-days 7",
)
@click.option("--create-bucket", is_flag=True, help="Make the bucket or directory if it is missing.")
@click.option(
    "--cors-origin",
    "cors_origins",
    metavar="ORIGIN",
    multiple=True,
    help="Let pages of this web origin use signed URLs; '*' is every origin; may be given more than once.",
)
@click.option("--no-cors", is_flag=True, help="Let no page use signed URLs any more.")
@click.option("--tmp-days", type=click.IntRange(1), metavar="N", help="Let blobs of type tmp expire after N days.")
def setup(
    target: Target, create_bucket: bool, cors_origins: Sequence[str], no_cors: bool, tmp_days: int | None
) -> None:
    """Prepare a bucket or directory for a deployment, and print what was changed.

    It may be run again, and touches no rule but its own. The web origins that are given replace those of an earlier run. It
    prepares the whole store, whatever --type is.
    """
    if cors_origins and no_cors:
        usage("--cors-origin and --no-cors exclude each other.")
    if not (create_bucket or cors_origins or no_cors or tmp_days):
        usage("Say what to set up: --create-bucket, --cors-origin, --no-cors or --tmp-days.")
    with target.opened() as store:
        core_of(store).route(target.storage_type)  # a wrong type is wrong usage here too
        lines = store.setup(
            create_bucket=create_bucket,
            cors_origins=cors_origins if cors_origins or no_cors else None,
            tmp_days=tmp_days,
        )
    _output.emit_lines(lines, "changed", "nothing had to be changed", as_json=target.as_json)


@store_command("gc", "storage gc", "storage gc --url file:///srv/store")
def gc(target: Target) -> None:
    """Delete what killed writers left, and expired blobs of type tmp.

    It works on the whole store, whatever --type is, and on nothing else in the bucket. Files of a running writer stay; on
    s3://, an upload in parts that is older than seven days is ended. Clouds expire 'tmp' by themselves (see Storage.setup).
    """
    with target.opened() as store:
        core = core_of(store)
        core.route(target.storage_type)  # a wrong type is wrong usage here too
        lines = [
            line
            for backend in core.backends()
            for line in Call.about_backend("gc", backend).run(backend.sweep, core.prefixes(backend))
        ]
    _output.emit_lines(lines, "swept", "there is nothing to sweep", as_json=target.as_json)


@store_command("doctor", "storage doctor", "storage doctor --url 's3://bucket?profile=staging'")
def doctor(target: Target) -> None:
    """Say what is wrong with configuration, credentials, bucket, permissions, clock and signing.

    It writes, reads, lists and deletes a small blob under a name of its own, and tries what the library needs of a server.
    Exit status 3 if anything is wrong; each line then says what to change.
    """
    wrong = False
    for finding in _doctor.examine(target):
        wrong = wrong or finding.state == "wrong"
        if target.as_json:
            _output.emit_json(finding._asdict())
        else:
            mark, colour = {"good": ("ok   ", "green"), "wrong": ("WRONG", "red"), "note": ("note ", "yellow")}[
                finding.state
            ]
            head = click.style(mark, fg=colour) if _output.colours() else mark
            _output.emit_styled(f"{head} {finding.check}: ", finding.message)
    if wrong:
        raise Ended(FAILED)


@store_command(
    "completion",
    'eval "$(storage completion bash)"',
    "storage completion fish > ~/.config/fish/completions/storage.fish",
    json=False,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(target: Target, shell: str) -> None:
    """Print the script that lets a shell complete commands, options, types and keys."""
    del target
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(app, {}, "storage", "_STORAGE_COMPLETE").source())
