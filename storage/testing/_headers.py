"""Content types, other headers and metadata."""

from __future__ import annotations

from typing import Any

import pytest

from storage import Storage
from storage.testing._base import Suite
from storage.testing._harness import Lack

CONTENT_TYPES = {
    "a.txt": "text/plain",
    "a.json": "application/json",
    "a.html": "text/html",
    "a.csv": "text/csv",
    "a.js": "text/javascript",
    "a.PNG": "image/png",
    "a.JpEg": "image/jpeg",
    "a.svg": "image/svg+xml",
    "a.pdf": "application/pdf",
    "a.parquet": "application/vnd.apache.parquet",
    "a.tar.gz": "application/gzip",
    "a.webp": "image/webp",
    "a.yaml": "application/yaml",
    "a.md": "text/markdown",
    "dir.txt/a": "application/octet-stream",
    "a": "application/octet-stream",
    ".txt": "application/octet-stream",
    "dir/.json": "application/octet-stream",
    "a.unknown-suffix": "application/octet-stream",
    "a.": "application/octet-stream",
}

METADATA: tuple[dict[str, str], ...] = (
    {"a": "1"},
    {
        "name": "value",
        "x-amz-meta-name": "v",
        "content-type": "text/x",
        "content-length": "5",
        "storage": "s",
        "0": "0",
    },
    {"n" * 128: "longest name", "-": "dash", "--": "dashes", "a-b": "c"},
    {"empty": ""},
    {"blanks": " ", "leading": "  two", "trailing": "two  ", "inner": "a  b"},
    {
        "latin": "caf\u00e9",
        "combining": "cafe\u0301",
        "kanji": "\u65e5\u672c\u8a9e",
        "emoji": "\U0001faa3",
        "nbsp": "\u00a0",
        "bom": "\ufeff",
    },
    {"long": "\u00e4 " * 200, "longer": "\U0001faa3" * 60},
    {
        "lookalike": "=?UTF-8?B?aGk=?=",
        "two": "=?utf-8?b?aGk=?= =?utf-8?b?aGk=?=",
        "q": "=?UTF-8?Q?hi?=",
        "part": "a =?UTF-8?B?aGk=?=",
    },
    {"broken": "=?UTF-8?B?a?=", "open": "=?", "close": "?="},
    {
        "quotes": "\"'`",
        "punctuation": ",;:=&%+\\/<>()[]{}@#$!?*|~^",
        "percent": "%C3%A9%20+",
        "json": '{"a": [1, "b"]}',
    },
    {"c1": "\u0080\u009f", "line": "\u2028\u2029", "max": "\U0010fffd"},
    {"fits": "x" * 2044},
)

BAD_METADATA: tuple[Any, ...] = (
    {"": "v"},
    {"Upper": "v"},
    {"under_score": "v"},
    {"blank name": "v"},
    {"\u00e9": "v"},
    {"n" * 129: "v"},
    {"a": "control\x00"},
    {"a": "line\nfeed"},
    {"a": "\r"},
    {"a": "\x7f"},
    {"a": "\ud800"},
    {"a": "x" * 2048},
    {"fits": "x" * 2045},
    {"a": "\u00e9" * 1000},
)

HEADERS = ("content_type", "cache_control", "content_encoding")
BAD_HEADERS = ("", " ", " a", "a ", "caf\u00e9", "a\nb", "a\r\nX: y", "a\x00", "\x7f", "a\tb", "x" * 1025)


