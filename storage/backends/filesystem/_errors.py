"""Maps the system's errors to this library's classes and messages."""

from __future__ import annotations

import errno
from typing import Final

from storage.backends.filesystem._staging import Swept
from storage.exceptions import (
    BucketNotFoundError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
    UnavailableError,
    UnsupportedOperationError,
)

_KINDS: Final[dict[int, type[StorageError]]] = {
    errno.ENOENT: NotFoundError,
    errno.EACCES: PermissionDeniedError,
    errno.EPERM: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.ENAMETOOLONG: UnsupportedOperationError,
    errno.EFBIG: UnsupportedOperationError,
    errno.EOPNOTSUPP: UnsupportedOperationError,
    errno.ENOTDIR: BucketNotFoundError,
    errno.ELOOP: BucketNotFoundError,
}
_FULL: Final = "no space is left on the disk, or the quota is used up; free some"
_FILES: Final = "too many files are open; close some, or raise the limit (ulimit -n)"
_IN_THE_WAY: Final = (
    "a file or link stands where the store needs a directory; move it away, or choose another directory"
)
_WORDS: Final[dict[int, str]] = {
    errno.EACCES: "this process may not do that in the directory; check its owner and mode",
    errno.EPERM: "this process may not do that in the directory; check its owner and mode",
    errno.EROFS: "the file system is mounted read-only; mount it for writing, or use another directory",
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.ELOOP: _IN_THE_WAY,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENAMETOOLONG: "a name in the key is too long for this file system; use a shorter one",
    errno.EFBIG: "the blob is larger than a file may be here; check the limits of the process and the file system",
    errno.EIO: "the disk reports an error; check it",
    errno.ENOENT: "something that was there a moment ago is gone; somebody else works on the directory",
}
_OTHER: Final = "the directory cannot be used for now"  # of an UnavailableError
_SWEPT: Final = "its temporary file was deleted before it was complete, and nothing has changed; write it again"


def classify(exc: BaseException) -> type[StorageError] | None:
    """As ``Backend.classify``."""
    if isinstance(exc, StorageError):
        return type(exc)
    if isinstance(exc, OSError):
        if exc.errno is None:
            return None  # not the system's: a signal handler of the caller's raised it
        return _KINDS.get(exc.errno or 0, UnavailableError)
    return UnavailableError if isinstance(exc, Swept) else None


def explain(exc: BaseException) -> str | None:
    """As ``Backend.explain``."""
    if isinstance(exc, OSError):
        return _WORDS.get(exc.errno or 0, _OTHER if classify(exc) is UnavailableError else None)
    return _SWEPT if isinstance(exc, Swept) else None
