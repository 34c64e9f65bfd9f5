"""One blob being written: small ones in one call of the backend, larger ones through its writer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from storage._backend import PutOptions, Writer
from storage._facade.core import Core, Line, made_info
from storage._facade.routes import Route
from storage._types import ObjectInfo
from storage.exceptions import UnsupportedOperationError

__all__ = ["Upload"]

T = TypeVar("T")


class Upload:
    """Takes bytes as they come. Nothing can be seen of them until ``commit`` returns.

    It belongs to the process that made it: a child after ``fork`` can neither go on with it nor harm it.
    """

    def __init__(
        self,
        core: Core,
        name: str,
        route: Route,
        key: str,
        storage_type: str,
        options: PutOptions,
        size: int | None = None,
    ) -> None:
        self._core, self._name, self._route = core, name, route
        self._key, self._storage_type = key, storage_type
        self._options, self._size = options, size
        self._pending = bytearray()
        self._writer: Writer | None = None
        self._moved = 0
        self._line: Line | None = Line(name, storage_type, key)
        self._process = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether this process is a child of the one that made it."""
        return os.getpid() != self._process

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._check()
        self._moved += len(data)
        if self._writer is None:
            if len(self._pending) + len(data) <= self._route.backend.chunk_size:
                self._pending += data
                return
            path = self._route.prefix + self._key
            self._writer = self._do(self._route.backend.writer, path, self._options, self._size)
            if self._pending:
                self._do(self._writer.write, bytes(self._pending))
                self._pending = bytearray()
        self._do(self._writer.write, data)

    def commit(self) -> ObjectInfo:
        """Publishes all that was written, and returns the new blob's info."""
        self._check()
        if self._writer is None:
            path = self._route.prefix + self._key
            stat = self._do(self._route.backend.put, path, bytes(self._pending), self._options)
        else:
            stat = self._do(self._writer.commit)
        self._log()
        return made_info(self._key, self._storage_type, stat)

    def abort(self) -> None:
        """Forgets what was written."""
        if self.inherited:
            return
        self._pending = bytearray()
        if self._writer is not None:
            self._writer.abort()
        self._log()

    def _check(self) -> None:
        if self.inherited:
            raise UnsupportedOperationError(
                f"{self._key!r} was opened for writing before this process was forked, and is its parent's to write; open it here"
            )

    def _do(self, method: Callable[..., T], *args: Any) -> T:
        return self._core._do(self._name, self._route, self._key, self._storage_type, method, *args)

    def _log(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.size = self._moved
            line.write()

    def run(self, chunks: Iterable[bytes], progress: Callable[[int], object] | None = None) -> ObjectInfo:
        """Writes all of ``chunks`` and commits; on any exception, also of ``chunks`` or ``progress``, aborts."""
        try:
            for chunk in chunks:
                self.write(chunk)
                if progress is not None:
                    progress(len(chunk))
            return self.commit()
        except BaseException:
            self.abort()
            raise
