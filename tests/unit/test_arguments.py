"""Arguments of a wrong type are told by name, before anything is done."""

from __future__ import annotations

import pickle
import uuid

import pytest

from storage import ConfigurationError, InvalidKeyError, PreconditionFailedError, Storage, UnsupportedOperationError
from storage.backends.memory import MemoryBackend


@pytest.fixture
def store():
    with Storage("memory://") as storage:
        storage.set("k", "old")
        yield storage


@pytest.mark.parametrize(
    "call, word",
    [
        (lambda s: s.set("k", "", overwrite=1), "overwrite must be a bool, not int"),
        (lambda s: s.set("k", "", if_match=5), "if_match must be an etag"),
        (lambda s: s.setup(cors_origins=5), "cors_origins=5"),
        (lambda s: s.setup(cors_origins=[5]), "an origin must be a str, not int"),
        (lambda s: s.set_many([""]), "mapping or pairs"),
        (lambda s: s.set_many(5), "mapping or pairs of key and value, not 5"),
        (lambda s: s.set_dir("p/", ".", include=5), "include must be a list of patterns, not 5"),
        (lambda s: s.set_dir("p/", ".", exclude="*.pyc"), "exclude must be a list of patterns"),
        (lambda s: s.get_many("ab"), "keys='ab': use an iterable"),
        (lambda s: s.get_many(5), "keys=5: use an iterable"),
        (lambda s: s.delete_many(b"ab"), "keys=b'ab': use an iterable"),
        (lambda s: s.copy("k", "l", overwrite=None), "overwrite must be a bool, not NoneType"),
        (lambda s: s.sign_upload("k", overwrite="no"), "overwrite must be a bool, not str"),
        (lambda s: s.sign_upload("k", content_md5=b"x"), "content_md5 must be a base64 str, not bytes"),
        (lambda s: s.get_file("k", 5), "file_obj must be a file name or a binary file object, not int"),
    ],
)
def test_types(store, call, word):
    """Truth and numbers are not taken for each other."""
    with pytest.raises(TypeError, match=word):
        call(store)
    assert store.list() == ["k"]
    assert store.get("k") == "old"


def test_a_file_that_has_nothing_yet(store):
    """A source that does not block is no source: its end cannot be told from a pause."""

    class Pausing:
        def read(self, _size):
            return None

    with pytest.raises(BlockingIOError, match="non-blocking"):
        store.set("k", Pausing())
    assert store.get("k") == "old"


def test_expiry_needs_the_type():
    """``tmp_days`` is about a type that this store has not, or that lives no longer than the process."""
    with pytest.raises(ConfigurationError, match="no storage type 'tmp'"):
        Storage("memory://", storage_types={"data": ""}).setup(tmp_days=3)
    with pytest.raises(UnsupportedOperationError, match="expire"):
        Storage("memory://").setup(tmp_days=3)


def test_pickling_memory():
    """A store that only this process has cannot go to another; one with a name is found again."""
    for private in (Storage("memory://"), MemoryBackend()):
        with pytest.raises(TypeError, match="give it a name, as in memory://NAME"):
            pickle.dumps(private)
    name = uuid.uuid4().hex
    backend = Storage(f"memory://{name}").backend
    assert pickle.loads(pickle.dumps(backend)) is backend
    assert repr(backend) == f"MemoryBackend({name!r})"


def test_a_page_of_folders_that_begins_inside_one(store):
    """The folder that a listing goes on in has been given already, and is not given again."""
    store.set_many({"a/1": "", "a/2": "", "b/1": "", "c": ""})
    pages = store.backend.scan("data/", start_after="data/a/1", delimiter=True)
    assert [path for page in pages for path, _ in page] == ["data/b/", "data/c", "data/k"]


def test_raw_keys_continue_anywhere():
    """``start_after`` is as raw as the keys are."""
    store = Storage("memory://?keys=raw")
    store.set_many({"a//b": "", "a//c": "", "./d": ""})
    assert store.list(start_after="a//b") == ["a//c"]
    assert store.list(start_after="//") == ["a//b", "a//c"]


def test_a_blob_that_is_replaced_while_it_comes_down(tmp_path):
    """A named file gets the new version instead, and no mix; but only once."""

    class Replaced(MemoryBackend):
        times = 1

        def stream(self, path, start=0, end=None, if_match=None):
            self.times -= 1
            if self.times >= 0:
                raise PreconditionFailedError
            return super().stream(path, start, end, if_match)

    backend = Replaced()
    store = Storage(backend=backend)
    store.set("k", "value")
    store.get_file("k", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"value"
    backend.times = 2
    with pytest.raises(PreconditionFailedError):
        store.get_file("k", tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("types", ["abc", ["data"], {}, {"": "a/"}, {"d": "a\ud800"}, {"\ud800": "a/"}, {"d": 5}])
def test_storage_types_that_cannot_be(types):
    """Whatever is wrong with them is a ``ConfigurationError``."""
    with pytest.raises(ConfigurationError, match="storage.type"):
        Storage("memory://", storage_types=types)


def test_no_prefix_is_not_every_blob(store):
    """Only a listing takes ``None`` for everything: what copies and deletes does not guess."""
    for call in (
        lambda: store.delete_prefix(None),
        lambda: store.get_dir(None, "somewhere"),
        lambda: list(store.map_keys(len, None, executor=None)),
        lambda: store.set_dir(None, "."),
        lambda: store.split_keys(None, 2),
        lambda: store.sync_to(Storage("memory://"), prefix=None),
    ):
        with pytest.raises(InvalidKeyError, match="a prefix must be a str, not NoneType"):
            call()
    assert store.list(None) == ["k"]