class HeaderTests(Suite):
    """The contract: content type, the other headers, metadata."""

    def test_content_type_by_suffix(self, storage: Storage) -> None:
        """Where none is given, the last suffix of the key decides, the same on every machine."""
        for key, expected in CONTENT_TYPES.items():
            assert storage.set(key, b"1").content_type == expected, key
            found = storage.info(key).content_type
            if expected == "application/octet-stream" != found and self.lacks(Lack.OCTET_STREAM):
                assert found
            else:
                assert found == expected, key

    def test_content_type_as_given(self, storage: Storage) -> None:
        """A content type that is given is kept to the letter, on every way to write."""
        kind = 'Text/X-Own; charset="UTF-8"; a=b'
        storage.set("a.txt", b"1", content_type=kind)
        storage.set("b.txt", [b"1"], content_type=kind)
        with storage.open("c.txt", "wb", content_type=kind) as file:
            file.write(b"1")
        for key in ("a.txt", "b.txt", "c.txt"):
            assert storage.info(key).content_type == kind

    def test_headers(self, storage: Storage) -> None:
        """``cache_control`` and ``content_encoding`` are kept as given, and are ``None`` where they are not."""
        storage.set("a", b"1", cache_control="public, max-age=60", content_encoding="gzip")
        info = storage.info("a")
        assert (info.cache_control, info.content_encoding) == ("public, max-age=60", "gzip")
        storage.set("b", b"1")
        assert (storage.info("b").cache_control, storage.info("b").content_encoding) == (None, None)
        longest = "x" * 1024
        storage.set("c", b"1", cache_control=longest)
        assert storage.info("c").cache_control == longest

    def test_bytes_are_never_decoded(self, storage: Storage) -> None:
        """Whatever ``content_encoding`` says, what is read is what was written, on every way to read."""
        import gzip

        for data in (gzip.compress(b"hello" * 100, mtime=0), b"this is no gzip at all"):
            storage.set("a.txt", data, content_encoding="gzip")
            assert storage.get_bytes("a.txt") == data
            assert b"".join(storage.iter_bytes("a.txt")) == data
            assert storage.get_bytes("a.txt", start=3, end=9) == data[3:9]
            with storage.open("a.txt") as file:
                assert file.read() == data
            assert storage.info("a.txt").size == len(data)

    def test_bad_headers(self, storage: Storage) -> None:
        """What could break a header, or split it in two, is a ``ValueError`` before anything is sent."""
        for name in HEADERS:
            for value in BAD_HEADERS:
                with pytest.raises(ValueError, match=name):
                    storage.set("a", b"1", **{name: value})  # type: ignore[arg-type]
            for wrong in (5, b"text/plain", ["a"]):
                with pytest.raises(TypeError):
                    storage.set("a", b"1", **{name: wrong})  # type: ignore[arg-type]
        assert storage.list() == []

    def test_metadata(self, storage: Storage) -> None:
        """Any text without control characters comes back as it was, to the last blank."""
        for metadata in METADATA:
            assert storage.set("a", b"1", metadata=metadata).metadata == metadata
            assert storage.info("a").metadata == metadata
            storage.set("b", [b"1"], metadata=metadata)
            assert storage.info("b").metadata == metadata

    def test_no_metadata(self, storage: Storage) -> None:
        """Without any it is an empty mapping."""
        assert storage.set("a", b"1").metadata == {}
        assert storage.set("b", b"1", metadata={}).metadata == {}
        assert storage.info("a").metadata == storage.info("b").metadata == {}

    def test_bad_metadata(self, storage: Storage) -> None:
        """A name or value that not every service keeps, or too much of it, is a ``ValueError``, and nothing is stored."""
        for metadata in BAD_METADATA:
            with pytest.raises(ValueError, match="metadata"):
                storage.set("a", b"1", metadata=metadata)
        for wrong in ([("a", "b")], "a=b", {"a": 1}, {1: "a"}, {"a": b"b"}, {"a": None}):
            with pytest.raises(TypeError):
                storage.set("a", b"1", metadata=wrong)  # type: ignore[arg-type]
        assert storage.list() == []

    def test_metadata_in_listings(self, storage: Storage) -> None:
        """A listing tells the truth about headers and metadata, or ``None``."""
        made = storage.set("a.json", b"{}", cache_control="no-cache", metadata={"a": "\u00e9"})
        (listed,) = storage.iter_info()
        (entry,) = storage.iter_dir()
        for info in (listed, entry):
            assert not isinstance(info, str)
            assert (info.key, info.storage_type, info.size, info.etag) == ("a.json", "data", 2, made.etag)
            assert info.content_type in (None, "application/json")
            assert info.cache_control in (None, "no-cache")
            assert info.content_encoding is None
            assert info.metadata in (None, {"a": "\u00e9"})
