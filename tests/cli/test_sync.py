"""``storage sync``: stores and plain folders, what is printed, and what a kill leaves."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from storage import Storage
from storage.backends.filesystem import FilesystemBackend
from storage.cli.syncing import Rate
from tests.cli.conftest import environment, program
from tests.sync.stores import aged, contents


@pytest.fixture
def other(tmp_path):
    """The URL of another store."""
    return f"file://{tmp_path}/other?fsync=false"


@pytest.fixture
def blobs(store, tmp_path):
    store.set_many({"a": "1", "b/c.txt": "22"})
    store.set("t", "333", "tmp", metadata={"m": "é"})
    aged(tmp_path / "store")
    return store


def test_sync(storage, url, other, blobs):
    """Whole stores, every type; a summary on standard error, nothing on standard output."""
    ran = storage("sync", url, other)
    assert (ran.status, ran.out) == (0, b"")
    assert ran.err == "storage: 3 copied (6 B); 0 there already\n"
    assert contents(Storage(other)) == contents(blobs)
    again = storage("sync", url, other)
    assert again.err == "storage: 0 copied (0 B); 3 there already (compared: 3 by size and time)\n"


def test_sync_of_a_type(storage, url, other, blobs):
    """--type syncs one type alone; one that is not there is wrong usage."""
    assert storage("sync", url, other, "--type", "tmp").status == 0
    assert contents(Storage(other)).keys() == {("tmp", "t")}
    assert storage("sync", url, other, "--type", "nope").status == 2


def test_sync_from_the_default_store(storage, url, other, blobs):
    """--url names the source where only the destination is given."""
    assert storage("sync", "--url", url, other).status == 0
    assert contents(Storage(other)) == contents(blobs)


def test_dry_run_and_verbose(storage, url, other, blobs):
    """--dry-run prints exactly what --verbose then says that it does, and changes nothing."""
    with Storage(other) as target:
        target.set("old", "x")
        target.set("a", "long")
    options = ("sync", url, other, "--delete")
    would = storage(*options, "--dry-run")
    assert sorted(would.lines) == [
        "copy data a (1 bytes: another size)",
        "copy data b/c.txt (2 bytes: not there)",
        "copy tmp t (3 bytes: not there)",
        "delete data old (1 bytes: not at the source)",
    ]
    assert "would be copied" in would.err
    assert contents(Storage(other), "data").keys() == {("data", "a"), ("data", "old")}
    assert sorted(storage(*options, "-v").lines) == sorted(would.lines)
    assert contents(Storage(other)) == contents(blobs)


def test_json(storage, url, other, blobs):
    """--json prints an object for each blob, and at last the counts."""
    objects = storage("sync", url, other, "--json").objects
    assert sorted((o["action"], o["storage_type"], o["key"], o["size"]) for o in objects[:-1]) == [
        ("copied", "data", "a", 1),
        ("copied", "data", "b/c.txt", 2),
        ("copied", "tmp", "t", 3),
    ]
    assert objects[-1]["action"] == "summary"
    assert (objects[-1]["copied"], objects[-1]["copied_bytes"], objects[-1]["failed"]) == (3, 6, 0)


def test_filters(storage, url, other, blobs):
    """--include and --exclude may be given more than once."""
    ran = storage("sync", url, other, "--include", "*.txt", "--include", "a", "--include", "t", "--exclude", "b/")
    assert ran.status == 0
    assert contents(Storage(other)).keys() == {("data", "a"), ("tmp", "t")}


def test_prefix(storage, url, other, blobs):
    """--prefix syncs the keys that start with it."""
    assert storage("sync", url, other, "--prefix", "b/").status == 0
    assert contents(Storage(other)).keys() == {("data", "b/c.txt")}


def test_a_plain_folder(storage, other, tmp_path, monkeypatch):
    """A path is a plain folder: all its files are blobs of type data, there and back."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/deep/f.txt").write_text("1")
    (tmp_path / "in/data").mkdir()
    (tmp_path / "in/data/g").write_text("2")
    aged(tmp_path / "in")
    assert storage("sync", "./in", other).status == 0
    assert contents(Storage(other)).keys() == {("data", "data/g"), ("data", "deep/f.txt")}
    Storage(other).set("t", "1", "tmp")
    ran = storage("sync", other, "out")
    assert ran.status == 0
    assert "plain folder, which holds type 'data' alone: left out are 'tmp', 'result'" in ran.err
    assert (tmp_path / "out/deep/f.txt").read_text() == "1"
    assert (tmp_path / "out/data/g").read_text() == "2"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["data", "deep"]  # and nothing of our own
    assert storage("sync", "in", "out").err.startswith("storage: 0 copied")
    assert storage("sync", "./nope", other, "--delete").status == 3
    assert contents(Storage(other), "data").keys() == {("data", "data/g"), ("data", "deep/f.txt")}


