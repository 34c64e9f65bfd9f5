"""The files that fsspec's users get, and the exceptions that they catch in place of the library's."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO, Any, cast

from typing_extensions import Self

from storage import AlreadyExistsError, NotFoundError, PermissionDeniedError


class TranslatedFile:
    """The library's file, with fsspec's exceptions."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file, self.path = file, path

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._file, name)
        if not callable(value):
            return value

        @functools.wraps(value)
        def call(*args: Any, **options: Any) -> Any:
            with translated(self.path):
                return value(*args, **options)

        self.__dict__[name] = call
        return call

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with translated(self.path):
            self._file.__exit__(*exc)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)

    def __next__(self) -> bytes:
        return next(self._file)


class CompressedFile:
    """A file of fsspec's that compresses into ``file``, which it closes too: fsspec leaves that to the collector.

    An exception inside ``with`` stores nothing.
    """

    def __init__(self, outer: IO[bytes], file: TranslatedFile) -> None:
        self._outer, self._file = outer, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outer, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        self._file.__exit__(kind, exc, traceback)
        with suppress(ValueError):  # what it still holds has nowhere to go
            self._outer.close()

    def close(self) -> None:
        """Writes what is left, and publishes the file."""
        with self._file:
            self._outer.close()


class WrittenText(io.TextIOWrapper):
    """Text for a file that is written. An exception inside ``with`` stores nothing, where Python's would close the file."""

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            cast("IO[bytes]", self.buffer).__exit__(kind, exc, traceback)
        self.close()


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turns the library's exceptions into those that users of fsspec catch."""
    try:
        yield
    except NotFoundError as exc:
        raise FileNotFoundError(f"{path}: {exc}") from exc
    except AlreadyExistsError as exc:
        raise FileExistsError(f"{path}: {exc}") from exc
    except PermissionDeniedError as exc:
        raise PermissionError(f"{path}: {exc}") from exc
