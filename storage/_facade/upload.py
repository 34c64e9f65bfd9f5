"""Writes one blob: a small one with one call of the backend, a larger one through the backend's writer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from storage import _stop
from storage._backend import PutOptions, Writer
from storage._facade.call import Call
from storage._fork import check_owner, forks
from storage._log import CallRecord
from storage._types import ObjectInfo


class Upload:
    """Takes bytes as they come. Nothing can be seen of them until ``commit`` returns.

    It belongs to the process that made it: a child after ``fork`` can neither go on with it nor harm it.
    """

    def __init__(self, call: Call, options: PutOptions, size: int | None = None, *, event: bool = True) -> None:
        """``event``: it is the whole of the user's call, and has the event of that for the log and for observers."""
        self._call = call
        self._options, self._size = options, size
        self._pending = bytearray()
        self._writer: Writer | None = None
        self._moved = 0
        self._record: CallRecord | None = call.record() if event else None
        self._begun = forks.count

    @property
    def inherited(self) -> bool:
        """Whether this process is a child of the one that made it."""
        return self._begun != forks.count

    def write(self, data: bytes) -> None:
        check_owner(self._begun, self._call)
        _stop.check()
        self._moved += len(data)
        if self._writer is None:
            backend = self._call.route.backend
            if len(self._pending) + len(data) <= backend.chunk_size:
                self._pending += data
                return
            self._writer = self._call.do(backend.writer, self._call.path, self._options, self._size)
            if self._pending:
                self._call.do(self._writer.write, bytes(self._pending))
                self._pending = bytearray()
        self._call.do(self._writer.write, data)

    def commit(self) -> ObjectInfo:
        """Publishes all that was written, and returns the new blob's info."""
        check_owner(self._begun, self._call)
        _stop.check()
        if self._writer is None:
            put = self._call.route.backend.put
            stat = self._call.do(put, self._call.path, bytes(self._pending), self._options)
        else:
            stat = self._call.do(self._writer.commit)
        self._tell()
        return self._call.info(stat)

    def abort(self) -> None:
        """Forgets what was written."""
        if self.inherited:
            return
        self._pending = bytearray()
        if self._writer is not None:
            with _stop.cleaning_up():
                self._writer.abort()
        kind = sys.exc_info()[0]
        self._tell("aborted" if kind is None else kind.__name__)

    def _tell(self, failure: str | None = None) -> None:
        """Ends the call's record: once, however often the upload is ended."""
        record, self._record = self._record, None
        if record is not None:
            record.size = self._moved
            record.end(failure)

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