def test_a_plain_folder_stays_plain(storage, tmp_path, monkeypatch):
    """A copy of one plain folder to another leaves nothing of the library's in either."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/deep/f.txt").write_bytes(os.urandom(3_000_000))
    (tmp_path / "in/g").write_text("2")
    assert storage("sync", "./in", "./out").status == 0
    for name in ("in", "out"):
        assert sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*")) == [
            "deep",
            "deep/f.txt",
            "g",
        ]
    assert (tmp_path / "out/deep/f.txt").read_bytes() == (tmp_path / "in/deep/f.txt").read_bytes()


def test_what_a_sync_leaves_out(storage, other, tmp_path):
    """Links are not followed, and pipes are no files: both are counted by kind, so that a copy is not taken for all there is."""
    source = tmp_path / "in"
    source.mkdir()
    (source / "f").write_text("1")
    (source / "link").symlink_to("f")
    (source / "dir").symlink_to(tmp_path)
    os.mkfifo(source / "pipe")
    ran = storage("sync", str(source), other)
    assert ran.status == 0
    assert contents(Storage(other), "data").keys() == {("data", "f")}
    assert re.search(r"left out of file://\S+/in: 2 symbolic links", ran.err)
    assert re.search(r"left out of file://\S+/in: 1 special file", ran.err)


def test_a_folder_that_is_taken_for_a_store(storage, other, tmp_path):
    """A file:// URL of a folder without types finds nothing, which is said, with the remedy."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/p.jpg").write_text("1")
    ran = storage("sync", f"file://{tmp_path}/photos", other)
    assert ran.status == 0
    assert "1 file outside of data/, tmp/, result/" in ran.err
    assert "give its path on the command line" in ran.err


@pytest.mark.parametrize(
    "words", [[], ["{url}"], ["{url}", "{other}", "{other}"], ["{url}", "{url}"], ["{url}", "{url}&create=true"],
              ["{url}", "{other}", "--bwlimit", "fast"], ["{url}", "{other}", "--concurrency", "0"],
              ["{url}", "{other}", "--processes", "2", "--ray"],
              ["{url}", "ftp://x"], ["{url}", "{other}", "--include", "[a"]]
)  # fmt: skip
def test_wrong_usage(storage, url, other, blobs, words):
    """Too few or too many stores, the same one twice, or a bad option: status 2, and nothing is copied."""
    ran = storage("sync", *(word.format(url=url, other=other) for word in words))
    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert contents(Storage(other)) == {}


def test_failures_are_listed(storage, url, tmp_path, blobs):
    """A blob that fails is named, the others are copied, and the status is 3."""
    stream = FilesystemBackend.stream

    def fails(self, path, *args):
        if path.endswith("b/c.txt"):
            raise OSError(5, "Input/output error", path)
        return stream(self, path, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FilesystemBackend, "stream", fails)
        third = f"file://{tmp_path}/third?fsync=false"
        ran = storage("sync", url, third, "--json")
    assert ran.status == 3
    assert ran.err.count("failed:") == 1
    assert "data 'b/c.txt' failed" in ran.err
    assert [o["key"] for o in ran.objects if o["action"] == "failed"] == ["b/c.txt"]
    assert ran.objects[-1]["failed"] == 1
    assert contents(Storage(third)).keys() == {("data", "a"), ("tmp", "t")}
    assert storage("sync", url, third).status == 0
    assert contents(Storage(third)) == contents(blobs)


@pytest.mark.parametrize(
    "text, rate", [("5", 5), ("10k", 10240), ("1.5M", 1572864), ("2 MiB/s", 2097152), ("1GB", 2**30), ("1T", 2**40)]
)
def test_rates(text, rate):
    """A rate is a number with a unit of powers of 1,024."""
    assert Rate().convert(text, None, None) == rate


