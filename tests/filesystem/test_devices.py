"""A store that spans two file systems, and systems that lack a call."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.backends import Stat
from storage.backends.filesystem import _listing, _staging, _system
from storage.exceptions import AlreadyExistsError, UnavailableError
from tests.filesystem.helpers import ONCE, PLAIN, leftovers, listed, tree


def across(function, mounted: str):
    """``rename`` or ``link`` as on a store in which the directory ``mounted`` is another file system."""

    def call(source, target, *, src_dir_fd, dst_dir_fd, **options):
        sides = [os.readlink(f"/proc/self/fd/{fd}").startswith(mounted) for fd in (src_dir_fd, dst_dir_fd)]
        if sides[0] != sides[1]:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        function(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **options)

    return call


@pytest.fixture(params=["mounted", "imitated"])
def other(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """``root/other``, on another file system: a real one where this process may mount, else as far as names tell."""
    folder = root / "other"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    is_mounted = False
    if request.param == "mounted":
        with contextlib.suppress(OSError):
            is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not is_mounted:
        exchange, real = _system.exchange, os.path.realpath(folder)
        monkeypatch.setattr(os, "rename", across(os.rename, real))
        monkeypatch.setattr(os, "link", across(os.link, real))
        monkeypatch.setattr(
            _system,
            "exchange",
            lambda fd, name, fd2, name2: across(lambda *_, **__: exchange(fd, name, fd2, name2), real)(
                name, name2, src_dir_fd=fd, dst_dir_fd=fd2
            ),
        )
    yield folder
    if is_mounted:
        # Lazily: the traceback of a failed call may still hold a directory open.
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_blobs_on_another_file_system_are_written_whole_and_in_place(store, root, other):
    large = os.urandom(700_000)
    options = PLAIN._replace(metadata={"a": "é"})
    for path, data in (("other/a", large), ("other/d/b", b"2"), ("here", b"3")):
        stat = store.put(path, data, options)
        assert store.stat(path) == stat
        assert stat.metadata == {"a": "é"}
        assert store.get(path) == data
    with pytest.raises(AlreadyExistsError):
        store.put("other/a", b"", ONCE)
    store.put("other/a", b"4", PLAIN._replace(if_match=store.stat("other/a").etag))
    writer = store.writer("other/w", ONCE)
    writer.write(large)
    writer.commit()
    assert store.get("other/w") == large
    store.put("other/a/below", b"5", PLAIN)
    assert store.get("other/a") == b"4"
    assert listed(store) == ["here", "other/a", "other/a/below", "other/d/b", "other/w"]
    assert leftovers(root) == []
    store.close()


def test_a_move_across_is_a_copy_and_a_delete(store, root, other):
    (other / "stays").touch()
    old = store.put("a", b"1", PLAIN._replace(cache_control="no-cache"))
    assert store.move("a", "other/x/a", overwrite=False)[3:] == old[3:]
    assert tree(root) == ["other/", "other/stays", "other/x/", "other/x/a"]
    store.move("other/x/a", "a", overwrite=True)
    assert tree(root) == ["a", "other/", "other/stays"]
    assert store.get("a") == b"1"
    store.close()


def test_a_move_across_spares_what_was_written_to_its_source_meanwhile(store, other, monkeypatch):
    store.put("a", b"1", PLAIN)
    copy = store.copy

    def slow(source, target, *, overwrite, if_match):
        stat = copy(source, target, overwrite=overwrite, if_match=if_match)
        store.put("a", b"2", PLAIN)
        return stat

    monkeypatch.setattr(store, "copy", slow)
    store.move("a", "other/a", overwrite=True)
    assert (store.get("a"), store.get("other/a")) == (b"2", b"1")
    store.close()


def test_a_full_file_system_leaves_the_old_blob(store, root, other, monkeypatch):
    """Also where only the copy that has to be made beside the blob finds no room."""
    store.put("other/a", b"old", PLAIN)
    if not os.path.ismount(other):

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(_system, "clone", full)
    with pytest.raises(OSError) as caught:
        store.put("other/a", bytes(4_000_000), PLAIN)
    assert caught.value.errno == errno.ENOSPC
    assert store.classify(caught.value) is UnavailableError
    assert store.get("other/a") == b"old"
    assert leftovers(root) == []
    store.close()


@pytest.mark.parametrize("missing", ["renameat2", "renameatx_np"])
def test_an_exchange_that_the_system_lacks_is_not_supported(tmp_path, monkeypatch, missing):
    class Library:
        """A C library without the call."""

    monkeypatch.setattr(_system, "_libc", Library())
    with pytest.raises(OSError) as caught:
        _system.exchange(-1, "a", -1, "b")
    assert caught.value.errno == errno.ENOTSUP


def test_an_exchange_of_what_is_not_there_is_an_ordinary_error(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(FileNotFoundError):
            _system.exchange(fd, "a", fd, "b")
    finally:
        os.close(fd)


def test_a_kernel_without_openat2_is_noticed(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    assert _system._has_openat2()
    monkeypatch.setattr(_system, "_openat2_inside", refuse)
    assert not _system._has_openat2()
    monkeypatch.setattr("sys.platform", "darwin")
    assert not _system._has_openat2()


def test_where_fsync_stops_at_the_drive_the_stronger_call_is_made(tmp_path, monkeypatch):
    calls = []

    def control(fd, what):
        calls.append(what)
        if len(calls) > 1:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(_system, "_F_FULLFSYNC", 51)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("fsync"))
    _system.sync(0)
    _system.sync(0)
    assert calls == [51, 51, "fsync"]


def test_a_clone_falls_back_where_the_kernel_copies_nothing(tmp_path, monkeypatch):
    body = os.urandom(2_500_000)
    (tmp_path / "a").write_bytes(body)
    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("w+b") as target:
        _system.clone(source.fileno(), target.fileno(), len(body))
    assert (tmp_path / "b").read_bytes() == body

    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "copy_file_range", broken)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "c").open("w+b") as target, pytest.raises(OSError):
        _system.clone(source.fileno(), target.fileno(), len(body))


def test_a_listing_with_details_leaves_out_what_was_deleted_and_tells_what_was_replaced(store, root, monkeypatch):
    for path in ("a", "b", "c", "d/e", "d/f"):
        store.put(path, b"1", PLAIN)
    (root / "dropped.html").write_bytes(b"2")
    store.put("a/below", b"", PLAIN)
    page = listed(store)
    expected = dict.fromkeys(page)
    expected |= {path: Stat(*store.stat(path)[:3]) for path in page}
    assert dict(_listing.detailed(store._tree, [*page, "x/"], store.stat)) == {**expected, "x/": None}

    peek = _listing._peek

    def late(fd, path, *, has_sidecars):
        if path == "b":
            store.delete("b")
        return peek(fd, path, has_sidecars=has_sidecars)

    monkeypatch.setattr(_listing, "_peek", late)
    fetch = _listing._records.fetch_named

    def replaced(fd, name):
        if name == "c":
            expected["c"] = Stat(*store.put("c", b"longer", PLAIN)[:3])
        return fetch(fd, name)

    monkeypatch.setattr(_listing._records, "fetch_named", replaced)
    del expected["b"], expected["d/e"], expected["d/f"]
    store.delete("d/e")
    store.delete("d/f")
    assert dict(_listing.detailed(store._tree, page, store.stat)) == expected


def test_temporary_files_that_vanish_again_and_again_are_an_error(store, monkeypatch):
    monkeypatch.setattr(_staging, "TRIES", 3)
    monkeypatch.setattr(_system, "lock_new", lambda fd: False)
    with pytest.raises(UnavailableError, match="vanish"):
        store.put("a", b"", PLAIN)


def test_a_staging_directory_that_was_removed_is_made_again(store, root):
    store.put("a", b"", PLAIN)
    (root / ".storage~/tmp").rmdir()
    store.put("a", b"1", PLAIN)
    (root / ".storage~/tmp").rmdir()
    (root / ".storage~").rmdir()
    writer = store.writer("b", ONCE)
    writer.commit()
    assert (listed(store), store.get("a")) == (["a", "b"], b"1")
