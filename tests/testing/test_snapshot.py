"""Assertions on what is stored say what is wrong."""

from __future__ import annotations

import pytest

from storage import Storage
from storage.testing import assert_stored, snapshot


@pytest.fixture
def store():
    store = Storage("memory://")
    store.set("a.txt", "one", metadata={"m": "1"})
    store.set("b", b"\xff", "tmp")
    return store


def test_assert_stored(store):
    """A blob that is as it should be passes: text or bytes, any type or the one named."""
    assert_stored(store, "a.txt", "one", content_type="text/plain", metadata={"m": "1"})
    assert_stored(store, "a.txt", b"one")
    assert_stored(store, "b", b"\xff", "tmp")


@pytest.mark.parametrize(
    "arguments, options, told",
    [
        (("x", "1"), {}, "data 'x' is not there; of type data there is ['a.txt']"),
        (("x", "1", "result"), {}, "result 'x' is not there; of type result there is nothing"),
        (("a.txt", "owl"), {}, "data 'a.txt': expected 3 bytes but got 3; at 1 b'wl' but got b'ne'"),
        (("a.txt", "one"), {"content_type": "text/html"}, "content_type is 'text/plain', not 'text/html'"),
        (("a.txt", "one"), {"metadata": {}}, "metadata is {'m': '1'}, not {}"),
    ],
)
def test_what_is_wrong_is_said(store, arguments, options, told):
    with pytest.raises(AssertionError) as caught:
        assert_stored(store, *arguments, **options)
    assert told in str(caught.value)


def test_snapshots(store):
    """A snapshot holds every blob of every type, equals one of the same, and tells what came, went and changed."""
    before = snapshot(store)
    assert list(before) == [("data", "a.txt"), ("tmp", "b")]
    assert before["data", "a.txt"].data == b"one"
    assert before == snapshot(store)
    assert before.diff(snapshot(store)) == ""
    store.set("c", b"new")
    store.delete("b", "tmp")
    store.set("a.txt", "one", content_type="text/x")
    assert before != snapshot(store)
    assert before.diff(snapshot(store)).splitlines() == [
        "~ data 'a.txt': content_type 'text/plain' became 'text/x'; metadata {'m': '1'} became {}",
        "+ data 'c': 3 bytes, application/octet-stream",
        "- tmp 'b'",
    ]
    assert list(snapshot(store, "tmp")) == []
