"""Leftovers, expiry and what the store remembers."""

from __future__ import annotations

import errno
import os
import pickle
import time

import pytest

from storage.backends import Setup
from storage.backends.filesystem import FilesystemBackend, _system
from storage.exceptions import InvalidKeyError, StorageError
from tests.filesystem.helpers import PLAIN, leftovers, listed, tree


def plant(root, name="tdead", folder=".storage~/tmp"):
    """What a killed writer leaves: a temporary file that nobody holds."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    path = root / folder / name
    path.write_bytes(b"half")
    return path


def test_a_sweep_takes_what_dead_writers_left_and_spares_the_living(store, root):
    writer = store.writer("x", PLAIN)
    writer.write(b"alive")
    plant(root)
    plant(root, ".storage~tmp~dead", "a/b")
    half_made = root / ".storage~/tmp/tdir"
    half_made.mkdir()
    (half_made / ".storage~blob").write_bytes(b"linked")
    assert store.sweep() == ["3 leftovers of writers that died"]
    assert store.sweep() == []
    assert len(leftovers(root)) == 1
    writer.commit()
    assert store.get("x") == b"alive"
    assert leftovers(root) == []


def test_the_first_write_of_a_store_sweeps(root):
    plant(root)
    FilesystemBackend(str(root), fsync=False).put("a", b"", PLAIN)
    assert leftovers(root) == []


def test_an_aborted_or_forgotten_writer_leaves_nothing(store, root):
    writer = store.writer("a", PLAIN)
    writer.write(b"1")
    writer.abort()
    writer.abort()
    store.writer("a", PLAIN).write(b"2")
    assert leftovers(root) == []
    assert listed(store) == []


def test_a_child_that_forgets_a_writer_does_not_touch_its_parents_file(store, root):
    writer = store.writer("a", PLAIN)
    writer.write(b"parent")
    if os.fork() == 0:
        writer.abort()
        os._exit(0)
    os.wait()
    writer.commit()
    assert store.get("a") == b"parent"


def test_a_sweeper_that_comes_before_the_lock_loses_nothing(store, root, monkeypatch):
    lock_new = _system.lock_new
    calls = []

    def sweeping(fd):
        calls.append(fd)
        if len(calls) <= 2:
            assert FilesystemBackend(str(root)).sweep() == ["1 leftovers of writers that died"]
        return lock_new(fd)

    monkeypatch.setattr(_system, "lock_new", sweeping)
    store.put("a", b"1", PLAIN)
    calls.clear()
    writer = store.writer("b", PLAIN)
    writer.write(b"2")
    writer.commit()
    assert (store.get("a"), store.get("b")) == (b"1", b"2")
    assert leftovers(root) == []


def test_setup_makes_the_root_and_says_so_once(root):
    store = FilesystemBackend(str(root), create=False)
    assert not store.bucket_exists()
    assert store.setup(Setup(create_bucket=True)) == [f"made the directory {str(root)!r}"]
    assert store.bucket_exists()
    assert store.setup(Setup(create_bucket=True)) == []


def test_setup_remembers_origins_and_days(store, root):
    wanted = Setup(cors_origins=("https://a.example",), tmp_prefix="tmp/", tmp_days=2)
    assert len(store.setup(wanted)) == 2
    assert store.setup(wanted) == []
    other = FilesystemBackend(str(root))
    assert other.cors_origins == ("https://a.example",)
    assert other.setup(Setup(cors_origins=())) != []
    assert store.cors_origins == ()
    assert listed(store) == []


def test_damaged_settings_are_said_and_not_overwritten(store, root):
    store.put("a", b"", PLAIN)
    (root / ".storage~/settings.json").write_text("[")
    with pytest.raises(StorageError, match="settings.json"):
        store.setup(Setup(cors_origins=("https://a.example",)))


def test_a_sweep_deletes_expired_blobs_of_the_prefix_only(store, root):
    for path in ("tmp/old", "tmp/deep/old", "tmp/new", "data/old", "tmp"):
        store.put(path, b"", PLAIN)
    store.setup(Setup(tmp_prefix="tmp/", tmp_days=3))
    now = time.time()
    for path in ("tmp/old", "tmp/deep/old", "data/old", "tmp/.storage~blob"):
        os.utime(root / path, (now, now - 3 * 86_400 - 1))
    store.clock = lambda: now
    assert store.sweep() == ["2 expired blobs"]
    assert listed(store) == ["data/old", "tmp", "tmp/new"]
    assert tree(root) == ["data/", "data/old", "tmp/", "tmp/.storage~blob", "tmp/new"]
    store.clock = lambda: now + 10 * 86_400
    assert store.sweep() == ["1 expired blobs"]


def test_a_backend_is_pickled_with_its_options(root):
    store = FilesystemBackend(str(root), create=False, fsync=False, serve_url="http://h:1", secret_file="/s")
    again = pickle.loads(pickle.dumps(store))
    assert (again.root, again.serve_url, again.secret_file) == (str(root), "http://h:1", "/s")
    assert again.__reduce__() == store.__reduce__()
    assert not again.bucket_exists()


# ---- batches -----------------------------------------------------------------------------------------------------------


def test_changes_that_wait_for_the_medium_run_several_at_once(root):
    assert FilesystemBackend(str(root)).concurrency >= 8
    assert FilesystemBackend(str(root), fsync=False).concurrency == 1


def test_a_batch_of_deletions_takes_what_is_there(store, root):
    for path in ("a", "a/b", "a-b", "c/d/e", "c/d/f", "g"):
        store.put(path, b"", PLAIN)
    (root / "link").symlink_to("g")
    assert store.delete_batch(["a", "a/x", "c/d/e", "nowhere/x", "c/d/f", "link", "c", "a"]) == {}
    assert listed(store) == ["a-b", "a/b", "g"]
    assert tree(root) == ["a-b", "a/", "a/b", "g", "link"]
    assert leftovers(root) == []
    with pytest.raises(InvalidKeyError):
        store.delete_batch(["g", "../x"])
    assert store.get("g") == b""


@pytest.mark.usefixtures("no_attributes")
def test_a_batch_of_deletions_takes_the_records_along(store, root):
    for path in ("a", "b/c", "b/d"):
        store.put(path, b"", PLAIN)
    assert store.delete_batch(["b/c", "a", "b/d"]) == {}
    assert os.listdir(root / ".storage~/meta") == []


def test_a_batch_of_deletions_waits_for_each_directory_once(root, monkeypatch):
    store = FilesystemBackend(str(root))
    paths = [f"{folder}/{number}" for folder in "ab" for number in range(10)]
    for path in [*paths, "a/keep", "b/keep"]:
        store.put(path, b"", PLAIN)
    synced = []
    sync = _system.sync

    def counted(fd):
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    monkeypatch.setattr(_system, "sync", counted)
    assert store.delete_batch(paths) == {}
    assert sorted(synced) == [f"{root}/a", f"{root}/b"]
    assert listed(store) == ["a/keep", "b/keep"]


def test_a_batch_of_deletions_tells_what_failed_and_does_the_rest(store, monkeypatch):
    for path in ("a/1", "a/2", "a/3", "b/1"):
        store.put(path, b"", PLAIN)
    unlink = os.unlink

    def failing(name, **options):
        if name == "2":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", failing)
    failed = store.delete_batch(["a/1", "a/2", "a/3", "b/1"])
    assert list(failed) == ["a/2"]
    assert isinstance(failed["a/2"], OSError)
    monkeypatch.undo()
    assert listed(store) == ["a/2"]


def test_a_batch_whose_directory_cannot_be_brought_to_the_medium_fails_as_a_whole(root, monkeypatch):
    store = FilesystemBackend(str(root))
    for path in ("a/1", "a/2", "a/3", "b/1"):
        store.put(path, b"", PLAIN)
    sync = _system.sync

    def failing(fd):
        if os.readlink(f"/proc/self/fd/{fd}").endswith("/a"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(fd)

    monkeypatch.setattr(_system, "sync", failing)
    assert sorted(store.delete_batch(["a/1", "b/1", "a/2"])) == ["a/1", "a/2"]
