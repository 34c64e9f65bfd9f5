"""``set``, ``get``, ``cat``, ``info``, ``exists``, ``rm``: one blob, lists of keys, patterns, and folders."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta

import pytest

from storage import Storage

BINARY = bytes(range(256)) * 3


# ---- set -----------------------------------------------------------------------------------------------------------


def test_set_text(storage, store):
    """A text is stored as UTF-8, and nothing is printed."""
    assert storage("set", "a/b.txt", "--text", "grüße") == (0, b"", "")
    assert store.get("a/b.txt") == "grüße"
    assert store.info("a/b.txt").content_type == "text/plain"


def test_set_a_file(storage, store, tmp_path):
    """A file is stored as it is."""
    (tmp_path / "f").write_bytes(BINARY)
    assert storage("set", "k", str(tmp_path / "f")).status == 0
    assert store.get_bytes("k") == BINARY


@pytest.mark.parametrize("words", [["k"], ["k", "-"]])
def test_set_standard_input(storage, store, words):
    """Without a file, or with '-', standard input is stored, byte by byte."""
    assert storage("set", *words, stdin=BINARY).status == 0
    assert store.get_bytes("k") == BINARY


def test_set_options(storage, store):
    """Every header and the metadata go to the blob, and --json shows what was stored."""
    ran = storage(
        "set", "k", "--text", "x", "--type", "tmp", "--content-type", "a/b", "--cache-control", "no-store",
        "--content-encoding", "gzip", "--metadata", "who=é=1", "--metadata", "n=", "--json",
    )  # fmt: skip
    info = store.info("k", "tmp")
    assert (info.content_type, info.cache_control, info.content_encoding) == ("a/b", "no-store", "gzip")
    assert info.metadata == {"who": "é=1", "n": ""}
    (shown,) = ran.objects
    assert (shown["key"], shown["storage_type"], shown["etag"], shown["metadata"]) == (
        "k",
        "tmp",
        info.etag,
        info.metadata,
    )


def test_set_conditions(storage, store):
    """--no-overwrite and --if-match lose where the library's do: status 3, and the old blob stands."""
    etag = store.set("k", "old").etag
    ran = storage("set", "k", "--text", "new", "--no-overwrite")
    assert ran.status == 3
    assert "overwrite=False" in ran.err
    assert storage("set", "k", "--text", "new", "--if-match", "other").status == 3
    assert store.get("k") == "old"
    assert storage("set", "k", "--text", "new", "--if-match", etag).status == 0
    assert store.get("k") == "new"


@pytest.mark.parametrize(
    "words",
    [
        ["k", "/no/such/file"],
        ["k", "."],
        ["k", "f", "--text", "x"],
        ["/bad", "--text", "x"],
        ["k", "--text", "x", "--type", "nope"],
        ["k", "--text", "x", "--metadata", "novalue"],
        ["k", "--text", "x", "--metadata", "Bad_Name=1"],
        ["k", "--text", "x", "--content-type", "é"],
        ["k", "--text", "x", "--no-overwrite", "--if-match", "e"],
        ["k", "--text", "x", "--url", "s3:bucket"],
        ["k", "--text", "x", "--url", "file:/tmp/x"],
        ["k", "--text", "x", "--url", "ftp://host"],
        ["k", "--text", "x", "--url", "s3://"],
        ["k", "--unknown"],
        [],
        ["k", "-r"],
        ["k", "/no/such/folder", "-r"],
    ],
)
def test_set_wrong_usage(storage, store, words):
    """A bad key, type, URL, option or file name is status 2, one line, and nothing is stored."""
    ran = storage("set", *words)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.startswith("storage: ")
    assert ran.err.count("\n") == 1
    assert store.list() == []


# ---- get -----------------------------------------------------------------------------------------------------------


