"""Callbacks for each call."""

from __future__ import annotations

import contextvars
import logging
import threading
import time

import pytest

import storage
from storage import (
    AlreadyExistsError,
    AsyncStorage,
    CallEvent,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    Storage,
    UnavailableError,
    observe,
)
from storage.backends import trace
from storage.backends.memory import MemoryBackend
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


def test_only_bytes_that_went_through_the_client_are_counted(tmp_path):
    """Asking about a blob, or copying it inside the backend, moves none of its bytes."""
    seen = []
    store = Storage("memory://")
    with observe(seen.append, keys=True):
        store.set("k", b"12345")
        store.info("k")
        store.open("k").close()
        store.set_metadata("k", content_type="text/x")
        store.copy("k", "l")
        store.move("l", "m")
        store.get_bytes("k", start=2, end=2)
        store.get_bytes("k", start=3)
        store.get_file("k", tmp_path / "k")
        store.get_dir("", tmp_path, include=["m"])
    assert [(event.method, event.bytes) for event in seen if event.key] == [
        ("set", 5),
        ("info", None),
        ("open", None),
        ("set_metadata", None),
        ("copy", None),
        ("move", None),
        ("get_bytes", None),
        ("get_bytes", 2),
        ("get_file", 5),
        ("get_dir", 5),
    ]


def test_the_outcome_is_that_of_the_call():
    """An absent blob is no failure where the call does not raise; a copy onto itself may be one."""
    seen = []
    store = Storage("memory://")
    store.set("k", "v")
    with observe(seen.append):
        assert not store.exists("absent")
        store.delete("absent", missing_ok=True)
        store.delete("absent", missing_ok=True, if_match="1")
        with pytest.raises(NotFoundError):
            store.delete("absent")
        with pytest.raises(AlreadyExistsError):
            store.copy("k", "k", overwrite=False)
        with pytest.raises(PreconditionFailedError):
            store.move("k", "k", if_match="no etag")
        store.copy("k", "k")
    assert [(event.method, event.outcome) for event in seen] == [
        ("exists", "ok"),
        ("delete", "ok"),
        ("delete", "ok"),
        ("delete", "NotFoundError"),
        ("copy", "AlreadyExistsError"),
        ("move", "PreconditionFailedError"),
        ("copy", "ok"),
    ]


def test_a_copy_between_two_backends_has_one_event():
    """Also one that fails before anything is written, or after everything is."""
    source = FaultyBackend()
    store = Storage(backend=source, storage_types={"data": "", "other": MemoryBackend()})
    store.set("k", b"123")
    seen = []
    with observe(seen.append):
        store.copy("k", "k", new_storage_type="other")
        with pytest.raises(NotFoundError):
            store.copy("absent", "k", new_storage_type="other")
        source.fail("delete")
        with pytest.raises(UnavailableError):
            store.move("k", "k", new_storage_type="other")
    assert [(event.method, event.storage_type, event.bytes, event.outcome) for event in seen] == [
        ("copy", "data", 3, "ok"),
        ("copy", "data", None, "NotFoundError"),
        ("move", "data", 3, "UnavailableError"),
    ]
    assert store.exists("k")
    assert store.exists("k", "other")


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


class Remote(MemoryBackend):
    """Pretends to wait, so that threads are used."""

    inline, concurrency, chunk_size = False, 4, 1024

    def get(self, path, start=0, end=None, if_match=None):
        trace.tries, trace.request_id = 2, "id-1"
        return super().get(path, start, end, if_match)


@pytest.fixture
def store():
    return Storage(backend=Remote())


def test_what_an_event_tells(store):
    """Backend, tries, request id, and the time of the call itself."""
    events = []
    handle = observe(events.append, keys=True)
    store.set("a", b"123")
    began = time.perf_counter()
    store.get("a")
    seconds = time.perf_counter() - began
    handle.close()
    event = events[-1]
    assert isinstance(event, CallEvent)
    assert (event.backend, event.storage_type, event.tries, event.request_id) == ("memory", "data", 2, "id-1")
    assert event.url == "memory://"
    assert 0 < event.seconds < seconds


