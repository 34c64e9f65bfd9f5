"""The caller's own files on disk, which ``get_file`` writes."""

from __future__ import annotations

import os
import threading

import pytest

from storage import Storage


@pytest.fixture
def store():
    with Storage("memory://") as storage:
        storage.set("k", "value")
        yield storage


@pytest.fixture
def umask():
    """An unusual one."""
    old = os.umask(0o027)
    yield
    os.umask(old)


def test_the_mode_of_a_new_file(store, tmp_path, umask):
    """It is what ``open`` would give it."""
    store.get_file("k", tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert os.umask(0o027) == 0o027


def test_the_mode_of_an_old_file(store, tmp_path):
    """It stays, and so does a link to it."""
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o604)
    (tmp_path / "link").symlink_to("old")
    store.get_file("k", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "old").read_text() == "value"
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o604


def test_a_pipe_is_written_and_not_replaced(store, tmp_path):
    """Whoever reads it gets the bytes."""
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    store.get_file("k", tmp_path / "pipe")
    reader.join(20)
    assert read == [b"value"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_directory_is_no_file(store, tmp_path):
    """It raises as ``open`` does, and stays."""
    with pytest.raises(IsADirectoryError):
        store.get_file("k", tmp_path)
    assert list(tmp_path.iterdir()) == []
