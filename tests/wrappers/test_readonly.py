"""A store that refuses every change."""

from __future__ import annotations

import pickle
import uuid

import pytest

from storage import ConfigurationError, PermissionDeniedError, Storage, register
from storage.backends._wrapper import Wrapper, open_inner
from storage.backends.readonly import ReadOnlyBackend
from storage.testing import Conformance
from tests.conformance.harnesses import FilesystemHarness, MemoryHarness


class WrittenBeside(Wrapper):
    """Reads through a store that is read-only, and writes past it: so the whole suite can say what reading must do."""

    scheme = "beside"

    def __init__(self, backend):
        super().__init__(backend)
        self.reader = ReadOnlyBackend(backend)

    def __reduce__(self):
        return WrittenBeside, (self._backend,)


def through_the_reader(name):
    return lambda self, *args, **options: getattr(self.reader, name)(*args, **options)


# All but the changes, and `sign`: a read-only store signs no uploads, and a local one nothing.
for read in (
    "get", "stream", "stat", "probe", "scan", "bucket_exists", "bucket_exists_now", "find_foreign_names",
    "find_problems", "count_outside"
):  # fmt: skip
    setattr(WrittenBeside, read, through_the_reader(read))


def create(url, *, auth=None, retries=None, timeout=None):
    return WrittenBeside(open_inner(url, (), auth=auth, retries=retries, timeout=timeout))


for scheme in ("memory", "file"):
    register(f"beside+{scheme}", create)


class ReadOnlyMemoryHarness(MemoryHarness):
    def url(self, name):
        return f"beside+{super().url(name)}"


class ReadOnlyFilesHarness(FilesystemHarness):
    def url(self, name):
        return f"beside+{super().url(name)}"

    def missing_url(self):
        return f"beside+{super().missing_url()}"


class TestReadOnlyMemory(Conformance):
    harness = ReadOnlyMemoryHarness()


@pytest.mark.slow
class TestReadOnlyFiles(Conformance):
    harness = ReadOnlyFilesHarness()


@pytest.fixture
def name():
    name = uuid.uuid4().hex
    Storage(f"memory://{name}").set_many({"a": "1", "b/c": "2"})
    return name


@pytest.fixture
def store(name):
    return Storage(f"readonly+memory://{name}")


def test_reads(store, tmp_path):
    """Everything that changes nothing works."""
    assert store.get("a") == "1"
    assert store.list() == ["a", "b/c"]
    assert store.info("a").size == 1
    assert store.exists("b/c")
    with store.open("a") as file:
        assert file.read() == b"1"
    assert store.get_dir("", tmp_path) == 2
    assert pickle.loads(pickle.dumps(store)).get("a") == "1"
    assert repr(store).startswith("Storage('readonly+memory://")


def test_refuses(store, name, tmp_path):
    """Every change is refused, and nothing is changed."""
    (tmp_path / "f").write_text("x")
    changes = [
        lambda: store.set("a", "x"),
        lambda: store.set("a", iter([b"x"])),
        lambda: store.set_file("a", tmp_path / "f"),
        lambda: store.set_many({"a": "x"}),
        lambda: store.set_dir("d/", tmp_path),
        lambda: store.set_metadata("a", metadata={}),
        lambda: store.delete("a"),
        lambda: store.delete("a", missing_ok=True),
        lambda: store.delete_many(["a"]),
        lambda: store.delete_prefix("b/"),
        lambda: store.copy("a", "z"),
        lambda: store.move("a", "z"),
        lambda: store.setup(cors_origins=["*"]),
        lambda: store.get_upload_url("a"),
        lambda: store.sign_form("a"),
        lambda: store.open("a", "w").close(),
    ]
    for change in changes:
        with pytest.raises(PermissionDeniedError, match="read-only"):
            change()
    assert Storage(f"memory://{name}").list() == ["a", "b/c"]
    assert store.get("a") == "1"


def test_around_another_wrapper(name, tmp_path):
    """Wrappers stack, and an unknown scheme inside is named."""
    store = Storage(f"readonly+cached+memory://{name}?cache={tmp_path}")
    assert store.get("a") == "1"
    with pytest.raises(PermissionDeniedError):
        store.delete("a")
    with pytest.raises(ConfigurationError, match="unknown scheme 'nothing'"):
        Storage("readonly+nothing://x")
    with pytest.raises(ConfigurationError, match="built in"):
        register("cached+mine", lambda *_: None)
