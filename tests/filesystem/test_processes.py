"""Several processes on one store, and processes that are killed in the middle."""

from __future__ import annotations

import random
import time

import pytest

from storage.backends.filesystem import FilesystemBackend
from storage.exceptions import NotFoundError
from tests.filesystem.conftest import begin, finish
from tests.filesystem.helpers import PLAIN, leftovers, listed, tree

KILLED = """
import random
random.seed(int(sys.argv[2]))
print("ready", flush=True)
number = 0
while True:
    number += 1
    path = random.choice(["a", "a/b", "a/b/c", "d/e", "d/f"])
    body = bytes([number % 256]) * random.choice([0, 1, 5_000, 300_000])
    options = plain._replace(metadata={"n": str(number), "size": str(len(body))})
    kind = random.randrange(5)
    try:
        if kind == 0:
            store.put(path, body, options)
        elif kind == 1:
            store.put(path, body, options._replace(overwrite=False))
        elif kind == 2:
            writer = store.writer(path, options)
            for start in range(0, len(body), 50_000):
                writer.write(body[start : start + 50_000])
            writer.commit()
        elif kind == 3:
            store.move(path, "moved/" + path, overwrite=True)
        else:
            store.delete(path)
    except (NotFoundError, AlreadyExistsError):
        pass
"""


def check_whole(store: FilesystemBackend) -> None:
    """Every blob is one body, with the record that belongs to it."""
    for path in listed(store):
        stat, body = store.stat(path), store.get(path)
        assert stat.metadata is not None
        assert stat.content_type == "text/plain"
        assert len(body) == int(stat.metadata["size"]) == stat.size
        assert body == bytes([int(stat.metadata["n"]) % 256]) * len(body)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_writers_leave_whole_blobs_and_nothing_after_a_sweep(store, root, start, seed):
    rounds = random.Random(seed)
    for _ in range(4 if seed == 1 else 60):
        processes = [start(KILLED, rounds.random().__hash__()) for _ in range(2)]
        begin(*processes)
        time.sleep(rounds.uniform(0.05, 0.3))
        for process in processes:
            process.kill()
            process.wait()
        check_whole(store)
        store.sweep()
        assert leftovers(root) == []
    for path in listed(store):
        store.delete(path)
    assert listed(store) == []


def test_a_writer_killed_before_its_commit_leaves_the_old_blob(store, root, start):
    old = store.put("a", b"old", PLAIN)
    process = start(
        'writer = store.writer("a", plain)\nwriter.write(b"x" * 100_000)\nprint("", flush=True)\nsys.stdin.read()'
    )
    process.stdout.readline()
    assert len(leftovers(root)) == 1
    store.sweep()
    assert len(leftovers(root)) == 1
    process.kill()
    process.wait()
    assert store.sweep() == ["1 leftovers of writers that died"]
    assert (store.get("a"), store.stat("a")) == (b"old", old)
    assert leftovers(root) == []


CREATE = """
print(flush=True)
input()
won = 0
for number in range(60):
    try:
        store.put(f"k{number}/x", sys.argv[2].encode(), plain._replace(overwrite=False))
        won += 1
    except AlreadyExistsError:
        pass
print(won)
"""


def test_of_processes_that_create_one_path_one_wins(store, start):
    processes = [start(CREATE, number) for number in range(4)]
    begin(*processes)
    wins = [int(text) for text in finish(*processes)]
    assert sum(wins) == 60
    bodies = [store.get(path) for path in listed(store)]
    assert [bodies.count(str(number).encode()) for number in range(4)] == wins


COUNT = """
print(flush=True)
input()
for _ in range(25):
    while True:
        etag = store.stat(sys.argv[2]).etag
        try:
            value = int(store.get(sys.argv[2], if_match=etag)) + 1
            store.put(sys.argv[2], str(value).encode(), plain._replace(if_match=etag))
            break
        except PreconditionFailedError:
            pass
"""


@pytest.mark.parametrize("path", ["n", "a/n"])
def test_a_counter_kept_with_if_match_loses_no_increment(store, start, path):
    store.put(path, b"0", PLAIN)
    store.put("a/n/below", b"", PLAIN)
    processes = [start(COUNT, path) for _ in range(4)]
    begin(*processes)
    finish(*processes)
    assert store.get(path) == b"100"


DELETE = """
print(flush=True)
input()
won = 0
for number in range(60):
    etag = sys.stdin.readline().strip()
    try:
        store.delete(f"d/k{number}", if_match=etag)
        won += 1
    except NotFoundError:
        pass
print(won)
"""