def test_get(storage, store, tmp_path):
    """To standard output as they are, or to a file; into a folder under the last part of the key."""
    store.set("a/b.bin", BINARY)
    assert storage("get", "a/b.bin") == (0, BINARY, "")
    assert storage("get", "a/b.bin", "-") == (0, BINARY, "")
    assert storage("get", "a/b.bin", str(tmp_path / "out")) == (0, b"", "")
    assert (tmp_path / "out").read_bytes() == BINARY
    ran = storage("get", "a/b.bin", str(tmp_path), "--json")
    assert (tmp_path / "b.bin").read_bytes() == BINARY
    assert ran.objects[0]["size"] == len(BINARY)


def test_get_absent(storage, tmp_path):
    """An absent blob is status 1, and what stood in the file still stands."""
    (tmp_path / "f").write_text("old")
    ran = storage("get", "k", str(tmp_path / "f"))
    assert (ran.status, ran.out) == (1, b"")
    assert "there is no such blob" in ran.err
    assert (tmp_path / "f").read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize(
    "words", [["k", "no/such/folder/f"], ["k", "--json"], [], ["k", "f", "g"], ["k", "-r"], ["k//l"]]
)
def test_get_wrong_usage(storage, store, words):
    """What cannot be written is status 2; the message names the file that was asked for."""
    store.set("k", "1")
    ran = storage("get", *words)
    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert ".storage~" not in ran.err


def test_cat(storage, store):
    """Blobs one after the other, byte by byte; an absent one is status 1 and stops none of the others."""
    store.set_many({"a": BINARY, "b": b"2\n", "big": b"x" * 3_000_000})
    assert storage("cat", "a", "b", "a") == (0, BINARY + b"2\n" + BINARY, "")
    assert storage("cat", "--keys-from", "-", stdin=b"b\nbig\n").out == b"2\n" + b"x" * 3_000_000
    ran = storage("cat", "a", "nope", "b")
    assert (ran.status, ran.out) == (1, BINARY + b"2\n")
    assert "'nope'" in ran.err
    assert storage("cat").status == storage("cat", "a", "//").status == 2


# ---- info, exists, rm ----------------------------------------------------------------------------------------------


def test_info(storage, store):
    """What is known of a blob, for a person and as JSON."""
    info = store.set("k.txt", "x" * 5000, metadata={"who": "é"})
    ran = storage("info", "k.txt")
    rows = dict(line.split(maxsplit=1) for line in ran.lines if not line.startswith("metadata"))
    assert rows["size"] == "5000 (4.9 KiB)"
    assert rows["etag"] == info.etag
    assert "metadata who      é" in ran.lines
    (shown,) = storage("info", "k.txt", "--json").objects
    assert shown["metadata"] == {"who": "é"}
    when = datetime.fromisoformat(shown["last_modified"])
    assert when == info.last_modified
    assert when.utcoffset() == timedelta(0)
    assert list(shown) == [
        "key", "storage_type", "size", "etag", "last_modified",
        "content_type", "cache_control", "content_encoding", "metadata",
    ]  # fmt: skip


def test_exists(storage, store):
    """Status 0 or 1, and not a word."""
    store.set("k", "1")
    assert storage("exists", "k") == (0, b"", "")
    assert storage("exists", "l") == (1, b"", "")
    assert storage("exists", "k", "l", "--json").objects == [
        {"key": "k", "storage_type": "data", "exists": True},
        {"key": "l", "storage_type": "data", "exists": False},
    ]
    assert storage("exists", "k//").status == 2


def test_exists_is_an_error_without_a_store(storage, tmp_path):
    """No store is no absence: status 3."""
    ran = storage("exists", "k", "--url", f"file://{tmp_path}/none?create=false")
    assert ran.status == 3


def test_rm(storage, store):
    """Deletes each; an absent one is status 1 and stops none of the others."""
    store.set_many({"a": "1", "b": "1", "c": "1"})
    ran = storage("rm", "a", "nope", "b")
    assert ran.status == 1
    assert "'nope'" in ran.err
    assert store.list() == ["c"]
    assert storage("rm", "--missing-ok", "nope", "c", "--json").objects == [
        {"key": "nope", "storage_type": "data", "deleted": False},
        {"key": "c", "storage_type": "data", "deleted": True},
    ]


