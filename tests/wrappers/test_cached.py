"""A store that is read through a local directory."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import threading
import uuid
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from storage import ConfigurationError, IntegrityError, NotFoundError, PreconditionFailedError, Storage
from storage.backends.cached import CachedBackend
from storage.backends.memory import MemoryBackend
from storage.testing import Conformance
from storage.testing._spy import Spy
from tests.conformance import test_s3
from tests.conformance.harnesses import FilesystemHarness, LocalHarness
from tests.emulators.s3 import seaweedfs  # noqa: F401


class CachedHarness(LocalHarness):
    """Named stores in memory, behind one cache."""

    def start(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="storage-cache-")

    def stop(self) -> None:
        shutil.rmtree(self.directory)

    def url(self, name: str) -> str:
        return f"cached+memory://{name}?cache={self.directory}"


class TestCachedMemory(Conformance):
    harness = CachedHarness()


class CachedFilesHarness(FilesystemHarness):
    """Directories, behind one cache that lies beside them."""

    def url(self, name: str) -> str:
        return f"cached+{super().url(name)}?cache={self.root}/cache"

    def missing_url(self) -> str:
        return f"cached+{super().missing_url()}&cache={self.root}/cache"


class TestCachedFiles(Conformance):
    harness = CachedFilesHarness()


class CachedSeaweedFSHarness(test_s3.SeaweedFSHarness):
    def start(self) -> None:
        super().start()
        self.directory = tempfile.mkdtemp(prefix="storage-cache-")

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self.directory)

    def url(self, name: str) -> str:
        return f"cached+{super().url(name)}&cache={quote(self.directory)}"


@pytest.mark.slow
class TestCachedSeaweedFS(test_s3.TestSeaweedFS):
    harness: ClassVar[Any] = CachedSeaweedFSHarness()


@pytest.fixture
def spy():
    return Spy(MemoryBackend())


@pytest.fixture
def store(spy, tmp_path):
    """A store behind a cache, and what its backend is asked."""
    return Storage(backend=CachedBackend(spy, str(tmp_path / "cache")))


def bodies(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_second_read_asks_only_for_the_version(store, spy, tmp_path):
    """One small request, and the bytes come from the directory: whole, in part, as a stream and as a file."""
    store.set("k", b"0123456789")
    store.get_bytes("k")
    spy.names.clear()
    assert store.get_bytes("k") == b"0123456789"
    assert store.get_bytes("k", start=2, end=4) == b"23"
    assert store.get_bytes("k", start=-2) == b"89"
    assert b"".join(store.iter_bytes("k")) == b"0123456789"
    store.get_file("k", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"0123456789"
    assert set(spy.names) == {"stat"}
    assert len(spy.names) == 5


def test_a_stream_fills_it(store, spy, tmp_path):
    """Also a blob that was only streamed is kept, but only when all of it was read."""
    store.set("k", bytes(3_000_000))
    for chunk in store.iter_bytes("k"):
        assert chunk
        break
    assert bodies(tmp_path) == []
    assert sum(map(len, store.iter_bytes("k"))) == 3_000_000
    assert len(bodies(tmp_path)) == 1
    spy.names.clear()
    assert sum(map(len, store.iter_bytes("k"))) == 3_000_000
    assert spy.names == ["stat"]


def test_never_stale(store, spy):
    """What another writer replaced or deleted is seen at the next read."""
    other = Storage(backend=spy)
    store.set("k", "one")
    assert store.get("k") == "one"
    other.set("k", "two")
    assert store.get("k") == "two"
    other.delete("k")
    with pytest.raises(NotFoundError):
        store.get("k")


def test_replaced_between_look_and_read(spy, tmp_path):
    """The new blob is read, and nothing wrong is kept."""
    store = Storage(backend=CachedBackend(spy, str(tmp_path / "cache")))
    other = Storage(backend=spy)
    store.set("k", "one")
    spy._before = lambda name: name == "get" and (setattr(spy, "_before", None), other.set("k", "two"))
    assert store.get("k") == "two"
    assert bodies(tmp_path) == []
    backend = store.backend
    with pytest.raises(PreconditionFailedError):
        backend.get("data/k", 0, None, "another")


def test_trust(spy, tmp_path):
    """Within ``cache_trust`` seconds nothing is asked; one's own writes are seen all the same."""
    store = Storage(backend=CachedBackend(spy, str(tmp_path / "cache"), trust=3600))
    store.set("k", "one")
    store.get("k")
    spy.names.clear()
    assert store.get("k") == "one"
    assert spy.names == []
    store.set("k", "two")
    assert store.get("k") == "two"


