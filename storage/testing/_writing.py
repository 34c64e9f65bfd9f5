"""Writing: every kind of value, all or nothing, and conditions."""

from __future__ import annotations

import gc
import io
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from storage import AlreadyExistsError, NotFoundError, ObjectInfo, PreconditionFailedError, Storage
from storage.testing._base import Suite
from storage.testing._harness import Lack
from storage.testing._sources import BAD_VALUES, VALUES, Boom, Minimal, difference, pattern, writes_that_break


class WritingTests(Suite):
    """The contract: ``set``, ``set_file`` and ``open`` for writing."""

    def test_every_kind_of_value(self, storage: Storage) -> None:
        """What says the same bytes stores the same blob, whether it is text, a buffer, a file or a generator."""
        data = b"0123456789abcdef" * 300
        for kind, make in VALUES.items():
            info = storage.set("value", make(data))
            assert storage.get_bytes("value") == data, kind
            assert (info.key, info.storage_type, info.size) == ("value", "data", len(data)), kind
            assert storage.info("value").size == len(data), kind

    def test_text_is_stored_as_utf8(self, storage: Storage) -> None:
        """``str`` and text files become UTF-8, whatever the locale."""
        text = "zażółć 🪣 \u2028 \r\n end"
        storage.set("text", text)
        assert storage.get_bytes("text") == text.encode()
        storage.set("text", io.StringIO(text, newline=""))
        assert storage.get("text") == text

    def test_text_that_is_no_unicode(self, storage: Storage) -> None:
        """A lone surrogate cannot be stored as UTF-8: a ``ValueError``, and no blob."""
        with pytest.raises(ValueError, match="surrogate"):
            storage.set("text", "a\ud800")
        assert not storage.exists("text")

    def test_empty_values(self, storage: Storage) -> None:
        """Nothing is a value too."""
        values: tuple[Any, ...] = (b"", "", io.BytesIO(), [], iter(()), memoryview(b""))
        for value in values:
            assert storage.set("empty", value).size == 0
            assert storage.get_bytes("empty") == b""
            assert storage.get("empty") == ""
        with storage.open("empty2", "wb"):
            pass
        assert storage.info("empty2").size == 0

    def test_bad_values(self, storage: Storage) -> None:
        """A value of another type is a ``TypeError``, and what was there stays."""
        storage.set("value", b"old")
        for make in BAD_VALUES:
            with pytest.raises(TypeError):
                storage.set("value", make())
            assert storage.get_bytes("value") == b"old"
        with pytest.raises(TypeError, match="set_file"):
            storage.set("value", Path("/some/path"))  # type: ignore[arg-type]
        for not_a_file in (None, 5, b"name", object()):
            with pytest.raises(TypeError):
                storage.set_file("value", not_a_file)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            storage.set("value", b"new", colour="red")  # type: ignore[call-arg]
        assert storage.get_bytes("value") == b"old"

    def test_nothing_is_aliased(self, storage: Storage) -> None:
        """Changing a buffer, mapping or result after a call changes no blob."""
        buffer, metadata = bytearray(b"before"), {"name": "before"}
        info = storage.set("value", buffer, metadata=metadata)
        buffer[:] = b"AFTER!"
        metadata["name"] = "after"
        with suppress(TypeError):
            info.metadata["name"] = "after"  # type: ignore[index]
        assert storage.get_bytes("value") == b"before"
        assert storage.info("value").metadata == {"name": "before"}
        read = storage.info("value").metadata
        assert isinstance(read, dict)
        read.clear()
        assert storage.info("value").metadata == {"name": "before"}

    def test_set_returns_what_info_says(self, storage: Storage) -> None:
        """The ``ObjectInfo`` of a write is the one that a look at the blob gives."""
        made = storage.set(
            "a/b.json", b"{}", content_type="application/x-a", cache_control="no-store", metadata={"m": "1"}
        )
        info = storage.info("a/b.json")
        assert isinstance(made, ObjectInfo)
        assert made.etag == info.etag
        assert abs(made.last_modified - info.last_modified) <= timedelta(seconds=2)
        for field in ("key", "storage_type", "size", "content_type", "cache_control", "content_encoding", "metadata"):
            assert getattr(made, field) == getattr(info, field), field

    def test_last_modified_is_now_in_utc(self, storage: Storage) -> None:
        """``last_modified`` is aware, in UTC, and the moment of the write."""
        moments = [storage.set("a", b"1").last_modified, storage.info("a").last_modified]
        for moment in moments:
            assert moment.utcoffset() == timedelta(0)
            assert abs(datetime.now(timezone.utc) - moment) < timedelta(minutes=5)

    def test_etags(self, storage: Storage) -> None:
        """An etag is a plain ``str`` that changes when the bytes change and not when they are only read."""
        first = storage.set("a", b"one").etag
        assert isinstance(first, str)
        assert first
        assert '"' not in first
        assert storage.get("a") == "one"
        assert storage.info("a").etag == first
        seen = {first}
        for index in range(10):
            etag = storage.set("a", f"{index:03}").etag
            assert etag not in seen
            seen.add(etag)

    def test_overwriting_replaces_everything(self, storage: Storage) -> None:
        """A write leaves nothing of the blob before: no byte, no header, no metadata."""
        storage.set(
            "a",
            b"long old value",
            content_type="text/old",
            cache_control="old",
            content_encoding="old",
            metadata={"o": "1"},
        )
        storage.set("a", b"new")
        info = storage.info("a")
        assert storage.get_bytes("a") == b"new"
        assert (info.size, info.cache_control, info.content_encoding, info.metadata) == (3, None, None, {})
        assert info.content_type == "application/octet-stream"

    @pytest.mark.parametrize("large", [False, True])
    def test_a_write_that_fails_changes_nothing(self, storage: Storage, large: bool) -> None:
        """Where the source raises half way the old blob stands, headers and metadata too; the exception comes as it is."""
        storage.set("old", b"old", content_type="text/old", cache_control="old", metadata={"old": "1"})
        before = storage.info("old")
        size = self.harness.large_size if large else 1000
        for index, write in enumerate(writes_that_break(storage, "old", size)):
            with pytest.raises(Boom):
                write()
            assert not difference(storage.get_bytes("old"), b"old"), index
            assert storage.info("old") == before, index
        for index, write in enumerate(writes_that_break(storage, "new", size)):
            with pytest.raises(Boom):
                write()
            assert not storage.exists("new"), index
        assert storage.list() == ["old"]

    def test_a_forgotten_writer_stores_nothing(self, storage: Storage) -> None:
        """A file opened for writing and dropped unclosed leaves the old blob."""
        storage.set("a", b"old")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            file = storage.open("a", "wb")
            file.write(b"half")
            del file
            gc.collect()
        assert storage.get_bytes("a") == b"old"

    def test_create_only(self, storage: Storage) -> None:
        """``overwrite=False`` stores where there is nothing, and is ``AlreadyExistsError`` where there is a blob."""
        if self.lacks(Lack.CREATE_ONLY):
            with self.refused():
                storage.set("a", b"1", overwrite=False)
            assert not storage.exists("a")
            return
        storage.set("a", b"first", overwrite=False, metadata={"n": "1"})
        attempts: list[Callable[[], object]] = [
            lambda: storage.set("a", b"second", overwrite=False),
            lambda: storage.set("a", b"first", overwrite=False),
            lambda: storage.set("a", [b"sec", b"ond"], overwrite=False),
            lambda: storage.set_file("a", io.BytesIO(b"second"), overwrite=False),
            lambda: storage.open("a", "wb", overwrite=False).close(),
            lambda: storage.open("a", "xb").close(),
        ]
        for attempt in attempts:
            with pytest.raises(AlreadyExistsError) as caught:
                attempt()
            assert isinstance(caught.value, PreconditionFailedError)
            assert (caught.value.key, caught.value.storage_type) == ("a", "data")
        assert storage.get_bytes("a") == b"first"
        assert storage.info("a").metadata == {"n": "1"}
        storage.delete("a")
        storage.set("a", b"third", overwrite=False)
        assert storage.get_bytes("a") == b"third"

    def test_if_match(self, storage: Storage) -> None:
        """``if_match`` stores over the version it names, and over no other and not over nothing."""
        if self.lacks(Lack.IF_MATCH):
            etag = storage.set("a", b"1").etag
            with self.refused():
                storage.set("a", b"2", if_match=etag)
            assert storage.get_bytes("a") == b"1"
            return
        old = storage.set("a", b"one").etag
        new = storage.set("a", b"two", if_match=old).etag
        assert storage.get_bytes("a") == b"two"
        assert storage.info("a").etag == new
        for etag in (old, "", "0", "no-such-etag", "*", "é", 'W/"1"'):
            for key in ("a", "absent"):
                with pytest.raises(PreconditionFailedError) as caught:
                    storage.set(key, b"three", if_match=etag)
                assert not isinstance(caught.value, AlreadyExistsError)
        with pytest.raises(PreconditionFailedError), storage.open("a", "wb", if_match=old) as file:
            file.write(b"three")
        assert storage.get_bytes("a") == b"two"
        assert not storage.exists("absent")
        with pytest.raises(PreconditionFailedError):
            storage.set("absent", b"three", if_match=new)
        with storage.open("a", "wb", if_match=new) as file:
            file.write(b"four")
        assert storage.get_bytes("a") == b"four"

    def test_both_conditions_exclude_each_other(self, storage: Storage) -> None:
        """``overwrite=False`` with ``if_match`` is a ``ValueError`` before anything is done."""
        etag = storage.set("a", b"1").etag
        with pytest.raises(ValueError, match="if_match"):
            storage.set("a", b"2", overwrite=False, if_match=etag)
        with pytest.raises(ValueError, match="if_match"):
            storage.set_file("b", io.BytesIO(b"2"), overwrite=False, if_match=etag)
        assert storage.get_bytes("a") == b"1"
        assert not storage.exists("b")

    def test_conditions_on_a_large_blob(self, storage: Storage) -> None:
        """What goes up in parts is held to ``overwrite=False`` and ``if_match`` like what goes up at once."""
        size = self.harness.large_size
        old = storage.set("a", b"old").etag
        new = storage.set("a", b"new").etag
        if Lack.CREATE_ONLY not in self.harness.lacks:
            if self.lacks(Lack.LARGE_CREATE_ONLY_IGNORED):
                storage.set("b", b"small")
                with pytest.raises(AlreadyExistsError):
                    storage.set("b", b"other", overwrite=False)
            else:
                with pytest.raises(AlreadyExistsError):
                    storage.set("a", Minimal(bytes(size)), overwrite=False)
                assert storage.get_bytes("a") == b"new"
            storage.set("c", Minimal(bytes(size)), overwrite=False)
            assert storage.info("c").size == size
        if Lack.IF_MATCH not in self.harness.lacks:
            if self.lacks(Lack.LARGE_IF_MATCH_IGNORED):
                with pytest.raises(PreconditionFailedError):
                    storage.set("a", b"x", if_match=old)
            else:
                for key, etag in (("a", old), ("absent", old)):
                    with pytest.raises(PreconditionFailedError):
                        storage.set(key, Minimal(bytes(size)), if_match=etag)
                assert not storage.exists("absent")
            assert storage.get_bytes("a") == b"new"
            assert storage.set("a", Minimal(bytes(size)), if_match=new).size == size

    def test_large_blobs(self, storage: Storage, tmp_path: Path) -> None:
        """A blob that goes up in parts and comes down in ranges is whole, with its headers, however it travels."""
        data = pattern(self.harness.large_size + 4321)
        source, target = tmp_path / "source.bin", tmp_path / "target.bin"
        source.write_bytes(data)
        moved: list[int] = []
        options = {"content_type": "text/large", "cache_control": "max-age=5", "metadata": {"size": "groß"}}
        made = storage.set_file("a", str(source), progress=moved.append, **options)  # type: ignore[arg-type]
        assert sum(moved) == len(data)
        info = storage.info("a")
        assert (info.size, info.etag) == (len(data), made.etag)
        assert (info.content_type, info.cache_control, info.metadata) == tuple(options.values())
        moved.clear()
        got = storage.get_file("a", target, progress=moved.append)
        assert sum(moved) == len(data)
        assert (got.etag, got.size) == (info.etag, len(data))
        assert not difference(target.read_bytes(), data)
        storage.set("b", Minimal(data))
        assert not difference(storage.get_bytes("b"), data)
        assert storage.get_bytes("b", start=len(data) - 5) == data[-5:]
        assert not difference(b"".join(storage.iter_bytes("b", chunk_size=1_000_003)), data)
        copied = storage.copy("a", "c", new_storage_type="tmp")
        assert (copied.size, copied.content_type, copied.metadata) == (len(data), info.content_type, info.metadata)
        with storage.open("c", "rb", "tmp") as file:
            file.seek(-100, os.SEEK_END)
            assert file.read() == data[-100:]

    def test_set_file(self, storage: Storage, tmp_path: Path) -> None:
        """A file is stored by its name, as ``str`` or path, or from where a file object stands."""
        path = tmp_path / "source.csv"
        path.write_bytes(b"a,b\n1,2\n")
        for named in (str(path), path):
            moved: list[int] = []
            info = storage.set_file("a.csv", named, progress=moved.append)
            assert (info.size, info.content_type, sum(moved)) == (8, "text/csv", 8)
            assert storage.get("a.csv") == "a,b\n1,2\n"
        with path.open("rb") as file:
            file.seek(4)
            storage.set_file("b", file, "tmp", metadata={"a": "1"})
        assert storage.get("b", "tmp") == "1,2\n"
        assert storage.info("b", "tmp").metadata == {"a": "1"}
        for missing, error in ((tmp_path / "absent", FileNotFoundError), (tmp_path, IsADirectoryError)):
            with pytest.raises(error):
                storage.set_file("a.csv", missing)
        assert storage.get("a.csv") == "a,b\n1,2\n"

    def test_deleting(self, storage: Storage) -> None:
        """Deleting takes one blob away; an absent one is a ``NotFoundError`` unless ``missing_ok``."""
        storage.set("a", b"1")
        storage.set("a", b"2", "tmp")
        assert storage.exists("a") is True
        storage.delete("a")
        assert storage.exists("a") is False
        assert storage.get_bytes("a", "tmp") == b"2"
        with pytest.raises(NotFoundError):
            storage.delete("a")
        storage.delete("a", missing_ok=True)
        storage.delete("a", "tmp", missing_ok=True)
        assert not storage.exists("a", "tmp")
