"""Writes the caller's files on disk: whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from storage._keys import RESERVED


@contextmanager
def atomic_write(name: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A temporary file that replaces ``name`` when the block succeeds, with the mode that ``name`` has or would get.

    On an exception what stood there still stands and nothing else is left. A symbolic link is followed; a device or a pipe is
    written directly.
    """
    target = os.path.realpath(name)
    try:
        old = os.stat(target)
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        with open(target, "wb") as file:  # a directory raises here, as for open()
            yield file
        return
    # The name is chosen first, so that an interrupt at any moment, also within open(), leaves nothing.
    staged = os.path.join(os.path.dirname(target), f"{RESERVED}{os.urandom(12).hex()}")
    try:
        with open(
            staged, "x+b", opener=lambda path, flags: os.open(path, flags, 0o666 if old is None else 0o600)
        ) as file:
            yield file
            file.flush()
            if old is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
        os.replace(staged, target)
    except BaseException as exc:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(staged)
        if not isinstance(exc, OSError) or exc.filename != staged:
            raise
        # An error about the staged file is one about the file that was asked for.
        if exc.errno == errno.ENOENT:
            raise OSError(exc.errno, "the folder is not there", os.path.dirname(target)) from None
        raise OSError(exc.errno, exc.strerror, target) from None
