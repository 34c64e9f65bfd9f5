"""A fork waits for threads that Python has no more and the system still has."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
import time
import weakref

import pytest

from storage import Storage
from storage._threads import Pool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the threads of a process")


def slow_to_end(seconds: float) -> int:
    """Makes this thread take so long to end after Python is done with it, as OpenSSL's own may; its id."""
    libc = ctypes.CDLL(None, use_errno=True)
    key = ctypes.c_uint()
    assert libc.pthread_key_create(ctypes.byref(key), ctypes.cast(libc.usleep, ctypes.c_void_p)) == 0
    assert libc.pthread_setspecific(key, ctypes.c_void_p(int(seconds * 1e6))) == 0  # what the destructor is called with
    return threading.get_native_id()


def there(thread: int) -> bool:
    return os.path.exists(f"/proc/self/task/{thread}")


def fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def test_a_fork_waits_for_threads_that_are_ending():
    with Pool(2, "slow") as pool:
        thread = pool.submit(slow_to_end, 0.4).result()
    # Newer Pythons join as the system does, and have nothing left to wait for.
    assert there(thread) or sys.version_info >= (3, 13)
    fork()
    assert not there(thread)


def test_a_fork_waits_for_no_thread_that_lives():
    with Pool(2, "alive") as pool:
        thread = pool.submit(slow_to_end, 0).result()
        began = time.monotonic()
        fork()
        assert there(thread)
        assert time.monotonic() - began < 0.9


def test_a_fork_waits_no_longer_than_a_second():
    with Pool(1, "hung") as pool:
        thread = pool.submit(slow_to_end, 3).result()
    began = time.monotonic()
    fork()
    if sys.version_info < (3, 13):
        assert there(thread)
        assert time.monotonic() - began < 2.5


def test_the_threads_of_a_batch_are_gone(monkeypatch):
    storage = Storage("memory://")
    keys = [f"k{n}" for n in range(8)]
    storage.set_many((key, b"1") for key in keys)
    threads: list[int] = []
    real = storage.get_bytes

    def get_bytes(*args):
        threads.append(slow_to_end(0.05))
        return real(*args)

    monkeypatch.setattr(storage, "get_bytes", get_bytes)
    assert len(dict(storage.get_many(keys, concurrency=4))) == len(threads) == 8
    fork()
    assert not any(map(there, threads))


def test_a_pool_that_is_dropped_ends_its_threads():
    pool = Pool(1, "dropped")
    pool.submit(int).result()
    (thread,) = [thread for thread in threading.enumerate() if thread.name.startswith("dropped")]
    dropped = weakref.ref(pool)
    del pool
    gc.collect()
    assert dropped() is None
    thread.join(10)
    assert not thread.is_alive()