def test_rm_of_one_version(storage, store):
    """``--if-match`` deletes the version that it names, and goes with one key."""
    old, new = store.set("k", "1").etag, store.set("k", "22").etag
    assert storage("rm", "k", "--if-match", old).status == 3
    assert store.get("k") == "22"
    for words in (["k", "l"], ["-r", "k"], ["--glob", "k*"], ["--keys-from", "-"]):
        assert storage("rm", *words, "--if-match", new, stdin=b"k\n").status == 2
    assert store.exists("k")
    assert storage("rm", "k", "--if-match", new).status == 0
    assert not store.exists("k")


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("command", ["cp", "mv"])
def test_cp_and_mv_of_one_version(storage, store, tmp_path, command, elsewhere):
    """``--if-match`` takes the version that it names, inside a store and to another."""
    old, new = store.set("k", "1").etag, store.set("k", "22").etag
    where = ["--new-url", f"file://{tmp_path}/other"] if elsewhere else []
    assert storage(command, "k", "l", *where, "--if-match", old).status == 3
    assert store.list() == ["k"]
    assert storage(command, "-r", "k", "l", *where, "--if-match", new).status == 2
    assert storage(command, "k", "l", *where, "--if-match", new).status == 0
    with Storage(f"file://{tmp_path}/other") if elsewhere else Storage(backend=store.backend) as target:
        assert target.get("l") == "22"
    assert store.exists("k") == (command == "cp")


def test_rm_checks_keys_first(storage, store):
    """A bad key among them deletes none."""
    store.set("a", "1")
    assert storage("rm", "a", "//").status == 2
    assert store.list() == ["a"]


def test_keys_that_look_like_options(storage, store):
    """After '--' a key may begin with a dash."""
    assert storage("set", "--text", "x", "--", "-rf").status == 0
    assert storage("get", "--", "-rf").out == b"x"
    assert storage("rm", "--", "-rf").status == 0
    assert store.list() == []


# ---- lists of keys -------------------------------------------------------------------------------------------------


def test_keys_from(storage, store, tmp_path):
    """Lists of keys come from a file or from standard input, one a line, for every command that takes many."""
    store.set_many({"a": "1", "é ü": "2", "d/x": "3"})
    (tmp_path / "keys").write_text("a\r\n\né ü\n")
    keys = str(tmp_path / "keys")
    assert storage("exists", "--keys-from", keys) == (0, "a\né ü\n".encode(), "")
    assert storage("exists", "--keys-from", "-", stdin=b"a\nnope\n") == (1, b"a\n", "")
    assert [shown["size"] for shown in storage("info", "--json", "--keys-from", keys).objects] == [1, 1]
    ran = storage("get", "--keys-from", "-", str(tmp_path / "out"), stdin=b"a\nd/x\n")
    assert ran.status == 0
    assert (tmp_path / "out/d/x").read_text() == "3"
    assert storage("rm", "d/x", "--keys-from", keys).status == 0
    assert store.list() == []
    assert storage("rm", "--keys-from", "/no/such/list").status == 2


def test_keys_that_are_none(storage, store):
    """A line that is no key is named, and the others are done."""
    store.set("a", "1")
    ran = storage("rm", "--keys-from", "-", stdin=b"//\n\xff\na\n")
    assert ran.status == 2
    assert ran.err.count("\n") == 2
    assert store.list() == []


# ---- patterns ------------------------------------------------------------------------------------------------------

TREE = {
    name: name for name in ("a.csv", "a[1].txt", "r/2025/x.csv", "r/2026/x.csv", "r/2026/y.txt", "r/x.csv", "rr.csv")
}


