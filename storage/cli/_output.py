"""Prints data on standard output, and everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from storage import StorageError

if TYPE_CHECKING:
    from rich.progress import Progress

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def on_terminal() -> bool:
    """Whether standard error is a terminal that a progress bar can be drawn on."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def colours() -> bool:
    """Whether standard output is a terminal whose user wants colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def emit(line: str, **style: Any) -> None:
    """Prints a line of data; ``style`` (as for ``click.style``) only on a terminal that wants colours."""
    terminal = sys.stdout.isatty()
    if terminal and not line.isprintable():
        # Only keys=raw has such keys; on a terminal they must not move the cursor.
        line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    if style and colours():
        line = click.style(line, **style)
    # Keys come out as the bytes they are stored as, whatever the locale.
    sys.stdout.buffer.write(f"{line}\n".encode("utf-8", "surrogatepass"))
    if terminal:
        sys.stdout.buffer.flush()


def emit_styled(head: str, text: str) -> None:
    """Prints a line whose beginning is styled already."""
    text = " ".join(text.split())
    sys.stdout.buffer.write(f"{head}{text}\n".encode("utf-8", "surrogatepass"))
    sys.stdout.buffer.flush()


def emit_json(value: Mapping[str, Any]) -> None:
    """Prints an object as a line of JSON."""
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    if not text.isprintable():
        text = json.dumps(value, default=_plain)
    emit(text)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else str(value)


def close() -> None:
    """Redirects standard output to nowhere: Python flushes it at exit, and would report the broken pipe once more."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, sys.stdout.fileno())
    os.close(descriptor)


def emit_lines(lines: Sequence[str], name: str, nothing: str, *, as_json: bool) -> None:
    """Prints lines, as JSON each as the member ``name``; without any, tells the user ``nothing``."""
    for line in lines:
        if as_json:
            emit_json({name: line})
        else:
            emit(line)
    if not lines:
        note(nothing)


def note(text: str) -> None:
    """Prints a message for the user."""
    click.echo(f"storage: {' '.join(text.split())}", err=True, color=False)


def failure(exc: BaseException) -> None:
    """Prints what an exception says, in one line."""
    if isinstance(exc, click.ClickException):
        text = exc.format_message()
    elif isinstance(exc, StorageError) or not isinstance(exc, (OSError, ValueError)):
        text = str(exc) or type(exc).__name__
        if not isinstance(exc, StorageError):
            text = f"{type(exc).__name__}: {text} (this is a bug; --debug shows where)"
    elif isinstance(exc, OSError) and exc.filename is not None:
        text = f"{os.fsdecode(exc.filename)!r}: {exc.strerror}"
    else:
        text = str(exc)
    note(text)


def human(size: float) -> str:
    """Bytes as a person reads them."""
    unit = 0
    while size >= 1024 and unit + 1 < len(_UNITS):
        size /= 1024
        unit += 1
    return f"{size:.0f} B" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


@contextmanager
def transfer_progress(what: str, total: int | None) -> Iterator[Callable[[int], object] | None]:
    """Shows a progress bar for one transfer on a terminal; gives the function to call with bytes moved, or ``None``.

    ``total``: bytes; ``None``: not known.
    """
    if not on_terminal():
        yield None
        return
    with progress_bar() as bar:
        task = bar.add_task(what, total=total, blobs="")
        yield lambda count: bar.advance(task, count)


def progress_bar(*, count_bytes: bool = True) -> Progress:
    """A bar on standard error: description, bar, the task's field ``blobs``, bytes if they are counted, time left."""
    from rich.console import Console  # 50 ms, which only a terminal needs
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[blobs]}", markup=False),
        *((DownloadColumn(binary_units=True), TransferSpeedColumn()) if count_bytes else ()),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
