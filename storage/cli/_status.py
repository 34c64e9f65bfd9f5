"""The exit statuses of the program, and the status of each exception."""

from __future__ import annotations

import errno
from typing import Final

import click

from storage.exceptions import (
    ConfigurationError,
    InvalidKeyError,
    InvalidStorageTypeError,
    MissingDependencyError,
    NotFoundError,
    StorageError,
)

DONE: Final = 0
NOT_THERE: Final = 1
WRONG_USAGE: Final = 2
FAILED: Final = 3
INTERRUPTED: Final = 130

_WRONG = (click.ClickException, ConfigurationError, InvalidKeyError, InvalidStorageTypeError, MissingDependencyError)
_BAD_NAME = {errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


class Ended(Exception):  # noqa: N818 (it is an outcome)
    """The command ends with ``status``; every message has been printed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def status_of(exc: BaseException) -> int:
    """The exit status for an exception that ends a command."""
    if isinstance(exc, _WRONG):
        return WRONG_USAGE
    if isinstance(exc, NotFoundError):
        return NOT_THERE
    if isinstance(exc, StorageError):
        return FAILED
    # Any other exception is about an argument, or about a file of the caller's.
    if isinstance(exc, ValueError) or (isinstance(exc, OSError) and exc.errno in _BAD_NAME):
        return WRONG_USAGE
    return FAILED