def test_processes(storage, url, other, blobs):
    """--processes works in other processes; progress is that of ranges, as objects with --json, and the summary counts blobs."""
    ran = storage("sync", url, other, "--processes", "2", "--json")
    assert ran.status == 0, ran.err
    assert contents(Storage(other)) == contents(blobs)
    *ranges, summary = ran.objects
    assert {event["action"] for event in ranges} == {"ranges"}
    assert ranges[-1] == {"action": "ranges", "done": len(ranges), "total": len(ranges), "blobs": 3, "bytes": 6}
    assert (summary["copied"], summary["copied_bytes"], summary["resumed"]) == (3, 6, 0)
    again = storage("sync", url, other, "--processes", "1", "-v")
    progress, end = again.err.splitlines()[-2:]
    assert re.fullmatch(r"storage: (\d)/\1 ranges, 3 blobs, 0 B copied", progress)
    assert end == "storage: 0 copied (0 B); 3 there already (compared: 3 by size and time)"


def test_dask(storage, url, other, blobs):
    """--dask works on the cluster of a scheduler, with as many ranges as its workers need; they are threads of this process."""
    from distributed import LocalCluster

    blobs.set_many({f"many/{number:03}": "1" for number in range(100)})
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        ran = storage("sync", url, other, "--dask", cluster.scheduler_address, "--json")
        assert ran.status == 0, ran.err
        assert cluster.scheduler.transition_counter > 0
    *ranges, summary = ran.objects
    assert summary["copied"] == 103
    assert 8 <= len(ranges) <= 20
    assert contents(Storage(other)) == contents(blobs)


def test_ray(storage, url, other, blobs, monkeypatch):
    """--ray makes a task of each piece. Ray itself is stood in for: it runs in a proof of its own."""
    tasks = []

    class Remote:
        def __init__(self, function):
            self.function = function

        def options(self):
            return self

        def remote(self, *args):
            tasks.append(args)
            future = Future()
            future.set_result(self.function(*args))
            return SimpleNamespace(future=lambda: future)

    ray = SimpleNamespace(init=lambda **_: None, remote=Remote, cluster_resources=lambda: {"CPU": 2.0})
    monkeypatch.setitem(sys.modules, "ray", ray)
    ran = storage("sync", url, other, "--ray")
    assert ran.status == 0, ran.err
    assert len(tasks) >= 2
    assert contents(Storage(other)) == contents(blobs)


@pytest.mark.parametrize("name, module", [("--dask=tcp://127.0.0.1:9", "distributed"), ("--ray", "ray")])
def test_engines_that_are_not_installed(storage, url, other, blobs, monkeypatch, name, module):
    """The message names the line that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    ran = storage("sync", url, other, name)
    assert ran.status == 2
    assert f"pip install 'storage-facade[{name[2:].partition('=')[0]}]'" in ran.err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_run_again(store, url, other, tmp_path, number):
    """Killed three times on the way, a sync goes on where it stopped, and every blob is whole at any time."""
    dice = random.Random(7)
    data = {
        f"{n % 13}/{n:04}": dice.randbytes(dice.choice([0, 100, 5_000, 1_300_000 if n % 50 == 0 else 9]))
        for n in range(600)
    }
    store.set_many(data)
    aged(tmp_path / "store")
    copied = 0
    for _ in range(3):
        command = program("sync", url, other, "--concurrency", "3", "--bwlimit", "12M")
        process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while _count(tmp_path / "other/data") < copied + 60:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        err = process.communicate(timeout=30)[1].decode()
        if process.returncode == 0:
            break
        assert process.returncode == (130 if number == signal.SIGINT else -number)
        assert err == ("storage: interrupted; run it again to go on\n" if number == signal.SIGINT else "")
        with Storage(other) as target:
            there = {key: target.get_bytes(key) for key in target.iter_list()}
        assert there.items() <= data.items()
        assert len(there) > copied
        copied = len(there)
    assert copied
    done = subprocess.run(program("sync", url, other), env=environment(), capture_output=True, text=True, check=True)
    assert f"{copied:,} there already" in done.stderr
    assert contents(Storage(other)) == contents(store)


def _count(directory: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(directory))
