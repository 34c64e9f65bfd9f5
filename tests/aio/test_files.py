"""Asynchronous files and iterators: as sources, as targets, and as what ``open`` gives."""

from __future__ import annotations

import io

import pytest

from storage import AsyncStorage, IntegrityError, NotFoundError
from storage.backends import Download
from storage.backends.memory import MemoryBackend

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


class ThreadedMemory(MemoryBackend):
    """Memory that is used in threads, and takes more than a MiB in parts."""

    inline = False
    chunk_size = MIB


@pytest.fixture(params=[MemoryBackend, ThreadedMemory])
def store(request):
    return AsyncStorage(backend=request.param())


class AsyncFile:
    """A file of bytes or text whose methods are coroutines."""

    def __init__(self, file=None):
        self.file = io.BytesIO() if file is None else file

    async def read(self, size):
        return self.file.read(size)

    async def write(self, data):
        return self.file.write(data)

    def __aiter__(self):
        raise AssertionError("a file is read by pieces, not by lines")


class Pieces:
    """An asynchronous iterator without ``aclose``."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)


@pytest.mark.parametrize("size", [0, 10, 3 * MIB + 7])
async def test_there_and_back(store, size):
    """An asynchronous file goes up and comes down piece by piece, and each piece is counted."""
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    up, down = [], []
    info = await store.set_file("k", AsyncFile(io.BytesIO(data)), progress=up.append, metadata={"a": "b"})
    assert (info.size, info.metadata) == (size, {"a": "b"})
    target = AsyncFile()
    assert (await store.get_file("k", target, progress=down.append)).etag == info.etag
    assert target.file.getvalue() == data
    assert sum(up) == sum(down) == size
    await store.get_file("k", target)
    assert target.file.getvalue() == data * 2


@pytest.mark.parametrize(
    "source, expected",
    [
        (lambda: AsyncFile(io.StringIO("täxt")), "täxt".encode()),
        (lambda: Pieces(b"one", bytearray(b"two"), b"", memoryview(b"three")), b"onetwothree"),
        (lambda: Pieces(b"a" * (MIB - 1), b"b" * (MIB + 1), b"c"), b"a" * (MIB - 1) + b"b" * (MIB + 1) + b"c"),
        (Pieces, b""),
    ],
    ids=["text", "buffers", "uneven", "nothing"],
)
async def test_sources(store, source, expected):
    """Text, every kind of bytes, and pieces of any size."""
    await store.set("a", source())
    await store.set_file("b", source())
    assert await store.get_bytes("a") == await store.get_bytes("b") == expected


@pytest.mark.parametrize(
    "source, who",
    [(lambda: Pieces("text"), "the asynchronous iterator"), (lambda: AsyncFile(io.BytesIO(b"x")), r"read\(\)")],
)
async def test_what_gives_no_bytes(store, source, who, monkeypatch):
    """Is refused by name, and the old blob stands."""

    async def number(self, size):
        return 5

    monkeypatch.setattr(AsyncFile, "read", number)
    await store.set("k", "old")
    with pytest.raises(TypeError, match=f"^{who}"):
        await store.set("k", source())
    assert await store.get("k") == "old"


async def test_a_source_that_has_nothing_yet(store):
    """A read that says "nothing yet" is not the end of the file."""

    class NotReady(AsyncFile):
        async def read(self, size):
            return self.file.read(size) or None

    with pytest.raises(BlockingIOError):
        await store.set("k", NotReady(io.BytesIO(b"half")))
    assert not await store.exists("k")


async def test_a_download_that_is_cut():
    """Fewer bytes than the blob has are an error, as for a file of the caller's that is not asynchronous."""

    class Cut(MemoryBackend):
        def stream(self, path, start=0, end=None, if_match=None):
            stat, _ = super().stream(path, start, end, if_match)
            return Download(stat, (piece for piece in [b"ha"]))

    store = AsyncStorage(backend=Cut())
    await store.set("k", b"half")
    for target in (AsyncFile(), io.BytesIO()):
        with pytest.raises(IntegrityError):
            await store.get_file("k", target)


async def test_a_generator_is_closed_when_its_upload_fails(store):
    """What it holds open is let go at once, and not by the collector."""
    closed = []

    async def source():
        try:
            while True:
                yield bytes(MIB)
        finally:
            closed.append(True)

    def fail(_):
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        await store.set_file("k", source(), progress=fail)
    assert closed == [True]
    assert not await store.exists("k")


async def test_a_target_that_fails(store):
    """What it raises reaches the caller; a blob that is absent reaches no target."""
    target = AsyncFile()
    with pytest.raises(NotFoundError) as caught:
        await store.get_file("absent", target)
    assert caught.value.key == "absent"
    await store.set("k", bytes(2 * MIB))
    target.file.close()
    with pytest.raises(ValueError, match="closed"):
        await store.get_file("k", target)


# ---- open --------------------------------------------------------------------------------------------------------------


async def test_a_file_that_is_read(store):
    """Every way to read, to look where it stands and to move."""
    await store.set("k", "one\ntwo\nthree")
    file = store.open("k")
    assert file.closed
    await file
    assert not file.closed
    assert (file.name, file.mode, file.seekable()) == ("k", "rb", True)
    assert await file.readline() == b"one\n"
    assert await file.tell() == 4
    buffer = bytearray(3)
    assert await file.readinto(buffer) == 3
    assert buffer == b"two"
    assert await file.seek(-5, io.SEEK_END) == 8
    assert await file.read() == b"three"
    await file.seek(0)
    assert await file.readlines() == [b"one\n", b"two\n", b"three"]
    await file.close()
    assert file.closed
    async with store.open("k", "r") as text:
        assert [line async for line in text] == ["one\n", "two\n", "three"]
    with pytest.raises(AttributeError):
        _ = text._hidden


async def test_a_file_that_nobody_opened(store):
    """It says how it is opened; closing it is nothing."""
    file = store.open("k", "wb")
    with pytest.raises(ValueError, match=r"the file is not open yet: async with .* or file = await"):
        await file.write(b"x")
    with pytest.raises(AttributeError, match="info: the file is not open yet"):
        _ = file.info
    await file.close()
    assert not await store.exists("k")


async def test_a_file_that_is_written(store):
    """The blob appears at the end, however the pieces came; nothing appears where the block failed."""
    async with store.open("k", "w") as file:
        assert await file.write("one\n") == 4
        await file.writelines(["two\n", "three"])
        await file.flush()
        assert not await store.exists("k")
    assert await store.get("k") == "one\ntwo\nthree"
    assert file.info.size == 13
    file = await store.open("k", "wb")
    with pytest.raises(RuntimeError):  # noqa: PT012 (the block is what fails)
        async with file:
            await file.write(b"new")
            raise RuntimeError
    assert await store.get("k") == "one\ntwo\nthree"
