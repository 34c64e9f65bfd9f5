"""File systems that fold names: no kernel here can mount one, so the system calls that take a name fold it first."""

from __future__ import annotations

import os
import types
import unicodedata

import pytest

from storage.backends.filesystem import (
    FilesystemBackend,
    _case_folding,
    _deleting,
    _folders,
    _listing,
    _places,
    _publishing,
    _staging,
    _system,
    _tree,
)
from storage.exceptions import NotFoundError, UnsupportedOperationError
from tests.filesystem.helpers import ONCE, PLAIN, leftovers, listed, tree


def fold(name: str) -> str:
    """As APFS and ext4 with casefold do: case and normalisation do not count, and the first spelling is kept."""
    return unicodedata.normalize("NFD", name).casefold()


def on_disk(name, fd):
    """The spelling in the directory ``fd`` that ``name`` folds into."""
    names = os.listdir(fd)
    return next((other for other in names if name not in names and fold(other) == fold(name)), name)


class FoldingOS(types.ModuleType):
    """``os``, on a file system that folds."""

    def __getattr__(self, name):
        return getattr(os, name)

    def open(self, name, flags, mode=0o777, *, dir_fd=None):
        return os.open(on_disk(name, dir_fd) if dir_fd is not None else name, flags, mode, dir_fd=dir_fd)

    def stat(self, name, *, dir_fd=None, follow_symlinks=True):
        return os.stat(
            on_disk(name, dir_fd) if dir_fd is not None else name, dir_fd=dir_fd, follow_symlinks=follow_symlinks
        )

    def unlink(self, name, *, dir_fd=None):
        os.unlink(on_disk(name, dir_fd), dir_fd=dir_fd)

    def mkdir(self, name, mode=0o777, *, dir_fd=None):
        os.mkdir(on_disk(name, dir_fd), mode, dir_fd=dir_fd)

    def rmdir(self, name, *, dir_fd=None):
        os.rmdir(on_disk(name, dir_fd), dir_fd=dir_fd)

    def rename(self, name, target, *, src_dir_fd=None, dst_dir_fd=None):
        os.rename(on_disk(name, src_dir_fd), on_disk(target, dst_dir_fd), src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def link(self, name, target, *, src_dir_fd=None, dst_dir_fd=None, follow_symlinks=True):
        target = on_disk(target, dst_dir_fd)
        os.link(on_disk(name, src_dir_fd), target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=False)


@pytest.fixture
def folding(monkeypatch: pytest.MonkeyPatch, root) -> FilesystemBackend:
    """A store on a file system that folds."""
    fake = FoldingOS("os")
    for module in (_case_folding, _deleting, _folders, _listing, _places, _publishing, _staging, _system, _tree):
        monkeypatch.setattr(module, "os", fake)
    monkeypatch.setattr(_system, "open_inside", _system.walk_inside)
    return FilesystemBackend(str(root), fsync=False)


def test_a_device_that_keeps_names_apart_is_asked_once(store, monkeypatch):
    store.put("A/b", b"1", PLAIN)
    store.put("a/b", b"2", PLAIN)
    store.put("e\u0301", b"3", PLAIN)
    store.put("é", b"4", PLAIN)
    assert [store.get(path) for path in ("A/b", "a/b", "e\u0301", "é")] == [b"1", b"2", b"3", b"4"]
    monkeypatch.setattr(_case_folding, "_finds_both", None)
    store.put("B", b"", ONCE)
    store.move("B", "b", overwrite=False)
    assert FilesystemBackend(store.root)._tree.spelling.exact == set()


@pytest.mark.parametrize(
    "first, second",
    [
        ("abc", "ABC"),
        ("x/y", "X/y"),
        ("x/y", "x/Y"),
        ("x/y", "X/z"),
        ("e\u0301", "é"),
        ("ß", "ss"),
        ("a", "A/b"),
        ("a/b", "A"),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_two_keys_that_fold_into_one_name_never_alias(folding, root, first, second, known):
    folding.put(first, b"first", PLAIN)
    if known:
        assert folding.get(first) == b"first"
    before = tree(root)
    fresh = FilesystemBackend(str(root), fsync=False)
    for store in (folding, fresh):
        for read in (store.get, store.stat, store.delete):
            with pytest.raises(NotFoundError):
                read(second)
        for options in (PLAIN, ONCE):
            with pytest.raises(UnsupportedOperationError, match="folds"):
                store.put(second, b"second", options)
        with pytest.raises(UnsupportedOperationError, match="folds"):
            store.copy(first, second, overwrite=True)
        with pytest.raises(UnsupportedOperationError, match="folds"):
            store.move(first, second, overwrite=True)
        assert listed(store) == [first]
        assert store.get(first) == b"first"
    assert tree(root) == before
    assert leftovers(root) == []


def test_of_two_spellings_written_at_once_one_is_refused(folding, monkeypatch):
    lock, locked = _folders.lock, []

    def overtaken(tree, fd):
        if not locked:
            locked.append(fd)
            folding.put("abc", b"first", PLAIN)
        return lock(tree, fd)

    monkeypatch.setattr(_folders, "lock", overtaken)
    with pytest.raises(UnsupportedOperationError, match="folds"):
        folding.put("ABC", b"second", PLAIN)
    assert (listed(folding), folding.get("abc")) == (["abc"], b"first")


def test_the_first_spelling_can_be_overwritten_and_deleted(folding, root):
    for path in ("Abc/Def", "Abc/Def/g", "x"):
        folding.put(path, b"1", PLAIN)
        folding.put(path, b"2", PLAIN._replace(if_match=folding.stat(path).etag))
        assert folding.get(path) == b"2"
    folding.delete("Abc/Def/g")
    folding.delete("Abc/Def")
    folding.put("ABC/DEF", b"3", ONCE)
    assert listed(folding) == ["ABC/DEF", "x"]


def test_files_dropped_in_are_read_by_their_own_spelling_only(folding, root):
    root.mkdir()
    (root / "Report.TXT").write_bytes(b"1")
    assert folding.get("Report.TXT") == b"1"
    with pytest.raises(NotFoundError):
        folding.get("report.txt")
    fresh = FilesystemBackend(str(root), fsync=False)
    with pytest.raises(NotFoundError):
        fresh.get("report.txt")
    with pytest.raises(UnsupportedOperationError):
        fresh.put("report.txt", b"", PLAIN)
    assert (root / "Report.TXT").read_bytes() == b"1"


def test_a_folder_and_a_blob_of_one_spelling_stand_beside_each_other(folding):
    folding.put("Abc/d", b"1", PLAIN)
    assert folding.get("Abc/d") == b"1"
    folding.put("Abc", b"2", PLAIN)
    assert (folding.get("Abc"), folding.get("Abc/d")) == (b"2", b"1")


def test_names_that_can_be_spelled_in_one_way_only_tell_nothing_and_need_nothing(folding, root):
    (root / "1").mkdir(parents=True)
    (root / "1/2").write_bytes(b"dropped")
    assert folding.get("1/2") == b"dropped"
    folding.put("1/3", b"3", ONCE)
    with pytest.raises(NotFoundError):
        folding.get("1/4")
    (root / "1/X").write_bytes(b"4")
    assert folding.get("1/X") == b"4"
    with pytest.raises(NotFoundError):
        folding.get("1/x")
