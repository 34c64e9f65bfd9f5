"""Makes an event for each call of a user, and hands it to the log and to the callbacks of ``storage.observe``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from storage._backend import Stat, trace
from storage.exceptions import NotFoundError

if TYPE_CHECKING:
    from logging import Logger

    from typing_extensions import Self  # 8 ms

_DEBUG = 10  # logging.DEBUG
_logger: Logger | None = None
# Of the calls whose backend describes the blob at their end only these have carried its bytes.
_CARRIERS = ("set", "get_file", "get_dir")


class CallEvent(NamedTuple):
    """One call of a method of ``Storage`` or ``AsyncStorage`` that has ended.

    Attributes:
        method: its name; of a batch, that of the calls that it is made of.
        backend: the scheme of the backend, as in ``"s3"``.
        storage_type: the storage type; ``None``: the call was about all of them.
        bytes: moved, where that is known.
        seconds: from its beginning to its end; of an iterator, until it was used up or dropped.
        outcome: ``"ok"``, or the name of the exception's class.
        tries: how often the last request was sent.
        request_id: the service's id of the last request, where it gives one.
        key: the blob's key, if keys were asked for and the call was about one blob.
        url: the store's URL without its query, if keys were asked for.
    """

    method: str
    backend: str
    storage_type: str | None
    bytes: int | None
    seconds: float
    outcome: str
    tries: int
    request_id: str | None
    key: str | None = None
    url: str | None = None


class Observer:
    """Calls a callback with every :class:`CallEvent` until it is closed, or until the end of its ``with`` block."""

    def __init__(self, callback: Callable[[CallEvent], object], *, keys: bool) -> None:
        self._callback, self._keys = callback, keys

    def close(self) -> None:
        """Ends it. Idempotent."""
        _observers.pop(id(self), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def tell(self, event: CallEvent) -> None:
        """Calls the callback. What it raises is logged: watching a call must not change what it does."""
        try:
            self._callback(event if self._keys else event._replace(key=None, url=None))
        except Exception:
            import logging

            logging.getLogger("storage").exception("a callback of storage.observe failed")


_observers: dict[int, Observer] = {}  # by their ids, so that adding and removing one is atomic


def observe(callback: Callable[[CallEvent], object], *, keys: bool = False) -> Observer:
    """Calls ``callback`` with a :class:`CallEvent` when a call of any store of this process ends, in the thread that made it.

    Args:
        callback: should return soon: the call waits for it. What it raises is logged.
        keys: give it keys and URLs too. They may be personal data.

    Returns:
        What ends it: ``close()``, or a ``with`` block.
    """
    if not callable(callback):
        raise TypeError(f"callback must be callable, not {type(callback).__name__}")
    observer = Observer(callback, keys=keys)
    _observers[id(observer)] = observer
    return observer


def watched() -> bool:
    """Whether anyone wants to know of calls: an observer, or the logger ``storage`` at level DEBUG.

    Each call asks, so it takes a tenth of a microsecond, in one function.
    """
    global _logger  # noqa: PLW0603 (a cache)
    # `logging` takes 10 ms to import: a program that has not imported it reads no log either.
    if _logger is None and "logging" in sys.modules:
        import logging

        _logger = logging.getLogger("storage")
    if _observers:
        return True
    return _logger is not None and _logger.isEnabledFor(_DEBUG)


class CallRecord:
    """Measures one call, and tells of it when it ends, also when it fails."""

    absent_is_ok = False  # whether `NotFoundError` is no failure: the call has another way to say it

    def __init__(self, method: str, backend: str, storage_type: str | None, key: str | None, url: str) -> None:
        self._about = (method, backend, storage_type, key, url)
        self._began = perf_counter()
        self.size: int | None = None  # bytes moved, where that is known
        trace.tries, trace.request_id = 1, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        # An iterator that is dropped has not failed.
        well = kind is None or kind is GeneratorExit or (self.absent_is_ok and issubclass(kind, NotFoundError))
        self.end(None if kind is None or well else kind.__name__)

    def end(self, failure: str | None = None) -> None:
        """Tells of the call, which ended well unless ``failure`` names an exception."""
        if not watched():
            return
        method, backend, storage_type, key, url = self._about
        event = CallEvent(
            method,
            backend,
            storage_type,
            self.size,
            perf_counter() - self._began,
            failure or "ok",
            trace.tries,
            trace.request_id,
            key,
            url,
        )
        if _logger is not None:
            _logger.debug(
                "%s type=%s key=%r bytes=%s ms=%.3f tries=%d request_id=%s",
                method,
                storage_type,
                key,
                "-" if self.size is None else self.size,
                event.seconds * 1000,
                event.tries,
                event.request_id or "-",
            )
        for observer in list(_observers.values()):
            observer.tell(event)


def moved_bytes(method: str, result: Any) -> int | None:
    """The bytes that a call moved, judged by its name and the result of its backend; ``None``: none, or unknown."""
    if isinstance(result, bytes):
        return len(result)
    return result.size if method in _CARRIERS and isinstance(result, Stat) else None
