"""What lies where on disk, and what others may put there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from storage._backend import Changes, Setup
from storage.backends.filesystem import FilesystemBackend, _folders
from storage.exceptions import AlreadyExistsError, NotFoundError, PreconditionFailedError
from tests.filesystem.helpers import ONCE, PLAIN, leftovers, listed, tree


def test_a_blob_is_a_plain_file_where_a_person_expects_it(store, root):
    store.put("data/reports/a.csv", b"1,2", PLAIN)
    assert (root / "data/reports/a.csv").read_bytes() == b"1,2"
    assert tree(root) == ["data/", "data/reports/", "data/reports/a.csv"]


def test_files_are_as_readable_as_the_umask_says(store, root):
    before = os.umask(0o027)
    try:
        store.put("a", b"", PLAIN)
    finally:
        os.umask(before)
    assert (root / "a").stat().st_mode & 0o777 == 0o640


def test_a_file_that_was_dropped_in_is_a_blob(store, root):
    (root / "data").mkdir(parents=True)
    (root / "data/page.html").write_bytes(b"<p>")
    stat = store.stat("data/page.html")
    assert (stat.size, stat.content_type, stat.metadata) == (3, "text/html", {})
    assert store.get("data/page.html", if_match=stat.etag) == b"<p>"
    assert listed(store) == ["data/page.html"]
    with pytest.raises(AlreadyExistsError):
        store.put("data/page.html", b"", ONCE)
    store.put("data/page.html", b"new", PLAIN._replace(if_match=stat.etag))
    assert (root / "data/page.html").read_bytes() == b"new"


def test_an_edit_in_place_changes_the_etag_and_keeps_the_headers(store, root):
    old = store.put("a.txt", b"one", PLAIN._replace(cache_control="no-cache", metadata={"n": "1"}))
    (root / "a.txt").write_bytes(b"another")
    new = store.stat("a.txt")
    assert new.etag != old.etag
    assert (new.size, new.content_type, new.cache_control, new.metadata) == (7, "text/plain", "no-cache", {"n": "1"})
    with pytest.raises(PreconditionFailedError):
        store.put("a.txt", b"", PLAIN._replace(if_match=old.etag))


def test_an_edit_in_place_while_it_is_read_is_noticed(store, root):
    store.put("a", b"x" * 10, PLAIN)
    download = store.stream("a")
    with (root / "a").open("ab") as file:
        file.write(b"y")
    with pytest.raises(PreconditionFailedError):
        list(download.chunks)


def test_a_body_is_read_to_its_end_though_it_is_replaced_meanwhile(store):
    store.put("a", b"x" * 3_000_000, PLAIN)
    chunks = iter(store.stream("a").chunks)
    first = next(chunks)
    store.put("a", b"y", PLAIN)
    assert first + b"".join(chunks) == b"x" * 3_000_000


def test_a_key_below_a_key_moves_the_first_into_a_directory(store, root):
    old = store.put("a", b"1", PLAIN._replace(metadata={"m": "é"}))
    store.put("a/b", b"2", PLAIN)
    store.put("a/b/c", b"3", ONCE)
    assert store.stat("a") == old
    assert tree(root) == ["a/", "a/.storage~blob", "a/b/", "a/b/.storage~blob", "a/b/c"]
    assert listed(store) == ["a", "a/b", "a/b/c"]
    assert leftovers(root) == []
    store.put("a", b"4", PLAIN._replace(if_match=old.etag))
    with pytest.raises(AlreadyExistsError):
        store.put("a", b"", ONCE)
    assert [store.get(path) for path in ("a", "a/b", "a/b/c")] == [b"4", b"2", b"3"]


def test_a_key_moves_into_its_directory_while_others_open_that_for_temporary_files(store, monkeypatch):
    """What one thread has open there is not closed when another opens it anew."""
    store.put("data/a", b"1", PLAIN)
    mkdir = os.mkdir

    def meanwhile(name, *args, **options):
        if str(name).startswith("t") and len(name) == 25:
            _folders.open_staging(store._tree)
        return mkdir(name, *args, **options)

    monkeypatch.setattr(os, "mkdir", meanwhile)
    store.put("data/a/b", b"2", PLAIN)
    assert (store.get("data/a"), store.get("data/a/b")) == (b"1", b"2")


def test_a_blob_inside_its_directory_sorts_before_what_stands_between_them(store):
    for path in ("a/z", "a", "a-b", "a!", "a0", "b/c", "b", "b,d", "b,d/e"):
        store.put(path, b"", PLAIN)
    everything = ["a", "a!", "a-b", "a/z", "a0", "b", "b,d", "b,d/e", "b/c"]
    assert listed(store) == sorted(everything) == everything
    for size in (1, 2, 3):
        for after in [*everything, "a.", "a/", "a//", "b,", "b,d/", "b/", "c"]:
            assert listed(store, start_after=after, page_size=size) == [path for path in everything if path > after]
        folders = ["a", "a!", "a-b", "a/", "a0", "b", "b,d", "b,d/", "b/"]
        for after in [*folders, "a/z", "b,d/e"]:
            rest = [path for path in folders if path > after]
            assert listed(store, delimiter=True, start_after=after, page_size=size) == rest


def test_a_folder_is_shown_only_if_a_blob_is_below_it(store, root):
    store.put("a", b"", PLAIN)
    store.put("a/b/c", b"", PLAIN)
    store.delete("a/b/c")
    (root / "empty/deeper").mkdir(parents=True)
    (root / "foreign").mkdir()
    (root / "foreign/link").symlink_to("/etc/passwd")
    assert listed(store, delimiter=True) == ["a"]


def test_empty_directories_go_with_their_last_blob(store, root):
    for path in ("a/b/c/d", "a/b/x", "a"):
        store.put(path, b"", PLAIN)
    store.delete("a/b/c/d")
    assert tree(root) == ["a/", "a/.storage~blob", "a/b/", "a/b/x"]
    store.delete("a/b/x")
    store.delete("a")
    assert tree(root) == []
    assert root.is_dir()


def test_a_refused_write_leaves_no_directories(store, root):
    with pytest.raises(PreconditionFailedError):
        store.put("a/b/c", b"", PLAIN._replace(if_match="none"))
    with pytest.raises(NotFoundError):
        store.copy("x", "d/e", overwrite=True)
    with pytest.raises(NotFoundError):
        store.move("x", "d/e", overwrite=True)
    assert tree(root) == []


def test_a_blob_takes_the_place_of_an_empty_directory(store, root):
    (root / "a").mkdir(parents=True)
    store.put("a", b"1", ONCE)
    assert (root / "a").read_bytes() == b"1"


def test_move_keeps_the_file_and_cleans_up(store, root):
    old = store.put("a/b", b"1", PLAIN)
    inode = (root / "a/b").stat().st_ino
    assert store.move("a/b", "c/d/e", overwrite=False) == old
    assert tree(root) == ["c/", "c/d/", "c/d/e"]
    assert (root / "c/d/e").stat().st_ino == inode
    store.move("c/d/e", "c", overwrite=True)
    store.move("c", "c/x", overwrite=False)
    assert listed(store) == ["c/x"]
    store.put("y", b"2", PLAIN)
    with pytest.raises(AlreadyExistsError):
        store.move("c/x", "y", overwrite=False)
    store.move("c/x", "y", overwrite=True)
    assert store.get("y") == b"1"
    assert tree(root) == ["y"]


def test_a_move_that_was_killed_between_its_two_names_is_finished_by_the_next(store, root):
    store.put("a", b"1", PLAIN)
    os.link(root / "a", root / "b")
    store.move("a", "b", overwrite=True)
    assert tree(root) == ["b"]
    assert store.get("b") == b"1"


def test_what_is_no_blob_is_never_listed_read_or_deleted(store, root):
    store.put("good", b"", PLAIN)
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("good")
    (root / "folder-link").symlink_to("/etc")
    (root / "dangling").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    names = [b"not-utf8-\xff", b"back\\slash", b"new\nline", b".storage~mine", b"\xef\xbf\xbf"]
    for name in names:
        (root / os.fsdecode(name)).write_bytes(b"")
    assert listed(store) == ["good"]
    assert listed(store, delimiter=True) == ["good"]
    for path in ("pipe", "link", "folder-link", "folder-link/passwd", "dangling", "socket"):
        with pytest.raises(NotFoundError):
            store.get(path)
        with pytest.raises(NotFoundError):
            store.stat(path)
        with pytest.raises(NotFoundError):
            store.delete(path)
        with pytest.raises(NotFoundError):
            store.copy(path, "x", overwrite=True)
        with pytest.raises(NotFoundError):
            store.move(path, "x", overwrite=True)
    assert len(os.listdir(root)) == 12
    assert store.find_foreign_names("") == [
        "5 names that are no portable keys",
        "2 special files (pipes, sockets, devices)",
        "3 symbolic links, which are not followed",
    ]
    assert store.find_foreign_names("good") == []


@pytest.mark.parametrize("options", [PLAIN, ONCE])
@pytest.mark.parametrize("target", ["good", "/etc", "nowhere"])
def test_a_put_to_the_name_of_a_link_replaces_the_link(store, root, options, target):
    store.put("good", b"1", PLAIN)
    (root / "link").symlink_to(target)
    store.put("link", b"2", options)
    assert not (root / "link").is_symlink()
    assert (store.get("link"), store.get("good")) == (b"2", b"1")


def test_the_root_may_be_reached_through_links_which_may_be_pointed_elsewhere(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
    link = tmp_path / "current"
    link.symlink_to("one")
    store = FilesystemBackend(f"{link}/deep", fsync=False)
    store.put("a/b", b"1", PLAIN)
    assert (tmp_path / "one/deep/a/b").read_bytes() == b"1"
    assert store.get("a/b") == b"1"
    link.unlink()
    link.symlink_to("two")
    with pytest.raises(NotFoundError):
        store.get("a/b")
    store.put("a/b", b"2", PLAIN)
    assert (tmp_path / "two/deep/a/b").read_bytes() == b"2"
    link.unlink()
    with pytest.raises(NotFoundError):
        store.get("a/b")


def test_a_root_that_vanished_is_an_empty_store_until_the_next_write(store, root):
    store.put("a/b", b"1", PLAIN)
    for _ in range(2):
        root.rename(root.with_name(f"gone{_}"))
        assert listed(store) == []
        with pytest.raises(NotFoundError):
            store.get("a/b")
        with pytest.raises(NotFoundError):
            store.delete("a/b")
        store.put("a/b", b"2", PLAIN)
        assert (root / "a/b").read_bytes() == b"2"
        assert store.bucket_exists()


def test_nothing_of_a_reader_is_left_open(store):
    store.put("a", b"x" * 2_000_000, PLAIN)
    store.close()
    before = len(os.listdir("/dev/fd"))
    next(iter(store.stream("a").chunks))
    store.stream("a")
    store.get("a", 5, 6)
    assert next(iter(store.scan("")))
    store.writer("b", PLAIN).write(b"")
    store.close()
    assert len(os.listdir("/dev/fd")) == before


def test_a_directory_of_odd_but_portable_names(store, root):
    paths = [
        "ü",
        "日本語/ファイル",
        "e\u0301",
        "é",
        "a b",
        "%2e%2e",
        "...",
        "..a",
        ".hidden",
        "x" * 255,
        "é" * 127,
        "~",
        "#?",
    ]
    for path in paths:
        store.put(path, path.encode(), PLAIN)
    assert listed(store) == sorted(paths)
    assert [store.get(path) for path in paths] == [path.encode() for path in paths]
    assert all(Path(root, path).is_file() for path in paths)


def test_paths_up_to_the_longest_work_and_longer_ones_are_not_listed(store, root):
    longest = "/".join(["d" * 204] * 5)
    assert len(longest) == 1024
    store.put(longest, b"1", PLAIN)
    deep = root / "/".join(["d" * 204] * 4)
    (deep / ("d" * 205)).write_bytes(b"")
    assert listed(store) == [longest]
    assert store.get(longest) == b"1"


@pytest.mark.parametrize("how", ["in place", "renamed"])
def test_the_etag_of_a_file_that_was_dropped_in_changes_with_its_bytes_though_its_time_is_set_back(store, root, how):
    """As ``cp -p``, ``rsync -t`` and ``tar`` do."""
    root.mkdir()
    (root / "a.txt").write_bytes(b"one")
    os.utime(root / "a.txt", (1_700_000_000, 1_700_000_000))
    old = store.stat("a.txt")
    if how == "renamed":
        os.link(root / "a.txt", root / "keeps-the-inode-in-use")
        (root / "new").write_bytes(b"two")
        (root / "new").rename(root / "a.txt")
    else:
        (root / "a.txt").write_bytes(b"two")
    os.utime(root / "a.txt", (1_700_000_000, 1_700_000_000))
    new = store.stat("a.txt")
    assert (new.size, new.last_modified) == (old.size, old.last_modified)
    assert new.etag != old.etag
    with pytest.raises(PreconditionFailedError):
        store.get("a.txt", if_match=old.etag)
    with pytest.raises(PreconditionFailedError):
        store.delete("a.txt", if_match=old.etag)


def test_a_move_of_a_file_that_was_dropped_in_returns_the_etag_that_it_then_has(store, root):
    root.mkdir()
    (root / "a.txt").write_bytes(b"one")
    assert store.move("a.txt", "b/c.txt", overwrite=False) == store.stat("b/c.txt")
    assert store.update("b/c.txt", Changes(metadata={"a": "1"})) == store.stat("b/c.txt")
    assert store.stat("b/c.txt").content_type == "text/plain"


def test_a_change_of_metadata_does_not_reach_a_file_outside_through_a_second_name(store, root, tmp_path):
    """A file that was hard-linked into the store is replaced by a copy, and not changed where else it is."""
    root.mkdir()
    (tmp_path / "mine.txt").write_bytes(b"1")
    os.link(tmp_path / "mine.txt", root / "a.txt")
    store.update("a.txt", Changes(metadata={"a": "1"}))
    assert store.stat("a.txt").metadata == {"a": "1"}
    assert os.listxattr(tmp_path / "mine.txt") == []
    stat = store.put("b", b"1", PLAIN)
    os.link(root / "b", tmp_path / "also-mine")
    before = os.getxattr(tmp_path / "also-mine", "user.storage")
    assert store.update("b", Changes(content_type="a/b")).etag == stat.etag
    assert store.stat("b").content_type == "a/b"
    assert os.getxattr(tmp_path / "also-mine", "user.storage") == before


def test_a_change_of_metadata_leaves_the_file_as_it_is(store, root):
    """So the bytes are not copied, and a reader of this version reads on."""
    stat = store.put("a", b"x" * 3_000_000, PLAIN)
    chunks = store.stream("a").chunks
    first = next(chunks)
    before = (root / "a").stat()
    new = store.update("a", Changes(content_type="a/b"), if_match=stat.etag)
    after = (root / "a").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert (new.etag, new.last_modified) == (stat.etag, stat.last_modified)
    assert first + b"".join(chunks) == b"x" * 3_000_000


def test_a_change_of_metadata_of_an_edited_file_makes_its_etag_its_own_again(store, root):
    store.put("a", b"1", PLAIN._replace(cache_control="no-cache"))
    (root / "a").write_bytes(b"edited")
    edited = store.stat("a")
    new = store.update("a", Changes(content_type="a/b"), if_match=edited.etag)
    assert new == store.stat("a")
    assert (new[3:5], store.get("a")) == (("a/b", "no-cache"), b"edited")
    assert leftovers(root) == []


# ---- what is left when a store is closed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attributes", [True, False])
def test_a_store_that_is_closed_leaves_only_blobs(store, root, attributes, request):
    """As after a copy into a plain folder."""
    if not attributes:
        request.getfixturevalue("no_attributes")
    for path in ("a", "a/b", "c/d"):
        store.put(path, b"1", PLAIN)
    writer = store.writer("e", PLAIN)
    writer.write(b"2")
    writer.commit()
    store.copy("e", "f", overwrite=True)
    for path in listed(store):
        if not attributes:
            store.delete(path)
    store.close()
    assert not (root / ".storage~").exists()
    store.close()
    store.put("g", b"goes on", PLAIN)
    assert store.get("g") == b"goes on"


def test_a_store_that_is_closed_keeps_what_it_remembers_and_what_others_write(store, root):
    other = FilesystemBackend(str(root), fsync=False)
    writer = other.writer("b", PLAIN)
    writer.write(b"1")
    store.put("a", b"1", PLAIN)
    store.close()
    assert len(leftovers(root)) == 1
    writer.commit()
    store.setup(Setup(cors_origins=("https://a.example",)))
    store.close()
    other.close()
    assert other.cors_origins == ("https://a.example",)
    assert sorted(os.listdir(root)) == [".storage~", "a", "b"]


def test_a_store_that_only_reads_removes_nothing(root):
    (root / ".storage~/tmp").mkdir(parents=True)
    store = FilesystemBackend(str(root))
    assert listed(store) == []
    store.close()
    assert (root / ".storage~/tmp").is_dir()


# ---- looks that make nothing ---------------------------------------------------------------------------------------------


def test_looking_makes_nothing(store, root):
    assert (store.bucket_exists(), store.bucket_exists_now()) == (True, False)
    assert store.find_problems() == []
    assert store.count_outside([]) == 0
    assert store.find_foreign_names("") == store.sweep() == []
    assert not root.exists()
    store.put("a", b"", PLAIN)
    assert store.bucket_exists_now()


def test_files_outside_of_the_storage_types_are_counted(store, root):
    for path in ("data/a", "data/b/c", "tmp/x", "database/x", "y", "z/deep/er"):
        store.put(path, b"", PLAIN)
    (root / "link").symlink_to("/etc")
    (root / ".storage~/mine").write_text("")
    assert store.count_outside(["data/", "tmp/"]) == 3
    assert store.count_outside(["data/", "tmp/"], most=2) == 2
    assert store.count_outside(["z/", "data/", "tmp/"]) == 2
    assert store.count_outside([""]) == 0
    assert store.count_outside([]) == 6
