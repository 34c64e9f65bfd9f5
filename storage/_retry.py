"""Decides whether, when and how often a failed request is tried again: the same for every driver.

The SDKs' own retries are switched off, because each means something else by the same number, none tells a lost answer
from a refused request, and none resumes a body that was cut half way.
"""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, NamedTuple

from storage import _stop
from storage._backend import trace
from storage.exceptions import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from urllib3.util.retry import Retry

DEFAULT_TIMEOUT = (9.5, 120.0)
# Answers that say "later": what the SDKs of both clouds retry.
DEFAULT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class Timeout(NamedTuple):
    """Seconds to connect, and seconds between two received packets."""

    connect: float
    read: float


class Retries(NamedTuple):
    """The parsed ``retries`` argument."""

    total: int = 3  # tries after the first
    backoff_factor: float = 0.5  # seconds: the longest wait before the first retry; each time it is twice as long
    backoff_max: float = 20.0  # seconds
    statuses: frozenset[int] = DEFAULT_STATUSES  # of HTTP, to retry

    def delay(self, retry: int) -> float:
        """Seconds to wait before retry number ``retry`` (from 0): exponential, with full jitter."""
        ceiling: float = min(self.backoff_max, self.backoff_factor * 2.0 ** min(retry, 64))
        import random  # 3 ms, which only who waits pays for

        return random.uniform(0, ceiling)  # noqa: S311 (jitter, not a secret)

    def retryable(self, status: int | None) -> bool:
        """Whether an answer with this HTTP status (``None``: no answer at all) is worth another try."""
        return status is None or status in self.statuses


class Attempts:
    """The tries of one operation. ``lost`` tells whether an earlier try may have been carried out without our knowing.

    ::

        attempts = Attempts(retries)
        while True:
            try:
                return request()
            except SDKError as exc:
                attempts.failed(exc, status=…)  # sleeps, or raises `exc` again when the tries are used up

    """

    __slots__ = ("_retries", "lost", "tries")

    def __init__(self, retries: Retries) -> None:
        _stop.check()  # nothing new is sent for a call that was stopped
        self._retries = retries
        self.tries: int = 1
        self.lost: bool = False

    def failed(
        self,
        exc: BaseException,
        *,
        status: int | None,
        retryable: bool | None = None,
        wait: float | None = None,
        sent: bool = True,
    ) -> None:
        """Waits before the next try, or raises ``exc`` again.

        Args:
            exc: what the try raised.
            status: the HTTP status of the answer; ``None``: there was none.
            retryable: overrides the statuses (``True``: a code that always means "later"; ``False``: a fault of the request).
            wait: seconds the server asked for (``Retry-After``).
            sent: ``False``: the request certainly never reached the server (nobody listened).
        """
        if retryable is None:
            retryable = self._retries.retryable(status)
        if not retryable or self.tries > self._retries.total:
            raise exc
        # No answer, or a 5xx from something in between: the request may have been carried out.
        self.lost = self.lost or (sent and (status is None or status >= 500))
        delay = self._retries.delay(self.tries - 1)
        if wait is not None:
            delay = min(max(delay, wait), self._retries.backoff_max)
        self.tries += 1
        trace.tries = self.tries
        stop = _stop.current.get()
        if stop is None:
            sleep(delay)
        elif stop.wait(delay):
            raise exc


def outcome_unknown(what: str) -> UnavailableError:
    """For a conditional write or a delete whose first answer was lost and whose second try cannot tell who did it."""
    return UnavailableError(
        f"{what}: an earlier answer was lost on the way, so the outcome is unknown; read it and decide"
    )


def parse_retries(value: int | Retry | Retries | None) -> Retries:
    """The ``retries`` argument; ``ConfigurationError`` unless it is ``None``, an ``int`` of at least 0 or urllib3's ``Retry``."""
    if value is None:
        return Retries()
    if isinstance(value, Retries):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ConfigurationError(f"retries={value!r}: it counts tries after the first, so 0 or more")
        return Retries(total=value)
    from urllib3.util.retry import Retry  # 40 ms, which most programs never need

    if not isinstance(value, Retry):
        raise ConfigurationError(f"retries={value!r}: use None, an int, or a urllib3.util.retry.Retry")
    if value.total is None or value.total is True:
        raise ConfigurationError("retries: this Retry has no total; give it one, as in Retry(total=5)")
    return Retries(
        total=int(value.total),
        backoff_factor=float(value.backoff_factor),
        backoff_max=float(value.backoff_max),
        # urllib3's default is an empty list: a Retry that names no status leaves the choice to the driver.
        statuses=frozenset(value.status_forcelist or ()) or DEFAULT_STATUSES,
    )


def parse_timeout(value: float | tuple[float, float] | None) -> Timeout:
    """The ``timeout`` argument: seconds, one number or a pair; ``None``: that of :attr:`storage.Storage.TIMEOUT`."""
    value = DEFAULT_TIMEOUT if value is None else value
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    are_numbers = all(isinstance(seconds, (int, float)) and not isinstance(seconds, bool) for seconds in pair)
    if len(pair) != 2 or not are_numbers or not all(0 < seconds < float("inf") for seconds in pair):
        raise ConfigurationError(f"timeout={value!r}: use seconds greater than 0, one number or a pair (connect, read)")
    return Timeout(float(pair[0]), float(pair[1]))
