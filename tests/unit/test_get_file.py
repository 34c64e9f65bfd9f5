"""How ``get_file`` brings a large blob down."""

from __future__ import annotations

import os
import threading

import pytest

from storage import Storage
from storage.backends import Download
from storage.backends.memory import MemoryBackend

MIB = 1024 * 1024


class Ranged(MemoryBackend):
    """A store that is read in parallel ranges, and remembers how."""

    parallel_from = MIB
    concurrency = 8

    def __init__(self) -> None:
        super().__init__()
        self.second = threading.Event()

    def stream(self, path, start=0, end=None, if_match=None):
        if start:
            self.second.set()
        stat, chunks = super().stream(path, start, end, if_match)
        return Download(stat, self._pieces(b"".join(chunks)))

    def _pieces(self, data):
        for position in range(0, len(data), MIB):
            yield data[position : position + MIB]
            # The stream that is open already makes no progress unless another range is asked for.
            assert self.second.wait(10)


def test_a_named_file_is_written_at_its_places(tmp_path, monkeypatch):
    """Ranges of a large blob go straight to their offsets in a named file, several at once, and nothing is held."""
    backend = Ranged()
    storage = Storage(backend=backend)
    data = bytes(range(256)) * (40 * MIB // 256)
    storage.set("key", data)
    from storage._facade import download

    monkeypatch.setattr(download, "_in_order", None)  # the way of files that must be written from front to back
    moved = []
    info = storage.get_file("key", tmp_path / "file", progress=moved.append)
    assert (tmp_path / "file").read_bytes() == data
    assert sum(moved) == info.size == len(data)
    assert backend.second.is_set()


def test_an_interrupt_while_the_file_is_made_leaves_nothing(tmp_path, monkeypatch):
    """Ctrl-C may come when the temporary file is there and nobody holds its name yet."""
    storage = Storage(backend=MemoryBackend())
    storage.set("k", b"new")
    (tmp_path / "k").write_bytes(b"old")
    real = os.open

    def interrupted(*args, **kwargs):
        os.close(real(*args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.get_file("k", tmp_path / "k")
    assert os.listdir(tmp_path) == ["k"]
    assert (tmp_path / "k").read_bytes() == b"old"