@pytest.fixture
def grown(store):
    store.set_many(TREE)
    return store


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("*.csv", ["a.csv", "rr.csv"]),
        ("r/*.csv", ["r/x.csv"]),
        ("r/**/*.csv", ["r/2025/x.csv", "r/2026/x.csv", "r/x.csv"]),
        ("**.csv", ["a.csv", "r/2025/x.csv", "r/2026/x.csv", "r/x.csv", "rr.csv"]),
        ("r/202[56]/?.*", ["r/2025/x.csv", "r/2026/x.csv", "r/2026/y.txt"]),
        ("r/2026/", ["r/2026/x.csv", "r/2026/y.txt"]),
        ("a[[]1].txt", ["a[1].txt"]),
        ("a.csv", ["a.csv"]),
        ("x.csv", []),
    ],
)
def test_what_a_pattern_matches(storage, grown, pattern, expected):
    """A pattern is matched against whole keys: a star stays in its folder, as in a shell."""
    ran = storage("ls", "--glob", pattern)
    assert (ran.status, ran.lines) == (0, expected)
    assert [shown["key"] for shown in storage("ls", "--glob", pattern, "--json").objects] == expected
    assert [line.split()[-1] for line in storage("ls", "-l", "--glob", pattern).lines] == expected


def test_without_glob_a_star_is_a_star(storage, store):
    """A key may hold a star, and means itself where no pattern is asked for."""
    store.set_many({"*": "1", "b": "2"})
    assert storage("rm", "*").status == 0
    assert store.list() == ["b"]


@pytest.mark.parametrize("words", [["ls", "[a"], ["rm", "[a"], ["get", "[a"], ["cp", "[a", "x"]])
def test_patterns_that_are_none(storage, grown, words):
    """A bracket that is not closed is wrong usage, and the message names the pattern as it was typed."""
    ran = storage(words[0], "--glob", *words[1:])
    assert ran.status == 2
    assert "--glob '[a': a '[' is not closed" in ran.err
    assert grown.list() == sorted(TREE)


def test_rm_of_a_pattern(storage, grown):
    """Every match is deleted, once also where two patterns match; one that matches nothing is status 1."""
    assert storage("rm", "--glob", "r/*/*.csv", "r/2025/*") == (0, b"", "")
    assert grown.list("r") == ["r/2026/y.txt", "r/x.csv", "rr.csv"]
    ran = storage("rm", "--glob", "*.zip", "*.csv", "--json")
    assert ran.status == 1
    assert "--glob '*.zip' of type 'data' in file://" in ran.err
    assert [shown["key"] for shown in ran.objects] == ["a.csv", "rr.csv"]
    assert grown.list() == ["a[1].txt", "r/2026/y.txt", "r/x.csv"]


def test_get_of_a_pattern(storage, grown, tmp_path, monkeypatch):
    """Each match goes to the path below the folder that its key is, without the folder that the pattern names."""
    monkeypatch.chdir(tmp_path)
    assert storage("get", "--glob", "r/202?/*.csv", "out").status == 0
    assert tree(tmp_path / "out") == {"2025/x.csv": b"r/2025/x.csv", "2026/x.csv": b"r/2026/x.csv"}
    assert storage("get", "--glob", "a.*").status == 0
    assert (tmp_path / "a.csv").read_text() == "a.csv"
    assert storage("get", "--glob", "nope*", "out").status == 1
    assert storage("get", "--glob", "-r", "r", "out").status == 2


# ---- a path in place of a URL --------------------------------------------------------------------------------------


