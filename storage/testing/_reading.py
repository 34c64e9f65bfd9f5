"""Reading: whole, in ranges, in pieces, as a file, and to a file."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from storage import NotFoundError, NotTextError, ObjectInfo, PreconditionFailedError, Storage
from storage.testing._base import Suite
from storage.testing._sources import Boom, Minimal, difference, pattern

DATA = b"0123456789"
RANGES = (
    (0, None), (0, 0), (0, 1), (0, 10), (0, 11), (0, 10**15), (3, None), (3, 5), (9, None), (9, 10), (9, 10**9), (5, 5), (7, 3),
    (10, None), (10, 11), (10, 10), (11, None), (10**15, None), (10**12, 10**13), (1, 9),
    (10**30, None), (0, 10**30), (10**30, 10**31),
)  # fmt: skip


class ReadingTests(Suite):
    """The contract: ``get``, ``get_bytes``, ``iter_bytes``, ``get_file``."""

    def test_get(self, storage: Storage) -> None:
        """``get`` gives text, and for what is not UTF-8 an error that names ``get_bytes``."""
        storage.set("a", "text é")
        assert storage.get("a") == "text é"
        for data in (b"\xff", b"\xc3", b"abc\xe9", b"\xed\xa0\x80"):
            storage.set("a", data)
            with pytest.raises(NotTextError, match="get_bytes") as caught:
                storage.get("a")
            assert isinstance(caught.value, ValueError)
            assert (caught.value.key, caught.value.storage_type) == ("a", "data")
            assert storage.get_bytes("a") == data
        storage.set("a", b"\xef\xbb\xbfbom\r\n")
        assert storage.get("a") == "\ufeffbom\r\n"

    def test_absent_blobs(self, storage: Storage, tmp_path: Path) -> None:
        """Each way to read an absent blob is a ``NotFoundError``, whatever the range."""
        target = tmp_path / "target"
        attempts: list[Callable[[], object]] = [
            lambda: storage.get("absent"),
            lambda: storage.get_bytes("absent"),
            lambda: storage.get_bytes("absent", start=5, end=5),
            lambda: storage.get_bytes("absent", start=5, end=2),
            lambda: storage.get_bytes("absent", start=1),
            lambda: list(storage.iter_bytes("absent")),
            lambda: list(storage.iter_bytes("absent", start=3, end=3)),
            lambda: storage.info("absent"),
            lambda: storage.open("absent"),
            lambda: storage.open("absent", "r"),
            lambda: storage.get_file("absent", target),
            lambda: storage.get_file("absent", io.BytesIO()),
        ]
        for attempt in attempts:
            with pytest.raises(NotFoundError) as caught:
                attempt()
            assert isinstance(caught.value, LookupError)
            assert (caught.value.key, caught.value.storage_type) == ("absent", "data")
        assert list(tmp_path.iterdir()) == []

    def test_ranges(self, storage: Storage) -> None:
        """A range is a slice: past the end there is nothing, and no error."""
        storage.set("a", DATA)
        storage.set("empty", b"")
        for start, end in RANGES:
            assert storage.get_bytes("a", start=start, end=end) == DATA[start:end], (start, end)
            assert b"".join(storage.iter_bytes("a", start=start, end=end)) == DATA[start:end], (start, end)
            assert storage.get_bytes("empty", start=start, end=end) == b""

    def test_the_last_bytes(self, storage: Storage) -> None:
        """``start=-n`` alone means the last bytes, as in a slice, of an empty blob too."""
        storage.set("a", DATA)
        storage.set("empty", b"")
        for start in (-1, -3, -len(DATA), -len(DATA) - 1, -(10**15), -(10**30)):
            assert storage.get_bytes("a", start=start) == DATA[start:], start
            assert b"".join(storage.iter_bytes("a", start=start, chunk_size=2)) == DATA[start:], start
            assert storage.get_bytes("empty", start=start) == b""
            assert list(storage.iter_bytes("empty", start=start)) == []
        with pytest.raises(NotFoundError):
            storage.get_bytes("absent", start=-1)
        with pytest.raises(NotFoundError):
            list(storage.iter_bytes("absent", start=-1))

    def test_bad_ranges(self, storage: Storage) -> None:
        """A negative bound is a ``ValueError``, but for ``start`` alone."""
        storage.set("a", DATA)
        bad: list[dict[str, Any]] = [
            {"end": -1},
            {"start": -5, "end": 3},
            {"start": -5, "end": -2},
            {"start": 2, "end": -2},
        ]
        for bounds in bad:
            with pytest.raises(ValueError, match="-"):
                storage.get_bytes("a", **bounds)
            with pytest.raises(ValueError, match="-"):
                list(storage.iter_bytes("a", **bounds))
        for wrong in ("1", 1.5):
            with pytest.raises(TypeError):
                storage.get_bytes("a", start=wrong)  # type: ignore[arg-type]

    def test_iter_bytes(self, storage: Storage) -> None:
        """Pieces are whole but for the last, none is empty, and together they are the blob."""
        data = pattern(10_000)
        storage.set("a", data)
        for size in (1_000, 3_333, 10_000, 10_001, 1 << 40):
            pieces = list(islice(storage.iter_bytes("a", chunk_size=size), len(data)))
            assert not difference(b"".join(pieces), data)
            assert {len(piece) for piece in pieces[:-1]} <= {size}
            assert 0 < len(pieces[-1]) <= size
        assert not difference(b"".join(storage.iter_bytes("a", start=5, end=9_000, chunk_size=7)), data[5:9_000])
        storage.set("empty", b"")
        assert list(storage.iter_bytes("empty")) == []
        for size in (0, -1):
            with pytest.raises(ValueError, match="chunk_size"):
                list(storage.iter_bytes("a", chunk_size=size))

    def test_iter_bytes_abandoned(self, storage: Storage) -> None:
        """An iteration may be given up, many times over, and the store works on."""
        data = pattern(3_000_000)
        storage.set("a", data)
        for _ in range(15):
            pieces = storage.iter_bytes("a", chunk_size=1_000)
            assert not difference(next(pieces), data[:1_000])
            pieces.close()  # type: ignore[attr-defined]
        assert not difference(storage.get_bytes("a"), data)

    def test_iter_bytes_while_replaced(self, storage: Storage) -> None:
        """An iteration gives one version of the blob or raises; it never mixes two."""
        size = self.harness.large_size
        storage.set("a", b"a" * size)
        pieces = storage.iter_bytes("a", chunk_size=50_000)
        got = next(pieces)
        storage.set("a", b"b" * size)
        try:
            got += b"".join(pieces)
        except PreconditionFailedError:
            assert set(got) == set(b"a")
        else:
            assert not difference(got, b"a" * size)
        assert storage.get_bytes("a", start=size - 1) == b"b"

    def test_iter_bytes_while_deleted(self, storage: Storage) -> None:
        """An iteration whose blob is deleted goes on to the end or raises; it does not just stop."""
        size = self.harness.large_size
        storage.set("a", b"a" * size)
        pieces = storage.iter_bytes("a", chunk_size=50_000)
        got = next(pieces)
        storage.delete("a")
        try:
            got += b"".join(pieces)
        except (PreconditionFailedError, NotFoundError):
            return
        assert len(got) == size

    # ---- to a file ---------------------------------------------------------------------------------------------

    def test_get_file(self, storage: Storage, tmp_path: Path) -> None:
        """A blob is written to a file of that name, or into a file object from where it stands."""
        made = storage.set("a", DATA, metadata={"m": "1"})
        target = tmp_path / "target"
        for named in (str(target), target):
            moved: list[int] = []
            info = storage.get_file("a", named, progress=moved.append)
            assert isinstance(info, ObjectInfo)
            assert (info.key, info.size, info.etag, info.metadata) == ("a", 10, made.etag, {"m": "1"})
            assert target.read_bytes() == DATA
            assert sum(moved) == 10
            target.write_bytes(b"a longer text that stood there before")
        buffer = io.BytesIO(b"before")
        buffer.seek(6)
        storage.get_file("a", buffer)
        assert buffer.getvalue() == b"before" + DATA
        storage.set("empty", b"")
        assert storage.get_file("empty", target).size == 0
        assert target.read_bytes() == b""

    def test_get_file_is_whole_or_not_at_all(self, storage: Storage, tmp_path: Path) -> None:
        """When it fails, what stood under the name still stands, and nothing else is left beside it."""
        target = tmp_path / "target"
        target.write_bytes(b"before")

        def stop(_moved: int) -> None:
            raise Boom

        storage.set("a", Minimal(pattern(self.harness.large_size)))
        with pytest.raises(Boom):
            storage.get_file("a", target, progress=stop)
        with pytest.raises(NotFoundError):
            storage.get_file("absent", target)
        assert target.read_bytes() == b"before"
        assert list(tmp_path.iterdir()) == [target]
        with pytest.raises(OSError, match="absent"):
            storage.get_file("a", tmp_path / "absent" / "target")
        with pytest.raises(IsADirectoryError):
            storage.get_file("a", tmp_path)
        assert list(tmp_path.iterdir()) == [target]

    def test_get_file_follows_a_link_and_keeps_the_mode(self, storage: Storage, tmp_path: Path) -> None:
        """A symbolic link stays one, and the file it names keeps its mode."""
        target, link = tmp_path / "target", tmp_path / "link"
        target.write_bytes(b"before")
        target.chmod(0o640)
        link.symlink_to(target)
        storage.set("a", DATA)
        storage.get_file("a", link)
        assert link.is_symlink()
        assert target.read_bytes() == DATA
        assert target.stat().st_mode & 0o777 == 0o640

    def test_errors_of_the_caller_s_file(self, storage: Storage) -> None:
        """What the caller's own file object raises comes as it is."""

        class Broken(io.RawIOBase):
            def writable(self) -> bool:
                return True

            def write(self, _data: Any) -> int:
                raise OSError(28, os.strerror(28))

        storage.set("a", DATA)
        with pytest.raises(OSError, match="space"):
            storage.get_file("a", Broken())  # type: ignore[arg-type]
        for wrong in (None, 5, object()):
            with pytest.raises(TypeError):
                storage.get_file("a", wrong)  # type: ignore[arg-type]
