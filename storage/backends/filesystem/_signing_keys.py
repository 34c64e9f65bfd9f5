"""The id and the secrets that a store signs with, in files that all of the store's processes share."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from storage._backend import SigningKeys
from storage.backends.filesystem import _system
from storage.backends.filesystem._staging import write_own
from storage.backends.filesystem._tree import HOME, Tree
from storage.exceptions import SigningError

_ID: Final = "id"
_SECRET: Final = "secret"  # noqa: S105 (the name of a file)
_MIN_CHARS: Final = 32
_MAX_BYTES: Final = 64 * 1024  # no file of secrets is longer; what is, is something else
_VALID_ID = re.compile(r"[0-9a-f]{32}").fullmatch
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe put in a file's place must not hang the server


class KeyFiles:
    """The files ``id`` and ``secret`` of a store, in the directory for all that is ours.

    The secret file has one secret a line, each of 32 characters or more; blank lines and those that begin with ``#`` do
    not count. The first secret signs, each one verifies. To rotate them, put a new one in the first line, and take the last
    away once the last URL that it signed has expired. What changes in the files counts from the next call on.
    """

    def __init__(self, tree: Tree, secret_file: str | None = None) -> None:
        self._tree = tree
        self._secret_file = secret_file  # that somebody else looks after, instead of the store's own
        # The keys, and the two files they were read from as they were then.
        self._seen: tuple[tuple[tuple[int, ...], ...], SigningKeys] | None = None

    def load(self) -> SigningKeys | None:
        """The keys as they are now; ``None``: this store never signed.

        Raises:
            SigningError: a file that is there cannot be read or holds no keys.
        """
        try:
            marks = (self._mark(_ID), self._mark(_SECRET))
            seen = self._seen
            if seen is None or seen[0] != marks:
                seen = self._seen = marks, SigningKeys(self._read_id(), self._read_secrets())
        except FileNotFoundError:
            return None
        return seen[1]

    def ensure(self) -> SigningKeys:
        """The keys; where there are none they are made, once, even if several processes try at the same time.

        Raises:
            SigningError: they can be neither read nor made.
        """
        keys = self.load()
        if keys is None:
            store_id, (secret,) = SigningKeys.new()
            self._make(_ID, store_id.encode(), 0o644)
            if self._secret_file is None:
                self._make(_SECRET, secret, 0o600)
            keys = self.load()
        if keys is None:
            raise SigningError(f"signing secret {self._path(_SECRET)!r}: there is no such file; {_REMEDY}")
        return keys

    def find_problems(self) -> list[str]:
        """A line for each thing that is wrong with the files."""
        try:
            self.load()
            with self._opened(_SECRET) as fd:
                mode = stat.S_IMODE(os.fstat(fd).st_mode)
        except FileNotFoundError:
            return []
        except SigningError as exc:
            return [str(exc)]
        if not mode & 0o077:
            return []
        path = self._path(_SECRET)
        return [f"the signing secret {path!r} may be used by others too (mode {mode:04o}); run chmod 600 {path}"]

    def _path(self, name: str) -> str:
        """The path of a file, for messages."""
        if name == _SECRET and self._secret_file is not None:
            return self._secret_file
        return f"{self._tree.root}/{HOME}/{name}"

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        """Opens a file. ``FileNotFoundError``: it is not there; every other error is a ``SigningError``."""
        try:
            if name == _SECRET and self._secret_file is not None:
                fd = os.open(self._secret_file, _READ)
            else:
                fd = self._tree.open(f"{HOME}/{name}", _system.READ)
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise self._failed(name, exc) from exc
        try:
            yield fd
        finally:
            os.close(fd)

    def _mark(self, name: str) -> tuple[int, ...]:
        """A mark that changes when the file is replaced or changed."""
        with self._opened(name) as fd:
            found = os.fstat(fd)
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def _read(self, name: str) -> str:
        with self._opened(name) as fd:
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise SigningError(f"signing {name} {self._path(name)!r} is not a regular file; {_REMEDY}")
                return os.read(fd, _MAX_BYTES + 1).decode()
            except (OSError, UnicodeDecodeError) as exc:
                raise self._failed(name, exc) from exc

    def _read_id(self) -> str:
        text = self._read(_ID).strip()
        if not _VALID_ID(text):
            raise SigningError(
                f"store id {self._path(_ID)!r} does not hold 32 hexadecimal digits; delete it to get a new one"
            )
        return text

    def _read_secrets(self) -> tuple[bytes, ...]:
        lines = [line.strip() for line in self._read(_SECRET).splitlines()]
        found = tuple(line.encode() for line in lines if line and not line.startswith("#"))
        if not found or min(map(len, found)) < _MIN_CHARS:
            raise SigningError(
                f"signing secret {self._path(_SECRET)!r}: it needs at least one secret, each of {_MIN_CHARS} characters or more; "
                f"{_REMEDY}"
            )
        return found

    def _make(self, name: str, content: bytes, mode: int) -> None:
        """Makes one of our files whole, unless there is one."""
        try:
            write_own(self._tree, f"{HOME}/{name}", content + b"\n", mode=mode, replace=False)
        except OSError as exc:
            raise self._failed(name, exc) from exc

    def _failed(self, name: str, exc: Exception) -> SigningError:
        why = exc.strerror if isinstance(exc, OSError) else "it is not text"
        return SigningError(f"signing {name} {self._path(name)!r}: {why}; {_REMEDY}")


_REMEDY: Final = "make it readable for this user, or name a file of secrets with ?secret_file=/path in the store's URL"
