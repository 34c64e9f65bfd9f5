"""Many blobs and large ones, in flat memory."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from storage import Storage
from tests.filesystem.conftest import finish
from tests.filesystem.helpers import PLAIN, listed

MEBIBYTE = 1024 * 1024


def fill(root, folders: int, files: int) -> list[str]:
    """Drops ``folders`` × ``files`` empty files in, and returns their paths in order."""
    for folder in range(folders):
        path = root / f"{folder % 10}/d{folder}"
        path.mkdir(parents=True)
        for number in range(files):
            os.close(os.open(path / f"k{number}", os.O_CREAT | os.O_WRONLY))
    return sorted(f"{folder % 10}/d{folder}/k{number}" for folder in range(folders) for number in range(files))


def peak(store) -> int:
    """Bytes that a whole listing needs at once."""
    tracemalloc.start()
    try:
        for page in store.scan(""):
            assert len(list(page)) <= 1000
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def check_listing(store, root, folders: int, files: int) -> None:
    few = fill(root / "few", folders // 10, files)
    store.close()
    small = peak(store)
    many = fill(root / "many", folders, files)
    assert listed(store) == [f"few/{path}" for path in few] + [f"many/{path}" for path in many]
    assert peak(store) < small + 200_000
    middle = many[len(many) // 2]
    assert next(iter(store.scan("many/", start_after=f"many/{middle}")))[0][0] > f"many/{middle}"
    assert listed(store, "many/", start_after=f"many/{many[-3]}") == [f"many/{path}" for path in many[-2:]]


def test_memory_does_not_grow_with_the_number_of_directories(store, root):
    check_listing(store, root, 200, 20)


@pytest.mark.slow
def test_a_hundred_thousand_blobs_are_listed_in_order_and_flat_memory(store, root):
    check_listing(store, root, 2000, 50)


LARGE = """
import resource
size, piece = int(sys.argv[2]) * 1024 * 1024, 1024 * 1024
def grown():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - before
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
writer = store.writer("large", plain, size)
data = os.urandom(piece)
for _ in range(size // piece):
    writer.write(data)
assert writer.commit().size == size
store.copy("large", "copied", overwrite=False)
assert sum(len(chunk) for chunk in store.stream("copied").chunks) == size
print(grown())
"""


@pytest.mark.parametrize("size", [128, pytest.param(1024, marks=pytest.mark.slow)])
def test_a_large_blob_is_written_copied_and_read_in_flat_memory(start, size):
    assert int(finish(start(LARGE, size))[0]) < 32


@pytest.mark.slow
def test_a_gibibyte_goes_through_set_file_and_get_file_in_flat_memory(start, root, tmp_path):
    code = """
import resource
from storage import Storage
with open(sys.argv[2], "wb") as file:
    for _ in range(1024):
        file.write(os.urandom(1024 * 1024))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with Storage("file://" + sys.argv[1]) as facade:
    facade.set_file("large", sys.argv[2])
    facade.get_file("large", sys.argv[2] + ".back")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - before)
"""
    assert int(finish(start(code, tmp_path / "source"))[0]) < 64
    assert (tmp_path / "source.back").stat().st_size == 1024 * MEBIBYTE


def test_a_body_of_more_than_one_system_call_is_whole(store, monkeypatch):
    """The system takes and gives at most 2 GiB at once; here it takes and gives less."""
    write, pread = os.write, os.pread
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, memoryview(data)[:1000]))
    monkeypatch.setattr(os, "pread", lambda fd, size, start: pread(fd, min(size, 700), start))
    body = os.urandom(10_500)
    store.put("a", body, PLAIN)
    assert store.get("a") == body
    assert store.get("a", 300, 9_999) == body[300:9_999]
    assert b"".join(store.stream("a", 5).chunks) == body[5:]


def test_copies_work_on_every_way_the_system_offers(store, monkeypatch):
    body = os.urandom(3 * MEBIBYTE + 5)
    store.put("a", body, PLAIN)

    def refuse(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    store.copy("a", "cloned", overwrite=True)
    monkeypatch.setattr(os, "copy_file_range", refuse)
    store.copy("a", "copied", overwrite=True)
    assert store.get("cloned") == store.get("copied") == body


def test_the_facade_lists_pages_that_continue(root):
    with Storage(f"file://{root}?fsync=false") as facade:
        for number in range(30):
            facade.set(f"d{number % 3}/k{number}", "")
        everything = list(facade.iter_list())
        first = facade.list(limit=7)
        assert facade.list(limit=30, start_after=first[-1]) == everything[7:]
