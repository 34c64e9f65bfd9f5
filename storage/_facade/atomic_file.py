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
def replacing(name: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file that takes the place of ``name`` when the block ends well, with the mode that ``name`` has or would get.

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
    mode = stat.S_IMODE(old.st_mode) if old is not None else 0o666 & ~_umask()
    # The name is chosen first, so that an interrupt at any moment, also within open(), leaves nothing.
    staged = os.path.join(os.path.dirname(target), f"{RESERVED}{os.urandom(12).hex()}")
    try:
        with open(staged, "x+b", opener=_private) as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
        os.replace(staged, target)
    except BaseException as exc:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(staged)
        if isinstance(exc, OSError) and exc.filename == staged:
            raise _named(exc, target) from None
        raise


def _named(exc: OSError, target: str) -> OSError:
    """An error about the staged file, as one about the file that was asked for."""
    if exc.errno == errno.ENOENT:
        return OSError(exc.errno, "the folder is not there", os.path.dirname(target))
    return OSError(exc.errno, exc.strerror, target)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _umask() -> int:
    # It can only be read by setting it, which other threads would see: Linux tells it without.
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
