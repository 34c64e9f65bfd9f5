"""Listing: order, prefixes, pages, one level."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest

from storage import InvalidStorageTypeError, ObjectInfo, Storage
from storage.testing._base import Suite
from storage.testing._harness import Lack

KEYS = (
    "a", "a b", "a-b", "a.b", "a/b", "a/b/c", "a/c", "a0", "aa", "ab", "b/c/d", "b/c/e", "b/f", "b0/x", "c",
    "\u00e9/x", "\u00e9\u00e9", "\uff5e", "\ufffd", "\U00010000", "\U0001faa3/x",
)  # fmt: skip


@contextmanager
def in_pages(store: Storage, most: int) -> Iterator[None]:
    """Lets the backend of ``store`` list in pages of ``most`` entries at most."""
    backend: Any = store.backend
    scan = backend.scan

    def smaller(prefix: str, *, page_size: int = 1000, **options: Any) -> Any:
        return scan(prefix, page_size=min(page_size, most), **options)

    backend.scan = smaller
    try:
        yield
    finally:
        del backend.scan


class ListingTests(Suite):
    """The contract: ``list``, ``iter_list``, ``iter_info``, ``iter_dir``."""

    @pytest.fixture(scope="class")
    @classmethod
    def many(cls, running: None) -> Iterator[tuple[Storage, list[str]]]:
        """A store with more keys than two pages have, and the keys in order. No test changes it."""
        del running
        name = f"many-{secrets.token_hex(6)}"
        keys = sorted({f"{'dir/' if n % 3 else ''}{n % 7}/{n:06}" for n in range(cls.harness.many)})
        with cls.harness.storage(name) as store, in_pages(store, cls.harness.page_size):
            store.set_many((key, b"%d" % len(key)) for key in reversed(keys))
            yield store, keys
            cls.harness.drop(name)

    def _filled(self, storage: Storage, keys: Iterable[str] = KEYS) -> list[str]:
        """``keys``, written; in the order in which they are to be listed, where there is one."""
        keys = sorted(keys)
        # One after the other: SeaweedFS may lose a blob that is written at the same moment as one below its name.
        storage.set_many({key: key for key in keys}, concurrency=1)
        return keys

    def _same(self, listed: Iterable[str], expected: Iterable[str]) -> bool:
        """Whether a listing has exactly the expected keys, in order unless the server has another."""
        expected = list(expected)
        listed = list(islice(listed, len(expected) + 1))  # a listing that never ends must not hang the test
        if self.lacks(Lack.LISTING_ORDER):
            return sorted(listed) == sorted(expected)
        return listed == expected

    def test_empty_store(self, storage: Storage) -> None:
        """Where there is nothing, a listing is empty and no error."""
        assert storage.list() == []
        for listing in (storage.iter_list("a"), storage.iter_info(), storage.iter_dir()):
            assert next(iter(listing), None) is None

    def test_order(self, storage: Storage) -> None:
        """Keys come in the order of their UTF-8 bytes, which is not that of UTF-16."""
        keys = self._filled(storage)
        assert keys == sorted(keys, key=str.encode)
        assert self._same(storage.list(), keys)
        assert self._same(storage.iter_list(), keys)
        assert self._same((info.key for info in storage.iter_info()), keys)

    def test_prefix_is_a_string(self, storage: Storage) -> None:
        """A prefix matches what starts with it, character by character, not folder by folder."""
        keys = self._filled(storage)
        for prefix in (
            "",
            None,
            "a",
            "a/",
            "a/b",
            "a/b/",
            "a ",
            "b",
            "b/",
            "b/c",
            "b/c/d",
            "b/c/d/e",
            "c",
            "z",
            "\u00e9",
            "\U0001faa3/",
            "A",
        ):
            expected = [key for key in keys if key.startswith(prefix or "")]
            assert self._same(storage.list(prefix), expected)
            assert self._same(storage.iter_list(prefix), expected)
            assert self._same((info.key for info in storage.iter_info(prefix)), expected)

    def test_pages(self, storage: Storage) -> None:
        """``limit`` and ``start_after`` page through all keys, with pages of any size."""
        keys = self._filled(storage)
        for prefix in (None, "a", "b/"):
            expected = [key for key in keys if key.startswith(prefix or "")]
            for limit in (1, 2, 3, 7, len(expected), 1000):
                got: list[str] = []
                after: str | None = None
                while page := storage.list(prefix, limit=limit, start_after=after):
                    assert len(page) <= limit
                    assert len(page) == limit or len(got) + len(page) == len(expected)
                    got += page
                    assert len(got) <= len(expected), "a page that goes back"
                    after = page[-1]
                assert self._same(got, expected)

    def test_start_after_need_not_exist(self, storage: Storage) -> None:
        """``start_after`` is a place in the order, whether there is a blob or not."""
        if self.lacks(Lack.LISTING_ORDER):
            self._filled(storage)
            listed = storage.list()
            for place, after in enumerate(listed):
                assert storage.list(start_after=after) == listed[place + 1 :]
            return
        keys = self._filled(storage)
        for after in (*keys, "A", "a/a", "a/bb", "a~", "b", "b/c/dd", "bb", "zz", "\u00e9", "\U0010fffd", "a/"):
            expected = [key for key in keys if key > after]
            assert storage.list(start_after=after) == expected, after
            assert self._same(storage.iter_list(start_after=after), expected), after
            assert storage.list("a", start_after=after) == [key for key in expected if key.startswith("a")], after

    def test_bounds(self, storage: Storage) -> None:
        """Between two bounds, which may be any text, combined with a prefix, as keys, as infos and on one level."""
        keys = self._filled(storage)
        texts = ("", "A", "a", "a/", "a/a", "a/bb", "a~", "b", "b/c", "bb", "zz", "\u00e9", "\U0010fffd", "//", "a//")
        for before in texts:
            assert set(storage.list(end_before=before)) == {key for key in keys if key < before}, before
            assert {info.key for info in storage.iter_info(end_before=before)} == {key for key in keys if key < before}
        for after in ("a/", "b"):
            for before in ("a/bb", "b/c", "zz"):
                expected = {key for key in keys if after < key < before}
                assert set(storage.iter_list(start_after=after, end_before=before)) == expected, (after, before)
                assert {info.key for info in storage.iter_info(start_after=after, end_before=before)} == expected
                assert set(storage.list("a", start_after=after, end_before=before)) == {
                    key for key in expected if key.startswith("a")
                }
        level = [entry if isinstance(entry, str) else entry.key for entry in storage.iter_dir()]
        for bound in level:
            between = [entry if isinstance(entry, str) else entry.key for entry in storage.iter_dir(end_before=bound)]
            assert set(between) == {entry for entry in level if entry < bound}, bound
            rest = [entry if isinstance(entry, str) else entry.key for entry in storage.iter_dir(start_after=bound)]
            assert set(rest) == {entry for entry in level if entry > bound}, bound
        for wrong in ("\ud800", 5):
            with pytest.raises((TypeError, ValueError)):
                storage.list(start_after=wrong)  # type: ignore[arg-type]
            with pytest.raises((TypeError, ValueError)):
                storage.list(end_before=wrong)  # type: ignore[arg-type]

    def test_limits(self, storage: Storage) -> None:
        """``limit`` is from 1 to 1,000."""
        for limit in (0, -1, 1001, 10**9):
            with pytest.raises(ValueError, match="limit"):
                storage.list(limit=limit)
        with pytest.raises(TypeError):
            storage.list(limit="5")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            storage.list("", "data", 5)  # type: ignore[call-arg]

    def test_many_keys(self, many: tuple[Storage, list[str]]) -> None:
        """More keys than a page has are listed whole, each once; ``list`` stops at its limit."""
        store, keys = many
        assert self._same(store.iter_list(), keys)
        assert self._same((info.key for info in store.iter_info()), keys)
        folder = [key for key in keys if key.startswith("dir/1")]
        assert self._same(store.iter_list("dir/1"), folder)
        page = self.harness.page_size
        first = store.list(limit=page)
        assert len(first) == page
        second = store.list(limit=page, start_after=first[-1])
        third = store.list(limit=page, start_after=second[-1])
        assert self._same([*first, *second, *third], keys)
        assert len(store.list(limit=page - 1)) == page - 1

    def test_many_infos(self, many: tuple[Storage, list[str]]) -> None:
        """A listing's infos tell each blob's size, etag and time."""
        store, keys = many
        infos = {info.key: info for info in islice(store.iter_info("dir/2"), len(keys))}
        assert infos
        assert set(infos) == {key for key in keys if key.startswith("dir/2")}
        for info in infos.values():
            assert isinstance(info, ObjectInfo)
            assert info.size == len(b"%d" % len(info.key))
            assert info.etag
            assert info.last_modified.tzinfo is not None
        key = min(infos)
        assert store.info(key).etag == infos[key].etag

    def test_infos_of_a_listing_tell_no_headers(self, storage: Storage) -> None:
        """What some services' listings do not tell is ``None`` on every store, so that no program comes to need it."""
        storage.set("a/b.txt", b"1", cache_control="no-cache", content_encoding="gzip", metadata={"a": "1"})
        storage.set("a/c.txt", b"22")
        level = list(storage.iter_dir("a/"))
        assert level == list(storage.iter_info())
        for info, size in zip(level, (1, 2), strict=True):
            assert isinstance(info, ObjectInfo)
            told = storage.info(info.key)
            assert (info.size, info.etag, info.last_modified) == (size, told.etag, told.last_modified)
            assert (info.content_type, info.cache_control, info.content_encoding, info.metadata) == (None,) * 4

    def test_many_in_one_level(self, many: tuple[Storage, list[str]]) -> None:
        """A folder is given once, however many pages it fills."""
        store, keys = many
        tops = sorted({key.split("/")[0] + "/" for key in keys})
        assert self._same((str(entry) for entry in store.iter_dir()), tops)
        assert self._same((str(entry) for entry in store.iter_dir("dir/")), [f"dir/{n}/" for n in range(7)])
        inside = [entry for entry in islice(store.iter_dir("dir/3/"), len(keys)) if isinstance(entry, ObjectInfo)]
        assert self._same((info.key for info in inside), [key for key in keys if key.startswith("dir/3/")])

    def test_changes_while_listing(self, storage: Storage) -> None:
        """A key that is there until it is listed is listed once, whatever comes and goes between the pages."""
        page = self.harness.page_size
        count = page + page // 5
        step = page // 10
        stable = [f"k/{n:05}" for n in range(count)]
        passing = [f"k/{n:05}x" for n in range(0, count, step)]
        storage.set_many((key, b"") for key in (*stable, *passing))
        got: list[str] = []
        gone = 0
        with in_pages(storage, page):
            for key in islice(storage.iter_list("k/"), 4 * count):
                got.append(key)
                if len(got) in (5, count // 2, count - step):
                    storage.delete_many((*passing, *got[gone:]))
                    gone = len(got)
                    storage.set_many((key, b"") for key in ("j", *(f"k/{n:05}new" for n in range(0, count, step)), "l"))
        wanted = set(stable)
        assert self._same([key for key in got if key in wanted], stable)
        others = [key for key in got if key not in wanted]
        assert len(others) == len(set(others))
        assert all(key.startswith("k/") for key in others)
        storage.delete_many(storage.iter_list())
        assert storage.list() == []

    def test_iter_dir(self, storage: Storage) -> None:
        """One level: a ``str`` that ends in a slash for what goes on, an ``ObjectInfo`` for a blob, in one order."""
        self._filled(storage)

        def level(prefix: str) -> list[str]:
            entries = list(islice(storage.iter_dir(prefix), 2 * len(KEYS)))
            assert all(
                entry.endswith("/") if isinstance(entry, str) else not entry.key.endswith("/") for entry in entries
            )
            return [entry if isinstance(entry, str) else entry.key for entry in entries]

        root = [
            "a",
            "a b",
            "a-b",
            "a.b",
            "a/",
            "a0",
            "aa",
            "ab",
            "b/",
            "b0/",
            "c",
            "\u00e9/",
            "\u00e9\u00e9",
            "\uff5e",
            "\ufffd",
            "\U00010000",
            "\U0001faa3/",
        ]
        assert self._same(level(""), root)
        assert self._same(level("a/"), ["a/b", "a/b/", "a/c"])
        assert self._same(level("a/b/"), ["a/b/c"])
        assert self._same(level("b/"), ["b/c/", "b/f"])
        assert self._same(level("b"), ["b/", "b0/"])
        assert self._same(level("b/c"), ["b/c/"])
        assert self._same(level("a/b"), ["a/b", "a/b/"])
        assert level("absent/") == []
        assert self._same((str(entry) if isinstance(entry, str) else entry.key for entry in storage.iter_dir()), root)

    def test_iter_dir_walks_the_whole_store(self, storage: Storage) -> None:
        """Going down each prefix that is given finds every key once."""
        keys = self._filled(storage)
        found: list[str] = []
        prefixes = [""]
        looked = 0
        while prefixes and looked < 2 * len(keys):
            looked += 1
            for entry in islice(storage.iter_dir(prefixes.pop()), 2 * len(keys)):
                if isinstance(entry, str):
                    prefixes.append(entry)
                else:
                    found.append(entry.key)
        assert prefixes == []
        assert sorted(found) == keys

    def test_emptied_folders_go(self, storage: Storage) -> None:
        """A prefix is there as long as a blob lies below it, and no longer."""
        storage.set("x/y/z", b"1")
        storage.set("x/w", b"1")
        assert list(islice(storage.iter_dir(), 2)) == ["x/"]
        storage.delete("x/y/z")
        left = [entry if isinstance(entry, str) else entry.key for entry in islice(storage.iter_dir("x/"), 3)]
        storage.delete("x/w")
        if self.lacks(Lack.EMPTY_FOLDERS):
            assert set(left) <= {"x/w", "x/y/"}
            assert set(islice(storage.iter_dir(), 2)) <= {"x/"}
            assert storage.list() == []
            return
        assert left == ["x/w"]
        assert next(iter(storage.iter_dir()), None) is None

    def test_listing_an_unknown_type(self, storage: Storage) -> None:
        """A storage type that is not there is an error, not an empty listing."""
        for listing in (storage.list, storage.iter_list, storage.iter_info, storage.iter_dir):
            with pytest.raises(InvalidStorageTypeError):
                list(listing("", "nope"))
