"""Faults on order: which calls they hit, what they do, and what is remembered."""

from __future__ import annotations

import inspect
import io

import pytest

from storage import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    Storage,
    StorageTimeoutError,
    UnavailableError,
)
from storage.backends import Backend
from storage.backends._wrapper import Wrapper
from storage.testing import FaultyBackend


@pytest.fixture
def faulty():
    faulty = FaultyBackend()
    faulty.batch_size = 10  # as a cloud's, whose batch goes on after a failure
    return faulty


@pytest.fixture
def store(faulty):
    with Storage(backend=faulty) as store:
        store.set_many({"a.txt": "one", "b.txt": "two", "reports/1.csv": "1,2"})
        faulty.forget()
        yield store


CALLS = {
    "get": [
        lambda s: s.get("a.txt"),
        lambda s: s.get_bytes("a.txt", start=1),
        lambda s: list(s.iter_bytes("a.txt")),
        lambda s: s.get_file("a.txt", io.BytesIO()),
        lambda s: s.open("a.txt").read(),
        lambda s: list(s.get_many(["a.txt"])),
    ],
    "set": [
        lambda s: s.set("a.txt", b"new"),
        lambda s: s.set("a.txt", iter([bytes(3_000_000), b"x"])),
        lambda s: s.set_file("a.txt", io.BytesIO(b"new")),
        lambda s: s.open("a.txt", "wb").close(),
        lambda s: s.set_many({"a.txt": b"new"}),
    ],
    "info": [lambda s: s.info("a.txt"), lambda s: s.exists("a.txt")],
    "delete": [lambda s: s.delete("a.txt"), lambda s: s.delete_many(["a.txt"])],
    "copy": [lambda s: s.copy("a.txt", "c.txt")],
    "move": [lambda s: s.move("a.txt", "c.txt")],
    "list": [lambda s: s.list(), lambda s: list(s.iter_info()), lambda s: list(s.iter_dir())],
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_fails_by_its_name(faulty, store, call):
    """Each method of a ``Storage`` fails under the name that the documentation gives for it, and changes nothing."""
    faulty.fail(call)
    for attempt in CALLS[call]:
        with pytest.raises(UnavailableError):
            attempt(store)
    faulty.heal()
    assert store.get("a.txt") == "one"
    assert store.list() == ["a.txt", "b.txt", "reports/1.csv"]


def test_other_calls_go_on(faulty, store):
    """A fault hits no call of another name."""
    faulty.fail("set")
    assert store.get("a.txt") == "one"
    with pytest.raises(UnavailableError):
        store.set("a.txt", b"")


@pytest.mark.parametrize("error", [StorageTimeoutError, PermissionDeniedError, IntegrityError, NotFoundError])
def test_errors_of_each_kind(faulty, store, error):
    """What is raised is the error that was asked for, with key and storage type as from any backend."""
    faulty.fail("get", error)
    with pytest.raises(error) as caught:
        store.get("a.txt")
    assert (type(caught.value), caught.value.key, caught.value.storage_type) == (error, "a.txt", "data")


def test_an_exception_with_a_message_is_raised_with_it(faulty, store):
    """An instance keeps its own message."""
    faulty.fail("get", UnavailableError("the cable was cut"))
    with pytest.raises(UnavailableError, match="the cable was cut"):
        store.get("a.txt")


def test_key_patterns(faulty, store):
    """A pattern is held against the whole key, without the prefix of its storage type."""
    faulty.fail("get", key="reports/*.csv")
    assert store.get("a.txt") == "one"
    with pytest.raises(UnavailableError):
        store.get("reports/1.csv")


def test_nth_call(faulty, store):
    """``nth`` counts the calls that match."""
    rule = faulty.fail("get", nth=2, key="a.*")
    assert [store.get("a.txt"), store.get("b.txt")] == ["one", "two"]
    with pytest.raises(UnavailableError):
        store.get("a.txt")
    assert store.get("a.txt") == "one"
    assert rule.fired == 1


def test_so_many_times(faulty, store):
    """``times`` ends a fault; ``stop`` ends it at once."""
    faulty.fail("get", times=2)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            store.get("a.txt")
    assert store.get("a.txt") == "one"
    rule = faulty.fail("get")
    rule.stop()
    assert store.get("a.txt") == "one"
    assert rule.fired == 0


def hits(seed):
    faulty = FaultyBackend(seed=seed)
    faulty.fail("info", probability=0.5)
    found = []
    for _ in range(40):
        try:
            Storage(backend=faulty).exists("a")
        except UnavailableError:
            found.append(True)
        else:
            found.append(False)
    return found


def test_chance_is_seeded():
    """The same seed gives the same faults, and another one others."""
    assert hits(1) == hits(1) != hits(2)
    assert 5 < sum(hits(1)) < 35


def test_a_lost_answer(faulty, store):
    """The blob is stored although the call fails: what a retry of the program's own then meets."""
    faulty.lose("set", times=1)
    with pytest.raises(UnavailableError):
        store.set("new", b"1", overwrite=False)
    assert store.get("new") == "1"
    with pytest.raises(AlreadyExistsError):
        store.set("new", b"1", overwrite=False)


def test_a_lost_answer_to_a_stream_and_to_a_batch(faulty, store):
    """Writes in pieces and deletions in batches lose their answers too."""
    faulty.lose("set", times=1)
    with pytest.raises(UnavailableError), store.open("new", "wb") as file:
        file.write(b"1")
    assert store.get("new") == "1"
    faulty.lose("delete", key="a.txt")
    with pytest.raises(UnavailableError) as caught:
        store.delete_many(["a.txt", "b.txt"])
    assert caught.value.key == "a.txt"
    assert store.list() == ["new", "reports/1.csv"]


def test_one_failure_in_a_batch(faulty, store):
    """Of a batch only the keys that match fail; the others are deleted."""
    faulty.fail("delete", PermissionDeniedError, key="b.txt")
    with pytest.raises(PermissionDeniedError) as caught:
        store.delete_many(["a.txt", "b.txt", "reports/1.csv"])
    assert caught.value.key == "b.txt"
    assert store.list() == ["b.txt"]


def test_reads_that_end_early(faulty, store, tmp_path):
    """So many bytes come, and then the error; a named file does not appear."""
    store.set("a.txt", b"0123456789")
    faulty.cut(4, key="a.txt")
    pieces = store.iter_bytes("a.txt", chunk_size=2)
    assert [next(pieces), next(pieces)] == [b"01", b"23"]
    with pytest.raises(UnavailableError):
        next(pieces)
    for read in (lambda: store.get("a.txt"), lambda: store.get_file("a.txt", tmp_path / "a")):
        with pytest.raises(UnavailableError):
            read()
    assert list(tmp_path.iterdir()) == []
    assert store.get("b.txt") == "two"
    faulty.cut(3, key="b.txt")
    assert store.get("b.txt") == "two"  # it ends there by itself


def test_delays():
    """A delay waits as long as was asked, before the call, and lets it pass."""
    waited = []
    faulty = FaultyBackend(sleep=waited.append)
    store = Storage(backend=faulty)
    faulty.delay(0.5, "set")
    faulty.delay(2, key="b")
    store.set("a", b"1")
    store.set("b", b"2")
    assert waited == [0.5, 0.5, 2]
    assert store.get("a") == "1"


def test_the_record(faulty, store):
    """Each call is remembered with name, key and storage type, failed ones too."""
    store.set("x", b"1", "tmp")
    with pytest.raises(NotFoundError):
        store.get("absent")
    store.delete_many(["a.txt", "b.txt"])
    assert [tuple(call) for call in faulty.calls] == [
        ("set", "x", "tmp"),
        ("get", "absent", "data"),
        ("delete", "a.txt", "data"),
        ("delete", "b.txt", "data"),
    ]
    assert (faulty.count(), faulty.count("delete"), faulty.count(key="*.txt"), faulty.count("list")) == (4, 2, 2, 0)
    faulty.forget()
    assert faulty.calls == []


def test_types_of_one_s_own():
    """With the prefixes of the ``Storage`` that uses it, keys and types are told by them."""
    types = {"docs": "main/docs", "all": ""}
    faulty = FaultyBackend(storage_types=types)
    store = Storage(backend=faulty, storage_types={"docs": "main/docs"})
    store.set("a/b", b"1", "docs")
    assert [tuple(call) for call in faulty.calls] == [("set", "a/b", "docs")]


def test_around_another_backend(tmp_path):
    """Any backend, or the ``Storage`` on one, can be wrapped; blobs are where they are without."""
    plain = Storage(tmp_path)
    for given in (plain, plain.backend):
        faulty = FaultyBackend(given)
        Storage(backend=faulty).set("a", b"1")
        assert plain.get("a") == "1"
        faulty.fail("info")
        with pytest.raises(UnavailableError):
            Storage(backend=faulty).exists("a")


def test_mistakes_are_told(faulty):
    """A name that no call has, a number that none has, and no chance are errors at once."""
    with pytest.raises(ValueError, match="use one of copy, delete, get, info, list"):
        faulty.fail("put")
    with pytest.raises(ValueError, match="the first call is 1"):
        faulty.fail(nth=0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        faulty.fail(probability=50)
    for wrong in (ConnectionResetError, OSError(5, "no"), "UnavailableError", None):
        with pytest.raises(TypeError, match="use an exception of storage.exceptions"):
            faulty.fail(error=wrong)


def test_signed_urls_work_through_it(faulty, store):
    """What is wrapped signs as before."""
    import urllib.request

    with urllib.request.urlopen(store.get_signed_url("a.txt")) as answer:
        assert answer.read() == b"one"


def test_no_call_of_the_protocol_is_forgotten():
    """Whatever a backend can be asked is passed on: a default of the protocol would hide the wrapped backend's own."""
    public = {
        name
        for name, value in vars(Backend).items()
        if (not name.startswith("_") and callable(value)) or isinstance(value, property)
    }
    assert {name for name in public if name not in vars(Wrapper)} == set()
    assert inspect.signature(Wrapper.put) == inspect.signature(Backend.put)
