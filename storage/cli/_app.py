"""The program and what its commands share: options, opening a store, examples in the help.

A module of commands decorates a function with :func:`command`; ``_run`` imports every such module.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Any, NoReturn, TypeVar

import click
from click.shell_completion import CompletionItem

from storage import Storage

__all__ = [
    "Command",
    "Interrupted",
    "NobodyReads",
    "Reported",
    "app",
    "command",
    "complete_keys",
    "json_option",
    "keys_from_option",
    "opened",
    "type_option",
    "url_option",
    "usage",
]

F = TypeVar("F", bound=Callable[..., Any])
_MOST_COMPLETIONS = 100


class Reported(Exception):  # noqa: N818 (it is an outcome)
    """Everything has been said already; the command ends with ``status``."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class NobodyReads(Exception):  # noqa: N818 (it is an outcome)
    """Standard output is a pipe that was closed at its other end."""


class Interrupted(Exception):  # noqa: N818 (it is an outcome)
    """The user pressed Ctrl-C."""


class Command(click.Command):
    """A command whose help ends with examples."""

    examples: tuple[str, ...] = ()

    def invoke(self, ctx: click.Context) -> Any:
        """Runs it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            # click would exit with 1 here, which means "not there".
            raise NobodyReads from exc
        except KeyboardInterrupt as exc:
            raise Interrupted from exc  # click would print an empty line

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples, one a line, as they are typed."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def _version() -> str:
    try:
        return version("storage-facade")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show tracebacks, and log every call to standard error.")
@click.version_option(_version(), "-V", "--version", message="storage %(version)s")
@click.pass_context
def app(ctx: click.Context, debug: bool) -> None:
    """Blobs in memory, local files, S3 and Google Cloud Storage, by URL.

    Every command takes --url (else the environment variable STORAGE_URL, else a store of your own in your data directory)
    and --type (else data). Data goes to standard output, everything else to standard error.

    Exit status: 0 done; 1 the blob is not there; 2 wrong usage or configuration; 3 any other error; 130 interrupted.
    """
    ctx.obj = {"debug": debug}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("storage: %(message)s"))
    logger = logging.getLogger("storage")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)


def command(name: str, *examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Makes a function a command of the program.

    Args:
        name: as it is typed.
        examples: whole command lines, shown in its help.
    """

    def register(function: Callable[..., Any]) -> click.Command:
        made = click.command(name, cls=Command)(function)
        made.examples = examples
        app.add_command(made)
        return made

    return register


def url_option(function: F) -> F:
    """``--url``."""
    return click.option("--url", metavar="URL", help="The store. [default: $STORAGE_URL, or your data directory]")(
        function
    )


def type_option(function: F) -> F:
    """``--type``, as ``storage_type``."""
    return click.option(
        "--type",
        "storage_type",
        metavar="TYPE",
        default="data",
        show_default=True,
        help="The storage type.",
        shell_complete=_complete_types,
    )(function)


def json_option(function: F) -> F:
    """``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")(function)


def keys_from_option(function: F) -> F:
    """``--keys-from``: more keys, one a line."""
    return click.option(
        "--keys-from", metavar="FILE", help="Read keys from a file, one a line; '-' is standard input."
    )(function)


def opened(url: str | None) -> Storage:
    """The store of ``--url``. A word without a scheme is no directory: the library says how to write one."""
    return Storage(url)


def usage(message: str) -> NoReturn:
    """Ends the command with status 2 and one line on standard error."""
    raise click.UsageError(message)


# ---- completion of words in a shell --------------------------------------------------------------------------------


def complete_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The keys and folders of the store that begin with what has been typed."""
    del param
    try:
        with opened(ctx.params.get("url")) as store:
            level = store.iter_dir(incomplete, ctx.params.get("storage_type") or "data")
            found = [item if isinstance(item, str) else item.key for item in islice(level, _MOST_COMPLETIONS)]
    except Exception:
        return []
    return [CompletionItem(key) for key in found]


def _complete_types(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del param
    try:
        with opened(ctx.params.get("url")) as store:
            return [CompletionItem(name) for name in store.storage_types if name.startswith(incomplete)]
    except Exception:
        return []
