"""A backend that passes every call on to another and remembers its name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from storage._backend import Backend, Stat
from storage.backends._wrapper import Wrapper

T = TypeVar("T")


class Spy(Wrapper):
    """``backend``, watched.

    Args:
        backend: what answers.
        before: called with each call's name before it is passed on; what it raises is what the call raises.
    """

    scheme: ClassVar[str] = "spy"

    def __init__(self, backend: Backend, before: Callable[[str], object] | None = None) -> None:
        super().__init__(backend)
        self.names: list[str] = []
        """The names of the methods that were called, in order; ``page`` for each page of a listing."""
        self._before = before
        self._lock = threading.Lock()

    def _run(self, method: str, path: str | None, function: Callable[[], T]) -> T:
        """Where every call goes through."""
        del path
        self._note(method)
        if self._before is not None:
            self._before(method)
        return function()

    def _note(self, name: str) -> None:
        with self._lock:
            self.names.append(name)

    def scan(self, prefix: str, **options: Any) -> Iterator[Iterable[tuple[str, Stat | None]]]:
        for page in super().scan(prefix, **options):
            self._note("page")
            yield page
