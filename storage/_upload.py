"""One blob being written: small ones in one call of the backend, larger ones through its writer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, TypeVar

from storage._core import DEBUG, Core, log, log_call, made_info
from storage._routes import Route
from storage._types import ObjectInfo
from storage.backends import PutOptions, Writer, trace

__all__ = ["Upload"]

T = TypeVar("T")


class Upload:
    """Takes bytes as they come. Nothing can be seen of them until ``commit`` returns."""

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
        self._core, self.name, self._route = core, name, route
        self.key, self.storage_type = key, storage_type
        self._options, self._size = options, size
        self._pending = bytearray()
        self._writer: Writer | None = None
        self._moved = 0
        # None: nobody listens, or the one line of this call is written.
        self._began: float | None = None
        if log.isEnabledFor(DEBUG):
            trace.tries, trace.request_id = 1, None
            self._began = perf_counter()

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._moved += len(data)
        if self._writer is None:
            if len(self._pending) + len(data) <= self._route.backend.chunk_size:
                self._pending += data
                return
            path = self._route.prefix + self.key
            self._writer = self._do(self._route.backend.writer, path, self._options, self._size)
            if self._pending:
                self._do(self._writer.write, bytes(self._pending))
                self._pending = bytearray()
        self._do(self._writer.write, data)

    def commit(self) -> ObjectInfo:
        """Publishes all that was written, and returns the new blob's info."""
        if self._writer is None:
            path = self._route.prefix + self.key
            stat = self._do(self._route.backend.put, path, bytes(self._pending), self._options)
        else:
            stat = self._do(self._writer.commit)
        self._log()
        return made_info(self.key, self.storage_type, stat)

    def abort(self) -> None:
        """Forgets what was written."""
        self._pending = bytearray()
        if self._writer is not None:
            self._writer.abort()
        self._log()

    def _do(self, method: Callable[..., T], *args: Any) -> T:
        # Not the facade's own, which would leave a line in the log for each piece.
        try:
            return method(*args)
        except Exception as exc:
            return self._core._raise(exc, self.name, self._route, self.key, self.storage_type)  # type: ignore[no-any-return]

    def _log(self) -> None:
        if self._began is not None:
            log_call(self.name, self.storage_type, self.key, self._moved, perf_counter() - self._began)
            self._began = None

    def run(self, chunks: Iterable[bytes], progress: Callable[[int], object] | None = None) -> ObjectInfo:
        """Writes all of ``chunks`` and commits; on any exception, also of ``chunks`` or ``progress``, aborts."""
        with Line(self.name, self.storage_type, self.key) as line:
            try:
                for chunk in chunks:
                    self.write(chunk)
                    if progress is not None:
                        progress(len(chunk))
                info = self.commit()
            except BaseException:
                self.abort()
                raise
            line.size = info.size
            return info
