"""obspec's protocols over a store: what each promises, what its users catch, and the readers of ``obspec-utils``."""

from __future__ import annotations

import asyncio
import inspect
import io
import pickle
import uuid

import obspec
import pytest
from obspec import exceptions

from storage import IntegrityError, Storage
from storage.integrations.obspec import ObspecStore
from storage.testing import FaultyBackend

PROTOCOLS = [
    name
    for name in obspec.__all__
    if getattr(getattr(obspec, name), "_is_protocol", False) and not name.startswith("GetResult")
]


@pytest.fixture(params=["memory", "file", "s3"])
def store(request, tmp_path):
    if request.param == "s3":
        server = request.getfixturevalue("seaweedfs")
        return ObspecStore(Storage(server.url(), server.auth))
    return ObspecStore(Storage(f"memory://{uuid.uuid4().hex}" if request.param == "memory" else tmp_path))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols(name):
    """Every protocol that obspec has: its methods, with its parameters."""
    protocol = getattr(obspec, name)
    (method,) = [attribute for attribute in vars(protocol) if not attribute.startswith("_")]
    wanted = inspect.signature(getattr(protocol, method)).parameters
    ours = inspect.signature(getattr(ObspecStore, method)).parameters
    assert [(p.name, p.kind) for p in ours.values()] == [(p.name, p.kind) for p in wanted.values()]


def test_put_and_get(store, tmp_path):
    """Bytes, buffers, files and iterables, with headers and metadata, and what comes back."""
    (tmp_path / "f").write_bytes(b"from a file")
    for value, data in [
        (b"0123456789", b"0123456789"),
        (memoryview(b"view"), b"view"),
        (io.BytesIO(b"object"), b"object"),
        (tmp_path / "f", b"from a file"),
        (iter([b"a", b"b"]), b"ab"),
    ]:
        attributes = {"Content-Type": "text/x-test", "Cache-Control": "no-store", "owner": "ü"}
        put = store.put("d/k", value, attributes=attributes)
        got = store.get("d/k")
        assert got.meta == store.head("d/k")
        assert (got.meta["path"], got.meta["size"], got.meta["e_tag"]) == ("d/k", len(data), put["e_tag"])
        assert got.attributes == attributes
        assert got.range == (0, len(data))
        assert bytes(got.buffer()) == data
    assert b"".join(store.get("d/k")) == b"ab"


def test_ranges(store):
    """In each of the forms that obspec has."""
    store.put("k", b"0123456789")
    for wanted, span in [((2, 5), (2, 5)), ({"offset": 7}, (7, 10)), ({"suffix": 3}, (7, 10)), ((8, 99), (8, 10))]:
        got = store.get("k", options={"range": wanted})
        assert (got.range, got.buffer()) == (span, b"0123456789"[slice(*span)])
    assert store.get_range("k", start=2, end=5) == store.get_range("k", start=2, length=3) == b"234"
    assert store.get_ranges("k", starts=[0, 8], ends=[2, 20]) == store.get_ranges("k", starts=[0, 8], lengths=[2, 2])
    for wanted in ((3, 3), (12, 12), {"suffix": 0}):
        assert store.get("k", options={"range": wanted}).buffer() == b""
    with pytest.raises(exceptions.NotFoundError):
        store.get("absent", options={"range": (3, 3)})
    with pytest.raises(ValueError, match="-2"):
        store.get("k", options={"range": (-2, 3)})
    assert store.get("k", options={"head": True}).meta["size"] == 10
    for start, end in ((3, 3), (10, 12)):
        with pytest.raises(ValueError, match="empty"):
            store.get_range("k", start=start, end=end)
    for call in (lambda: store.get_range("k", start=0), lambda: store.get_ranges("k", starts=[0])):
        with pytest.raises(ValueError, match="give either"):
            call()


