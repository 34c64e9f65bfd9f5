"""The flag that ends a call early: after an interrupt, a failure in another thread, or a cancelled task.

Whatever waits, tries again or sends something looks at it, so that a call whose result is no longer wanted ends soon and sends
nothing more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

SLICE: Final = 0.05
"""Seconds between two looks at the flag of a call, where something else is waited for."""
_CLEANING: Final = 5.0  # seconds that cleaning up may take


class Stopped(BaseException):
    """Raised in a thread whose result is no longer wanted. It never leaves the library."""


class Stop:
    """A flag that is set once. It is set, too, when ``outer`` is, the flag of the call that this one is a part of."""

    def __init__(self, outer: Stop | None = None) -> None:
        self._outer = outer
        self._event = threading.Event()

    def set(self) -> None:
        """Ends what looks at it."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether the result is no longer wanted."""
        return self._event.is_set() or (self._outer is not None and self._outer.is_set())

    def wait(self, seconds: float) -> bool:
        """Waits for so many seconds, or less if it is set; whether it is."""
        end = time.monotonic() + seconds
        while not self.is_set():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._event.wait(left if self._outer is None else min(left, SLICE))
        return True


class _CleaningUp(Stop):
    """Lets requests pass, each once and for some seconds in all."""

    def __init__(self) -> None:
        super().__init__()
        self._end = time.monotonic() + _CLEANING

    def is_set(self) -> bool:
        return time.monotonic() >= self._end

    def wait(self, seconds: float) -> bool:
        del seconds
        return True


current: ContextVar[Stop | None] = ContextVar("storage-stop", default=None)
"""The flag of the call that this thread works for; ``None``: nothing ends it early."""


def check() -> None:
    """Raises ``Stopped`` if the result of this call is no longer wanted."""
    stop = current.get()
    if stop is not None and stop.is_set():
        raise Stopped


def wait_for(poll: Callable[[float], list[tuple[int, int]]], milliseconds: float) -> list[tuple[int, int]]:
    """``poll(milliseconds)``, of ``select.poll``; raises ``Stopped`` soon after the call was stopped."""
    # In slices also where nothing stops the call: a Ctrl-C that comes just before a wait is not seen until it is over.
    end = time.monotonic() + milliseconds / 1000
    while True:
        left = max(0.0, end - time.monotonic())
        events = poll(min(left, SLICE) * 1000)
        if events or not left:
            return events
        check()


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Lets its block send what a call that was stopped still has to: each request once, for five seconds in all."""
    stop = current.get()
    if stop is None or not stop.is_set():
        yield
        return
    token = current.set(_CleaningUp())
    try:
        yield
    except Stopped:
        return
    finally:
        current.reset(token)