def test_a_path_is_a_plain_folder(storage, tmp_path, monkeypatch):
    """Where a command takes a URL it takes a path: every file in that folder is a blob of type data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos/2026").mkdir(parents=True)
    (tmp_path / "photos/2026/p.jpg").write_bytes(b"1")
    for word in ("photos", "./photos", str(tmp_path / "photos")):
        assert storage("ls", "-r", "--url", word).lines == ["2026/p.jpg"]
        assert storage("get", "2026/p.jpg", "--url", word).out == b"1"
    assert storage("set", "q.jpg", "--text", "2", "--url", "photos").status == 0
    assert (tmp_path / "photos/q.jpg").read_text() == "2"
    assert storage("du", "--url", "photos").lines == ["2 bytes in 2 blobs"]
    assert storage("rm", "2026/p.jpg", "--url", "photos").status == 0
    assert not (tmp_path / "photos/2026/p.jpg").exists()
    ran = storage("ls", "--url", "photos", "--type", "tmp")
    assert ran.status == 2
    assert "this store has 'data'" in ran.err


@pytest.mark.parametrize(
    "word, url", [("s3:bucket/x", "s3://bucket/x"), ("file:/tmp/x", "file://tmp/x"), ("gs:", "gs://")]
)
def test_a_url_with_a_slash_too_few(storage, tmp_path, monkeypatch, word, url):
    """It is no path, and the message says how to write either."""
    monkeypatch.chdir(tmp_path)
    ran = storage("set", "k", "--text", "x", "--url", word)
    assert ran.status == 2
    assert f"write {url} for a URL, or ./{word} for a folder" in ran.err
    assert list(tmp_path.iterdir()) == []


# ---- folders -------------------------------------------------------------------------------------------------------


def tree(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_a_folder_becomes_a_prefix_and_back(storage, store, tmp_path):
    """``set -r`` and ``get -r`` keep every file, in the folder and below it."""
    source = tmp_path / "in"
    (source / "deep/er").mkdir(parents=True)
    for name in ("a.txt", "deep/b c.csv", "deep/er/é", "deep/er/empty"):
        (source / name).write_bytes(name.encode() * (name[-1] != "y"))
    ran = storage("set", "-r", "p", str(source), "--metadata", "from=disk")
    assert (ran.status, ran.out) == (0, b"")
    assert store.list() == ["p/a.txt", "p/deep/b c.csv", "p/deep/er/empty", "p/deep/er/é"]
    assert store.info("p/deep/b c.csv").content_type == "text/csv"
    assert store.info("p/a.txt").metadata == {"from": "disk"}
    store.set("pq", "not in the folder p")
    for prefix in ("p", "p/"):
        ran = storage("get", "-r", prefix, str(tmp_path / prefix), "--json")
        assert (ran.status, len(ran.objects)) == (0, 4)
        assert tree(tmp_path / "p") == tree(source)


def test_a_whole_store_and_back(storage, store, tmp_path):
    """The empty prefix is the store's root."""
    store.set_many({"a": "1", "b/c": "2"})
    assert storage("get", "-r", "", str(tmp_path / "all")).status == 0
    assert tree(tmp_path / "all") == {"a": b"1", "b/c": b"2"}
    assert storage("set", "-r", "", str(tmp_path / "all"), "--type", "tmp").status == 0
    assert store.list(storage_type="tmp") == ["a", "b/c"]


def test_get_of_no_folder(storage, tmp_path):
    """A prefix below which there is nothing is absent."""
    ran = storage("get", "-r", "nope", str(tmp_path / "out"))
    assert ran.status == 1
    assert "no blob below" in ran.err


def test_files_that_are_no_files(storage, store, tmp_path):
    """Links, to files and to folders, and pipes are left out, and named."""
    source = tmp_path / "in"
    source.mkdir()
    (tmp_path / "target").write_text("linked")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/f").write_text("linked")
    (source / "file").symlink_to(tmp_path / "target")
    (source / "dir").symlink_to(tmp_path / "folder")
    (source / "dangling").symlink_to("nowhere")
    (source / "real").write_text("1")
    os.mkfifo(source / "pipe")
    ran = storage("set", "-r", "p", str(source))
    assert (ran.status, store.list()) == (0, ["p/real"])
    assert sorted(line.partition(": left out: ")[2] for line in ran.err.splitlines()) == [
        "",  # the count
        f"{str(source / 'dangling')!r} is a link, which is not followed",
        f"{str(source / 'dir')!r} is a link, which is not followed",
        f"{str(source / 'file')!r} is a link, which is not followed",
        f"{str(source / 'pipe')!r} is neither a file nor a folder",
    ]
    assert ran.err.endswith("storage: 1 blob, 1 B\n")


def test_one_wrong_name_in_a_folder(storage, store, tmp_path):
    """A file whose name is no key is named, before anything is sent."""
    source = tmp_path / "in"
    source.mkdir()
    (source / "good").write_text("1")
    (source / "z\\bad").write_text("1")
    ran = storage("set", "-r", "p", str(source))
    assert ran.status == 2
    assert "backslash" in ran.err
    assert store.list() == []


