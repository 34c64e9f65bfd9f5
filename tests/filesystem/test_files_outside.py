"""A plain folder that is opened as a store looks empty: the log says why, once."""

from __future__ import annotations

import logging

import pytest

from storage import Storage


@pytest.fixture
def photos(tmp_path):
    """A folder of files."""
    (tmp_path / "photos/2026").mkdir(parents=True)
    (tmp_path / "photos/2026/p.jpg").write_text("1")
    return tmp_path / "photos"


@pytest.mark.parametrize("name", ["list", "iter_list", "iter_info", "iter_dir"])
def test_one_warning(photos, caplog, name):
    """The first listing that finds nothing logs what lies beside the blobs, and what to write; the next ones are silent."""
    with caplog.at_level(logging.WARNING, "storage"), Storage(photos) as store:
        assert list(getattr(store, name)()) == []
        assert list(store.iter_list(storage_type="tmp")) == []
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert photos.as_uri() in record.getMessage()
    assert "?types=data:" in record.getMessage()


def test_no_warning(photos, tmp_path, caplog):
    """Neither a part of a store, nor a store with blobs, nor an empty one is warned of."""
    with caplog.at_level(logging.WARNING, "storage"):
        for url in (f"file://{photos}?types=data:", f"file://{tmp_path}/new", "memory://"):
            with Storage(url) as store:
                list(store.iter_list())
        with Storage(photos) as store:
            assert store.list("nope") == store.list(start_after="x") == []
            store.set("k", "1")
            assert store.list() == ["k"]
        with Storage(tmp_path / "ours") as store:
            store.set("k", "1", "tmp")
            assert store.list() == []
    assert caplog.records == []
