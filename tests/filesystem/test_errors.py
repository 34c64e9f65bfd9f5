"""Directories that cannot be written to, disks that are full, URLs that are none."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from storage import Storage
from storage._backend import Changes, Setup
from storage._urls import StorageURL
from storage.backends.filesystem import FilesystemBackend, _folders, _listing, _records, _system, create
from storage.backends.filesystem._staging import Swept
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


def test_a_good_url_gives_each_option_and_touches_nothing(root):
    store = create(
        StorageURL.parse(f"file://{root}/../x%20y?fsync=false&create=false&serve_url=http://h:1/&secret_file=/s")
    )
    assert store.root == f"{root.parent}/x y"
    assert (store.serve_url, store.secret_file) == ("http://h:1", "/s")
    assert store.location == f"{root.parent.as_uri()}/x%20y"
    assert not os.path.lexists(store.root)


def test_places_reached_through_a_link_are_one_place(root):
    root.mkdir()
    link = root.with_name("link")
    link.symlink_to(root)
    assert FilesystemBackend(str(link)).location == FilesystemBackend(str(root)).location


def test_a_missing_root_is_an_empty_store(store, root):
    assert listed(store) == listed(store, "a/b", delimiter=True) == store.find_foreign_names("") == store.sweep() == []
    assert store.bucket_exists()
    assert not store.bucket_exists_now()
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


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("place", ["store", "store/deeper", "link"])
@pytest.mark.usefixtures("opener")
def test_a_root_that_is_a_file_is_no_store(root, place, create):
    root.write_bytes(b"mine")
    root.with_name("link").symlink_to(root)
    store = FilesystemBackend(str(root.parent / place), create=create, fsync=False)
    calls = [
        lambda: store.get("a"),
        lambda: store.get("a", -1),
        lambda: store.stat("a/b"),
        lambda: store.stream("a"),
        lambda: store.delete("a"),
        lambda: store.update("a", Changes(content_type="a/b")),
        lambda: store.put("a", b"", PLAIN),
        lambda: store.put("a/b", b"", ONCE),
        lambda: store.writer("a", PLAIN),
        lambda: store.copy("a", "b", overwrite=True),
        lambda: store.move("a", "b", overwrite=True),
        lambda: listed(store),
        lambda: listed(store, "a/"),
        lambda: listed(store, delimiter=True),
    ]
    for call in calls:
        with pytest.raises(BucketNotFoundError, match="directory"):
            call()
    assert not store.bucket_exists_now()
    assert root.read_bytes() == b"mine"


@pytest.mark.parametrize("place", ["", "deeper"])
def test_through_the_facade_a_root_that_is_a_file_is_an_error_and_no_empty_store(root, place):
    root.write_bytes(b"")
    store = Storage(root / place)
    for call in (lambda: store.set("a", "b"), lambda: store.exists("a"), lambda: store.get("a"), store.list):
        with pytest.raises(BucketNotFoundError, match="directory"):
            call()


def test_where_the_system_makes_no_directories_a_write_says_so():
    with pytest.raises(BucketNotFoundError, match="choose another place"):
        Storage("file:///proc/nowhere/store").set("a", "b")


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


def test_a_signal_handler_of_the_caller_comes_out_as_it_is(root, monkeypatch):
    """Its ``TimeoutError`` is no error of the file system's, and the old blob stands."""

    def rings(*_):
        raise TimeoutError("the caller's own")

    with Storage(root) as store:
        store.set("k", "old")
        monkeypatch.setattr(os, "fsync", rings)
        with pytest.raises(TimeoutError, match="the caller's own") as caught:
            store.set("k", "new")
        assert type(caught.value) is TimeoutError
        monkeypatch.undo()
        assert store.get("k") == "old"


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
    store._tree.staging = None
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield store
    os.seteuid(before)
    for path in locked:
        path.chmod(0o755)
    store.close()
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
        (None, None),  # no system gives that; a signal handler may
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

    def broken(file, name, **options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(_records, "_getxattr", broken)
    with pytest.raises(OSError):
        store.stat("a")


# ---- only absence is absence -------------------------------------------------------------------------------------------


def broken_open(monkeypatch, number, part):
    """Opening a path that has ``part`` in it fails with the error ``number``."""
    opening, system = _system.open_inside, os.open

    def refuse(path):
        if part in str(path):
            raise OSError(number, os.strerror(number))

    def open_inside(base, path, flags):
        refuse(path)
        return opening(base, path, flags)

    def os_open(path, *args, **options):
        refuse(path)
        return system(path, *args, **options)

    monkeypatch.setattr(_system, "open_inside", open_inside)
    monkeypatch.setattr(os, "open", os_open)


OTHERS = [errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOMEM]


@pytest.mark.parametrize("number", OTHERS)
@pytest.mark.parametrize("part", [".storage~/meta", "."], ids=["folder", "file"])
@pytest.mark.usefixtures("no_attributes")
def test_a_record_that_cannot_be_read_is_an_error_and_no_absence(store, root, monkeypatch, number, part):
    stat = store.put("a", b"1", PLAIN._replace(metadata={"a": "1"}))
    if part == ".":
        (record,) = os.listdir(root / ".storage~/meta")
        part = record
    broken_open(monkeypatch, number, part)
    calls = [
        lambda: store.stat("a"),
        lambda: store.stream("a"),
        lambda: store.get("a", if_match=stat.etag),
        lambda: store.copy("a", "b", overwrite=True),
        lambda: store.move("a", "b", overwrite=True),
        lambda: store.update("a", Changes(cache_control="x")),
        lambda: store.delete("a", if_match=stat.etag),
        lambda: store.put("a", b"2", PLAIN._replace(if_match=stat.etag)),
        lambda: listed(store, detail=True),
        store.sweep,
    ]
    for call in calls:
        with pytest.raises(OSError, match=re.escape(os.strerror(number))):
            call()
    monkeypatch.undo()
    monkeypatch.setattr(_records, "_setxattr", None)
    monkeypatch.setattr(_records, "_getxattr", None)
    assert (listed(store), store.stat("a")) == (["a"], stat)


@pytest.mark.parametrize("number", OTHERS)
def test_a_directory_that_cannot_be_read_hides_nothing_from_a_listing(store, monkeypatch, number):
    for path in ("a", "a/b", "a-b", "c/d"):
        store.put(path, b"", PLAIN)
    broken_open(monkeypatch, number, ".storage~blob")
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        listed(store)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        listed(store, delimiter=True)
    monkeypatch.undo()
    broken_open(monkeypatch, number, "c")
    for call in (
        lambda: listed(store),
        lambda: listed(store, delimiter=True),
        lambda: listed(store, detail=True),
        lambda: store.find_foreign_names(""),
        store.sweep,
        lambda: store.count_outside(["x/"]),
    ):
        with pytest.raises(OSError, match=re.escape(os.strerror(number))):
            call()


def test_a_listing_with_details_does_not_drop_a_blob_that_cannot_be_looked_at(store, monkeypatch):
    store.put("d/a", b"", PLAIN)

    def broken(fd, name):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(_listing._records, "fetch_named", broken)
    monkeypatch.setattr(_records, "_getxattr", lambda *_, **__: broken(0, ""))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        listed(store, detail=True)


@pytest.mark.parametrize("number", OTHERS)
def test_settings_that_cannot_be_read_are_an_error(store, monkeypatch, number):
    store.put("a", b"", PLAIN)
    broken_open(monkeypatch, number, "settings.json")
    for call in (lambda: store.cors_origins, store.sweep, lambda: store.setup(Setup(cors_origins=()))):
        with pytest.raises(OSError, match=re.escape(os.strerror(number))):
            call()


# ---- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number, kind, words",
    [
        (errno.ENOSPC, UnavailableError, "no space is left"),
        (errno.EDQUOT, UnavailableError, "quota"),
        (errno.EROFS, PermissionDeniedError, "read-only"),
        (errno.EACCES, PermissionDeniedError, "owner and mode"),
        (errno.ENOTDIR, BucketNotFoundError, "stands where the store needs a directory"),
        (errno.EIO, UnavailableError, "the disk reports an error"),
        (errno.EMFILE, UnavailableError, "too many files"),
        (errno.ENAMETOOLONG, UnsupportedOperationError, "too long"),
        (errno.EFBIG, UnsupportedOperationError, "larger than a file may be"),
        (errno.ESTALE, UnavailableError, "the directory cannot be used for now"),
        (errno.EOPNOTSUPP, UnsupportedOperationError, "this backend cannot do that"),
    ],
)
def test_a_message_speaks_of_the_directory_and_says_what_to_do(root, monkeypatch, number, kind, words):
    with Storage(f"file://{root}?fsync=false") as store:
        store.set("a", "old")

        def refuse(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "write", refuse)
        with pytest.raises(kind, match=words) as caught:
            store.set("a", "new")
        monkeypatch.undo()
        message = str(caught.value)
        assert "'a'" in message
        assert os.strerror(number) in message
        assert not {"service", "credentials", "bucket", "network", "retries"} & set(re.findall(r"\w+", message))
        assert store.get("a") == "old"