def test_bounded(spy, tmp_path):
    """What was not read for the longest time goes; what is larger than the cache is not kept."""
    store = Storage(backend=CachedBackend(spy, str(tmp_path / "cache"), size=100_000))
    for number in range(30):
        store.set(f"k{number}", bytes(10_000))
        store.get_bytes(f"k{number}")
        store.get_bytes("k0")
    assert sum(path.stat().st_size for path in bodies(tmp_path)) <= 110_000
    spy.names.clear()
    store.get_bytes("k0")
    assert spy.names == ["stat"]
    store.set("large", bytes(200_000))
    assert len(store.get_bytes("large")) == 200_000
    assert sum(path.stat().st_size for path in bodies(tmp_path)) <= 110_000


def test_a_damaged_cache_is_none(store, spy, tmp_path):
    """A cut body, an unreadable directory, a left-over temporary file: the store answers."""
    store.set("k", b"0123456789")
    store.get_bytes("k")
    (body,) = bodies(tmp_path)
    body.write_bytes(b"01234")
    assert store.get_bytes("k") == b"0123456789"
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file")
    assert store.get_bytes("k") == b"0123456789"


def test_a_body_that_is_cut_while_it_is_read(store, tmp_path):
    """It is an error, and not a blob without end."""
    store.set("k", b"x" * 3_000_000)
    store.get_bytes("k")
    (body,) = bodies(tmp_path)
    chunks = store.iter_bytes("k")
    next(chunks)
    os.truncate(body, 10)
    with pytest.raises(IntegrityError):
        list(chunks)


def test_many_readers_at_once(store, tmp_path):
    """Threads that read and write one key get whole values, and leave no temporary file."""
    store.set("k", b"0" * 100_000)
    seen = set()

    def read():
        for _ in range(20):
            seen.update(set(store.get_bytes("k")))

    def write():
        for number in range(20):
            store.set("k", bytes([48 + number % 10]) * 100_000)

    threads = [threading.Thread(target=run) for run in (read, read, read, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= set(range(48, 58))
    assert not [path for path in bodies(tmp_path) if path.name.startswith(".new-")]


def test_private_directory(store, tmp_path):
    """Nobody else reads the copies."""
    store.set("k", "v")
    store.get("k")
    (body,) = bodies(tmp_path)
    assert body.stat().st_mode & 0o077 == 0
    assert body.parent.stat().st_mode & 0o077 == 0


def test_urls(tmp_path):
    """The parameters are checked, and the rest is the inner backend's."""
    name = uuid.uuid4().hex
    Storage(f"memory://{name}").set("k", "v")
    store = Storage(f"cached+memory://{name}?cache={tmp_path}&cache_size=1000000&cache_trust=0.5")
    assert store.get("k") == "v"
    assert pickle.loads(pickle.dumps(store)).get("k") == "v"
    for query, word in {
        "": "cache=/absolute",
        "?cache=relative": "cache=/absolute",
        f"?cache={tmp_path}&cache_size=0": "1 or more",
        f"?cache={tmp_path}&cache_size=x": "whole number",
        f"?cache={tmp_path}&cache_trust=-1": "0 or more",
        f"?cache={tmp_path}&other=1": "other",
    }.items():
        with pytest.raises(ConfigurationError, match=word):
            Storage(f"cached+memory://{name}{query}")


def test_on_files(tmp_path):
    """A directory as the store: its path belongs to the inner backend."""
    store = Storage(f"cached+file://{tmp_path}/store?cache={tmp_path}/cache")
    store.set("a/b", "text")
    assert store.get("a/b") == store.get("a/b") == "text"
    assert (tmp_path / "store" / "data" / "a" / "b").read_text() == "text"
    assert os.listdir(tmp_path / "cache")
    assert store.backend.location == (tmp_path / "store").as_uri()
