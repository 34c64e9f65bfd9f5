"""The hot calls as coroutines: what they return and raise is what the plain ones do."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from storage.backends import AsyncBackend, PutOptions
from storage.exceptions import AlreadyExistsError, PreconditionFailedError
from storage.testing.faults import LOST, TRUNCATE

PLAIN = PutOptions("text/plain")


@pytest.fixture
def backend(store):
    assert isinstance(store.backend, AsyncBackend)
    return store.backend


def test_round_trip(backend, store):
    """A blob is stored, described, read in ranges and deleted."""

    async def run():
        prefix = store._routes["data"].prefix
        made = await backend.aput(prefix + "a", b"text", PLAIN._replace(metadata={"m": "é", "content-type": "x"}))
        stat = await backend.astat(prefix + "a")
        assert made._replace(last_modified=None) == stat._replace(last_modified=None)
        assert await backend.aget(prefix + "a") == b"text"
        assert await backend.aget(prefix + "a", 1, 3) == b"ex"
        assert await backend.aget(prefix + "a", 9) == b""
        with pytest.raises(AlreadyExistsError):
            await backend.aput(prefix + "a", b"", PLAIN._replace(overwrite=False))
        with pytest.raises(Exception) as caught:
            await backend.aget(prefix + "a", if_match="other")
        assert issubclass(backend.classify(caught.value), PreconditionFailedError)
        await backend.adelete(prefix + "a")
        for call in (backend.aget, backend.astat, backend.adelete):
            with pytest.raises(FileNotFoundError):
                await call(prefix + "a")

    asyncio.run(run())


def test_faults(backend, store, proxy):
    """A cut body is read again, a lost answer to a delete asked for again."""

    async def run():
        path = store._routes["data"].prefix + "a"
        data = b"1" * 3_000_000
        await backend.aput(path, data, PLAIN)
        proxy.script(TRUNCATE)
        assert await backend.aget(path) == data
        proxy.script(LOST, when=lambda request: request.method == "DELETE")
        await backend.adelete(path)
        with pytest.raises(FileNotFoundError):
            await backend.astat(path)

    asyncio.run(run())


def test_cancelling(backend, store, proxy):
    """A cancelled put stores the whole blob or nothing."""

    async def run():
        path = store._routes["data"].prefix + "a"
        task = asyncio.ensure_future(backend.aput(path, b"1" * 3_000_000, PLAIN))
        await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.2)
        with contextlib.suppress(FileNotFoundError):
            assert (await backend.astat(path)).size == 3_000_000

    asyncio.run(run())