def test_conditions(store):
    """Create-only, a version that must be there, and what no store has."""
    tag = store.put("k", b"1", mode="create")["e_tag"]
    with pytest.raises(exceptions.AlreadyExistsError):
        store.put("k", b"2", mode="create")
    store.put("k", b"3", mode={"e_tag": tag})
    with pytest.raises(exceptions.PreconditionError):
        store.put("k", b"4", mode={"e_tag": tag})
    with pytest.raises(exceptions.PreconditionError):
        store.get("k", options={"if_match": tag})
    with pytest.raises(exceptions.PreconditionError):
        store.get("k", options={"if_match": tag, "head": True})
    assert store.get("k").buffer() == b"3"
    for call in (
        lambda: store.get("k", options={"if_none_match": tag}),
        lambda: store.put("k", b"", tags={"a": "b"}),
        lambda: store.put("k", b"", mode={"version": "1"}),
        lambda: store.put("k", b"", attributes={"Content-Disposition": "inline"}),
    ):
        with pytest.raises(exceptions.NotSupportedError):
            call()
    with pytest.raises(ValueError, match="mode"):
        store.put("k", b"", mode="Create")
    assert store.get("k").buffer() == b"3"


def test_changes_and_listings(store):
    """Copies, moves and deletes; a prefix is a folder."""
    for key in ("a/1", "a/b/2", "ab", "c"):
        store.put(key, key.encode())
    store.copy("c", "d")
    store.rename("c", "e")
    with pytest.raises(exceptions.AlreadyExistsError):
        store.copy("d", "e", overwrite=False)
    assert [meta["path"] for page in store.list() for meta in page] == ["a/1", "a/b/2", "ab", "d", "e"]
    assert [meta["path"] for page in store.list("a") for meta in page] == ["a/1", "a/b/2"]
    assert [meta["path"] for page in store.list("a/", offset="a/1") for meta in page] == ["a/b/2"]
    level = store.list_with_delimiter("a")
    assert (level["common_prefixes"], [meta["path"] for meta in level["objects"]]) == (["a/b"], ["a/1"])
    store.delete("ab")
    store.delete(["d", "e", "absent"])
    assert [meta["path"] for page in store.list() for meta in page] == ["a/1", "a/b/2"]


def test_errors(store):
    """By the names that obspec's users catch, also as Python's own."""
    for call in (
        store.get,
        store.head,
        lambda path: store.copy(path, "x"),
        lambda path: store.get_range(path, start=0, end=1),
    ):
        with pytest.raises(exceptions.NotFoundError) as caught:
            call("absent")
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.__cause__ is not None
    with pytest.raises(exceptions.InvalidPathError):
        store.head("a/../b")


def test_an_error_while_reading():
    """An error without a name there stays the library's, also while the bytes come."""
    faulty = FaultyBackend()
    store = ObspecStore(Storage(backend=faulty))
    store.put("k", bytes(100))
    faulty.cut(10, IntegrityError)
    with pytest.raises(IntegrityError):
        store.get("k").buffer()


def test_asynchronous(store):
    """The same calls as coroutines, several at once."""

    async def pieces():
        for piece in (b"one", b"two"):
            yield piece

    async def broken():
        yield b"half"
        raise KeyError

    async def work():
        await asyncio.gather(*(store.put_async(f"k{n}", b"%d" % n) for n in range(8)))
        assert (await store.put_async("s", pieces()))["e_tag"] == (await store.head_async("s"))["e_tag"]
        assert bytes(await (await store.get_async("s")).buffer_async()) == b"onetwo"
        assert b"".join([piece async for piece in await store.get_async("s")]) == b"onetwo"
        with pytest.raises(KeyError):
            await store.put_async("s", broken())
        assert await store.get_range_async("s", start=3, end=6) == b"two"
        assert await store.get_ranges_async("s", starts=[0, 3], lengths=[3, 3]) == [b"one", b"two"]
        await store.put_async("copied", await store.get_async("s"))
        await store.copy_async("k0", "k8")
        await store.rename_async("k1", "k9")
        await store.delete_async(["k0", "s"])
        found = [meta["path"] async for page in store.list_async() for meta in page]
        assert found == ["copied", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"]
        assert (await store.list_with_delimiter_async())["common_prefixes"] == []
        with pytest.raises(exceptions.NotFoundError):
            await store.get_async("absent")

    asyncio.run(work())


def test_pickle():
    """It goes to another process as its store does."""
    name = uuid.uuid4().hex
    ObspecStore(Storage(f"memory://{name}")).put("k", b"v")
    again = pickle.loads(pickle.dumps(ObspecStore(Storage(f"memory://{name}"))))
    assert again.get("k").buffer() == b"v"
    assert repr(again) == f"ObspecStore(Storage('memory://{name}'), 'data')"
