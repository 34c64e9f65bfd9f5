"""Parallel parts up and ranges down, on drivers made for the test."""

from __future__ import annotations

import io
import threading
from collections.abc import Generator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from storage import IntegrityError, PreconditionFailedError, _multipart
from storage._facade import download as download_module
from storage._facade.download import CallerFault, Sink, download
from storage._multipart import PartWriter
from storage.backends import Download, Stat
from storage.testing._base import still_running

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Recorder:
    """Takes parts, and notes what is done to it."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls: list[str] = []
        self.parts: dict[int, bytes] = {}
        self.fail_at = fail_at
        self.busy = self.most = 0
        self.lock = threading.Lock()
        self.hold = threading.Event()
        self.hold.set()

    def whole(self, data: bytes) -> Stat:
        self.calls.append("whole")
        return Stat(len(data), "e", NOW)

    def start(self) -> None:
        self.calls.append("start")

    def part(self, number: int, data: bytes) -> int:
        with self.lock:
            self.busy += 1
            self.most = max(self.most, self.busy)
        self.hold.wait(10)
        with self.lock:
            self.busy -= 1
        if number == self.fail_at:
            raise OSError("part")
        self.parts[number] = data
        return number

    def finish(self, parts: Sequence[int], size: int) -> Stat:
        assert list(parts) == sorted(self.parts)
        self.calls.append("finish")
        return Stat(size, "e", NOW)

    def cancel(self) -> None:
        assert self.busy == 0
        self.calls.append("cancel")

    @property
    def data(self) -> bytes:
        return b"".join(self.parts[number] for number in sorted(self.parts))


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_multipart, "PART_SIZE", 10)


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("pieces", [[], [0], [9], [4, 5]])
def test_less_than_a_part_is_one_request(pieces: list[int]) -> None:
    """What does not fill a part goes up whole."""
    driver = Recorder()
    writer = PartWriter(driver)
    for piece in pieces:
        writer.write(bytes(piece))
    assert writer.commit().size == sum(pieces)
    assert driver.calls == ["whole"]


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("piece", [1, 3, 10, 25, 100])
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_parts_are_equally_long(piece: int, kind: Any) -> None:
    """However the bytes come, every part but the last has the same size, and none is lost or moved."""
    driver = Recorder()
    data = bytes(range(256)) * 2
    writer = PartWriter(driver)
    for start in range(0, len(data), piece):
        writer.write(kind(data[start : start + piece]))
    assert writer.commit().size == len(data)
    assert driver.data == data
    assert {len(part) for number, part in driver.parts.items() if number <= len(data) // 10} == {10}
    assert driver.calls == ["start", "finish"]


@pytest.mark.usefixtures("_small_parts")
def test_a_buffer_may_be_used_again_after_write() -> None:
    """``write`` is done with its argument on return."""
    driver = Recorder()
    writer = PartWriter(driver)
    buffer = bytearray(10)
    for number in range(5):
        buffer[:] = bytes([number]) * 10
        writer.write(memoryview(buffer))
    writer.commit()
    assert driver.data == b"".join(bytes([number]) * 10 for number in range(5))


@pytest.mark.usefixtures("_small_parts")
def test_no_more_parts_than_allowed_are_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: a writer waits where as many parts as allowed are in flight."""
    driver = Recorder()
    driver.hold.clear()
    monkeypatch.setattr(_multipart, "PARTS_IN_FLIGHT", 3)
    writer = PartWriter(driver)
    done = threading.Event()

    def write() -> None:
        for _ in range(12):
            writer.write(bytes(10))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not done.wait(0.2)
    driver.hold.set()
    thread.join(10)
    writer.commit()
    assert driver.most <= 3
    assert len(driver.parts) == 12


