"""Runs the blocking calls of backends in threads of our own, not in those of the host application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")

_THREADS: Final = 32
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("storage_server_limiter")


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """``function(*args)`` in a thread. Once begun it ends, also when the caller is cancelled."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(function, *args, limiter=limiter)


async def finish_in_thread(function: Callable[..., Any], *args: Any) -> None:
    """As ``in_thread``, also when the caller is being cancelled."""
    with anyio.CancelScope(shield=True):
        await in_thread(function, *args)
