"""Where a store in a directory keeps what it signs with: its id and its secrets, shared by all processes that open it."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from storage._backend import SigningKeys
from storage.exceptions import SigningError

__all__ = ["KeyFiles"]

_ID: Final = "id"
_SECRET: Final = "secret"  # noqa: S105 (the name of a file)
_MIN_CHARS: Final = 32
_MAX_BYTES: Final = 64 * 1024  # no file of secrets is longer; what is, is something else
_VALID_ID = re.compile(r"[0-9a-f]{32}").fullmatch
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe put in a file's place must not hang the server


class _Seen(NamedTuple):
    """The keys, and the two files they were read from as they were then."""

    marks: tuple[tuple[int, ...], ...]
    keys: SigningKeys


class KeyFiles:
    """The files ``id`` and ``secret`` in a directory of the library's own.

    The secret file has one secret a line, each of 32 characters or more; blank lines and those that begin with ``#`` do
    not count. The first one signs, each one verifies: rotating is a new first line, and, when the last URL that the old
    one signed has expired, taking away the last. What changes in the files counts from the next call on.
    """

    def __init__(self, directory: str, secret_file: str | None = None) -> None:
        """Reads and makes nothing yet.

        Args:
            directory: ``ROOT/.storage~``; its parent may be missing until ``ensure`` is called.
            secret_file: the file of secrets that somebody else looks after, instead of the one in ``directory``.
        """
        self._directory = directory
        self._secret_file = secret_file
        self._seen: _Seen | None = None

    def load(self) -> SigningKeys | None:
        """The keys as they are now; ``None``: this store never signed.

        Raises:
            SigningError: a file that is there cannot be read or holds no keys.
        """
        try:
            marks = (self._mark(_ID), self._mark(_SECRET))
            seen = self._seen
            if seen is None or seen.marks != marks:
                seen = self._seen = _Seen(marks, SigningKeys(self._read_id(), self._read_secrets()))
        except FileNotFoundError:
            return None
        return seen.keys

    def ensure(self, make_directory: Callable[[], object]) -> SigningKeys:
        """The keys; made where there are none, once, whichever of many processes comes first.

        Args:
            make_directory: makes the directory, with its parents, unless it is there.

        Raises:
            SigningError: they can be neither read nor made.
        """
        keys = self.load()
        if keys is None:
            store_id, (secret,) = SigningKeys.new()
            try:
                make_directory()
            except OSError as exc:
                raise self._failed(_ID, exc) from exc
            self._make(_ID, store_id.encode(), 0o644)
            if self._secret_file is None:
                self._make(_SECRET, secret, 0o600)
            keys = self.load()
        if keys is None:
            raise SigningError(f"signing secret {self._path(_SECRET)!r}: there is no such file; {_REMEDY}")
        return keys

    def _path(self, name: str) -> str:
        return (
            self._secret_file
            if name == _SECRET and self._secret_file is not None
            else os.path.join(self._directory, name)
        )

    def _mark(self, name: str) -> tuple[int, ...]:
        """What differs when a file was replaced or changed."""
        try:
            found = os.stat(self._path(name))
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise self._failed(name, exc) from exc
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def _read(self, name: str) -> str:
        try:
            with open(self._open(name), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise SigningError(f"signing {name} {self._path(name)!r} is not a regular file; {_REMEDY}")
                data = file.read(_MAX_BYTES + 1)
            return data.decode()
        except FileNotFoundError:
            raise
        except (OSError, UnicodeDecodeError) as exc:
            raise self._failed(name, exc) from exc

    def _open(self, name: str) -> int:
        if name == _SECRET and self._secret_file is not None:
            return os.open(self._secret_file, _READ)
        # Our own are never links: one that stands there was put there by somebody else.
        directory = os.open(self._directory, _DIRECTORY)
        try:
            return os.open(name, _READ | os.O_NOFOLLOW, dir_fd=directory)
        finally:
            os.close(directory)

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
                f"signing secret {self._path(_SECRET)!r}: a line needs {_MIN_CHARS} characters, and it needs a line; {_REMEDY}"
            )
        return found

    def _make(self, name: str, content: bytes, mode: int) -> None:
        """Makes one of our files whole, unless there is one."""
        try:
            directory = os.open(self._directory, _DIRECTORY)
            try:
                _publish(directory, name, content + b"\n", mode)
            finally:
                os.close(directory)
        except OSError as exc:
            raise self._failed(name, exc) from exc

    def _failed(self, name: str, exc: Exception) -> SigningError:
        why = exc.strerror if isinstance(exc, OSError) else "it is not text"
        return SigningError(f"signing {name} {self._path(name)!r}: {why}; {_REMEDY}")


_REMEDY: Final = "make it readable for this user, or name a file of secrets with ?secret_file=/path in the store's URL"


def _publish(directory: int, name: str, content: bytes, mode: int) -> None:
    """A file appears under ``name`` with all of ``content``; one that is there already stays."""
    temporary = f"{name}.{secrets.token_hex(8)}"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=directory)
    try:
        try:
            os.write(file, content)
            os.fsync(file)
        finally:
            os.close(file)
        try:
            os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except FileExistsError:
            return
    finally:
        os.unlink(temporary, dir_fd=directory)
    os.fsync(directory)