@pytest.mark.usefixtures("_small_parts")
def test_a_failed_part_is_told_and_abort_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part's failure comes out of ``write`` or ``commit``; ``abort`` then waits for the others and cancels, once."""
    driver = Recorder(fail_at=2)
    monkeypatch.setattr(_multipart, "PARTS_IN_FLIGHT", 2)
    writer = PartWriter(driver)

    def upload() -> None:
        writer.write(bytes(200))
        writer.commit()  # tells of it, if all other parts were faster than the one that fails

    with pytest.raises(OSError, match="part"):
        upload()
    writer.abort()
    assert driver.calls == ["start", "cancel"]
    monkeypatch.setattr(_multipart, "PARTS_IN_FLIGHT", 10)
    driver = Recorder(fail_at=2)
    writer = PartWriter(driver)
    writer.write(bytes(25))
    with pytest.raises(OSError, match="part"):
        writer.commit()
    writer.abort()
    assert driver.calls == ["start", "cancel"]


@pytest.mark.usefixtures("_small_parts")
def test_abort_before_anything_was_sent() -> None:
    """There is nothing to cancel where nothing was begun."""
    driver = Recorder()
    writer = PartWriter(driver)
    writer.write(b"abc")
    writer.abort()
    assert driver.calls == []


@pytest.mark.parametrize(
    "size, part",
    [(None, 5), (1, 5), (48_000, 5), (50_000, 5), (50_001, 6), (100_000, 10), (5 * 1024 * 1024, 525)],
)
def test_known_sizes_fit_into_ten_thousand_parts(size: int | None, part: int) -> None:
    """Sizes are in MiB: parts are of 5 MiB up to 50,000 MiB, and as much larger as is needed above."""
    mib = 1024 * 1024
    writer = PartWriter(Recorder(), None if size is None else size * mib)
    assert writer._part_size == part * mib
    assert size is None or -(-size // part) <= 10_000


def test_unknown_sizes_do_not_run_out_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a stream of unknown length double after every thousand; those of a known length never do."""
    monkeypatch.setattr(_multipart, "PART_SIZE", 1)
    for size, sizes in ((None, {1: 1, 1000: 1, 1001: 2, 2000: 2, 2001: 4}), (4000, {1: 1, 1000: 1, 1001: 1, 3999: 1})):
        driver = Recorder()
        writer = PartWriter(driver, size)
        writer.write(bytes(4000))
        writer.commit()
        assert {number: len(driver.parts[number]) for number in sizes} == sizes
        assert driver.data == bytes(4000)


# ---- down --------------------------------------------------------------------------------------------------------------


class Source:
    """A driver that only reads."""

    parallel_from = 100

    def __init__(self, data: bytes, *, short: bool = False, fail_from: int | None = None) -> None:
        self.data, self.short, self.fail_from = data, short, fail_from
        self.etags: list[str | None] = []

    def _chunks(self, start: int, end: int) -> Generator[bytes, None, None]:
        for at in range(start, end, 7):
            if self.fail_from is not None and at >= self.fail_from:
                raise PreconditionFailedError
            yield self.data[at : min(at + 7, end)]

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        self.etags.append(if_match)
        end = len(self.data) if end is None else end
        if self.short and start:
            end -= 1
        return Download(Stat(len(self.data), "etag", NOW), self._chunks(start, end))

    def checksum_verifier(self, found: Stat) -> None:
        del found

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        return b"".join(self.stream(path, start, end, if_match).chunks)


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "RANGE_SIZE", 40)


@pytest.mark.parametrize("size", [0, 1, 39, 40, 41, 99, 100, 101, 400, 4001])
@pytest.mark.parametrize("named", [True, False])
def test_download(size: int, named: bool, tmp_path: Path) -> None:
    """Every byte comes to its place, by ranges of the first answer's etag; ``progress`` adds up, in the caller's thread."""
    source = Source(bytes(n * 31 % 251 for n in range(size)))
    moved: list[int] = []
    threads: set[int] = set()

    def progress(count: int) -> None:
        moved.append(count)
        threads.add(threading.get_ident())

    if named:
        with open(tmp_path / "f", "w+b") as file:
            download(source, "p", Sink.new_file(file, progress))  # type: ignore[arg-type]
        got = (tmp_path / "f").read_bytes()
    else:
        target = io.BytesIO()
        download(source, "p", Sink(target, progress))  # type: ignore[arg-type]
        got = target.getvalue()
    assert got == source.data
    assert sum(moved) == size
    assert threads <= {threading.get_ident()}
    assert source.etags[0] is None
    assert set(source.etags[1:]) <= {"etag"}
    if size < 100 or not named:  # by places, the first stream may be done before another begins
        assert (len(source.etags) > 1) == (size >= 100)


class Slow(Source):
    """The stream that is open first makes no progress unless another range is asked for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.others = threading.Event()

    def _chunks(self, start: int, end: int) -> Generator[bytes, None, None]:
        if start:
            self.others.set()
        for chunk in super()._chunks(start, end):
            yield chunk
            assert self.others.wait(10)


def test_ranges_come_at_once(tmp_path: Path) -> None:
    """The first stream does not have to end before others serve the rest."""
    source = Slow(bytes(n % 251 for n in range(4000)))
    with open(tmp_path / "f", "w+b") as file:
        download(source, "p", Sink.new_file(file))  # type: ignore[arg-type]
    assert (tmp_path / "f").read_bytes() == source.data
    assert set(source.etags[1:]) == {"etag"}


@pytest.mark.parametrize("named", [True, False])
def test_a_blob_that_is_replaced(named: bool, tmp_path: Path) -> None:
    """The failure of any range ends the download, and no thread outlives it."""
    with open(tmp_path / "f", "w+b") as file:
        sink = Sink.new_file(file) if named else Sink(file)
        with pytest.raises(PreconditionFailedError):
            download(Source(bytes(4000), fail_from=2000), "p", sink)  # type: ignore[arg-type]
    assert not still_running("storage-range")


def test_a_range_that_is_too_short(tmp_path: Path) -> None:
    """A driver that gives less than it was asked for leaves no hole unnoticed."""
    with open(tmp_path / "f", "w+b") as file, pytest.raises(IntegrityError):
        download(Slow(bytes(4000), short=True), "p", Sink.new_file(file))  # type: ignore[arg-type]


class Boaster(Source):
    """Says that the blob has more bytes than any disk."""

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        _, chunks = super().stream(path, start, end, if_match)
        return Download(Stat(10**30, "etag", NOW), chunks)


@pytest.mark.parametrize("named", [True, False])
def test_a_size_beyond_all_memory(named: bool, tmp_path: Path) -> None:
    """However large a size the server claims, its ranges take no memory before they are asked for."""
    with open(tmp_path / "f", "w+b") as file, pytest.raises(IntegrityError):
        download(Boaster(bytes(400)), "p", Sink.new_file(file) if named else Sink(io.BytesIO()))  # type: ignore[arg-type]


@pytest.mark.parametrize("named", [True, False])
def test_the_callers_own_faults(named: bool, tmp_path: Path) -> None:
    """An exception of ``progress`` is carried past the driver's error mapping, and ends every thread."""

    def progress(count: int) -> None:
        raise KeyError("mine")

    with open(tmp_path / "f", "w+b") as file:
        sink = Sink.new_file(file, progress) if named else Sink(file, progress)
        with pytest.raises(CallerFault) as caught:
            download(Source(bytes(4000)), "p", sink)  # type: ignore[arg-type]
    assert isinstance(caught.value.error, KeyError)
    assert not still_running("storage-range")


def test_a_full_disk(tmp_path: Path) -> None:
    """An error of the caller's own file is theirs, also where ranges are written at their places."""
    with open(tmp_path / "f", "w+b") as file:
        sink = Sink.new_file(file)
        sink.descriptor = -1
        with pytest.raises(CallerFault) as caught:
            sink.write_at(0, b"x")
    assert isinstance(caught.value.error, OSError)
