"""Threads that are really gone when this process forks."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Final

__all__ = ["Pool"]

_MOST_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.0005

# Native ids of the threads that ended last.
_ended: deque[int] = deque(maxlen=1024)


class Pool(ThreadPoolExecutor):
    """A pool whose threads, once it is shut down, hold no lock that a forked child would wait for.

    A thread that has used OpenSSL takes one of its locks when it ends, and until Python 3.13 ``join`` returns a moment before
    that. A child that is forked in this moment gets the lock as it is, and hangs at its first key, hash or TLS connection
    (https://github.com/openssl/openssl/issues/19066). So a fork waits until the system has no such thread any more.

    Args:
        threads: at most.
        name: what their names begin with.
    """

    def __init__(self, threads: int, name: str) -> None:
        # What the threads run must not hold the pool: one that is dropped ends them.
        ids = self._ids = list[int]()
        super().__init__(threads, thread_name_prefix=name, initializer=lambda: ids.append(threading.get_native_id()))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait, cancel_futures=cancel_futures)
        _ended.extend(self._ids)
        self._ids.clear()


def _wait_for_the_ended() -> None:
    deadline = time.monotonic() + _MOST_SECONDS
    while _ended and time.monotonic() < deadline:
        if _is_ending(_ended[0]):
            time.sleep(_POLL_SECONDS)
        else:
            _ended.popleft()
    _ended.clear()


def _is_ending(thread: int) -> bool:
    """Whether the system still has a thread that Python has no more. False where the system cannot tell."""
    return os.path.exists(f"/proc/self/task/{thread}") and thread not in {
        other.native_id for other in threading.enumerate()
    }


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_for_the_ended)
