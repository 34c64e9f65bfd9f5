"""The threads of batches and transfers."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import subprocess
import sys
import threading
import weakref

import pytest

from storage import Storage
from storage import _stop as stop_module
from storage._facade.concurrent import ordered_map
from storage._stop import Stop, Stopped, check, cleaning_up, current
from storage._threads import Pool, Task


def test_calls_side_by_side():
    """As many at once as there are threads, results and exceptions to each."""
    meeting = threading.Barrier(3)
    with Pool(3, "met") as pool:
        tasks = [pool.submit(meeting.wait, 30) for _ in range(3)]
        failing = pool.submit(int, "x")
        assert sorted(task.result() for task in tasks) == [0, 1, 2]
        with pytest.raises(ValueError, match="'x'"):
            failing.result()


def test_the_context_goes_along():
    """A call sees the context of the thread that made the pool, and its changes stay its own."""
    name = contextvars.ContextVar("name", default="none")
    name.set("outer")

    def swap(value):
        before = name.get()
        name.set(value)
        return before

    with Pool(1, "context") as pool:
        assert [pool.submit(swap, value).result() for value in "ab"] == ["outer", "outer"]
    assert name.get() == "outer"


def test_an_exception_stops_the_others():
    """A block that fails ends the calls under way, and those that have not begun never do."""
    begun, calls = threading.Event(), []

    def wait():
        calls.append(1)
        begun.set()
        return current.get().wait(60)

    tasks = []

    def batch():
        with Pool(1, "stopped") as pool:
            tasks.extend((pool.submit(wait), pool.submit(wait)))
            assert begun.wait(30)
            raise KeyError

    with pytest.raises(KeyError):
        batch()
    first, second = tasks
    assert first.result() is True
    with pytest.raises(Stopped):
        second.result()
    assert calls == [1]


def test_without_threads(monkeypatch):
    """Where none can be started, as at the end of the interpreter, the calls are made by whoever asks for them."""

    def start(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    storage = Storage("memory://")
    with Pool(4, "none") as pool:
        assert pool.submit(threading.get_ident).result() == threading.get_ident()
        with pytest.raises(ValueError, match="'x'"):
            pool.submit(int, "x").result()
    storage.set_many({f"k{n}": b"1" for n in range(20)}, concurrency=4)
    assert len(dict(storage.get_many(storage.iter_list(), concurrency=4))) == 20


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


def test_a_failure_holds_nothing():
    """Neither a failed call nor whoever saw it keeps the arguments alive, without the collector's help."""

    class Large:
        pass

    large = Large()
    gone = weakref.ref(large)
    gc.disable()
    try:
        with Pool(1, "failed") as pool:
            task = pool.submit(int, large)
            with contextlib.suppress(TypeError):
                task.result()
            del task, large
        assert gone() is None
    finally:
        gc.enable()


AT_EXIT = """
import atexit, os, sys, threading
from storage import Storage
from storage import _multipart
from storage.backends.memory import MemoryBackend

_multipart.PART_SIZE = 5000

class Parts:
    def __init__(self, *put):
        self.put, self.sent = put, {}
    def whole(self, data):
        put, path, options = self.put
        return put(path, data, options)
    def start(self):
        pass
    def part(self, number, data):
        self.sent[number] = data
    def finish(self, parts, size):
        return self.whole(b"".join(self.sent[number + 1] for number in range(len(parts))))

class Remote(MemoryBackend):
    inline, concurrency, chunk_size = False, 4, 1024
    def writer(self, path, options, size=None):
        return _multipart.PartWriter(Parts(self.put, path, options), size)

store = Storage(backend=Remote())

def work():
    store.set_many({f"k{n}": bytes(5000) for n in range(20)})
    found = dict(store.get_many(store.iter_list()))
    with store.open("large", "wb") as file:
        for _ in range(20):
            file.write(bytes(5000))
    store.delete_many(list(found))
    print(len(found), store.info("large").size, flush=True)
"""


@pytest.mark.parametrize(
    "how",
    [
        "atexit.register(work)",
        "def outlive(main=threading.main_thread()):\n    main.join()\n    work()\nthreading.Thread(target=outlive).start()",
        "store.set_many({'k1': b'1', 'k2': b'2'})\natexit.register(work)",
    ],
    ids=["atexit", "a thread that outlives main", "atexit, after a batch"],
)
def test_work_after_the_main_thread_has_ended(how):
    """Batches and large writes do all of their work in a handler at exit, and in a thread that outlives the main one."""
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT + how], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.returncode) == ("20 100000\n", 0), done.stderr
    assert "Traceback" not in done.stderr


# ---- the flag ----------------------------------------------------------------------------------------------------------


def test_a_flag_is_set_with_the_one_around_it():
    outer = Stop()
    inner = Stop(outer)
    assert not inner.wait(0)
    inner.set()
    assert inner.is_set()
    assert not outer.is_set()
    other = Stop(outer)
    threading.Timer(0.01, outer.set).start()
    assert other.wait(60)


def test_cleaning_up_may_still_send(monkeypatch):
    """Once a call was stopped, only what cleans up is sent, once and for some seconds."""
    token = current.set(Stop())
    try:
        with cleaning_up():
            check()
        current.get().set()
        with pytest.raises(Stopped):
            check()
        with cleaning_up():
            check()
            assert current.get().wait(60)  # no second try
        with pytest.raises(Stopped):
            check()
        monkeypatch.setattr(stop_module, "_CLEANING", 0.0)
        reached = []
        with cleaning_up():
            check()
            reached.append(1)
        assert reached == []
    finally:
        current.reset(token)


@pytest.mark.parametrize("first", [b"1", None])
def test_what_fails_later_in_order_ends_nothing_that_comes_before(monkeypatch, first):
    """The thread that took the first item is slow to begin, and the second has failed by then."""
    failed, run = threading.Event(), Task.run

    def late(task):
        item = task._work[2][-1]
        if item == first:
            assert failed.wait(10)
        run(task)
        if item == b"2":
            failed.set()

    monkeypatch.setattr(Task, "run", late)

    def call(value):
        if value == b"2":
            raise ValueError("the second")
        if value is None:
            raise KeyError("the first")
        return value

    results = ordered_map(call, [first, b"2", b"3"], 2)
    if first is None:
        with pytest.raises(KeyError, match="the first"):
            next(results)
    else:
        assert next(results) == first
        with pytest.raises(ValueError, match="the second"):
            next(results)


def test_the_wait_for_a_result_is_never_without_end(monkeypatch):
    """A signal that comes between two steps of Python and a wait that has no end would be seen when that is over."""
    waits = []

    class Lock:
        def acquire(self, timeout=-1):
            waits.append(timeout)
            return len(waits) == 3

        def release(self):
            pass

    task = Task(contextvars.copy_context(), int, ())
    monkeypatch.setattr(task, "_running", Lock())
    assert task.result() is None
    assert waits == [stop_module.SLICE] * 3
