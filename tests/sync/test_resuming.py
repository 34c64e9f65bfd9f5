"""A sync by an executor that is killed goes on where it stopped, by the journal in the target."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from storage import KeyRange, Storage, UnavailableError
from storage._facade.core import core_of
from storage._sync import stores as sync_stores
from storage._sync.journal import Done, Journal
from storage.backends.memory import MemoryBackend
from tests.sync.executors import Dying, blobs, files
from tests.sync.stores import Faulty, contents, filled, rested, store_of


@pytest.mark.parametrize("pieces", [1, 3, 10])
def test_a_killed_run_is_taken_up(small_pieces, threads, pieces):
    """What was journaled is not looked at again; what was not is; and the journal of another choice of keys says nothing."""
    source, theirs = rested(filled(store_of(), blobs(100))), Faulty()
    target = store_of(theirs)
    with pytest.raises(UnavailableError, match="make a new one and call again"):
        source.sync_to(target, executor=Dying(pieces))
    there = len(target.list())
    assert len([key for key in target.list(storage_type="tmp") if "/ranges/" in key]) == pieces
    assert source.sync_to(target, prefix="1/", executor=threads).resumed == 0
    theirs.streams.clear()
    result = source.sync_to(target, executor=threads)
    assert result.resumed == pieces
    assert result.copied + result.same <= 100 - there + 15
    assert contents(target) == contents(source)
    assert target.list(storage_type="tmp") == []


class Killing(ThreadPoolExecutor):
    """An executor that kills its process once it has done so many ranges."""

    def __init__(self, ranges):
        super().__init__(1)
        self.left = ranges

    def submit(self, function, /, *args):
        def run():
            piece = function(*args)
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return piece

        return super().submit(run)


def killed_after(ranges, source, target):
    """A program of its own: a sync that is killed after so many ranges; with 0 it ends, and prints its result."""
    with Killing(ranges) as executor:
        result = Storage(source).sync_to(Storage(target), executor=executor)
    print(json.dumps([result.resumed, result.copied, result.same]))  # noqa: T201


def elsewhere(ranges, source, target, machine):
    """Runs ``killed_after`` as on a machine of this name: nothing but the two stores is the same."""
    folders = {name: machine / name for name in ("home", "temp", "work")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    program = (
        f"import socket; socket.gethostname = lambda: {machine.name!r}; from {__name__} import killed_after; "
        f"killed_after({ranges}, {source.backend.location!r}, {target.backend.location!r})"
    )
    places = {"HOME": folders["home"], "TMPDIR": folders["temp"], "XDG_DATA_HOME": folders["home"]}
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | {k: str(v) for k, v in places.items()}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folders["work"], env=env, capture_output=True, text=True, check=False
    )


def test_resumed_on_another_machine(tmp_path):
    """All that a run needs to go on with a killed one is in the target: no file, folder, host or process of the first one."""
    source, target = files(tmp_path / "a", 200), Storage(f"file://{tmp_path}/b")
    killed = elsewhere(3, source, target, tmp_path / "first")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    there = len(target.list())
    assert 0 < there < 200
    shutil.rmtree(tmp_path / "first")
    ended = elsewhere(0, source, target, tmp_path / "second")
    assert ended.returncode == 0, ended.stderr
    resumed, copied, same = json.loads(ended.stdout)
    assert (resumed, same) == (3, 0)
    assert copied == 201 - there
    assert contents(target) == contents(source)
    assert target.list(storage_type="tmp") == ["t"]


def test_two_runs_that_finish_a_range_at_once():
    """The journal takes one entry, create-only; the other run takes the range for done, and both read it once."""
    backend = MemoryBackend()
    journals = [Journal(sync_stores.Store(core_of(Storage(backend=backend))), "one-sync") for _ in range(2)]
    both, tried = threading.Barrier(2), []
    put = backend.put

    def put_at_once(path, data, options):
        tried.append(options.overwrite)
        both.wait(20)
        return put(path, data, options)

    backend.put = put_at_once
    done = Done("data", KeyRange("a", "b\0"), f"{1:064x}")
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda journal: journal.write(done), journals))
    assert tried == [False, False]
    assert [journal.read() for journal in journals] == [[done], [done]]


def test_two_runs_at_once(small_pieces, threads):
    """A run goes on although another one of the same sync ended after it had begun, and removed the journal of both."""
    source, target = rested(filled(store_of(), blobs(100))), store_of()

    class Late(ThreadPoolExecutor):
        other = None

        def submit(self, function, /, *args):
            if self.other is None:
                self.other = source.sync_to(target, executor=threads)
            return super().submit(function, *args)

    with Late(2) as late:
        result = source.sync_to(target, executor=late)
    assert (late.other.copied, result.copied, result.same) == (100, 0, 100)
    assert contents(target) == contents(source)
    assert target.list(storage_type="tmp") == []


def test_an_old_journal_counts_no_more(small_pieces, threads):
    """Ranges that were done more than a day ago are compared again."""
    source, theirs = rested(filled(store_of(), blobs(100))), Faulty()
    target = store_of(theirs)
    with pytest.raises(UnavailableError):
        source.sync_to(target, executor=Dying(5))
    rested(target, timedelta(hours=25).total_seconds())
    key = target.list()[0]
    source.set(key, "changed since")
    assert source.sync_to(target, executor=threads).resumed == 0
    assert target.get(key) == "changed since"


def test_the_journal_is_no_part_of_a_sync(small_pieces, threads):
    """Neither copied nor deleted, as source and as target."""
    a, b, c = rested(filled(store_of(), blobs(30))), store_of(), store_of()
    with pytest.raises(UnavailableError):
        a.sync_to(b, executor=Dying(3))
    journal = b.list(storage_type="tmp")
    assert journal
    assert b.sync_to(c, delete=True).copied == len(b.list())
    assert c.list(storage_type="tmp") == []
    assert c.sync_to(b, "tmp", delete=True).deleted == 0
    assert b.list(storage_type="tmp") == journal


def test_callbacks_that_raise(threads, small_pieces):
    """They end the sync, come out bare, and what was done stays in the journal."""
    source, target = filled(store_of(), blobs(100)), store_of()

    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        source.sync_to(target, executor=threads, report=fail)
    assert any("/ranges/" in key for key in target.iter_list(storage_type="tmp"))
