"""``open``: file objects to read from and write to."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest

from storage import AlreadyExistsError, NotFoundError, PreconditionFailedError, Storage
from storage.testing._base import Suite
from storage.testing._harness import Lack
from storage.testing._sources import Boom, Minimal, difference, pattern


class FileTests(Suite):
    """The contract: ``open``."""

    def test_read_binary(self, storage: Storage) -> None:
        """``rb`` behaves as Python's own: read, readinto, readline, seek and tell from all three ends."""
        data = b"first\nsecond\r\nthird" + bytes(range(256))
        storage.set("a", data)
        plain = io.BytesIO(data)
        with storage.open("a", "rb") as file:
            assert file.readable()
            assert file.seekable()
            assert not file.writable()
            for step in ("read 4", "line", "line", "seek 2 0", "read 0", "read 3", "seek 5 1", "read 1", "seek -6 2", "read -1",
                         "read 1", "seek 0 0", "read -1", "seek 1000 0", "read 5", "seek 0 2", "seek 0 0", "line"):  # fmt: skip
                word, *numbers = step.split()
                arguments = [int(number) for number in numbers]
                results = []
                for stream in (plain, file):
                    method: Any = {"read": stream.read, "line": stream.readline, "seek": stream.seek}[word]
                    results.append((method(*arguments), stream.tell()))
                assert results[0] == results[1], step
            buffer = bytearray(7)
            file.seek(3)
            assert file.readinto(buffer) == 7  # type: ignore[attr-defined]
            assert buffer == data[3:10]
            file.seek(0)
            assert list(file) == io.BytesIO(data).readlines()
            with pytest.raises(OSError):
                file.write(b"x")
            with pytest.raises(OSError):
                file.seek(-1)
        assert file.closed
        with pytest.raises(ValueError):
            file.read()

    def test_read_text(self, storage: Storage) -> None:
        """``r`` decodes as Python's own: UTF-8 unless told otherwise, line ends translated unless told otherwise."""
        storage.set("a", "zażółć\r\ngęślą\n".encode())
        with storage.open("a", "r") as file:
            assert file.read() == "zażółć\ngęślą\n"
        with storage.open("a", "r", newline="") as file:
            assert list(file) == ["zażółć\r\n", "gęślą\n"]
        with storage.open("a", "rt") as file:
            assert file.readline() == "zażółć\n"
        storage.set("latin", "é\n".encode("latin-1"))
        with storage.open("latin", "r", encoding="latin-1") as file:
            assert file.read() == "é\n"
        with storage.open("latin", "r") as file, pytest.raises(UnicodeDecodeError):
            file.read()
        with storage.open("latin", "r", errors="replace") as file:
            assert file.read() == "\ufffd\n"

    def test_read_large(self, storage: Storage) -> None:
        """Reading hither and thither in a large blob gives what stands there."""
        data = pattern(self.harness.large_size)
        storage.set("a", Minimal(data))
        with storage.open("a") as file:
            for position in (0, 1, len(data) - 10, len(data) // 2, 5, len(data) // 3):
                file.seek(position)
                assert not difference(file.read(1000), data[position : position + 1000])
            file.seek(len(data) // 2)
            assert not difference(file.read(), data[len(data) // 2 :])
            file.seek(0)
            for start in range(0, len(data), 1_000_000):
                assert not difference(file.read(1_000_000), data[start : start + 1_000_000])

    def test_read_empty(self, storage: Storage) -> None:
        """An empty blob opens, and is empty."""
        storage.set("a", b"")
        with storage.open("a") as file:
            assert file.read() == b""
            assert file.seek(0, os.SEEK_END) == 0

    def test_replaced_while_open(self, storage: Storage) -> None:
        """A file reads one version: what was replaced since is a ``PreconditionFailedError``, also of the same size."""
        size = self.harness.large_size
        storage.set("a", b"a" * size)
        with storage.open("a") as file:
            assert file.read(10) == b"a" * 10
            storage.set("a", b"b" * size)
            file.seek(size - 10)
            with pytest.raises(PreconditionFailedError) as caught:
                file.read(10)
            assert not isinstance(caught.value, AlreadyExistsError)
            assert (caught.value.key, caught.value.storage_type) == ("a", "data")
        with storage.open("a") as file:
            storage.set("a", b"c")
            with pytest.raises(PreconditionFailedError):
                file.read()

    def test_deleted_while_open(self, storage: Storage) -> None:
        """A file whose blob is gone says so, and does not end early."""
        storage.set("a", b"a" * self.harness.large_size)
        with storage.open("a") as file:
            file.read(10)
            storage.delete("a")
            file.seek(-10, os.SEEK_END)
            with pytest.raises((NotFoundError, PreconditionFailedError)):
                file.read()

    def test_write_binary(self, storage: Storage) -> None:
        """``wb`` streams; the blob appears at ``close``, with its options."""
        storage.set("a", b"old")
        file = storage.open("a", "wb", content_type="text/x", cache_control="no-cache", metadata={"m": "1"})
        assert file.writable()
        assert not file.readable()
        assert file.write(b"one ") == 4
        assert file.write(bytearray(b"two ")) == 4
        assert file.write(memoryview(b"three")) == 5
        assert file.tell() == 13
        file.flush()
        assert storage.get("a") == "old"
        file.close()
        assert storage.get("a") == "one two three"
        info = storage.info("a")
        assert (info.content_type, info.cache_control, info.metadata) == ("text/x", "no-cache", {"m": "1"})
        file.close()
        assert file.closed
        with pytest.raises(ValueError):
            file.write(b"x")
        assert storage.get("a") == "one two three"

    def test_write_does_not_alias(self, storage: Storage) -> None:
        """A buffer may be used again as soon as ``write`` has returned."""
        buffer = bytearray(100_000)
        with storage.open("a", "wb") as file:
            for byte in range(100):
                buffer[:] = bytes([byte]) * len(buffer)
                file.write(buffer)
        expected = b"".join(bytes([byte]) * len(buffer) for byte in range(100))
        assert storage.get_bytes("a") == expected

    def test_write_text(self, storage: Storage) -> None:
        """``w`` encodes, in UTF-8 unless told otherwise, with ``newline`` as for Python's own."""
        with storage.open("a.txt", "w") as file:
            file.write("é\n")
            print("line", 2, file=file)
        assert storage.get("a.txt") == "é" + os.linesep + "line 2" + os.linesep
        with storage.open("a.txt", "wt", encoding="latin-1", newline="\r\n") as file:
            file.write("é\n")
        assert storage.get_bytes("a.txt") == b"\xe9\r\n"
        assert storage.info("a.txt").content_type == "text/plain"
        with pytest.raises(UnicodeEncodeError), storage.open("a.txt", "w", encoding="ascii") as file:
            file.write("é")
        assert storage.get_bytes("a.txt") == b"\xe9\r\n"

    def test_an_exception_leaves_the_old_blob(self, storage: Storage) -> None:
        """An exception inside ``with`` publishes nothing, in text and in bytes."""
        storage.set("a", b"old")

        def write(mode: str, value: str | bytes) -> None:
            with storage.open("a", mode) as file:
                file.write(value)
                raise Boom

        for mode, value in (("wb", b"new"), ("w", "new")):
            with pytest.raises(Boom):
                write(mode, value)
            assert storage.get("a") == "old"

    def test_exclusive_mode(self, storage: Storage) -> None:
        """``xb`` is ``wb`` with ``overwrite=False``."""
        if self.lacks(Lack.CREATE_ONLY):
            with self.refused(), storage.open("a", "xb") as file:
                file.write(b"1")
            assert not storage.exists("a")
            return
        with storage.open("a", "xb") as file:
            file.write(b"1")
        with pytest.raises(AlreadyExistsError), storage.open("a", "x") as text:
            text.write("2")
        assert storage.get("a") == "1"

    def test_modes_and_options_that_cannot_be(self, storage: Storage) -> None:
        """A mode that blobs do not have, or an option that the mode has no use for, is a ``ValueError``."""
        storage.set("a", b"1")
        for mode in ("", "a", "ab", "r+", "rb+", "w+", "rw", "z", "rbt", "U", "bb", "rr"):
            with pytest.raises(ValueError, match="mode"):
                storage.open("a", mode)
        for mode, options in (
            ("rb", {"encoding": "utf-8"}),
            ("wb", {"newline": ""}),
            ("rb", {"metadata": {}}),
            ("r", {"content_type": "text/plain"}),
            ("rb", {"overwrite": False}),
            ("rb", {"if_match": "x"}),
        ):
            with pytest.raises((ValueError, TypeError)):
                storage.open("a", mode, **options)
        with pytest.raises(TypeError):
            storage.open("a", "rb", buffering=0)  # type: ignore[call-overload]
        with pytest.raises(LookupError):
            storage.open("a", "r", encoding="no-such-encoding").read()
        assert storage.get("a") == "1"
