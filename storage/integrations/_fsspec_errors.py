"""Turns the library's exceptions into those that users of fsspec catch, in calls and in open files."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

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
