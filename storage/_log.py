"""The log of calls. `logging` takes 10 ms to import: a program that has not imported it reads no log either."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

from storage._backend import Stat, trace

if TYPE_CHECKING:
    from logging import Logger

    from typing_extensions import Self  # 8 ms

__all__ = ["CallRecord", "debugging", "moved_bytes"]

_DEBUG = 10  # logging.DEBUG
_logger: Logger | None = None


def debugging() -> bool:
    """Whether the logger ``storage`` takes a line for each call."""
    global _logger  # noqa: PLW0603 (a cache)
    if _logger is None:
        if "logging" not in sys.modules:
            return False
        import logging

        _logger = logging.getLogger("storage")
    return _logger.isEnabledFor(_DEBUG)


class CallRecord:
    """One call's line in the log, written when it ends, also when it fails.

    Args:
        name: the method's.
        storage_type: the blobs' storage type, where there is one.
        key: the blob's key, where there is one.

    Attributes:
        size: bytes moved, where that is known.
    """

    def __init__(self, name: str, storage_type: str | None, key: str | None) -> None:
        self._name, self._storage_type, self._key = name, storage_type, key
        self._began = perf_counter()
        self.size: int | None = None
        trace.tries, trace.request_id = 1, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.write()

    def write(self) -> None:
        """Writes the line."""
        if not debugging() or _logger is None:
            return
        _logger.debug(
            "%s type=%s key=%r bytes=%s ms=%.3f tries=%d request_id=%s",
            self._name,
            self._storage_type,
            self._key,
            "-" if self.size is None else self.size,
            (perf_counter() - self._began) * 1000,
            trace.tries,
            trace.request_id or "-",
        )


def moved_bytes(result: Any) -> int | None:
    """How many bytes a call moved, judged by what its backend returned; ``None``: none, or unknown."""
    if isinstance(result, bytes):
        return len(result)
    return result.size if isinstance(result, Stat) else None
