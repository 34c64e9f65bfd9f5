"""Copying and moving, storage types, and batches."""

from __future__ import annotations

from typing import Any

import pytest

from storage import (
    AlreadyExistsError,
    ConfigurationError,
    InvalidStorageTypeError,
    NotFoundError,
    ObjectInfo,
    Storage,
    UnsupportedOperationError,
)
from storage._urls import StorageURL
from storage.testing._base import Suite
from storage.testing._harness import Lack

OPTIONS: dict[str, Any] = {
    "content_type": "text/own",
    "cache_control": "max-age=1",
    "content_encoding": "own",
    "metadata": {"a": "1", "b": "é "},
}


def _described(info: ObjectInfo) -> tuple[Any, ...]:
    return info.size, info.content_type, info.cache_control, info.content_encoding, info.metadata


class CopyTests(Suite):
    """The contract: ``copy`` and ``move``."""

    @pytest.mark.parametrize("call", ["copy", "move"])
    def test_bytes_headers_and_metadata_go_along(self, storage: Storage, call: str) -> None:
        """What arrives is the blob, whole, with its headers and metadata; ``move`` leaves nothing behind."""
        made = storage.set("a.txt", b"data", **OPTIONS)
        storage.set("b.json", b"old", content_type="text/old", metadata={"old": "1"})
        for target in ("b.json", "new/c.json"):
            storage.set("a.txt", b"data", **OPTIONS)
            info = getattr(storage, call)("a.txt", target)
            assert (info.key, info.storage_type) == (target, "data")
            assert _described(info) == _described(made)
            assert _described(storage.info(target)) == _described(made)
            assert storage.info(target).etag == info.etag
            assert storage.get_bytes(target) == b"data"
            assert storage.exists("a.txt") is (call == "copy")

    @pytest.mark.parametrize("call", ["copy", "move"])
    def test_between_storage_types(self, storage: Storage, call: str) -> None:
        """``new_storage_type`` takes a blob to another type, also under the same key."""
        storage.set("a", b"1", "tmp", **OPTIONS)
        info = getattr(storage, call)("a", "a", "tmp", new_storage_type="result")
        assert (info.key, info.storage_type) == ("a", "result")
        assert storage.get_bytes("a", "result") == b"1"
        assert storage.info("a", "result").metadata == OPTIONS["metadata"]
        assert storage.exists("a", "tmp") is (call == "copy")
        assert not storage.exists("a")

    @pytest.mark.parametrize("call", ["copy", "move"])
    def test_onto_itself(self, storage: Storage, call: str) -> None:
        """Onto itself nothing happens; with ``overwrite=False`` it is in its own way."""
        made = storage.set("a", b"1", **OPTIONS)
        for types in ({}, {"new_storage_type": "data"}):
            info = getattr(storage, call)("a", "a", **types)
            assert (info.etag, _described(info)) == (made.etag, _described(made))
        with pytest.raises(AlreadyExistsError):
            getattr(storage, call)("a", "a", overwrite=False)
        assert storage.get_bytes("a") == b"1"
        with pytest.raises(NotFoundError):
            getattr(storage, call)("absent", "absent")

    @pytest.mark.parametrize("call", ["copy", "move"])
    def test_absent_source(self, storage: Storage, call: str) -> None:
        """An absent source is a ``NotFoundError`` that names it, and the target stays as it was."""
        storage.set("b", b"1")
        for target in ("b", "c"):
            for types in ({}, {"new_storage_type": "tmp"}):
                with pytest.raises(NotFoundError) as caught:
                    getattr(storage, call)("absent", target, **types)
                assert caught.value.key == "absent"
        assert storage.get_bytes("b") == b"1"
        assert storage.list() == ["b"]
        assert storage.list(storage_type="tmp") == []

    @pytest.mark.parametrize("call", ["copy", "move"])
    def test_create_only_copy(self, storage: Storage, call: str) -> None:
        """``overwrite=False`` goes where there is nothing and nowhere else; both blobs stand where it fails."""
        storage.set("a", b"1", metadata={"n": "1"})
        storage.set("b", b"2")
        method = getattr(storage, call)
        if self.lacks(Lack.CREATE_ONLY_COPY):
            for target in ("b", "c"):
                with self.refused():
                    method("a", target, overwrite=False)
            assert {key: storage.get(key) for key in storage.list()} == {"a": "1", "b": "2"}
            return
        if self.lacks(Lack.CREATE_ONLY_COPY_IGNORED):
            assert any("copy" in line for line in storage.check())
        else:
            with pytest.raises(AlreadyExistsError) as caught:
                method("a", "b", overwrite=False)
            assert caught.value.key == "b"
            assert {key: storage.get(key) for key in storage.list()} == {"a": "1", "b": "2"}
        assert method("a", "c", overwrite=False).metadata == {"n": "1"}
        assert storage.get("c") == "1"
        assert storage.exists("a") is (call == "copy")

    @pytest.mark.parametrize("call", ["copy", "move"])
    def test_to_another_store(self, storage: Storage, name: str, call: str) -> None:
        """A storage type that lives elsewhere is reached all the same, headers and metadata along."""
        storage.close()
        store = self.open(name, storage_types={"data": "data/", "other": self.harness.url(f"{name}-o")})
        made = store.set("a", b"1" * 100_000, **OPTIONS)
        info = getattr(store, call)("a", "b", new_storage_type="other")
        assert (info.key, info.storage_type, _described(info)) == ("b", "other", _described(made))
        assert store.get_bytes("b", "other") == b"1" * 100_000
        assert store.exists("a") is (call == "copy")
        store.set("a", b"2")
        # Two URLs may be one bucket, and then this is a copy inside it.
        if not self.lacks(Lack.CREATE_ONLY_COPY_IGNORED):
            with pytest.raises((AlreadyExistsError, UnsupportedOperationError)) as caught:
                getattr(store, call)("a", "b", new_storage_type="other", overwrite=False)
            assert isinstance(caught.value, AlreadyExistsError) or self.lacks(Lack.CREATE_ONLY_COPY)
            assert store.get_bytes("b", "other", end=1) == b"1"
            assert store.get("a") == "2"
        store.delete_many(["b"], "other")

    @pytest.mark.parametrize("call", ["copy", "move"])
    def test_one_version_to_another_backend(self, storage: Storage, name: str, call: str) -> None:
        """The version that ``if_match`` names goes to a store of another kind, headers and metadata along."""
        storage.close()
        store = self.open(name, storage_types={"data": "data/", "other": "memory://"})
        made = store.set("a", b"1", **OPTIONS)
        info = getattr(store, call)("a", "b", new_storage_type="other", if_match=made.etag)
        assert (info.key, info.storage_type, _described(info)) == ("b", "other", _described(made))
        assert store.exists("a") is (call == "copy")

    def test_a_copy_is_a_copy(self, storage: Storage) -> None:
        """Changing one of the two changes the other in nothing."""
        storage.set("a", b"1")
        storage.copy("a", "b")
        storage.set("a", b"2")
        assert (storage.get("a"), storage.get("b")) == ("2", "1")
        storage.delete("a")
        assert storage.get("b") == "1"

    def test_move_to_a_key_below_itself(self, storage: Storage) -> None:
        """``a`` can move to ``a/b``, and back."""
        storage.set("a", b"1")
        storage.move("a", "a/b")
        assert storage.list() == ["a/b"]
        storage.move("a/b", "a")
        assert storage.list() == ["a"]
        assert storage.get("a") == "1"


