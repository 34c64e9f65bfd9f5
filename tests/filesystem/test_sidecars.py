"""Records of bodies that cannot carry their own."""

from __future__ import annotations

import errno
import gc
import os
from contextlib import nullcontext

import pytest

from storage.backends import Stat
from storage.backends.filesystem import FilesystemBackend, _records, _sidecars
from storage.exceptions import AlreadyExistsError, PreconditionFailedError, UnavailableError
from tests.filesystem.helpers import ONCE, PLAIN, leftovers, listed

FULL = PLAIN._replace(
    content_type="a/b", cache_control="no-cache", content_encoding="gzip", metadata={"a": "é", "b": ""}
)


def sidecars(root):
    folder = root / ".storage~/meta"
    return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.mark.usefixtures("no_attributes")
def test_a_record_is_kept_beside_its_body(store, root):
    stat = store.put("a/b", b"1", FULL)
    assert (stat.content_type, stat.cache_control, stat.content_encoding) == ("a/b", "no-cache", "gzip")
    assert FilesystemBackend(str(root)).stat("a/b") == stat
    assert store.stream("a/b").stat == stat
    assert [found for page in store.scan("", detail=True) for found in page] == [("a/b", Stat(*stat[:3]))]
    assert len(sidecars(root)) == 1
    new = store.put("a/b", b"2", PLAIN._replace(if_match=stat.etag))
    assert store.stat("a/b") == new
    assert len(sidecars(root)) == 1
    with pytest.raises(PreconditionFailedError):
        store.put("a/b", b"3", PLAIN._replace(if_match=stat.etag))
    with pytest.raises(AlreadyExistsError):
        store.put("a/b", b"3", ONCE)
    store.delete("a/b")
    assert sidecars(root) == []
    assert leftovers(root) == []


@pytest.mark.usefixtures("no_attributes")
def test_copy_and_move_take_the_record_along(store, root):
    store.put("a", b"1", FULL)
    copied = store.copy("a", "b", overwrite=False)
    assert copied[3:] == store.stat("a")[3:] == store.stat("b")[3:]
    moved = store.move("a", "c/d", overwrite=False)
    assert moved[3:] == store.stat("c/d")[3:] == copied[3:]
    store.put("c/d/e", b"", PLAIN)
    assert store.stat("c/d")[3:] == copied[3:]
    assert listed(store) == ["b", "c/d", "c/d/e"]
    assert len(sidecars(root)) == 3


