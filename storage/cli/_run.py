"""Runs the program: every exception becomes one line on standard error and an exit status."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from storage.cli import _app, _output, blobs, copying, listing, removing, serve, signing, syncing, upkeep
from storage.cli._status import DONE, INTERRUPTED, Ended, status_of

# The modules whose import registers the commands.
COMMANDS = (blobs, listing, copying, removing, signing, serve, syncing, upkeep)


def run(argv: Sequence[str]) -> int:
    """Runs one command line and returns its exit status."""
    debug = "--debug" in argv[:1]
    _handle_signals()
    try:
        status = _app.app.main(list(argv), prog_name="storage", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _output.close()  # the reader has seen enough
    except Ended as ended:
        return _ended(ended.status)
    except (KeyboardInterrupt, click.Abort):
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


def _ended(status: int) -> int:
    """``status``, once what was printed before the error is out."""
    try:
        sys.stdout.flush()
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
    except ValueError:  # not in the main thread: signals are left to the program
        return
