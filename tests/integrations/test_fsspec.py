"""fsspec's own tests for file systems, and what its users do first."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import threading
import uuid
from contextlib import suppress

import fsspec
import pytest
from fsspec.callbacks import Callback
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests import abstract

from storage import NotFoundError, PermissionDeniedError, Storage
from storage.backends.memory import MemoryBackend
from storage.integrations.fsspec import StorageFileSystem
from storage.testing._spy import Spy


class Fixtures(abstract.AbstractFixtures):
    """A store of its own for each test."""

    @pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.slow)])
    def fs(self, request, tmp_path):
        if request.param == "s3":
            server = request.getfixturevalue(
                "moto_s3"
            )  # SeaweedFS shows folders for a while after their last file is gone
            return StorageFileSystem(Storage(server.url(), server.auth))
        url = f"memory://{uuid.uuid4().hex}" if request.param == "memory" else tmp_path / "store"
        return StorageFileSystem(Storage(url))

    @pytest.fixture
    def fs_path(self):
        return "below"

    @pytest.fixture
    def local_fs(self):
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def supports_empty_directories(self):
        return False


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


# ---- what its users do ---------------------------------------------------------------------------------------------------


@pytest.fixture
def fs():
    fs = StorageFileSystem(Storage("memory://"))
    for path in ("a.txt", "d/b.txt", "d/e/c.txt"):
        fs.pipe_file(path, path.encode())
    return fs


def test_open_by_url(place):
    """``fsspec.open`` needs no object, for bytes and for text."""
    url, options = place
    with fsspec.open(f"{url}/d/a.txt", "w", encoding="utf-8", **options) as file:
        file.write("é\n")
    with fsspec.open(f"{url}/d/a.txt", "rb", **options) as file:
        assert file.read() == b"\xc3\xa9\n"
    fs, path = fsspec.core.url_to_fs(f"{url}/d/a.txt", **options)
    assert fs.exists(path)
    assert fs.size(path) == 3
    assert fs.ls(path.rpartition("/")[0], detail=False) == [path]
    assert fsspec.core.url_to_fs(fs.unstrip_protocol(path), **options)[1] == path


def test_exceptions(fs, monkeypatch):
    """What users of fsspec catch, with the library's own behind it."""
    for call in (fs.info, fs.cat_file, fs.rm_file, fs.open, fs.ls, lambda path: fs.cp_file(path, "x"), fs.modified):
        with pytest.raises(FileNotFoundError) as caught:
            call("absent")
        assert isinstance(caught.value.__cause__, NotFoundError)
    with pytest.raises(FileExistsError):
        fs.pipe_file("a.txt", b"", mode="create")
    with pytest.raises(FileExistsError):
        fs.open("a.txt", "xb")
    file = fs.open("new", "xb")
    file.write(b"mine")
    fs.pipe_file("new", b"theirs")  # somebody was faster
    with pytest.raises(FileExistsError):
        file.close()
    assert fs.cat_file("new") == b"theirs"

    def forbidden(*_):
        raise PermissionDeniedError("no")

    monkeypatch.setattr(fs.storage, "info", forbidden)
    with pytest.raises(PermissionError):
        fs.exists("a.txt")
    for mode in ("ab", "r+b"):
        with pytest.raises(NotImplementedError, match="rb"):
            fs.open("a.txt", mode)


@pytest.mark.parametrize("mode", ["wb", "w", "wt", "xb"])
@pytest.mark.parametrize("compression", [None, "infer", "gzip"])
def test_a_file_that_is_written(fs, mode, compression):
    """It appears when its block ends, compressed or not, and stores nothing where the block fails."""
    data = b"some" if "b" in mode else "some"
    with fs.open("new.gz", mode, compression=compression) as file:
        file.write(data)
        assert not fs.exists("new.gz")
    with fs.open("new.gz", mode.replace("w", "r").replace("x", "r"), compression=compression) as file:
        assert file.read() == data
    with suppress(KeyError), fs.open("failed.gz", mode, compression=compression) as file:
        file.write(data)
        raise KeyError
    assert not fs.exists("failed.gz")
    file = fs.open("closed.gz", mode, compression=compression)
    file.write(data)
    file.close()
    assert fs.exists("closed.gz")


