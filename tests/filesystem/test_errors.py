"""Directories that cannot be written to, disks that are full, URLs that are none."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from storage import Storage
from storage._urls import StorageURL
from storage.backends.filesystem import FilesystemBackend, _records, _system, create
from storage.exceptions import (
    BucketNotFoundError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
    UnavailableError,
    UnsupportedOperationError,
)
from tests.filesystem.helpers import ONCE, PLAIN, leftovers, listed, tree


@pytest.mark.parametrize(
    "url, word",
    [
        ("file://host/dir", "file:///"),
        ("file://dir", "file:///"),
        ("file://", "file:///"),
        ("file:///", "file:///"),
        ("file:///a%00b", "file:///"),
        ("file:///a?fsync=yes", "true"),
        ("file:///a?create=1", "true"),
        ("file:///a?nonsense=1", "create"),
        ("file:///a?serve_url=ftp://x", "http://"),
        ("file:///a?secret_file=relative", "absolute"),
        ("file:///a?secret_file=", "absolute"),
    ],
)
def test_a_bad_url_says_what_to_write(url, word):
    with pytest.raises(ConfigurationError, match=word):
        create(StorageURL.parse(url))


def test_windows_is_refused(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ConfigurationError, match="Linux and macOS"):
        create(StorageURL.parse("file:///a"))


def test_a_good_url_gives_each_option_and_touches_nothing(root):
    store = create(
        StorageURL.parse(f"file://{root}/../x%20y?fsync=false&create=false&serve_url=http://h:1/&secret_file=/s")
    )
    assert store.root == f"{root.parent}/x y"
    assert (store.serve_url, store.secret_file) == ("http://h:1", "/s")
    assert store.location == f"file://{root.parent}/x%20y"
    assert not os.path.lexists(store.root)


def test_places_reached_through_a_link_are_one_place(root):
    root.mkdir()
    link = root.with_name("link")
    link.symlink_to(root)
    assert FilesystemBackend(str(link)).location == FilesystemBackend(str(root)).location


def test_a_missing_root_is_an_empty_store(store, root):
    assert listed(store) == listed(store, "a/b", delimiter=True) == store.lint("") == store.sweep() == []
    assert store.bucket_exists()
    assert not store.is_there()
    for call in (store.get, store.stat, store.delete, store.stream):
        with pytest.raises(NotFoundError):
            call("a")
    assert not root.exists()


def test_with_create_false_a_missing_root_is_no_store(root):
    store = FilesystemBackend(str(root), create=False, fsync=False)
    assert not store.bucket_exists()
    calls = [
        lambda: store.get("a"),
        lambda: store.stat("a"),
        lambda: store.stream("a"),
        lambda: store.delete("a/b"),
        lambda: store.put("a", b"", PLAIN),
        lambda: store.writer("a", PLAIN),
        lambda: store.copy("a", "b", overwrite=True),
        lambda: store.move("a", "b", overwrite=True),
        lambda: listed(store),
        lambda: listed(store, "a/"),
    ]
    for call in calls:
        with pytest.raises(BucketNotFoundError, match="create=false"):
            call()
    assert not root.exists()
    root.mkdir()
    store.put("a", b"1", PLAIN)
    with pytest.raises(NotFoundError):
        store.get("b")
    shutil.rmtree(root)
    with pytest.raises(BucketNotFoundError):
        store.put("a", b"", PLAIN)


def test_a_root_that_is_a_file_is_no_store(root):
    root.write_bytes(b"")
    store = Storage(f"file://{root}")
    with pytest.raises(BucketNotFoundError):
        store.set("a", "b")
    with pytest.raises(BucketNotFoundError):
        Storage(f"file://{root}/deeper").set("a", "b")


def small_writes(limit: int):
    """``os.write`` on a file system with ``limit`` bytes left."""
    write, left = os.write, [limit]

    def writing(fd, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(fd, memoryview(data)[: left[0]])
        left[0] -= written
        return written

    return writing


def test_a_full_disk_is_unavailable_and_leaves_the_old_blob(store, root, monkeypatch):
    old = store.put("a", b"old", PLAIN)
    monkeypatch.setattr(os, "write", small_writes(100_000))
    with pytest.raises(OSError) as caught:
        store.put("a", b"x" * 200_000, PLAIN)
    assert store.classify(caught.value) is UnavailableError
    writer = store.writer("a", PLAIN)
    with pytest.raises(OSError):
        writer.write(b"x" * 200_000)
    writer.abort()
    monkeypatch.undo()
    assert (store.get("a"), store.stat("a")) == (b"old", old)
    assert leftovers(root) == []


def test_a_file_size_limit_of_the_process_leaves_the_old_blob(store, root, start):
    store.put("a", b"old", PLAIN)
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for attempt in range(2):
    try:
        if attempt:
            store.writer("a", plain).write(b"x" * 200_000)
        else:
            store.put("a", b"x" * 200_000, plain)
    except OSError as exc:
        print(store.classify(exc).__name__)
"""
    assert start(code).communicate()[0].split() == ["UnsupportedOperationError"] * 2
    assert store.get("a") == b"old"
    assert leftovers(root) == []


def test_through_the_facade_a_full_disk_carries_key_and_cause(root, monkeypatch):
    with Storage(f"file://{root}?fsync=false") as store:
        store.set("a", "old")
        monkeypatch.setattr(os, "write", small_writes(10))
        with pytest.raises(UnavailableError) as caught:
            store.set("a", "x" * 1000)
        monkeypatch.undo()
        assert caught.value.key == "a"
        assert isinstance(caught.value.__cause__, OSError)
        assert store.get("a") == "old"


