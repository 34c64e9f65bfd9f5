"""Runs the program: every exception becomes one line on standard error and an exit status."""

from __future__ import annotations

import errno
import os
import signal
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
    StorageError,
)
from storage.cli import _app, _output, blobs, copying, listing, serve, signing, syncing, upkeep

__all__ = ["run", "status_of"]

DONE, NOT_THERE, WRONG_USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130
_WRONG = (click.ClickException, ConfigurationError, InvalidKeyError, InvalidStorageTypeError, MissingDependencyError)
_BAD_FILE_NAME = {
    errno.ENOENT,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
}
# What registers the commands, in the order of the help.
COMMANDS = (blobs, listing, copying, signing, serve, syncing, upkeep)


def run(argv: Sequence[str]) -> int:
    """Runs one command line and returns its exit status."""
    debug = "--debug" in argv[:1]
    _handle_signals()
    try:
        status = _app.app.main(list(argv), prog_name="storage", standalone_mode=False)
        _output.flush()
    except (BrokenPipeError, _app.NobodyReads):
        _output.close()  # whoever read our output has seen enough
    except _app.Reported as reported:
        return _ended(reported.status)
    except (KeyboardInterrupt, click.Abort, _app.Interrupted):
        return INTERRUPTED
    except Exception as exc:
        if debug and not isinstance(exc, click.ClickException):
            traceback.print_exc()
        _output.failure(exc)
        return _ended(status_of(exc))
    else:
        # Without its standalone mode click returns what a command or an Exit gave.
        return status if isinstance(status, int) else DONE
    return DONE


def status_of(exc: BaseException) -> int:
    """The exit status that an exception means."""
    if isinstance(exc, _WRONG):
        return WRONG_USAGE
    if isinstance(exc, NotFoundError):
        return NOT_THERE
    if isinstance(exc, StorageError):
        return FAILED
    # What is not the library's own is about an argument, or a file of the caller's.
    if isinstance(exc, ValueError) or (isinstance(exc, OSError) and exc.errno in _BAD_FILE_NAME):
        return WRONG_USAGE
    return FAILED


def _ended(status: int) -> int:
    """``status``, once what was printed before the error is out."""
    try:
        _output.flush()
    except BrokenPipeError:
        _output.close()
    return status


def _handle_signals() -> None:
    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise SystemExit(128 + number)  # so that what is half written is removed on the way out

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        signal.signal(number, give_up)
        raise KeyboardInterrupt

    def give_up(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        os._exit(INTERRUPTED)  # asked for twice: not even the requests in flight are waited for

    try:
        signal.signal(signal.SIGTERM, terminate)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not the main thread of its program: signals are somebody else's
        return
