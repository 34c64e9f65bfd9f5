"""Content types by suffix: the same on every machine."""

from __future__ import annotations

import mimetypes

import pytest

from storage._content_types import DEFAULT_CONTENT_TYPE, guess_content_type


@pytest.mark.parametrize(
    "key, expected",
    [
        ("a.txt", "text/plain"),
        ("reports/2026.csv", "text/csv"),
        ("a.JSON", "application/json"),
        ("a.Html", "text/html"),
        ("photo.old.jpeg", "image/jpeg"),
        ("archive.tar.gz", "application/gzip"),
        ("a.parquet", "application/vnd.apache.parquet"),
        ("x.mjs", "text/javascript"),
        ("dir.csv/readme", DEFAULT_CONTENT_TYPE),
        ("readme", DEFAULT_CONTENT_TYPE),
        (".txt", DEFAULT_CONTENT_TYPE),
        ("a/.txt", DEFAULT_CONTENT_TYPE),
        ("a.", DEFAULT_CONTENT_TYPE),
        ("a.unheard-of", DEFAULT_CONTENT_TYPE),
        ("a.csv ", DEFAULT_CONTENT_TYPE),
        ("日本.png", "image/png"),
    ],
)
def test_last_suffix_decides(key, expected):
    """The last suffix of the last segment decides, in any case; else application/octet-stream."""
    assert guess_content_type(key) == expected


def test_machine_does_not_decide(monkeypatch):
    """Neither the machine's tables nor what a program added to mimetypes is asked."""
    monkeypatch.setattr(mimetypes, "guess_type", None)
    monkeypatch.setattr(mimetypes, "types_map", {".csv": "application/wrong"})
    assert guess_content_type("a.csv") == "text/csv"
