"""The file objects of ``Storage.open`` where something goes wrong; what they do well is in the conformance suite."""

from __future__ import annotations

import gc

import pytest

from storage import Storage, UnavailableError
from storage.backends.memory import MemoryBackend


class Down(MemoryBackend):
    """A store that takes no more than four bytes."""

    chunk_size = 4

    def writer(self, path, options, size=None):
        raise UnavailableError("down")


@pytest.fixture
def store():
    with Storage("memory://") as storage:
        storage.set("k", "old")
        yield storage


def test_a_mode_that_is_no_text(store):
    """The type is named, as for ``open``."""
    with pytest.raises(TypeError, match="mode must be a str, not int"):
        store.open("k", 1)


def test_places_that_cannot_be(store):
    """A reader stays where it is when it is sent nowhere."""
    with store.open("k") as file:
        file.seek(1)
        for offset, whence, kind in ((0, 3, ValueError), (-9, 2, OSError), (-1, 0, OSError)):
            with pytest.raises(kind, match=r"whence|cannot seek"):
                file.raw.seek(offset, whence)
        assert file.read() == b"ld"


def test_a_closed_file(store):
    """Neither reads nor writes, and says why; closing it again does nothing."""
    with store.open("k") as reader:
        raw = reader.raw
    for call in (raw.tell, raw.readall, lambda: raw.seek(0), lambda: raw.readinto(bytearray(1))):
        with pytest.raises(ValueError, match="closed"):
            call()
    for mode, data in (("wb", b"new"), ("w", "new")):
        writer = store.open("k", mode)
        writer.close()
        writer.close()
        with pytest.raises(ValueError, match="closed"):
            writer.write(data)
        assert writer.info.size == 0


def test_a_write_that_fails():
    """It is told at once, nothing is stored, and nothing more can be written."""
    store = Storage(backend=Down())
    store.set("k", "old")
    file = store.open("k", "wb")
    assert file.write(b"1234") == 4
    with pytest.raises(UnavailableError):
        file.write(b"5")
    with pytest.raises(ValueError, match="an earlier write failed"):
        file.write(b"6")
    file.close()
    assert (store.get("k"), file.info) == ("old", None)


def test_text_whose_last_piece_fails():
    """Text that waits in the file's own buffer may fail at ``close``: that raises, and closes all the same."""
    store = Storage(backend=Down())
    store.set("k", "old")
    file = store.open("k", "w")
    file.write("12345")
    with pytest.raises(UnavailableError):
        file.close()
    assert file.closed
    file.close()
    assert (store.get("k"), file.info) == ("old", None)


@pytest.mark.parametrize("mode, data", [("wb", b"new"), ("w", "new")])
def test_a_file_that_is_dropped(store, mode, data, caplog):
    """Nothing is stored of what was never closed, and a warning says so, also in the log."""
    file = store.open("k", mode)
    file.write(data)
    caplog.set_level("WARNING", "storage")
    with pytest.warns(ResourceWarning, match="'k': nothing was stored"):  # noqa: PT031 (the collector warns)
        del file
        gc.collect()
    assert "'k': nothing was stored" in caplog.text
    assert store.get("k") == "old"
