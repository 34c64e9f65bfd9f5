"""The Click program, and what its commands share: options, opening a store, examples in the help.

A module of commands decorates a function with :func:`store_command`; ``_run`` imports every such module.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterator
from functools import update_wrapper
from itertools import islice
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, NoReturn, TypeVar

import click
from click.shell_completion import CompletionItem

from storage import Storage, __version__
from storage.cli._status import DONE, INTERRUPTED, Ended

F = TypeVar("F", bound=Callable[..., Any])
_MOST_COMPLETIONS = 100
# `s3:bucket` and `s3:/bucket` are URLs with a slash too few, not paths.
_ALMOST_URL = re.compile(r"[a-z][a-z0-9+.-]+:(?!//)", re.IGNORECASE).match


class Command(click.Command):
    """A command whose help ends with examples."""

    examples: tuple[str, ...] = ()

    def invoke(self, ctx: click.Context) -> Any:
        """Runs it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise Ended(DONE) from exc  # the reader has seen enough; click would exit with 1, which means "not there"
        except KeyboardInterrupt as exc:
            raise Ended(INTERRUPTED) from exc  # click would print an empty line

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples, one a line, as they are typed."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--debug", is_flag=True, help="Show tracebacks, and log every call to standard error.")
@click.version_option(__version__, "-V", "--version", message="storage %(version)s")
@click.pass_context
def app(ctx: click.Context, debug: bool) -> None:
    """Blobs in memory, local files, S3 and Google Cloud Storage, by URL.

    Every command takes --url and --type. Default of --url: the environment variable STORAGE_URL, else a store in your data
    directory. A path instead of a URL, as in ./photos, is a plain folder, in which every file is a blob of type data. Default
    of --type: data. Data goes to standard output, everything else to standard error.

    Exit status: 0 done; 1 the blob is not there; 2 wrong usage or configuration; 3 any other error; 130 interrupted.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("storage: %(message)s"))
    logger = logging.getLogger("storage")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)


def command(name: str, *examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Makes a function a command of the program. ``examples``: whole command lines, shown in its help."""

    def register(function: Callable[..., Any]) -> click.Command:
        made = click.command(name, cls=Command)(function)
        made.examples = examples
        app.add_command(made)
        return made

    return register


class Target(NamedTuple):
    """The store, storage type and output format of one command."""

    url: str | None  # or a path; None: as Storage()
    storage_type: str
    as_json: bool

    def opened(self) -> Storage:
        """The store."""
        return opened(self.url)


def store_command(
    name: str, *examples: str, json: bool = True
) -> Callable[[Callable[Concatenate[Target, ...], Any]], click.Command]:
    """As :func:`command`, with ``--type``, ``--url`` and, if wanted, ``--json``, which the function gets as a :class:`Target`."""

    def register(function: Callable[Concatenate[Target, ...], Any]) -> click.Command:
        def call(*, url: str | None, storage_type: str, as_json: bool = False, **words: Any) -> Any:
            return function(Target(url, storage_type, as_json), **words)

        made = command(name, *examples)(update_wrapper(call, function))
        made.params += [
            *([click.Option(["--json", "as_json"], is_flag=True, help=_JSON)] if json else []),
            click.Option(
                ["--type", "storage_type"],
                metavar="TYPE",
                default="data",
                show_default=True,
                help="The storage type.",
                shell_complete=_complete_types,
            ),
            click.Option(["--url"], metavar="URL", help=_URL),
        ]
        return made

    return register


# ---- options that several commands have ----------------------------------------------------------------------------

_JSON = "Print JSON, one object a line."
_URL = "The store, or a path. [default: $STORAGE_URL, or your data directory]"

json_option = click.option("--json", "as_json", is_flag=True, help=_JSON)
keys_from_option = click.option(
    "--keys-from", metavar="FILE", help="Read keys from a file, one a line; '-' is standard input."
)


def glob_option(what: str = "KEY") -> Callable[[F], F]:
    """``--glob``: the argument ``what`` is a pattern."""
    return click.option(
        "--glob",
        is_flag=True,
        help=f"{what} is a pattern in quotes: * and ? are anything but a slash, ** is anything, [abc] one of these.",
    )


def concurrency_option(what: str) -> Callable[[F], F]:
    """``--concurrency``: how many of ``what`` at once."""
    return click.option("--concurrency", type=click.IntRange(1), metavar="N", help=f"How many {what} at once.")


# ---- stores --------------------------------------------------------------------------------------------------------


def is_folder(word: str) -> bool:
    """Whether a word of the command line is a path, which names a plain folder, and not a URL."""
    return "://" not in word


def opened(word: str | None) -> Storage:
    """The store of a URL; of a path the plain folder, in which every file is of type ``data``; ``None``: as ``Storage()``."""
    if word is None or not is_folder(word):
        return Storage(word)
    if _ALMOST_URL(word):
        scheme, _, rest = word.partition(":")
        usage(f"{word!r}: write {scheme}://{rest.lstrip('/')} for a URL, or ./{word} for a folder.")
    return Storage(Path(word), storage_types={"data": ""})


def usage(message: str) -> NoReturn:
    """Ends the command with status 2 and one line on standard error."""
    raise click.UsageError(message)


# ---- completion of words in a shell --------------------------------------------------------------------------------


def complete_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The keys and folders of the store that begin with what has been typed."""
    del param
    kind = ctx.params.get("storage_type") or "data"
    return _completed(ctx, lambda store: (e if isinstance(e, str) else e.key for e in store.iter_dir(incomplete, kind)))


def _complete_types(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del param
    return _completed(ctx, lambda store: (name for name in store.storage_types if name.startswith(incomplete)))


def _completed(ctx: click.Context, words: Callable[[Storage], Iterator[str]]) -> list[CompletionItem]:
    """The first of ``words``; none where the store cannot be asked."""
    try:
        with opened(ctx.params.get("url")) as store:
            return [CompletionItem(word) for word in islice(words(store), _MOST_COMPLETIONS)]
    except Exception:
        return []
