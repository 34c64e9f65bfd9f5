"""What is on the medium when a call returns, and in which order it got there."""

from __future__ import annotations

import os

import pytest

from storage.backends.filesystem import FilesystemBackend, _system
from tests.filesystem.helpers import ONCE, PLAIN, leftovers, listed


class Recorder:
    """The changes of names and the syncs, in order, as ``(what, path)``."""

    def __init__(self, root, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = os.path.realpath(root)
        self.events: list[tuple[str, str]] = []
        for name in ("rename", "link", "mkdir", "unlink"):
            monkeypatch.setattr(os, name, self.recording(name, getattr(os, name)))
        exchange, sync = _system.exchange, _system.sync

        def exchanging(fd: int, name: str, other_fd: int, other_name: str) -> None:
            exchange(fd, name, other_fd, other_name)
            self.note("exchange", other_fd, other_name)

        def syncing(fd: int) -> None:
            sync(fd)
            self.note("sync", fd, "")

        monkeypatch.setattr(_system, "exchange", exchanging)
        monkeypatch.setattr(_system, "sync", syncing)

    def note(self, what, fd, name) -> None:
        path = os.path.join(os.readlink(f"/proc/self/fd/{fd}"), name).rstrip("/")
        path = os.path.relpath(path, self.root)
        self.events.append((what, "TEMP" if path.startswith(".storage~/tmp/") else path))

    def recording(self, what, function):
        def call(*names, **options):
            function(*names, **options)
            fd = options.get("dst_dir_fd", options.get("dir_fd"))
            if fd is not None:
                self.note(what, fd, names[-1] if isinstance(names[-1], str) else names[0])

        return call

    def take(self):
        events, self.events = self.events, []
        return events


@pytest.fixture
def recorder(root, monkeypatch) -> Recorder:
    return Recorder(root, monkeypatch)


@pytest.fixture
def durable(root) -> FilesystemBackend:
    return FilesystemBackend(str(root))


def test_a_put_syncs_the_body_before_it_is_published_and_the_directory_after(durable, recorder):
    durable.put("d/a", b"1", PLAIN)
    recorder.take()
    published = [("sync", "TEMP"), ("rename", "d/a"), ("sync", "d")]
    durable.put("d/a", b"2", PLAIN)
    assert recorder.take() == published
    durable.put("d/a", b"3", PLAIN._replace(if_match=durable.stat("d/a").etag))
    assert recorder.take() == published
    writer = durable.writer("d/a", PLAIN)
    writer.write(b"4")
    writer.commit()
    assert recorder.take() == published
    durable.put("d/b", b"5", ONCE)
    assert recorder.take() == [("sync", "TEMP"), ("link", "d/b"), ("unlink", "TEMP"), ("sync", "d")]


def test_every_directory_that_is_made_is_on_the_medium(durable, recorder):
    durable.put("a", b"", PLAIN)
    recorder.take()
    durable.put("x/y/z", b"", PLAIN)
    assert recorder.take()[-6:] == [
        ("mkdir", "x"),
        ("sync", "."),
        ("mkdir", "x/y"),
        ("sync", "x"),
        ("rename", "x/y/z"),
        ("sync", "x/y"),
    ]


def test_a_blob_that_becomes_a_directory_is_on_the_medium_in_both_places(durable, recorder):
    durable.put("a", b"", PLAIN)
    recorder.take()
    durable.put("a/b", b"", PLAIN)
    events = recorder.take()
    moved = events.index(("exchange", "a"))
    # Before the exchange the new directory is called as it was made; its descriptor tells the name that it has now.
    assert events[moved - 2 : moved + 2] == [("link", "TEMP"), ("sync", "TEMP"), ("exchange", "a"), ("sync", ".")]
    assert events[-2:] == [("rename", "a/b"), ("sync", "a")]


def test_delete_and_move_are_on_the_medium(durable, recorder):
    durable.put("d/a", b"", PLAIN)
    durable.put("e/x", b"", PLAIN)
    recorder.take()
    durable.move("d/a", "e/a", overwrite=True)
    assert recorder.take()[:3] == [("rename", "e/a"), ("sync", "e"), ("sync", "d")]
    durable.delete("e/a")
    assert recorder.take() == [("unlink", "e/a"), ("sync", "e")]


def test_with_fsync_false_nothing_waits_for_the_medium(store, recorder):
    store.put("d/a", b"", PLAIN)
    store.put("d/a/b", b"", ONCE)
    store.move("d/a", "e", overwrite=True)
    store.delete("e")
    assert "sync" not in [what for what, _ in recorder.take()]


def test_a_sync_that_fails_before_publishing_leaves_the_old_blob(durable, root, monkeypatch):
    durable.put("a", b"old", PLAIN)

    def failing(fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(_system, "sync", failing)
    with pytest.raises(OSError):
        durable.put("a", b"new", PLAIN)
    assert (durable.get("a"), listed(durable), leftovers(root)) == (b"old", ["a"], [])