def test_a_stream_whose_temporary_file_was_deleted_is_unavailable_and_leaves_the_old_blob(root):
    with Storage(f"file://{root}?fsync=false") as store:
        store.set("a", "old")
        for deleted in (".storage~", ".storage~/tmp"):
            file = store.open("a", "wb")
            file.write(b"x" * 3_000_000)
            shutil.rmtree(root / deleted)
            with pytest.raises(UnavailableError, match="its temporary file was deleted"):
                file.close()
            assert (store.get("a"), store.list()) == ("old", ["a"])
            store.set("b", "works")
            store.delete("b")


def test_a_temporary_file_that_is_deleted_while_it_is_published(store, root, monkeypatch):
    store.put("d/a", b"old", PLAIN)
    real, deleted = _folders.lock, []

    def late(tree, fd):
        if not deleted:
            deleted.extend(leftovers(root))
            os.unlink(*deleted)
        return real(tree, fd)

    monkeypatch.setattr(_folders, "lock", late)
    store.put("d/a", b"new", PLAIN)
    assert (store.get("d/a"), len(deleted)) == (b"new", 1)
    deleted.clear()
    writer = store.writer("d/a", PLAIN)
    with pytest.raises(Swept) as caught:
        writer.commit()
    assert store.classify(caught.value) is UnavailableError
    assert store.get("d/a") == b"new"