def test_removing_what_is_not_there(fs):
    """It is an error, as for any file system, and nothing else is removed."""
    for paths in ("absent", ["a.txt", "absent"]):
        with pytest.raises(FileNotFoundError):
            fs.rm(paths)
    assert fs.exists("a.txt")
    fs.rm(["a.txt", "d/b.txt"])
    assert fs.find("") == ["d/e/c.txt"]


def test_folders(fs):
    """A folder is what is below it."""
    assert fs.ls("", detail=False) == ["a.txt", "d"]
    assert fs.ls("d", detail=False) == ["d/b.txt", "d/e"]
    assert [fs.info(path)["type"] for path in ("", "a.txt", "d", "d/e")] == [
        "directory",
        "file",
        "directory",
        "directory",
    ]
    assert fs.find("") == ["a.txt", "d/b.txt", "d/e/c.txt"]
    assert fs.find("d", maxdepth=1) == ["d/b.txt"]
    assert fs.find("d/b.txt") == ["d/b.txt"]
    assert fs.find("", prefix="d/e") == ["d/e/c.txt"]
    assert list(fs.walk("d")) == [("d", ["e"], ["b.txt"]), ("d/e", [], ["c.txt"])]
    assert fs.glob("d/**/*.txt") == ["d/b.txt", "d/e/c.txt"]
    assert fs.du("d") == 16
    with pytest.raises(FileExistsError):
        fs.mkdir("d")
    with pytest.raises(IsADirectoryError):
        fs.rm("d")
    fs.rm("d", recursive=True)
    assert fs.find("") == ["a.txt"]
    fs.makedirs("x/y")
    assert not fs.exists("x/y")


def test_ranges(fs):
    """As slices, also negative ones, and many at once."""
    fs.pipe_file("k", b"0123456789")
    for start, end in ((None, None), (2, 5), (-3, None), (-5, -2), (2, -2), (0, -20), (8, 99)):
        assert fs.cat_file("k", start, end) == b"0123456789"[start:end]
    assert fs.cat_ranges(["k", "k", "absent"], [0, -2, 0], [2, None, 1])[:2] == [b"01", b"89"]
    assert isinstance(fs.cat_ranges(["absent"], 0, 1)[0], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["absent"], 0, 1, on_error="raise")
    assert fs.cat(["k", "a.txt"]) == {"k": b"0123456789", "a.txt": b"a.txt"}
    assert fs.cat(["k", "absent"], on_error="omit") == {"k": b"0123456789"}


def test_versions_and_times(fs):
    """An etag tells versions apart, and nothing is remembered that is stale."""
    before = fs.checksum("a.txt")
    assert fs.modified("a.txt").tzinfo is not None
    fs.pipe_file("a.txt", b"other")
    assert fs.checksum("a.txt") != before
    assert fs.size("a.txt") == 5
    with pytest.raises(IsADirectoryError):
        fs.modified("d")


def test_nothing_is_remembered():
    """What another writer does is seen at once, and a folder is told in at most two requests."""
    spy = Spy(MemoryBackend())
    fs, other = StorageFileSystem(Storage(backend=spy)), Storage(backend=spy)
    assert not fs.exists("d")
    assert fs.ls("") == []
    other.set("d/a", b"1")
    spy.names.clear()
    assert fs.info("d")["type"] == "directory"
    assert spy.names == ["stat", "scan", "page"]  # the scan asks for its one page
    assert fs.ls("d", detail=False) == ["d/a"]
    other.set("d/b", b"22")
    assert fs.find("") == ["d/a", "d/b"]
    other.delete("d/a")
    assert not fs.exists("d/a")
    spy.names.clear()
    assert fs.size("d/b") == 2
    assert spy.names == ["stat"]


