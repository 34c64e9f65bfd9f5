"""What kernels and file systems refuse, step by step, and what is left where even the other way fails."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import os

import pytest

from storage.backends import Setup
from storage.backends.filesystem import FilesystemBackend, _folders, _system
from storage.backends.filesystem._tree import BLOB
from storage.exceptions import NotFoundError, PreconditionFailedError, UnavailableError, UnsupportedOperationError
from tests.filesystem.helpers import PLAIN, leftovers, listed


def failing(number):
    def call(*_, **__):
        raise OSError(number, os.strerror(number))

    return call


def descriptors():
    gc.collect()  # what earlier tests dropped is closed now, and not meanwhile
    return len(os.listdir("/proc/self/fd"))


# ---- cloning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EPERM])
def test_a_clone_between_file_systems_reads_and_writes(tmp_path, monkeypatch, number):
    body = os.urandom(2_500_000)
    (tmp_path / "a").write_bytes(body)
    monkeypatch.setattr(fcntl, "ioctl", failing(errno.EOPNOTSUPP))
    monkeypatch.setattr(os, "copy_file_range", failing(number))
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("w+b") as target:
        _system.clone(source.fileno(), target.fileno(), len(body))
    assert (tmp_path / "b").read_bytes() == body


def test_a_clone_of_what_was_cut_meanwhile_ends_where_it_ends(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"short")
    monkeypatch.setattr(fcntl, "ioctl", failing(errno.EOPNOTSUPP))
    for missing in (False, True):
        if missing:
            monkeypatch.delattr(os, "copy_file_range")
        with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("w+b") as target:
            _system.clone(source.fileno(), target.fileno(), 100)
        assert (tmp_path / "b").read_bytes() == b"short"


def test_a_clone_is_done_by_the_file_system_where_it_can(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(fcntl, "ioctl", lambda *args: asked.append(args))
    monkeypatch.setattr(os, "copy_file_range", failing(errno.EIO))
    _system.clone(3, 4, 5)
    assert asked == [(4, _system._FICLONE, 3)]


def test_an_open_that_a_signal_interrupts_is_made_again(tmp_path, monkeypatch):
    real, calls = _system._syscall, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 1:
            ctypes.set_errno(errno.EINTR)
            return -1
        return real(*args)

    (tmp_path / "a").write_bytes(b"")
    monkeypatch.setattr(_system, "_syscall", interrupted)
    os.close(_system._openat2_inside(os.fsencode(f"{tmp_path}/"), "a", _system.READ))
    assert len(calls) == 2


# ---- locks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number, result", [(errno.ENOLCK, True), (errno.EWOULDBLOCK, False), (errno.EIO, OSError)])
def test_a_lock_of_a_new_file(monkeypatch, number, result):
    """Where nobody can lock, nobody sweeps it away either; where somebody has it, it is not ours."""
    monkeypatch.setattr(fcntl, "flock", failing(number))
    if result is OSError:
        with pytest.raises(OSError, match=os.strerror(number)):
            _system.lock_new(0)
    else:
        assert _system.lock_new(0) is result


def test_a_lock_that_fails_for_another_reason_is_an_error(monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        _system.lock(0)
    assert not _system.try_lock(0)


def test_where_no_directory_can_be_locked_one_file_is(store, root, monkeypatch):
    """As on NFS: the file is made with the first lock, and where it cannot be locked either the store is refused."""
    real = _system.lock
    monkeypatch.setattr(_system, "lock", lambda fd: not os.path.isdir(f"/proc/self/fd/{fd}") and real(fd))
    store.put("a/b", b"1", PLAIN)
    store.move("a/b", "c", overwrite=False)
    assert (root / ".storage~/lock").is_file()
    (root / "c").unlink()
    (root / ".storage~/lock").unlink()
    (root / ".storage~/tmp").rmdir()
    (root / ".storage~").rmdir()
    store.close()
    fd = os.open(root, os.O_RDONLY)
    own = _folders.lock(store._tree, fd)
    _folders.unlock(own, fd)
    monkeypatch.setattr(_system, "lock", lambda fd: False)
    before = descriptors()
    with pytest.raises(UnsupportedOperationError, match="no locks"):
        _folders.lock(store._tree, fd)
    assert descriptors() <= before
    os.close(fd)


# ---- what cannot be written --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_attributes")
def test_a_record_that_cannot_be_written_leaves_the_old_blob(store, root, monkeypatch):
    old = store.put("a", b"1", PLAIN)
    real = os.rename

    def full(source, target, **options):
        if "." in target:  # the record's name
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target, **options)

    monkeypatch.setattr(os, "rename", full)
    before = descriptors()
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        store.put("a", b"2", PLAIN)
    assert descriptors() <= before
    monkeypatch.undo()
    assert leftovers(root) == []
    assert (root / "a").read_bytes() == b"1"
    assert old.size == 1


@pytest.mark.usefixtures("no_attributes")
def test_a_record_is_on_the_medium_before_its_body_is_published(root, monkeypatch):
    durable = FilesystemBackend(str(root))
    durable.put("a", b"1", PLAIN)
    events = []
    rename, sync = os.rename, _system.sync

    def renamed(source, target, **options):
        rename(source, target, **options)
        events.append("body" if target == "a" else "record")

    def synced(fd):
        sync(fd)
        events.append("sync")

    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(_system, "sync", synced)
    durable.put("a", b"2", PLAIN)
    record, body = events.index("record"), events.index("body")
    assert events[record - 1] == events[record + 1] == "sync"
    assert record + 1 < body
    assert events[-1] == "sync"


def test_settings_that_cannot_be_written_leave_the_old_ones(store, root, monkeypatch):
    store.setup(Setup(cors_origins=("https://a.example",)))
    monkeypatch.setattr(_system, "sync", failing(errno.ENOSPC))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        store.setup(Setup(cors_origins=("https://b.example",)))
    assert store.cors_origins == ("https://a.example",)
    assert leftovers(root) == []


@pytest.mark.usefixtures("no_attributes")
def test_a_record_that_cannot_be_looked_at_is_left_by_the_sweeper_and_said(store, root, monkeypatch):
    store.put("a", b"1", PLAIN)
    (root / "a").unlink()
    (record,) = (root / ".storage~/meta").iterdir()
    opening = os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda name, *args, **options: failing(errno.EIO)() if name == record.name else opening(name, *args, **options),
    )
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        store.sweep()
    assert record.exists()
    monkeypatch.undo()


# ---- what others put there ---------------------------------------------------------------------------------------------


def test_a_directory_in_a_blobs_own_place_is_left_alone(store, root):
    store.put("a/b", b"1", PLAIN)
    (root / "a" / BLOB).mkdir()
    with pytest.raises(UnsupportedOperationError, match="is a directory, not a blob; remove it"):
        store.put("a", b"2", PLAIN)
    with pytest.raises(NotFoundError):
        store.get("a")
    (root / "a" / BLOB).rmdir()
    store.put("a", b"2", PLAIN)
    assert listed(store) == ["a", "a/b"]


def test_a_directory_among_the_temporary_files_is_left_by_the_sweeper(store, root):
    store.put("a", b"1", PLAIN)
    mine = root / ".storage~/tmp/mine"
    mine.mkdir()
    (mine / "notes").write_text("mine")
    (root / ".storage~/tmp/link").symlink_to(mine)
    assert store.sweep() == []
    assert (mine / "notes").read_text() == "mine"


def test_a_stream_of_another_version_is_refused_and_holds_nothing(store):
    stat = store.put("a", b"1", PLAIN)
    before = descriptors()
    with pytest.raises(PreconditionFailedError):
        store.stream("a", 0, None, "another")
    assert descriptors() <= before
    assert b"".join(store.stream("a", 0, None, stat.etag).chunks) == b"1"
    assert repr(store) == f"FilesystemBackend({store.root!r})"


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.put("a/b", b"2", PLAIN._replace(if_match=store.stat("a/b").etag)),
        lambda store: store.delete("a/b"),
        lambda store: store.move("c", "a/b", overwrite=True),
    ],
    ids=["put", "delete", "move"],
)
def test_a_directory_that_vanishes_again_and_again_is_an_error(store, monkeypatch, call):
    store.put("a/b", b"1", PLAIN)
    store.put("c", b"1", PLAIN)

    monkeypatch.setattr(_folders, "lock", failing(errno.ENOENT))
    before = descriptors()
    with pytest.raises(UnavailableError, match="vanishes again and again"):
        call(store)
    assert descriptors() <= before
    monkeypatch.undo()
    assert store.get("a/b") == b"1"