@pytest.mark.usefixtures("no_attributes")
def test_two_bodies_of_one_size_and_time_never_share_a_record(store, root, monkeypatch):
    """On a file system that keeps time in steps of two seconds, as FAT does."""
    fstat, utime = os.fstat, os.utime

    def coarse(fd, ns):
        utime(fd, ns=tuple(-(-time // 2_000_000_000) * 2_000_000_000 for time in ns))

    def stamped(fd):
        st = fstat(fd)
        if st.st_mtime_ns % 2_000_000_000:
            utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns // 2_000_000_000 * 2_000_000_000))
            st = fstat(fd)
        return st

    monkeypatch.setattr(os, "fstat", stamped)
    monkeypatch.setattr(os, "utime", coarse)
    seen = set()
    for number in range(5):
        etag = store.put("a", b"same size", PLAIN._replace(metadata={"n": str(number)})).etag
        stat = store.stat("a")
        assert (stat.etag, stat.metadata) == (etag, {"n": str(number)})
        seen.add((root / "a").stat().st_mtime_ns)
    assert len(seen) > 1
    assert len(sidecars(root)) == 1


@pytest.mark.usefixtures("no_attributes")
def test_a_file_system_without_times_is_refused(store, monkeypatch):
    store.put("a", b"1", PLAIN)
    monkeypatch.setattr(_sidecars, "_alike", lambda old, st: old is not None)
    with pytest.raises(UnavailableError, match="time of change"):
        store.put("a", b"2", PLAIN)
    assert store.get("a") == b"1"


@pytest.mark.usefixtures("no_attributes")
def test_a_writer_killed_between_record_and_body_changes_nothing(store, root, monkeypatch):
    old = store.put("a", b"1", PLAIN)
    rename = os.rename

    def killed(source, target, **options):
        if target == "a":
            raise KeyboardInterrupt
        rename(source, target, **options)

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        store.put("a", b"2", FULL)
    monkeypatch.setattr(os, "rename", rename)
    assert store.stat("a") == old
    assert len(sidecars(root)) == 2
    assert store.sweep() == ["1 records of blobs that are gone"]
    assert store.stat("a") == old
    store.put("x/y", b"", PLAIN)
    (root / "a").unlink()
    (root / "x/y").unlink()
    (root / "x").rmdir()
    assert store.sweep() == ["2 records of blobs that are gone"]
    assert sidecars(root) == []


@pytest.mark.usefixtures("no_attributes")
def test_a_reader_whose_body_is_replaced_before_it_finds_the_record_reads_the_new_one(store, monkeypatch):
    store.put("a", b"1", FULL)
    read, replaced = _sidecars.read, []

    def late(tree, path, st):
        if not replaced:
            replaced.append(store.put("a", b"22", PLAIN))
        return read(tree, path, st)

    monkeypatch.setattr(_sidecars, "read", late)
    assert store.stat("a") == replaced[0]


@pytest.mark.usefixtures("no_attributes")
def test_a_file_that_was_dropped_in_has_no_record(store, root):
    store.put("a", b"1", FULL)
    (root / "b.txt").write_bytes(b"")
    assert store.stat("b.txt")[3:] == ("text/plain", None, None, {})
    (root / "a").write_bytes(b"dropped over it")
    assert store.stat("a").content_type == "application/octet-stream"


def test_a_record_that_is_too_large_for_an_attribute_goes_beside(store, root, monkeypatch):
    setxattr = _records._setxattr

    def small(fd, name, value):
        if len(value) > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        setxattr(fd, name, value)

    monkeypatch.setattr(_records, "_setxattr", small)
    large = FULL._replace(metadata={"x": "y" * 2000})
    for options in (PLAIN, large, PLAIN, large):
        stat = store.put("a", b"1", options)
        assert store.stat("a") == stat
        assert stat.metadata == options.metadata
    store.put("a", b"1", PLAIN)
    store.sweep()
    assert sidecars(root) == []


def test_the_largest_record_that_the_contract_allows_is_kept(store):
    value = "".join(chr(33 + number % 90) for number in range(1000))
    options = PLAIN._replace(
        content_type="a/" + "b" * 1000, cache_control=value, content_encoding=value, metadata={"a": value, "b": value}
    )
    stat = store.put("a", b"", options)
    assert store.stat("a") == stat
    assert store.move("a", "b", overwrite=True)[3:] == stat[3:]


def test_a_foreign_attribute_of_our_name_is_no_record(store, root):
    (root / "d").mkdir(parents=True)
    for number, value in enumerate(
        [b"", b"\x01", b"x" * 200, b"\x02" + b"\0" * 24 + b"a\n\n\n", b"\x01" + b"\0" * 24 + b"a\n\n\n{"]
    ):
        path = root / f"d/{number}.txt"
        path.write_bytes(b"")
        os.setxattr(path, "user.storage", value)
        assert store.stat(f"d/{number}.txt").content_type == "text/plain"


@pytest.mark.parametrize("name, outcome", [("meta/a", nullcontext), ("settings.json", lambda: pytest.raises(OSError))])
def test_a_directory_in_the_place_of_a_file_of_ours_leaves_nothing_open(store, root, name, outcome):
    store.put("a", b"1", PLAIN)
    (root / ".storage~" / name).mkdir(parents=True)
    with outcome():
        store.sweep()
    gc.collect()  # what earlier tests dropped is closed now, and not meanwhile
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with outcome():
            store.sweep()
    assert len(os.listdir("/proc/self/fd")) <= before
