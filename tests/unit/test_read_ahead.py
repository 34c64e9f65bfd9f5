"""What an open blob's reader fetches: the right bytes, in parallel from the front, and no more than a jump is worth."""

from __future__ import annotations

import io
import os
import threading
import time
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import AsyncStorage, PreconditionFailedError, Storage, UnavailableError, UnsupportedOperationError
from storage._backend import Download
from storage._facade import read_ahead
from storage._facade.file_objects import BlobReader
from storage.backends.memory import MemoryBackend
from storage.exceptions import IntegrityError

KIB, MIB = 1024, 1024 * 1024


def content(size: int) -> bytes:
    """Words of which no two are equal: what is out of place shows."""
    return array("I", range((size + 3) // 4)).tobytes()[:size]


class Asked:
    """A blob that notes what is fetched of it.

    Attributes:
        ranges: what was asked for.
        most: how many ranges were on their way at once, at most.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.ranges: list[tuple[int, int]] = []
        self.most = self._now = 0
        self._lock = threading.Lock()

    def __call__(self, start, end, stopped):
        with self._lock:
            self.ranges.append((start, end))
            self._now += 1
            self.most = max(self.most, self._now)
        middle = (start + end) // 2
        with self._lock:
            self._now -= 1
        return [self.data[start:middle], b"", self.data[middle:end]]

    @property
    def moved(self) -> int:
        return sum(end - start for start, end in self.ranges)

    def reader(self, *, parallel: bool = True) -> BlobReader:
        return BlobReader(self, len(self.data), "k", parallel=parallel)


class OneWindow:
    """What a reader without anything ahead fetches: the bytes that a jump may cost."""

    def __init__(self, size: int) -> None:
        self.size, self.moved = size, 0
        self.start = self.end = self.window = 0

    def read(self, position: int, wanted: int) -> None:
        end = min(position + wanted, self.size)
        while position < end:
            if not self.start <= position < self.end:
                goes_on = position == self.end and self.window
                self.window = min(self.window * 2, read_ahead._LAST_WINDOW) if goes_on else read_ahead._FIRST_WINDOW
                self.start, self.end = position, min(position + max(end - position, self.window), self.size)
                self.moved += self.end - self.start
            position = min(end, self.end)


@pytest.fixture
def small(monkeypatch):
    """All sizes a thousandth of what they are, so that small blobs have many parts."""
    for name in ("_FIRST_WINDOW", "_LAST_WINDOW", "_SURE", "_MOST_AHEAD", "_MOST_BEHIND", "_PART"):
        monkeypatch.setattr(read_ahead, name, getattr(read_ahead, name) // 1024)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 5000)),
        st.tuples(st.just("read"), st.just(-1)),
        st.tuples(st.just("seek"), st.integers(0, 70_000)),
        st.tuples(st.just("skip"), st.integers(-9000, 9000)),
    ),
    max_size=40,
)


@given(size=st.integers(0, 60_000), steps=steps, parallel=st.booleans(), buffered=st.booleans())
def test_any_reads_and_seeks_give_what_a_file_gives(size, steps, parallel, buffered):
    with pytest.MonkeyPatch.context() as patch:
        small.__wrapped__(patch)
        asked = Asked(content(size))
        raw = asked.reader(parallel=parallel)
        file, same = io.BufferedReader(raw, 700) if buffered else raw, io.BytesIO(asked.data)
        with file:
            for step, number in steps:
                if step == "seek":
                    assert file.seek(number) == same.seek(number)
                elif step == "skip":
                    assert file.seek(max(0, file.tell() + number)) == same.seek(max(0, same.tell() + number))
                elif number < 0 or buffered:
                    assert file.read(number) == same.read(number)
                else:  # a raw file may give less than was asked for
                    data = file.read(number)
                    assert data == same.read(len(data))
                    assert data or number == 0 or same.tell() >= size
                assert (
                    raw._windows._end - min((part.start for part in raw._windows._parts), default=raw._windows._end)
                    <= 32 * KIB
                )


def test_a_reader_from_the_front_has_many_ranges_on_their_way_at_once():
    asked = Asked(content(64 * MIB))
    together = threading.Barrier(16)
    fetch = asked.__call__

    def slow(start, end, stopped):
        # Only if as many as that are asked for at once does any of them come.
        if stopped is not None and start >= 20 * MIB and end <= 36 * MIB:
            together.wait(20)
        return fetch(start, end, stopped)

    raw = BlobReader(slow, len(asked.data), "k", parallel=True)
    with io.BufferedReader(raw, 64 * KIB) as file:
        found = bytearray()
        while piece := file.read(MIB):
            found += piece
    assert found == asked.data
    assert asked.moved == len(asked.data)  # nothing comes twice
    assert max(end - start for start, end in asked.ranges) <= MIB


@pytest.mark.parametrize("step", [64 * KIB, MIB, 5 * MIB, 100 * MIB])
def test_no_more_than_32_mib_are_held(step):
    asked = Asked(bytes(80 * MIB))
    raw = asked.reader()
    with io.BufferedReader(raw, 64 * KIB) as file:
        while file.read(step):
            windows = raw._windows
            assert windows._end - windows._parts[0].start <= 32 * MIB
            assert windows._end - raw._position <= 22 * MIB
    assert asked.moved == len(asked.data)


def test_all_that_is_left_is_read_in_parallel_too():
    asked = Asked(content(40 * MIB + 5))
    with io.BufferedReader(asked.reader(), 64 * KIB) as file:
        assert file.read(3) == asked.data[:3]
        assert file.read() == asked.data[3:]
        assert file.read() == b""
    assert len(asked.ranges) > 30
    assert asked.moved == len(asked.data)


def read_at(file, places) -> int:
    model = OneWindow(file.raw._size)
    for position, wanted in places:
        file.raw.seek(position)
        left = memoryview(bytearray(wanted))
        while left and file.raw._position < file.raw._size:
            left = left[file.raw.readinto(left) :]
        model.read(position, wanted)
    return model.moved


def test_a_reader_of_columns_moves_what_one_window_moves():
    """A footer first, then whole columns, then columns in pieces: as readers of Parquet files do."""
    asked = Asked(bytes(100 * MIB))
    places = [(100 * MIB - 64 * KIB, 64 * KIB), *((n * 9 * MIB, 3 * MIB) for n in range(10))]
    places += [(n * 9 * MIB + piece * 300 * KIB, 300 * KIB) for n in range(10) for piece in range(12)]
    with io.BufferedReader(asked.reader(), 64 * KIB) as file:
        model = read_at(file, places)
    assert asked.moved <= 1.1 * model


@settings(max_examples=60)
@given(st.data())
def test_a_reader_that_jumps_moves_at_most_a_tenth_more_than_one_window(data):
    with pytest.MonkeyPatch.context() as patch:
        small.__wrapped__(patch)
        size = 400_000
        asked = Asked(bytes(size))
        file = io.BufferedReader(asked.reader(), 64)
        places = [(size - 60, 60)]
        for _ in range(data.draw(st.integers(1, 8))):
            start, step = data.draw(st.integers(0, size)), data.draw(st.integers(1, 3000))
            places += [(start + n * step, step) for n in range(data.draw(st.integers(1, 60)))]
        with file:
            model = read_at(file, places)
        # A jump within the run goes on in its large window, where the model begins a small one; and what it passes over (that
        # window, and the tenth that is fetched ahead) counts as read.
        assert asked.moved <= 1.1 * (model + read_ahead._LAST_WINDOW) + 0.01 * model


def test_one_that_looks_at_the_front_and_jumps_moves_what_one_window_moves():
    asked = Asked(bytes(100 * MIB))
    with io.BufferedReader(asked.reader(), 64 * KIB) as file:
        model = read_at(file, [(0, 64), (64, 900 * KIB), (50 * MIB, 500 * KIB), (10 * MIB, 10)])
    assert asked.moved == model


def test_a_long_run_after_a_jump_is_read_ahead_again():
    asked = Asked(bytes(220 * MIB))
    with io.BufferedReader(asked.reader(), 64 * KIB) as file:
        model = read_at(file, [(5 * MIB + n * MIB, MIB) for n in range(200)])
        assert file.raw._windows._end == 220 * MIB
    assert 1.01 * model < asked.moved + 10 * MIB
    assert asked.moved <= 1.1 * model


def test_one_window_at_a_time_where_several_do_not_pay():
    asked = Asked(bytes(40 * MIB))
    with io.BufferedReader(asked.reader(parallel=False), 64 * KIB) as file:
        while file.read(MIB):
            assert file.raw._windows._pool is None  # no thread of its own; those of other readers may still be ending
    model = OneWindow(40 * MIB)
    for position in range(0, 40 * MIB, MIB):
        model.read(position, MIB)
    assert asked.moved == model.moved
    assert asked.most == 1


# ---- stopping ------------------------------------------------------------------------------------------------------


class Endless:
    """Ranges ahead of the reader that come never, until they are stopped."""

    def __init__(self) -> None:
        self.waiting: list[threading.Event] = []
        self.begun = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)

    def __call__(self, start, end, stopped):
        if stopped is not None:
            self.waiting.append(stopped)
            self.begun.release()
            assert stopped.wait(20)
            self.ended.release()
            return []
        return [bytes(end - start)]

    def reader(self) -> BlobReader:
        """One that has ranges on their way."""
        reader = BlobReader(self, 100 * MIB, "k", parallel=True)
        buffer = bytearray(MIB)
        for _ in range(3):
            assert reader.readinto(buffer) == MIB
        assert self.begun.acquire(timeout=20)
        return reader

    def has_ended(self) -> bool:
        return all(self.ended.acquire(timeout=20) for _ in self.waiting)


def leave_by_seek(reader):
    reader.seek(50 * MIB)
    assert not reader.closed


def leave_by_close(reader):
    reader.close()


def leave_by_dropping(reader):
    reader.__del__()


@pytest.mark.parametrize("leave", [leave_by_seek, leave_by_close, leave_by_dropping])
def test_what_is_ahead_is_stopped(leave):
    endless = Endless()
    reader = endless.reader()
    leave(reader)
    assert endless.has_ended()
    reader.close()


def test_what_is_ahead_goes_on_where_a_seek_stays_in_it():
    endless = Endless()
    reader = endless.reader()
    for place in (2 * MIB + 5, 3 * MIB, 0):
        reader.seek(place)
        assert not any(stopped.is_set() for stopped in endless.waiting)
    assert reader.readinto(bytearray(9)) == 9
    reader.close()
    assert endless.has_ended()


def test_closing_waits_for_nothing():
    hold = threading.Event()
    begun = threading.Event()

    def fetch(start, end, stopped):
        if stopped is not None:
            begun.set()
            hold.wait(20)
        return [bytes(end - start)]

    reader = BlobReader(fetch, 100 * MIB, "k", parallel=True)
    for _ in range(3):
        reader.readinto(bytearray(MIB))
    assert begun.wait(20)
    began = time.monotonic()
    reader.close()
    assert time.monotonic() - began < 5
    hold.set()


# ---- failures ------------------------------------------------------------------------------------------------------


def test_a_failure_ahead_is_raised_when_the_reader_comes_to_it():
    asked = Asked(content(20 * MIB))
    fails = True

    def fetch(start, end, stopped):
        if end > 5 * MIB and fails:
            raise UnavailableError("away")
        return asked(start, end, stopped)

    with BlobReader(fetch, len(asked.data), "k", parallel=True) as reader:
        found = bytearray()
        buffer = bytearray(512 * KIB)
        with pytest.raises(UnavailableError):  # noqa: PT012
            while count := reader.readinto(buffer):
                found += buffer[:count]
        assert 4 * MIB <= len(found) == reader.tell()
        fails = False
        assert found + reader.read() == asked.data


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_range_that_comes_with_another_length_is_an_error(ahead, change):
    def fetch(start, end, stopped):
        wrong = stopped is not None or not ahead
        return [bytes(end - start + (change if wrong else 0))]

    with BlobReader(fetch, 50 * MIB, "k", parallel=True) as reader, pytest.raises(IntegrityError, match="try again"):  # noqa: PT012
        while reader.readinto(bytearray(MIB)):
            pass


class Remote(MemoryBackend):
    """Memory that is read as a service is."""

    inline = False
    concurrency = 4
    parallel_from = 8 * MIB

    def __init__(self) -> None:
        super().__init__()
        self.closed = 0

    def stream(self, path, start=0, end=None, if_match=None):
        stat, chunks = super().stream(path, start, end, if_match)
        whole = memoryview(b"".join(chunks))
        outer = self

        class Pieces:
            def __init__(self):
                self.pieces = iter([bytes(whole[n : n + 100_000]) for n in range(0, len(whole), 100_000)])

            def __iter__(self):
                return self

            def __next__(self):
                return next(self.pieces)

            def close(self):
                outer.closed += 1

        return Download(stat, Pieces())


@pytest.fixture
def remote() -> Storage:
    store = Storage(backend=Remote())
    store.set("k", content(30 * MIB))
    return store


def test_a_blob_is_read_whole_through_a_store(remote):
    with remote.open("k") as file:
        found = bytearray()
        while piece := file.read(MIB):
            found += piece
    assert found == content(30 * MIB)
    assert remote.backend.closed > 10


def test_one_that_is_replaced_meanwhile_is_an_error_and_never_a_mix(remote):
    with remote.open("k") as file:
        for _ in range(4):
            file.read(MIB)
        remote.set("k", bytes(30 * MIB))
        found = bytearray(content(4 * MIB))
        with pytest.raises(PreconditionFailedError) as caught:  # noqa: PT012
            while piece := file.read(MIB):
                found += piece
        assert caught.value.key == "k"
        assert content(30 * MIB).startswith(found)


@pytest.mark.anyio
async def test_an_asynchronous_file_reads_ahead_too(anyio_backend):
    store = AsyncStorage(backend=Remote())
    data = content(20 * MIB)
    await store.set("k", data)
    async with store.open("k") as file:
        found = bytearray()
        while piece := await file.read(MIB):
            found += piece
        assert file.raw._windows._pool is not None
    assert found == data
    assert file.raw._windows._pool is None


def test_a_file_that_was_opened_before_a_fork_is_its_parents(remote):
    with remote.open("k") as file:
        begun = file.read(3 * MIB)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                file.read()
            except UnsupportedOperationError as exc:
                code = 0 if "fork" in str(exc) else 2
            finally:
                file.close()
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert begun + file.read() == content(30 * MIB)
