"""Moving the bytes of one blob between a backend and a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storage.backends import Backend, Stat

__all__ = ["CallerFault", "Sink", "download"]


class CallerFault(Exception):  # noqa: N818 (it is carried, never raised to a user)
    """Carries an exception of the caller's own file or callback past the backend's error mapping, which must not see it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Sink:
    """The caller's file and progress callback, whose own errors are carried as :class:`CallerFault`."""

    def __init__(self, file: Any, progress: Callable[[int], object] | None = None) -> None:
        self._file = file
        self._progress = progress

    def write(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                written = self._file.write(view)
                # A raw file may take less than it was given; one of the caller's own may not say.
                view = view[written:] if isinstance(written, int) else view[:0]
            if self._progress is not None:
                self._progress(len(data))
        except BaseException as exc:
            raise CallerFault(exc) from exc


def download(backend: Backend, path: str, sink: Sink) -> Stat:
    """Writes the blob at ``path`` to ``sink``, all of one version, and returns its ``Stat``."""
    stat, chunks = backend.stream(path)
    for chunk in chunks:
        sink.write(chunk)
    return stat