class TypeTests(Suite):
    """The contract: storage types."""

    def test_default_types(self, storage: Storage) -> None:
        """``data``, ``tmp`` and ``result`` keep their blobs apart."""
        assert storage.storage_types == ("data", "tmp", "result")
        for storage_type in storage.storage_types:
            assert storage.set("a", storage_type, storage_type).storage_type == storage_type
        for storage_type in storage.storage_types:
            assert storage.get("a", storage_type) == storage_type
            assert storage.list(storage_type=storage_type) == ["a"]
        storage.delete("a", "tmp")
        assert [storage.exists("a", t) for t in storage.storage_types] == [True, False, True]

    def test_a_type_inside_another_s_name(self, name: str) -> None:
        """A type never sees another whose prefix starts the same, in any call."""
        store = self.open(name, storage_types={"data": "data", "base": "database/", "more": "data-2/x"})
        for storage_type in store.storage_types:
            store.set("a/b", storage_type, storage_type)
        for storage_type in store.storage_types:
            assert store.list(storage_type=storage_type) == ["a/b"]
            assert list(store.iter_dir(storage_type=storage_type)) == ["a/"]
            assert [info.key for info in store.iter_info("", storage_type)] == ["a/b"]
            assert store.list("base", storage_type) == []
            assert store.get("a/b", storage_type) == storage_type

    def test_types_share_the_place(self, name: str) -> None:
        """Two stores on one URL see the same blobs, and a type is nothing but a prefix."""
        store = self.open(name)
        again = self.open(name, storage_types={"all": ""})
        store.set("a", b"1", "tmp", metadata={"m": "1"})
        store.set("b/c", b"2", "data")
        assert sorted(again.list(storage_type="all")) == ["data/b/c", "tmp/a"]
        assert again.info("tmp/a", "all").metadata == {"m": "1"}
        again.delete("tmp/a", "all")
        assert not store.exists("a", "tmp")

    def test_unknown_type(self, storage: Storage) -> None:
        """A type that is not there is an ``InvalidStorageTypeError`` that lists those that are."""
        for wrong in ("Data", "", "data/", "nope", None, 5):
            for call in (storage.get, storage.exists, storage.delete, storage.info, storage.open):
                arguments = ("a", "rb", wrong) if call == storage.open else ("a", wrong)
                with pytest.raises(InvalidStorageTypeError) as caught:
                    call(*arguments)
                assert isinstance(caught.value, ValueError)
                assert all(repr(known) in str(caught.value) for known in storage.storage_types)
            with pytest.raises(InvalidStorageTypeError):
                storage.set("a", b"1", wrong)  # type: ignore[arg-type]

    def test_types_that_cannot_be(self, name: str) -> None:
        """Types that are repeated, inside one another, empty beside others or not portable are a ``ConfigurationError``."""
        url = StorageURL.parse(self.harness.url(name))
        for types in (
            {"a": "x/", "b": "x"},
            {"a": "x/", "b": "x/y/"},
            {"a": "", "b": "x/"},
            {"a": "../x"},
            {"a": "/x"},
            {"a": "x//y"},
            {"a": ".storage~/x"},
            {"a": "x" * 128},
            {"": "x"},
            {},
            {"a": 5},
            {"a": url.full(), "b": url.__replace__(path=f"{url.path.rstrip('/')}/x").full()},
        ):
            with pytest.raises(ConfigurationError) as caught:
                self.open(name, storage_types=types)
            assert isinstance(caught.value, ValueError)