def test_a_folder_with_options(storage, store, tmp_path):
    """Every file of a folder gets the options of ``set``, and --json prints each blob."""
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / name).write_text(name)
    words = ("set", "-r", "p", str(tmp_path / "in"), "--cache-control", "max-age=60", "--no-overwrite")
    assert [shown["key"] for shown in storage(*words, "--json").objects] == ["p/a", "p/b"]
    assert {store.info(key).cache_control for key in store.list()} == {"max-age=60"}
    ran = storage(*words)
    assert ran.status == 3
    assert "'p/a'" in ran.err


def test_keys_that_would_be_one_file(storage, store, tmp_path):
    """A local folder cannot hold 'a' and 'a/b': both are named, and nothing is written."""
    store.set_many({"a": "1", "a/b": "2", "c": "3"})
    for words in (["-r", ""], ["--glob", "**"], ["--keys-from", "-"]):
        ran = storage("get", *words, str(tmp_path / "out"), stdin=b"c\na/b\na\n")
        assert ran.status == 2, words
        assert "'a' and 'a/b'" in ran.err
        assert tree(tmp_path / "out") == {}


def test_a_raw_key_does_not_leave_the_folder(storage, tmp_path):
    """A key with '..', which keys=raw allows, is named, and nothing is written."""
    raw = "memory://cli-raw?keys=raw"
    with Storage(raw) as store:
        store.set("../evil", "x")
        store.set("good", "x")
    for words in (["-r", ""], ["--glob", "**"], ["--keys-from", "-"]):
        ran = storage("get", *words, str(tmp_path / "a/out"), "--url", raw, stdin=b"../evil\n")
        assert ran.status == 2, words
        assert "../evil" in ran.err
        assert tree(tmp_path) == {}


@pytest.mark.parametrize("words", [["-r", ""], ["--glob", "d/*"], ["--keys-from", "-"]])
def test_a_link_in_the_way(storage, store, tmp_path, words):
    """No link is followed on the way to a file, so that nothing is written elsewhere."""
    store.set("d/a", "1")
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (out / "d").symlink_to(tmp_path / "elsewhere")
    (out / "a").symlink_to(tmp_path / "elsewhere/target")
    ran = storage("get", *words, str(out), stdin=b"d/a\n")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    if words[0] == "--glob":  # the link stands at the file's own place, which it loses
        assert (ran.status, (out / "a").read_text()) == (0, "1")
    else:
        assert ran.status in (2, 3)
        assert "link" in ran.err


def test_rm_of_a_prefix(storage, store):
    """``rm -r`` deletes just the keys that ``ls -r`` lists: a string prefix, or with a slash a folder."""
    store.set_many({"p/a": "", "p/b/c": "", "pq": "", "q": ""})
    assert storage("ls", "-r", "p/").lines == ["p/a", "p/b/c"]
    assert storage("rm", "-r", "p/") == (0, b"", "storage: 2 blobs deleted\n")
    assert store.list() == ["pq", "q"]
    store.set("p/a", "")
    assert storage("rm", "-r", "p", "--json").objects == [{"prefix": "p", "storage_type": "data", "deleted": 2}]
    assert store.list() == ["q"]
    assert storage("rm", "-r", "p").status == 1
    assert storage("rm", "-r", "-f", "p", "q").status == 0
    assert store.list() == []


@pytest.mark.parametrize(
    "words", [["-r"], ["-r", ""], ["-r", "a", "/"], ["-r", "--glob", "a"], ["-r", "--keys-from", "-"]]
)
def test_rm_of_no_prefix(storage, store, words):
    """An empty prefix, one that starts no key, or two ways at once: wrong usage, and nothing is deleted."""
    store.set("a", "1")
    ran = storage("rm", *words)
    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert store.list() == ["a"]


def test_json_is_one_object_a_line(storage, store):
    """Whatever is in a key, a line of JSON stays one line."""
    raw = "memory://cli-json?keys=raw"
    with Storage(raw) as raw_store:
        raw_store.set("line\nbreak\x1b[31m\ud800", "x")
    (line,) = storage("ls", "--json", "--url", raw).lines
    assert json.loads(line)["key"] == "line\nbreak\x1b[31m\ud800"
