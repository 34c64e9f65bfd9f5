"""Slows the threads of a sync down: limits the bytes per second, and pauses when the service asks for fewer requests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Lock
from typing import Final, ParamSpec, TypeVar

from storage.exceptions import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

_FIRST_PAUSE: Final = 0.5  # seconds
_LONGEST_PAUSE: Final = 30.0


class Abandoned(BaseException):
    """Ends a whole sync: it was interrupted, or a callback of the caller's raised ``error``."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.error = error


class Limiter:
    """Lets ``rate`` bytes a second pass, of all threads together; ``None``: any number.

    ``wait`` waits for so many seconds, or less where it is told to stop.
    """

    def __init__(
        self, rate: float | None, wait: Callable[[float], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._wait, self._clock = rate, wait, clock
        self._free_at = clock()
        self._lock = Lock()

    def take(self, count: int) -> None:
        """Waits until ``count`` more bytes may pass."""
        if self._rate is None:
            return
        with self._lock:
            now = self._clock()
            begins = max(now, self._free_at)
            self._free_at = begins + count / self._rate
        if begins > now:
            self._wait(begins - now)


class Pace:
    """Slows all threads of a process down while a service refuses or fails, instead of giving up.

    Each ``UnavailableError`` makes all threads pause, twice as long as the time before; success shortens the pauses again. A call
    that has failed for ``patience`` seconds (0: at once) raises, and until a call succeeds, others then raise at once. ``wait``
    waits for so many seconds; true: the sync was stopped.
    """

    def __init__(
        self, patience: float, wait: Callable[[float], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience, self._wait, self._clock = patience, wait, clock
        self._lock = Lock()
        self._pause = 0.0
        self._until = 0.0  # nothing begins before this time
        self._has_given_up = False

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(*args, **kwargs)``, again after a pause where the service does not answer."""
        until: float | None = None
        while True:
            self._wait_for_turn()
            try:
                result = function(*args, **kwargs)
            except UnavailableError:
                now = self._clock()
                until = now + self._patience if until is None else until
                if now >= until or self._has_given_up:
                    self._has_given_up = True
                    raise
                self._slow_down()
                continue
            self._has_given_up = False
            self._pause *= 0.9
            return result

    def _wait_for_turn(self) -> None:
        while (seconds := self._until - self._clock()) > 0:
            if self._wait(seconds):
                raise Abandoned

    def _slow_down(self) -> None:
        with self._lock:
            if self._until > self._clock():
                return  # another thread has been told the same
            self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 2 * self._pause))
            # Other processes are told to wait at the same moment: they must not come back together.
            self._until = self._clock() + self._pause * random.uniform(0.5, 1.5)  # noqa: S311 (no secret)
