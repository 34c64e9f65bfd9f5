"""Callbacks for each call."""

from __future__ import annotations

import pytest

import storage
from storage import CallEvent, NotFoundError, Storage, observe
from storage.testing import FaultyBackend


def test_an_event_for_each_call():
    """Also for one that fails, for a listing and for a file; without keys and URLs unless they are asked for."""
    seen, full = [], []
    store = Storage("memory://")
    with observe(seen.append), observe(full.append, keys=True):
        store.set("k", b"123")
        store.get("k")
        list(store.iter_list())
        with store.open("file", "wb") as file:
            file.write(b"12345")
        with pytest.raises(NotFoundError):
            store.info("absent", "tmp")
    assert [(event.method, event.storage_type, event.bytes, event.outcome) for event in seen] == [
        ("set", "data", 3, "ok"),
        ("get", "data", 3, "ok"),
        ("iter_list", "data", None, "ok"),
        ("open", "data", 5, "ok"),
        ("info", "tmp", None, "NotFoundError"),
    ]
    assert {(event.backend, event.key, event.url) for event in seen} == {("memory", None, None)}
    assert all(0 <= event.seconds < 10 for event in seen)
    assert [event.key for event in full] == ["k", "k", None, "file", "absent"]
    assert {event.url for event in full} == {"memory://"}
    store.set("k", b"")
    assert len(seen) == 5


def test_what_a_callback_raises_is_logged(caplog):
    """The call goes on, and so do the other callbacks."""
    seen = []
    with observe(lambda event: 1 / 0), observe(seen.append):
        Storage("memory://").set("k", "v")
    assert "ZeroDivisionError" in caplog.text
    assert len(seen) == 1


def test_an_iterator_that_is_dropped_has_not_failed():
    """It just ended early."""
    seen = []
    store = Storage("memory://")
    store.set_many({"a": "", "b": ""})
    with observe(seen.append):
        keys = store.iter_list()
        next(keys)
        keys.close()
    assert [event.outcome for event in seen] == ["ok"]


def test_an_upload_that_fails():
    """It is told once, with the exception's name."""
    faulty = FaultyBackend()
    faulty.fail("set")
    seen = []
    with observe(seen.append), pytest.raises(storage.UnavailableError):
        Storage(backend=faulty).set("k", iter([b"1"]))
    assert [event.outcome for event in seen] == ["UnavailableError"]


def test_closing_twice_and_bad_callbacks():
    """The handle can be closed twice; what cannot be called is refused."""
    handle = observe(print)
    handle.close()
    handle.close()
    with pytest.raises(TypeError, match="callable"):
        observe("print")
    assert CallEvent._fields[:3] == ("method", "backend", "storage_type")
