"""Single calls of ``AsyncStorage``: on the event loop where the backend never waits, in threads on a network."""

from __future__ import annotations

import importlib
import logging
import pickle
import sys
import uuid
from unittest import mock

import pytest

from storage import (
    AlreadyExistsError,
    AsyncStorage,
    AuthenticationError,
    BucketNotFoundError,
    MissingDependencyError,
    NotFoundError,
    NotTextError,
    PreconditionFailedError,
)
from storage._aio.threads import Job
from storage.backends.memory import MemoryBackend
from tests.emulators.s3 import seaweedfs  # noqa: F401

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "s3"])
def store(request):
    if request.param == "memory":
        return AsyncStorage("memory://", timeout=5)
    server = request.getfixturevalue("seaweedfs")
    return AsyncStorage(server.url(), server.auth, timeout=5)


@pytest.fixture
def threadless(monkeypatch):
    """``threadless(store)``: from now on it may use no thread."""

    async def run(*_, **__):
        raise AssertionError("a thread was used")

    return lambda store: monkeypatch.setattr(store._workers, "run", run)


async def test_one_blob(store):
    """Written, described, read whole and in part, replaced on a condition and deleted; what is absent is told so."""
    async with store:
        made = await store.set("a/b", "täxt", content_type="text/x", metadata={"m": "ü"})
        assert made.size == 5
        info = await store.info("a/b")
        assert (info.key, info.etag, info.content_type, info.metadata) == ("a/b", made.etag, "text/x", {"m": "ü"})
        assert await store.get("a/b") == "täxt"
        assert await store.get_bytes("a/b") == "täxt".encode()
        assert await store.get_bytes("a/b", start=1, end=3) == "ä".encode()
        with pytest.raises(AlreadyExistsError):
            await store.set("a/b", b"", overwrite=False)
        with pytest.raises(PreconditionFailedError):
            await store.set("a/b", b"", if_match="another")
        await store.set("a/b", b"\xff", if_match=made.etag)
        with pytest.raises(NotTextError):
            await store.get("a/b")
        assert await store.exists("a/b")
        await store.delete("a/b")
        assert not await store.exists("a/b")
        await store.delete("a/b", missing_ok=True)
        for call in (store.get, store.get_bytes, store.info, store.delete):
            with pytest.raises(NotFoundError) as caught:
                await call("a/b")
            assert (caught.value.key, caught.value.storage_type) == ("a/b", "data")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_thread_is_used(threadless, anyio_backend):
    """Where nothing ever waits, the hot calls stay on the loop."""
    store = AsyncStorage("memory://")
    threadless(store)
    await store.set("k", b"value")
    assert await store.get("k") == "value"
    assert await store.get_bytes("k") == b"value"
    assert (await store.info("k")).size == 5
    assert await store.exists("k")
    await store.delete("k")


async def test_a_value_of_several_parts(store):
    """More than one request carries goes up in a thread, and comes back the same."""
    data = bytes(range(256)) * 24_000
    async with store:
        assert (await store.set("large", data)).size == len(data)
        assert await store.get_bytes("large") == data


async def test_a_line_in_the_log(store, caplog):
    """Each call is one line, with its size, also where it is awaited."""
    async with store:
        with caplog.at_level(logging.DEBUG, "storage"):
            await store.set("k", b"12345")
            await store.get("k")
            with pytest.raises(NotFoundError):
                await store.get("absent")
    lines = [record.getMessage() for record in caplog.records if record.name == "storage"]
    assert [line.split()[0] for line in lines] == ["set", "get", "get"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_errors_of_the_service(seaweedfs, anyio_backend):  # noqa: F811
    """A missing bucket is none of a missing blob, and wrong credentials are none of either."""
    url = seaweedfs.url(bucket="bucket-that-is-not-there")
    async with AsyncStorage(url, seaweedfs.auth, 0) as store:
        for call in (store.get, store.info, store.exists, lambda key: store.delete(key, missing_ok=True)):
            with pytest.raises(BucketNotFoundError):
                await call("k")
    auth = {**seaweedfs.auth, "secret_access_key": "wrong"}
    async with AsyncStorage(seaweedfs.url(), auth, 0) as store:
        for call in (store.get, store.info, store.exists, store.delete, lambda key: store.set(key, "v")):
            with pytest.raises(AuthenticationError):
                await call("k")


# ---- the object itself -------------------------------------------------------------------------------------------------


def test_what_it_says_of_itself():
    """Its backend, its types, and its URL without a secret."""
    store = AsyncStorage("memory://shown", storage_types={"data": "", "raw": "memory://other"})
    assert isinstance(store.backend, MemoryBackend)
    assert store.storage_types == ("data", "raw")
    assert repr(store) == "AsyncStorage('memory://shown', storage_types=['data', 'raw'])"


async def test_pickle():
    """A pickled store opens the same place, and keeps what a subclass added."""
    store = AsyncStorage(f"memory://{uuid.uuid4().hex}")
    store.label = "mine"
    await store.set("k", "v")
    again = pickle.loads(pickle.dumps(store))
    assert await again.get("k") == "v"
    assert again.label == "mine"


async def test_sync_takes_another_of_its_kind():
    """Anything else is refused by name."""
    with pytest.raises(TypeError, match="AsyncStorage or a path, not dict"):
        await AsyncStorage("memory://").sync_to({})


async def test_sync_to_a_path(tmp_path):
    """A path is a plain folder, as it is to a ``Storage``."""
    async with AsyncStorage("memory://") as store:
        await store.set("a/b.txt", "text")
        assert (await store.sync_to(tmp_path / "folder")).copied == 1
    assert (tmp_path / "folder" / "a" / "b.txt").read_text() == "text"


async def test_a_call_that_was_ended_before_it_began():
    """A thread that becomes free too late does nothing."""
    done = []
    job = Job(done.append, (1,))
    await job.end()
    assert job.run() is None
    assert done == []


def test_without_anyio():
    """The error says what to install."""
    with mock.patch.dict(sys.modules, {"anyio": None}):
        del sys.modules["storage._aio.threads"]
        with pytest.raises(MissingDependencyError, match=r"storage-facade\[async\]"):
            importlib.import_module("storage._aio.threads").Workers(1)