def test_ranges_are_read_in_parallel():
    """As many requests at once as suit the backend, in threads that have the caller's context."""
    together, place = threading.Barrier(4, timeout=10), contextvars.ContextVar("place", default="elsewhere")
    seen = []

    class Remote(MemoryBackend):
        inline, concurrency = False, 4

        def get(self, path, *args):
            together.wait()
            seen.append(place.get())
            return super().get(path, *args)

    fs = StorageFileSystem(Storage(backend=Remote()))
    fs.pipe_file("k", b"0123")
    place.set("here")
    assert fs.cat_ranges(["k"] * 4, [0, 1, 2, 3], [1, 2, 3, 4]) == [b"0", b"1", b"2", b"3"]
    assert seen == ["here"] * 4


def test_moves_and_signs(fs):
    """Inside the store, by the library's own calls."""
    fs.mv("a.txt", "z.txt")
    assert not fs.exists("a.txt")
    assert fs.cat_file("z.txt") == b"a.txt"
    assert fs.sign("z.txt", expiration=60).startswith("http://127.0.0.1")


def test_progress(fs, tmp_path):
    """A callback hears of every byte, up and down."""
    (tmp_path / "f").write_bytes(bytes(100_000))
    for move in (
        lambda c: fs.put_file(tmp_path / "f", "big", callback=c),
        lambda c: fs.get_file("big", tmp_path / "g", callback=c),
    ):
        callback = Callback()
        move(callback)
        assert (callback.size, callback.value) == (100_000, 100_000)
    assert (tmp_path / "g").read_bytes() == bytes(100_000)


def test_pickle_and_equality(fs):
    """One that names its place goes to another process; what is private, or holds a secret, does not."""
    name = uuid.uuid4().hex
    shared = StorageFileSystem(url=f"memory://{name}")
    shared.pipe_file("k", b"v")
    assert pickle.loads(pickle.dumps(shared)).cat_file("k") == b"v"
    assert pickle.loads(pickle.dumps(shared)) == shared
    assert fs != StorageFileSystem(Storage("memory://"))
    with pytest.raises(TypeError, match="private"):
        pickle.dumps(fs)
    secret = StorageFileSystem(url="memory://x", auth={"k": "v"})
    for write_out in (pickle.dumps, StorageFileSystem.to_json):
        with pytest.raises(TypeError, match="auth"):
            write_out(secret)


def test_arguments(tmp_path):
    """What cannot be says what to do instead."""
    with pytest.raises(ValueError, match="Storage or a URL"):
        StorageFileSystem()
    with pytest.raises(ValueError, match="root="):
        fsspec.open("storage+file:///data/a.txt").open()
    with pytest.raises(ValueError, match="not below the root"):
        fsspec.open("storage+file:///data/a.txt", root=str(tmp_path)).open()


def test_schemes_are_found():
    """fsspec finds the schemes by the distribution's entry points."""
    for scheme in ("file", "gs", "memory", "s3"):
        assert fsspec.get_filesystem_class(f"storage+{scheme}") is StorageFileSystem


def test_asynchronous(place):
    """fsspec's own wrapper makes its asynchronous interface of this one, whose calls overlap."""
    url, options = place

    async def work():
        fs, root = fsspec.core.url_to_fs(url + "/d", **options)
        wrapped = AsyncFileSystemWrapper(fs, asynchronous=True)
        paths = [f"{root}/{n}.txt" for n in range(20)]
        await asyncio.gather(*(wrapped._pipe_file(path, path.encode()) for path in paths))
        assert await wrapped._cat(paths) == {path: path.encode() for path in paths}
        assert await wrapped._cat_ranges(paths[:2], [0, -3], [2, None]) == [paths[0][:2].encode(), b"txt"]
        assert sorted(await wrapped._glob(f"{root}/1?.txt")) == paths[10:]
        await wrapped._rm(root, recursive=True)
        assert await wrapped._find(root) == []
        with pytest.raises(FileNotFoundError):
            await wrapped._info(paths[0])

    asyncio.run(work())
