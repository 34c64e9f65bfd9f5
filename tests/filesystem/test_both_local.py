"""Conditions, changes of metadata, bounds and suffixes: memory and directories hold to the same words of the protocol."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from storage._backend import Backend, Changes
from storage.backends.filesystem import FilesystemBackend
from storage.backends.memory import MemoryBackend
from storage.exceptions import AlreadyExistsError, NotFoundError, PreconditionFailedError
from tests.filesystem.helpers import PLAIN, listed

FULL = PLAIN._replace(cache_control="no-cache", content_encoding="gzip", metadata={"a": "é"})
THREADS = 16


@pytest.fixture(params=["memory", "file", "sidecars"])
def backend(request: pytest.FixtureRequest, root: Path) -> Backend:
    """An empty store of each local kind; ``sidecars``: on a file system without extended attributes."""
    if request.param == "memory":
        return MemoryBackend()
    if request.param == "sidecars":
        request.getfixturevalue("no_attributes")
    return FilesystemBackend(str(root), fsync=False)


def outcomes(*calls: Callable[[], object]) -> list[type[BaseException] | None]:
    """Makes all calls at the same moment; what each raised, ``None`` for the winners."""
    barrier = Barrier(len(calls))

    def attempt(call: Callable[[], object]) -> type[BaseException] | None:
        barrier.wait(30)
        try:
            call()
        except (NotFoundError, PreconditionFailedError) as exc:
            return type(exc)
        return None

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(attempt, calls))


# ---- conditions --------------------------------------------------------------------------------------------------------


def test_delete_takes_only_the_version_that_is_named(backend):
    old = backend.put("a/b", b"1", PLAIN)
    new = backend.put("a/b", b"2", PLAIN)
    with pytest.raises(PreconditionFailedError):
        backend.delete("a/b", if_match=old.etag)
    assert backend.get("a/b") == b"2"
    backend.delete("a/b", if_match=new.etag)
    with pytest.raises(NotFoundError):
        backend.delete("a/b", if_match=new.etag)
    assert listed(backend) == []


def test_delete_with_a_condition_beside_keys_below_its_key(backend):
    stat = backend.put("a", b"1", PLAIN)
    backend.put("a/b", b"2", PLAIN)
    with pytest.raises(PreconditionFailedError):
        backend.delete("a", if_match="another")
    backend.delete("a", if_match=stat.etag)
    assert listed(backend) == ["a/b"]
    with pytest.raises(NotFoundError):
        backend.delete("a", if_match=stat.etag)


@pytest.mark.parametrize("name", ["copy", "move"])
def test_copy_and_move_take_only_the_version_that_is_named(backend, name):
    old = backend.put("a", b"1", FULL)
    new = backend.put("a", b"2", FULL)
    call = getattr(backend, name)
    with pytest.raises(PreconditionFailedError):
        call("a", "b", overwrite=True, if_match=old.etag)
    assert listed(backend) == ["a"]
    stat = call("a", "b", overwrite=True, if_match=new.etag)
    assert stat == backend.stat("b")
    assert (backend.get("b"), stat[3:]) == (b"2", new[3:])
    assert listed(backend) == (["a", "b"] if name == "copy" else ["b"])
    with pytest.raises(NotFoundError):
        call("x", "y", overwrite=True, if_match=new.etag)
    backend.put("c", b"3", PLAIN)
    with pytest.raises(AlreadyExistsError):
        call("b", "c", overwrite=False, if_match=stat.etag)
    assert (backend.get("b"), backend.get("c")) == (b"2", b"3")


def test_of_threads_that_delete_one_version_one_wins(backend):
    for _ in range(20):
        etag = backend.put("d/a", b"1", PLAIN).etag
        found = outcomes(*[lambda etag=etag: backend.delete("d/a", if_match=etag)] * THREADS)
        assert found.count(None) == 1
        assert found.count(NotFoundError) == THREADS - 1


def test_of_threads_that_delete_or_replace_one_version_one_wins(backend):
    for _ in range(20):
        etag = backend.put("d/a", b"1", PLAIN).etag
        options = PLAIN._replace(if_match=etag)
        found = outcomes(
            *[lambda etag=etag: backend.delete("d/a", if_match=etag)] * 5,
            *[lambda options=options: backend.put("d/a", b"2", options)] * 5,
            *[lambda etag=etag: backend.move("d/a", "d/b", overwrite=True, if_match=etag)] * 5,
        )
        assert found.count(None) == 1


# ---- changes of headers and metadata -----------------------------------------------------------------------------------


def test_update_replaces_what_is_given_and_keeps_the_rest(backend):
    old = backend.put("a", b"1", FULL)
    new = backend.update("a", Changes(content_type="a/b"))
    assert new == backend.stat("a")
    assert new[3:] == ("a/b", "no-cache", "gzip", {"a": "é"})
    assert (new.size, new.last_modified, backend.get("a")) == (1, old.last_modified, b"1")
    assert backend.update("a", Changes(cache_control="x", metadata={}))[3:] == ("a/b", "x", "gzip", {})
    assert backend.update("a", Changes(metadata={"b": "1"}), if_match=backend.stat("a").etag).metadata == {"b": "1"}
    assert backend.stat("a")[3:] == ("a/b", "x", "gzip", {"b": "1"})


def test_update_of_another_version_or_of_nothing_changes_nothing(backend):
    old = backend.put("a", b"1", FULL)
    backend.put("a", b"2", FULL)
    with pytest.raises(PreconditionFailedError):
        backend.update("a", Changes(content_type="a/b"), if_match=old.etag)
    assert backend.stat("a")[3:] == old[3:]
    with pytest.raises(NotFoundError):
        backend.update("b", Changes(content_type="a/b"))
    assert listed(backend) == ["a"]


def test_updates_at_the_same_moment_are_all_kept(backend):
    backend.put("a", b"1", FULL)
    changes = [
        Changes(content_type="a/b"),
        Changes(cache_control="x"),
        Changes(content_encoding="y"),
        Changes(metadata={}),
    ]
    for change in changes:
        backend.update("a", Changes(*FULL[:4]))
        assert outcomes(*[lambda change=change: backend.update("a", change) for change in changes]) == [None] * 4
        assert backend.stat("a")[3:] == ("a/b", "x", "y", {})


def test_a_probe_tells_what_stat_tells_of_presence(backend):
    backend.put("a/b", b"1", PLAIN)
    backend.put("a/b/c", b"1", PLAIN)
    backend.probe("a/b")
    backend.probe("a/b/c")
    for path in ("a", "a/b/x", "a/b/c/d", "b"):
        with pytest.raises(NotFoundError):
            backend.probe(path)


# ---- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [1, 4, 10, 11, 1000])
def test_a_negative_start_means_the_last_bytes(backend, last):
    body = b"0123456789"
    stat = backend.put("a", body, PLAIN)
    assert backend.get("a", -last) == backend.get("a", -last, None, stat.etag) == body[-last:]
    download = backend.stream("a", -last)
    assert (download.stat, b"".join(download.chunks)) == (stat, body[-last:])


def test_the_last_bytes_of_an_empty_blob_are_none(backend):
    backend.put("a", b"", PLAIN)
    assert backend.get("a", -5) == b"".join(backend.stream("a", -5).chunks) == b""


def test_a_stream_can_be_closed_early_and_twice(backend):
    backend.put("a", b"x" * 3_000_000, PLAIN)
    chunks = backend.stream("a").chunks
    assert next(chunks)
    chunks.close()
    chunks.close()
    assert list(chunks) == []


# ---- bounds ------------------------------------------------------------------------------------------------------------

PATHS = [
    "a",
    "a-b",
    "a.b",
    "a/b",
    "a/b/c",
    "a/c",
    "a0",
    "b/c/d",
    "b/c/e",
    "b/f",
    "b0/x",
    "é/x",
    "éé",
    "\uff5e",
    "\U00010000",
]
BOUNDS = [
    *PATHS,
    "",
    "A",
    "a!",
    "a/",
    "a/a",
    "a/b/",
    "a/bb",
    "a~",
    "b",
    "b/",
    "b/c",
    "b/c/",
    "b/d",
    "c",
    "zz",
    "\U0010fffd",
]


def test_a_listing_ends_before_a_bound(backend):
    for path in PATHS:
        backend.put(path, b"", PLAIN)
    for prefix in ("", "a", "a/", "b/c"):
        below = [path for path in PATHS if path.startswith(prefix)]
        for end in BOUNDS:
            assert listed(backend, prefix, end_before=end) == [path for path in below if path < end]
            for after in ("", "a/b", "a/bb", "b"):
                expected = [path for path in below if after < path < end]
                for size in (1, 2, 1000):
                    assert listed(backend, prefix, start_after=after, end_before=end, page_size=size) == expected


def test_one_level_ends_before_a_bound(backend):
    for path in PATHS:
        backend.put(path, b"", PLAIN)
    level = listed(backend, delimiter=True)
    assert level == ["a", "a-b", "a.b", "a/", "a0", "b/", "b0/", "é/", "éé", "\uff5e", "\U00010000"]
    for end in BOUNDS:
        assert listed(backend, delimiter=True, end_before=end) == [path for path in level if path < end]
