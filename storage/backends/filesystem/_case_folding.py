"""Keeps names apart on file systems that fold case or normalise: there ``A`` would open ``a``.

A device is asked once, by looking for a name that is there under another spelling. On one that folds, a path counts as
there only if each segment stands in its directory as it is spelled.
"""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

from storage.backends.filesystem import _system
from storage.exceptions import UnsupportedOperationError

if TYPE_CHECKING:
    from storage.backends.filesystem._tree import Tree

__all__ = ["Spelling"]


class Spelling:
    """What is known of the devices below one root.

    Attributes:
        exact: the devices that keep every name apart.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.exact: set[int] = set()
        self._folding: set[int] = set()

    def holds(self, path: str, st: os.stat_result) -> bool:
        """Whether ``path``, which opened the file ``st``, is how that file is spelled."""
        if st.st_dev in self.exact or not self._ask_path(path, st):
            return True
        return self._stands(path)

    def learn(self, device: int, fd: int, name: str) -> None:
        """Asks ``device`` by ``name``, which has a letter and is in the directory ``fd`` on it."""
        if device not in self.exact and device not in self._folding:
            folds = _is_found(fd, name, name.swapcase())
            (self._folding if folds else self.exact).add(device)

    def refuse_alias(self, path: str, device: int) -> None:
        """Raises ``UnsupportedOperationError`` if something is at ``path`` that is spelled otherwise.

        Guaranteed: the device, on which ``path`` is going to be written, was asked.
        """
        if device in self._folding:
            self._refuse(path)

    def _refuse(self, path: str) -> None:
        fd = self._tree.open("", _system.DIRECTORY)
        try:
            for segment in path.split("/"):
                if segment not in os.listdir(fd):
                    try:
                        os.stat(segment, dir_fd=fd, follow_symlinks=False)
                    except FileNotFoundError:
                        return
                    raise UnsupportedOperationError(
                        f"{path!r}: the file system folds {segment!r} into a name that is there already in another "
                        "spelling; choose another key or file system"
                    )
                try:
                    inner = os.open(segment, _system.DIRECTORY, dir_fd=fd)
                except OSError:  # the blob itself
                    return
                os.close(fd)
                fd = inner
        finally:
            os.close(fd)

    def _stands(self, path: str) -> bool:
        fd = self._tree.open("", _system.DIRECTORY)
        try:
            *folders, name = path.split("/")
            for folder in folders:
                if folder not in os.listdir(fd):
                    return False
                try:
                    inner = os.open(folder, _system.DIRECTORY, dir_fd=fd)
                except OSError:
                    return False
                os.close(fd)
                fd = inner
            return name in os.listdir(fd)
        finally:
            os.close(fd)

    def _ask_path(self, path: str, st: os.stat_result) -> bool:
        """Whether the device of ``st`` folds; asks by the name of ``path`` itself."""
        if st.st_dev in self._folding:
            return True
        folder, _, name = path.rpartition("/")
        while True:
            variant = _variant(name)
            if variant is not None:
                folds = self._found(folder, name, variant)
                (self._folding if folds else self.exact).add(st.st_dev)
                return folds
            if not folder:  # no segment can be spelled in two ways: nothing to fold
                return False
            folder, _, name = folder.rpartition("/")

    def _found(self, folder: str, name: str, variant: str) -> bool:
        """Whether both spellings in ``folder`` are one file."""
        try:
            fd = self._tree.open(folder, _system.DIRECTORY)
        except OSError:
            return False
        try:
            return _is_found(fd, name, variant)
        finally:
            os.close(fd)


def _is_found(fd: int, name: str, variant: str) -> bool:
    """Whether both spellings in the directory ``fd`` are one file."""
    try:
        one = os.stat(name, dir_fd=fd, follow_symlinks=False)
        other = os.stat(variant, dir_fd=fd, follow_symlinks=False)
    except OSError:
        return False
    return os.path.samestat(one, other)


def _variant(name: str) -> str | None:
    """``name`` as a folding file system would also find it; ``None``: there is no other spelling."""
    for variant in (name.swapcase(), unicodedata.normalize("NFD", name), unicodedata.normalize("NFC", name)):
        if variant != name:
            return variant
    return None
