"""Keeps names apart on file systems that ignore case or normalise names, where the path ``A`` opens the file ``a``.

Each device is asked once, by looking for a name that is there under another spelling. On a device that folds names, a path
counts as there only if each of its segments stands in its directory exactly as it is spelled.
"""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Callable, Iterator

from storage._descriptors import Descriptor
from storage.backends.filesystem import _system
from storage.exceptions import UnsupportedOperationError

OpenFolder = Callable[[str], int]
"""Opens the directory at a path below the root (``""``: the root itself)."""

# Opening a segment as a directory fails with one of these if it is a blob, a link, or was removed meanwhile.
_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Spelling:
    """Remembers which devices below one root fold names.

    Attributes:
        exact: the devices that keep all names apart.
    """

    def __init__(self) -> None:
        self.exact: set[int] = set()
        self._folding: set[int] = set()

    def holds(self, open_folder: OpenFolder, path: str, device: int) -> bool:
        """Whether the file that ``path`` opened, on ``device``, is spelled like ``path`` on disk."""
        if device in self.exact or not self._may_fold(open_folder, path, device):
            return True
        return _is_spelled(open_folder, path)

    def learn(self, device: int, fd: int, name: str) -> None:
        """Asks ``device`` with the help of ``name``, which has a letter and stands in the directory ``fd`` on that device."""
        if device not in self.exact and device not in self._folding:
            self._note(device, _finds_both(fd, name, name.swapcase()))

    def refuse_alias(self, open_folder: OpenFolder, path: str, device: int) -> None:
        """Raises ``UnsupportedOperationError`` if something is at ``path`` that is spelled otherwise.

        Guaranteed: ``device``, on which ``path`` is going to be written, was asked.
        """
        if device not in self._folding:
            return
        for fd, segment in _entered(open_folder, path):
            if segment not in os.listdir(fd):
                if _system.look(fd, segment) is None:
                    return
                raise UnsupportedOperationError(
                    f"{path!r}: the file system folds {segment!r} into a name that is there already in another "
                    "spelling; choose another key or file system"
                )

    def _note(self, device: int, folds: bool | None) -> None:
        if folds is not None:
            (self._folding if folds else self.exact).add(device)

    def _may_fold(self, open_folder: OpenFolder, path: str, device: int) -> bool:
        """Whether another spelling may have opened ``path``. Asks the device, by the name of ``path``, if it is not known."""
        if device in self._folding:
            return True
        folder, _, name = path.rpartition("/")
        while True:
            variant = _other_spelling(name)
            if variant is not None:
                with Descriptor(open_folder(folder)) as fd:
                    folds = _finds_both(fd, name, variant)
                self._note(device, folds)
                return folds is not False
            if not folder:  # no segment can be spelled in two ways: nothing to fold
                return False
            folder, _, name = folder.rpartition("/")


def _is_spelled(open_folder: OpenFolder, path: str) -> bool:
    """Whether each segment of ``path`` stands in its directory as it is spelled."""
    found = [segment in os.listdir(fd) for fd, segment in _entered(open_folder, path)]
    return all(found) and len(found) == path.count("/") + 1


def _entered(open_folder: OpenFolder, path: str) -> Iterator[tuple[int, str]]:
    """Each segment of ``path`` with the open directory that it is in, as far as there are directories."""
    fd = open_folder("")
    try:
        for segment in path.split("/"):
            yield fd, segment
            try:
                inner = os.open(segment, _system.DIRECTORY, dir_fd=fd)
            except OSError as exc:
                if exc.errno in _NO_FOLDER:
                    return
                raise
            os.close(fd)
            fd = inner
    finally:
        os.close(fd)


def _finds_both(fd: int, name: str, variant: str) -> bool | None:
    """Whether both spellings in the directory ``fd`` are one file; ``None``: that cannot be told, ``name`` is gone."""
    before = _system.look(fd, name)
    while before is not None:
        other = _system.look(fd, variant)
        after = _system.look(fd, name)
        if after is not None and os.path.samestat(before, after):
            return other is not None and os.path.samestat(before, other)
        before = after  # it was replaced meanwhile: look again
    return None


def _other_spelling(name: str) -> str | None:
    """``name`` as a folding file system would also find it; ``None``: there is no other spelling."""
    variants = (name.swapcase(), unicodedata.normalize("NFD", name), unicodedata.normalize("NFC", name))
    return next((variant for variant in variants if variant != name), None)