def test_of_processes_that_delete_one_version_one_wins(store, start):
    etags = [store.put(f"d/k{number}", b"", PLAIN).etag for number in range(60)]
    processes = [start(DELETE) for _ in range(4)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n" + "".join(f"{etag}\n" for etag in etags))
        process.stdin.flush()
    assert sum(int(text) for text in finish(*processes)) == 60
    assert listed(store) == []


CLOSE = """
print(flush=True)
input()
for number in range(60):
    mine = FilesystemBackend(sys.argv[1], fsync=False)
    mine.put("k" + sys.argv[2], bytes([number]), plain._replace(metadata={"n": str(number)}))
    writer = mine.writer("w/" + sys.argv[2], plain)
    writer.write(bytes([number]))
    mine.close()
    writer.commit()
    mine.put("k" + sys.argv[2] + "/below", b"", plain)
    mine.close()
    assert mine.get("k" + sys.argv[2]) == mine.get("w/" + sys.argv[2]) == bytes([number])
    mine.delete("k" + sys.argv[2] + "/below")
    mine.close()
"""


def test_stores_that_are_closed_do_not_take_the_directories_of_others(store, root, start):
    processes = [start(CLOSE, number) for number in range(4)]
    begin(*processes)
    finish(*processes)
    assert listed(store) == ["k0", "k1", "k2", "k3", "w/0", "w/1", "w/2", "w/3"]
    assert not (root / ".storage~").exists()


WRITE = """
print(flush=True)
input()
for number in range(80):
    body = bytes([number]) * (1 if number % 2 else 70_000)
    store.put("a", body, plain._replace(metadata={"size": str(len(body)), "n": str(number)}))
    store.put("a/b", body, plain)
    store.delete("a/b")
"""

READ = """
print(flush=True)
input()
seen = set()
while True:
    stat = store.stat("a")
    body = store.get("a")
    assert body == body[:1] * len(body)
    download = store.stream("a")
    body = b"".join(download.chunks)
    assert len(body) == download.stat.size == int(download.stat.metadata["size"]), (len(body), download.stat)
    assert body == bytes([int(download.stat.metadata["n"])]) * len(body)
    found = [path for page in store.scan("") for path, _ in page]
    assert found in (["a"], ["a", "a/b"]), found
    seen.add(len(body))
    if stat.metadata["n"] == "79":
        break
"""


def test_readers_see_one_whole_version_and_never_absence(store, root, start):
    store.put("a", b"", PLAIN._replace(metadata={"size": "0", "n": "0"}))
    processes = [start(WRITE), start(READ), start(READ)]
    begin(*processes)
    finish(*processes)
    assert listed(store) == ["a"]


TRANSIT = """
print(flush=True)
input()
for number in range(100):
    path = f"m{number}"
    store.put(path + "/below", b"", plain)
"""

WATCH = """
print(flush=True)
input()
while True:
    for number in range(100):
        assert store.get(f"m{number}") == b"stays"
    found = [path for page in store.scan("") for path, _ in page]
    assert [path for path in found if "/" not in path] == sorted(f"m{number}" for number in range(100)), found
    if "m99/below" in found:
        break
"""


def test_a_blob_that_becomes_a_directory_is_there_all_the_time(store, start):
    for number in range(100):
        store.put(f"m{number}", b"stays", PLAIN)
    processes = [start(TRANSIT), start(WATCH), start(WATCH)]
    begin(*processes)
    finish(*processes)


CHURN = """
print(flush=True)
input()
for number in range(60):
    store.put("d/e/f/" + sys.argv[2], b"x", plain)
    store.put("d/e", b"y", plain)
    store.delete("d/e/f/" + sys.argv[2])
    try:
        store.delete("d/e")
    except NotFoundError:
        pass
"""


def test_writers_and_deleters_of_one_directory_do_not_disturb_each_other(store, root, start):
    processes = [start(CHURN, number) for number in range(3)]
    begin(*processes)
    finish(*processes)
    assert listed(store) == []
    assert tree(root) == []
    assert leftovers(root) == []


def test_moves_back_and_forth_keep_exactly_one(store, root, start):
    code = """
print(flush=True)
input()
source, target = sys.argv[2:]
for _ in range(80):
    try:
        store.move(source, target, overwrite=True)
    except NotFoundError:
        pass
"""
    store.put("x/a", b"1", PLAIN)
    processes = [start(code, "x/a", "y/b"), start(code, "y/b", "x/a"), start(code, "x/a", "x"), start(code, "x", "x/a")]
    begin(*processes)
    finish(*processes)
    assert len(listed(store)) == 1
    assert store.get(listed(store)[0]) == b"1"
    with pytest.raises(NotFoundError):
        store.get("z")
    assert leftovers(root) == []


def test_a_listing_of_a_large_directory_misses_nothing_that_is_replaced_meanwhile(store, start):
    code = """
print(flush=True)
for round in range(1000):
    for number in range(0, 800, 7):
        store.put(f"k{number:05}", b"", plain)
"""
    paths = [f"k{number:05}" for number in range(800)]
    for path in paths:
        store.put(path, b"", PLAIN)
    process = start(code)
    process.stdout.readline()
    for _ in range(5):
        assert listed(store) == paths
    process.kill()