def test_writes_that_fail(store):
    """The exception inside ``with``, that of the source, and a file that was dropped."""

    def source():
        yield b"1"
        raise OSError

    events = []
    with observe(events.append):
        with pytest.raises(KeyError), store.open("a", "wb"):
            raise KeyError
        with pytest.raises(OSError):
            store.set("b", source())
        with pytest.warns(ResourceWarning, match="unclosed"):
            store.open("c", "wb").__del__()
    assert [event.outcome for event in events] == ["KeyError", "OSError", "aborted"]


SPAN: contextvars.ContextVar[str] = contextvars.ContextVar("span", default="none")


def test_the_context_goes_into_threads(store):
    """Events of a batch are told in its threads, with the context of the caller."""
    found = []
    token = SPAN.set("mine")
    try:
        with observe(lambda event: found.append((SPAN.get(), threading.get_ident()))):
            store.set_many({f"k{n}": b"1" for n in range(20)})
            dict(store.get_many([f"k{n}" for n in range(20)]))
    finally:
        SPAN.reset(token)
    assert {span for span, _ in found} == {"mine"}
    assert len(found) == 40
    assert threading.get_ident() not in {thread for _, thread in found}


@pytest.mark.anyio
async def test_the_context_of_a_task_goes_along():
    store, found = AsyncStorage(backend=Remote()), []
    SPAN.set("task")
    with observe(lambda event: found.append((event.method, SPAN.get()))):
        await store.set("a", b"1")
        await store.get("a")
        async with store.open("b", "wb") as file:
            await file.write(b"1")
        assert [key async for key in store.iter_list()] == ["a", "b"]
    assert found == [(name, "task") for name in ("set", "get", "open", "iter_list")]


def test_the_log_is_told_beside(store, caplog, monkeypatch):
    """The logger's lines come also while others observe, and where somebody observed the first call of the process."""
    monkeypatch.setattr("storage._log._logger", None)
    events = []
    with observe(events.append), caplog.at_level(logging.DEBUG, "storage"):
        store.set("a", b"1")
    assert [record.getMessage().split(" ms=")[0] for record in caplog.records if record.name == "storage"] == [
        "set type=data key='a' bytes=1"
    ]
    assert len(events) == 1


def test_nobody_pays_who_does_not_ask(monkeypatch):
    """Where nobody observes, no event is made."""
    monkeypatch.setattr("storage._log.CallEvent", None)
    store = Storage("memory://")
    store.set("k", "v")
    assert store.get("k") == "v"
    assert store.list() == ["k"]
    with observe(lambda event: None), pytest.raises(TypeError, match="'NoneType' object is not callable"):
        store.get("k")


class Refusing(MemoryBackend):
    """Lists blobs, and lets nobody read or delete them."""

    def delete_batch(self, paths):
        raise PermissionDeniedError

    def stream(self, path, start=0, end=None, if_match=None):
        raise PermissionDeniedError


@pytest.mark.parametrize("method", ["delete_prefix", "get_dir"])
def test_a_listing_ends_with_the_call_that_failed(tmp_path, method):
    """Also while somebody still holds the exception, whose frames hold the call."""
    store = Storage(backend=Refusing())
    store.set_many(dict.fromkeys(("p/a", "p/b", "p/c"), b""))
    more = (tmp_path,) if method == "get_dir" else ()
    events = []
    with observe(events.append), pytest.raises(PermissionDeniedError) as caught:
        getattr(store, method)("p/", *more, concurrency=1)
    assert caught.value.key == "p/a"
    listings = [event.outcome for event in events if event.outcome == "ok"]
    assert listings == ["ok"] * (2 if method == "get_dir" else 1)  # get_dir looks at all names first
