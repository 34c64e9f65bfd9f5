"""Runs the program: every exception becomes one line on standard error and an exit status."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from storage import (
    ConfigurationError,
    InvalidKeyError,
    InvalidStorageTypeError,
    MissingDependencyError,
    NotFoundError,
)
from storage.cli import _app

__all__ = ["run", "status_of"]

DONE, NOT_THERE, WRONG_USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130
_BAD_FILE_NAME = {errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


class Reported(Exception):  # noqa: N818 (it is an outcome)
    """Everything has been said already; the command ends with ``status``."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run(argv: Sequence[str]) -> int:
    """Runs one command line and returns its exit status."""
    debug = "--debug" in argv[:1]
    _stop_on_sigterm()
    try:
        _app.app.main(list(argv), prog_name="storage", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()  # whoever read our output has seen enough
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as exc:  # noqa: BLE001 (the last stop before the user)
        if debug and not isinstance(exc, click.ClickException):
            traceback.print_exc()
        _say(exc)
        return status_of(exc)
    return DONE


def status_of(exc: BaseException) -> int:
    """The exit status that an exception means."""
    if isinstance(exc, click.ClickException | ConfigurationError | InvalidKeyError | InvalidStorageTypeError):
        return WRONG_USAGE
    if isinstance(exc, MissingDependencyError):
        return WRONG_USAGE
    if isinstance(exc, NotFoundError):
        return NOT_THERE
    if isinstance(exc, OSError) and exc.errno in _BAD_FILE_NAME:
        return WRONG_USAGE
    return FAILED


def _say(exc: BaseException) -> None:
    text = exc.format_message() if isinstance(exc, click.ClickException) else str(exc)
    line = " ".join(text.split()) or type(exc).__name__
    click.echo(f"storage: {line}", err=True)


def _close_stdout() -> None:
    # Python flushes standard output once more at exit, and would complain about the pipe again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop_on_sigterm() -> None:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise SystemExit(128 + number)  # so that what is half written is removed on the way out

    signal.signal(signal.SIGTERM, stop)