@pytest.fixture
def unprivileged():
    """A root that its owner, who has no privileges now, may only read."""
    folder = Path(tempfile.mkdtemp(prefix="storage-"))
    folder.chmod(0o755)
    store = FilesystemBackend(str(folder / "store"), fsync=False)
    store.put("d/a", b"old", PLAIN)
    locked = [folder / "store", folder / "store/d", folder / "store/.storage~", folder / "store/.storage~/tmp"]
    for path in locked:
        path.chmod(0o555)
    store.close()
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield store
    os.seteuid(before)
    store.close()
    for path in locked:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_directory_is_readable_and_nothing_else(unprivileged):
    store = unprivileged
    assert store.get("d/a") == b"old"
    assert store.stat("d/a").content_type == "text/plain"
    assert listed(store) == ["d/a"]
    calls = [
        lambda: store.put("d/a", b"", PLAIN),
        lambda: store.put("d/b", b"", ONCE),
        lambda: store.writer("d/a", PLAIN),
        lambda: store.delete("d/a"),
        lambda: store.move("d/a", "d/b", overwrite=True),
        lambda: store.copy("d/a", "d/b", overwrite=True),
    ]
    for call in calls:
        with pytest.raises(OSError) as caught:
            call()
        assert store.classify(caught.value) is PermissionDeniedError
    assert store.sweep() == []
    assert store.get("d/a") == b"old"


def test_a_file_or_directory_that_may_not_be_read_is_no_absence(unprivileged):
    store = unprivileged
    before = os.geteuid()
    os.seteuid(os.getuid())
    os.chmod(f"{store.root}/d/a", 0o000)
    os.seteuid(before)
    with pytest.raises(PermissionError):
        store.get("d/a")
    with pytest.raises(PermissionError):
        store.stat("d/a")
    os.seteuid(os.getuid())
    os.chmod(f"{store.root}/d", 0o000)
    os.seteuid(before)
    with pytest.raises(PermissionError):
        listed(store)


@pytest.mark.parametrize(
    "number, kind",
    [
        (errno.ENOENT, NotFoundError),
        (errno.EACCES, PermissionDeniedError),
        (errno.EPERM, PermissionDeniedError),
        (errno.EROFS, PermissionDeniedError),
        (errno.ENAMETOOLONG, UnsupportedOperationError),
        (errno.ENOSPC, UnavailableError),
        (errno.EDQUOT, UnavailableError),
        (errno.EIO, UnavailableError),
        (errno.EMFILE, UnavailableError),
        (errno.ESTALE, UnavailableError),
        (None, UnavailableError),
    ],
)
def test_every_error_of_the_system_has_a_class(store, number, kind):
    assert store.classify(OSError(number, "x") if number else OSError("x")) is kind


def test_an_error_of_another_kind_is_not_ours(store):
    assert store.classify(ValueError()) is None
    assert store.classify(NotFoundError()) is NotFoundError


def test_a_name_that_the_file_system_cannot_hold_is_refused_and_absent(store, root, monkeypatch):
    opening = _system.open_inside

    def short(base, path, flags):
        if len(path.rpartition("/")[2]) > 143:
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        return opening(base, path, flags)

    monkeypatch.setattr(_system, "open_inside", short)
    with pytest.raises(OSError) as caught:
        store.put("x" * 200 + "/a", b"", PLAIN)
    assert store.classify(caught.value) is UnsupportedOperationError
    with pytest.raises(NotFoundError):
        store.get("x" * 200)
    assert tree(root) == []


def test_without_hard_links_create_only_still_has_one_winner(store, root, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    store.put("a", b"1", ONCE)
    with pytest.raises(StorageError):
        store.put("a", b"2", ONCE)
    assert store.get("a") == b"1"
    with pytest.raises(UnsupportedOperationError, match="'a' is a blob"):
        store.put("a/b", b"", PLAIN)
    assert store.get("a") == b"1"
    assert leftovers(root) == []


def test_without_an_exchange_of_names_a_key_below_a_key_is_refused(store, root, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(_system, "exchange", refuse)
    store.put("a", b"1", PLAIN)
    with pytest.raises(UnsupportedOperationError, match="'a' is a blob"):
        store.put("a/b", b"", PLAIN)
    assert store.get("a") == b"1"
    assert tree(root) == ["a"]
    assert leftovers(root) == []


def test_where_directories_cannot_be_locked_a_file_is(store, root, monkeypatch):
    flock = _system.fcntl.flock

    def only_files(fd, operation):
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(fd, operation)

    monkeypatch.setattr(_system.fcntl, "flock", only_files)
    etag = store.put("a/b", b"1", PLAIN).etag
    store.put("a/b", b"2", PLAIN._replace(if_match=etag))
    store.move("a/b", "c/d", overwrite=False)
    store.delete("c/d")
    assert (root / ".storage~/lock").exists()


def test_where_nothing_can_be_locked_writes_are_refused(store, monkeypatch):
    def refuse(fd, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(_system.fcntl, "flock", refuse)
    with pytest.raises(UnsupportedOperationError, match="no locks"):
        store.put("a", b"", PLAIN)


def test_a_broken_attribute_is_an_error_and_no_absence(store, monkeypatch):
    store.put("a", b"", PLAIN)

    def broken(fd, name):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(_records, "_getxattr", broken)
    with pytest.raises(OSError):
        store.stat("a")
