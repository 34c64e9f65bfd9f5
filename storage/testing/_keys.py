"""Keys: every portable key works and means the same everywhere; every other is refused before any I/O."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from storage import AlreadyExistsError, InvalidKeyError, NotFoundError, Storage
from storage.testing._base import Suite, apart
from storage.testing._harness import Lack
from storage.testing._spy import Spy
from storage.testing._tables import INVALID_KEYS, INVALID_PREFIXES, KEYS, LONGEST_KEY, folded


class KeyTests(Suite):
    """The contract: keys."""

    @pytest.fixture(scope="class")
    @classmethod
    def nasty(cls, running: None) -> Iterator[tuple[Storage, list[str]]]:
        """A store that has each of the table's keys that it keeps apart, and those keys. No test changes it."""
        del running
        name = f"nasty-{secrets.token_hex(6)}"
        keys = apart(KEYS, cls.harness)
        with cls.harness.storage(name) as store:
            for key in keys:
                store.set(key, key)
            yield store, keys
            cls.harness.drop(name)

    def _stored_keys(self, store: Storage) -> list[str]:
        """Writes each of the table's keys, its own name as text, and returns those that the store keeps."""
        kept: list[str] = []
        for key in KEYS:
            if self.harness.lacks.get(Lack.CASE) and folded(key) in map(folded, kept):
                assert self.lacks(Lack.CASE)
                with self.refused():
                    store.set(key, key)
                with pytest.raises(NotFoundError):
                    store.get(key)
            else:
                store.set(key, key)
                kept.append(key)
        return kept

    def test_nasty_keys_are_written_and_read(self, storage: Storage) -> None:
        """A key is never changed, confused with another, or lost, whatever it is made of."""
        keys = self._stored_keys(storage)
        for key in keys:
            assert storage.get(key) == key
            info = storage.info(key)
            assert (info.key, info.size) == (key, len(key.encode()))
        for key in keys[::3]:
            assert storage.exists(key)
            assert storage.open(key).read() == key.encode()

    def test_nasty_keys_are_listed(self, nasty: tuple[Storage, list[str]]) -> None:
        """A listing has exactly the keys that were written, in UTF-8 byte order, as keys and as ``ObjectInfo``."""
        storage, keys = nasty[0], sorted(nasty[1])
        listed = storage.list()
        infos = list(islice(storage.iter_info(), len(keys) + 1))
        if self.lacks(Lack.LISTING_ORDER):
            listed.sort()
            infos.sort(key=lambda info: info.key)
        assert listed == keys
        assert [info.key for info in infos] == keys
        assert [info.size for info in infos] == [len(key.encode()) for key in keys]

    def test_nasty_keys_are_prefixes(self, nasty: tuple[Storage, list[str]]) -> None:
        """Each key, and each half of one, is a prefix that finds what starts with it, character by character."""
        storage, keys = nasty
        for prefix in {*keys[::2], *(key[: max(1, len(key) // 2)] for key in keys[1::2])}:
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert sorted(storage.list(prefix)) == expected, prefix

    def test_nasty_keys_are_copied_moved_and_deleted(self, storage: Storage) -> None:
        """Each key can be copied to and moved from, and deleting it deletes no other."""
        keys = apart(KEYS, self.harness)
        for key in keys:
            storage.set(key, key)
            assert storage.copy(key, key, new_storage_type="tmp").key == key
        for key in keys[::2]:
            assert storage.move(key, key, "tmp", new_storage_type="result").storage_type == "result"
        for index, key in enumerate(keys):
            assert storage.get(key, "tmp" if index % 2 else "result") == key
        assert sorted(storage.list(storage_type="tmp")) == sorted(keys[1::2])
        left = set(keys)
        for key in keys[::2]:
            storage.delete(key)
            left.remove(key)
            assert not storage.exists(key)
        assert set(storage.list()) == left
        storage.delete_many(left)
        assert storage.list() == []
        assert sorted(storage.list(storage_type="result")) == sorted(keys[::2])

    def test_nasty_keys_in_batches(self, storage: Storage) -> None:
        """The batch calls take each key as the single ones do."""
        keys = apart(KEYS, self.harness)
        # One after the other: some are below the names of others, which SeaweedFS may lose when they come at the same moment.
        storage.set_many({key: key for key in keys}, concurrency=1)
        assert list(storage.get_many(keys)) == [(key, key.encode()) for key in keys]
        storage.delete_many(keys)
        assert storage.list() == []

    def test_a_key_beside_its_folder(self, storage: Storage) -> None:
        """``a`` and ``a/b`` are two blobs, made and deleted in any order."""
        orders: tuple[tuple[str, ...], ...] = (("a", "a/b", "a/b/c"), ("a/b/c", "a/b", "a"), ("a/b", "a/b/c", "a"))
        for order in orders:
            for key in order:
                storage.set(key, key)
            assert [storage.get(key) for key in order] == list(order)
            assert sorted(storage.list()) == ["a", "a/b", "a/b/c"]
            left = set(order)
            for key in order:
                storage.delete(key)
                left.remove(key)
                assert {k for k in order if storage.exists(k)} == left
                assert all(storage.get(k) == k for k in left)
        assert storage.list() == []

    def test_create_only_beside_a_folder(self, storage: Storage) -> None:
        """``overwrite=False`` on ``a`` asks about ``a``, not about ``a/b``."""
        if Lack.CREATE_ONLY in self.harness.lacks:
            assert self.lacks(Lack.CREATE_ONLY)
            with self.refused():
                storage.set("a", b"1", overwrite=False)
            return
        storage.set("a/b", b"1")
        if self.lacks(Lack.CREATE_ONLY_BESIDE_FOLDER):
            try:
                storage.set("a", b"2", overwrite=False)
            except AlreadyExistsError:
                assert not storage.exists("a")
                storage.set("a", b"2")
        else:
            storage.set("a", b"2", overwrite=False)
        storage.set("a/b/c", b"3", overwrite=self.harness.lacks.get(Lack.CREATE_ONLY_BESIDE_FOLDER) is not None)
        assert [storage.get_bytes(key) for key in ("a", "a/b", "a/b/c")] == [b"2", b"1", b"3"]

    def test_a_folder_is_no_blob(self, storage: Storage) -> None:
        """What is only the beginning of a key is absent to every call."""
        storage.set("folder/blob", b"1")
        assert not storage.exists("folder")
        for call in (storage.get, storage.info, storage.delete, storage.get_bytes):
            with pytest.raises(NotFoundError):
                call("folder")
        assert storage.exists("folder/blob")

    def test_what_looks_like_a_child_of_a_blob_is_absent(self, storage: Storage) -> None:
        """``a/b`` is absent where only ``a`` is there, and is no error of another kind."""
        storage.set("a", b"1")
        assert not storage.exists("a/b")
        for call in (storage.get, storage.info, storage.delete):
            with pytest.raises(NotFoundError):
                call("a/b")
        assert storage.list("a/") == []

    def test_longest_keys_in_every_type(self, storage: Storage) -> None:
        """896 bytes fit whatever the storage type is, and one more does not."""
        for storage_type in storage.storage_types:
            storage.set(LONGEST_KEY, b"1", storage_type)
            assert storage.list(storage_type=storage_type) == [LONGEST_KEY]
            with pytest.raises(InvalidKeyError, match="896"):
                storage.set(LONGEST_KEY + "x", b"1", storage_type)

    @pytest.mark.parametrize("call", ["set", "get", "delete", "copy", "open", "batch", "sign"])
    def test_invalid_keys_are_refused_before_any_request(self, storage: Storage, call: str) -> None:
        """A key that is not portable is an ``InvalidKeyError`` and a ``ValueError``, and the backend never hears of it."""
        spy = Spy(storage.backend)
        store = Storage(backend=spy)
        for key in (*INVALID_KEYS, None, b"bytes", 5):
            for attempt in _calls(store, key)[call]:
                with pytest.raises(InvalidKeyError) as caught:
                    attempt()
                assert isinstance(caught.value, ValueError)
                assert len(str(caught.value)) < 400
        assert spy.names == []

    def test_the_message_names_rule_and_key(self, storage: Storage) -> None:
        """The message of an ``InvalidKeyError`` says which rule was broken."""
        words = {
            "a/../b": "'..'",
            "a//b": "empty segment",
            "": "empty",
            "a\\b": "backslash",
            ".storage~/x": "storage~",
            "\x00": "control",
        }
        for key, word in words.items():
            with pytest.raises(InvalidKeyError) as caught:
                storage.get(key)
            assert word in str(caught.value)
            assert caught.value.key == key

    def test_invalid_prefixes_are_refused_before_any_request(self, storage: Storage) -> None:
        """A prefix that starts no portable key is an ``InvalidKeyError``, at the call or at the first item."""
        spy = Spy(storage.backend)
        store = Storage(backend=spy)
        for prefix in INVALID_PREFIXES:
            for listing in (store.list, store.iter_list, store.iter_info, store.iter_dir):
                with pytest.raises(InvalidKeyError):
                    list(listing(prefix))
        assert spy.names == []

    def test_prefixes_that_start_some_key(self, storage: Storage) -> None:
        """What starts a portable key is a prefix, also where it is none itself."""
        for prefix in ("", None, "a/", ".", "..", "a/.", "a/..", " ", "%", ".storage", "x" * 255, LONGEST_KEY):
            assert storage.list(prefix) == []


def _calls(store: Storage, key: Any) -> dict[str, list[Callable[[], object]]]:
    """Every call that takes a key, by group."""
    return {
        "set": [lambda: store.set(key, b"1"), lambda: store.set_file(key, "/nonexistent")],
        "get": [
            lambda: store.get(key),
            lambda: store.get_bytes(key),
            lambda: list(store.iter_bytes(key)),
            lambda: store.exists(key),
            lambda: store.info(key),
            lambda: store.get_file(key, "/nonexistent/file"),
        ],
        "delete": [lambda: store.delete(key), lambda: store.delete(key, missing_ok=True)],
        "copy": [
            lambda: store.copy(key, "b"),
            lambda: store.copy("b", key),
            lambda: store.move(key, "b"),
            lambda: store.move("b", key),
        ],
        "open": [lambda: store.open(key), lambda: store.open(key, "wb")],
        "batch": [
            lambda: store.set_many([(key, b"1")]),
            lambda: list(store.get_many([key])),
            lambda: store.delete_many([key]),
        ],
        "sign": [
            lambda: store.get_signed_url(key),
            lambda: store.get_upload_url(key),
            lambda: store.sign_upload(key),
            lambda: store.sign_download(key),
        ],
    }
