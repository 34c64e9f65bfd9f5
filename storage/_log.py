"""The log of the operations. `logging` takes 10 ms to import, and who has not imported it has asked for no line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["debug", "debugging"]

_DEBUG = 10  # logging.DEBUG
_logger: Logger | None = None


def debugging() -> bool:
    """Whether anyone wants a line of each operation."""
    global _logger  # noqa: PLW0603 (a cache)
    if _logger is None:
        if "logging" not in sys.modules:
            return False
        import logging

        _logger = logging.getLogger("storage")
    return _logger.isEnabledFor(_DEBUG)


def debug(message: str, *args: object) -> None:
    """One line, if anyone wants it."""
    if debugging() and _logger is not None:
        _logger.debug(message, *args)
