"""Deleting, copying, moving and changing one version: what is sent, who wins, and what a lost answer leaves open."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from storage import (
    AlreadyExistsError,
    BucketNotFoundError,
    NotFoundError,
    PreconditionFailedError,
    Storage,
    StorageError,
    UnavailableError,
)
from storage.backends import Backend, Changes, PutOptions
from storage.backends.gcs._errors import MissingError
from storage.testing.faults import LOST, Fault, Request
from tests.emulators.gcs import BUCKET
from tests.gcs.conftest import Proxied, answer

OBJECT = f"/storage/v1/b/{BUCKET}/o"
MIB = 1024 * 1024
TEXT = PutOptions("text/plain")


def path(store: Storage, key: str) -> str:
    return store._core.routes["data"].prefix + key


def kind(backend: Backend, call: Callable[[], object]) -> type[StorageError] | None:
    """What a call of a backend raises, as the facade would name it."""
    with pytest.raises(Exception) as caught:
        call()
    return backend.classify(caught.value)


def parts(proxied: Proxied) -> tuple[Backend, str, str]:
    return proxied.store.backend, path(proxied.store, "a"), path(proxied.store, "b")


def test_what_is_sent(proxied: Proxied) -> None:
    """Each condition is the service's own, in the one request that depends on it."""
    backend, a, b = parts(proxied)
    etag = proxied.honest.set("a", "1").etag
    backend.copy(a, b, overwrite=True, if_match=etag)
    backend.copy(a, path(proxied.store, "c"), overwrite=False, if_match=etag)
    backend.update(a, Changes(content_type="a/b"), if_match=etag)
    backend.update(a, Changes(content_type="a/c"))
    backend.move(a, b, overwrite=True, if_match=etag)
    assert proxied.seen() == [
        f"POST {OBJECT}/a/rewriteTo/b/{BUCKET}/o/b?ifSourceGenerationMatch={etag}",
        f"POST {OBJECT}/a/rewriteTo/b/{BUCKET}/o/c?ifGenerationMatch=0&ifSourceGenerationMatch={etag}",
        f"PATCH {OBJECT}/a?ifGenerationMatch={etag}",
        f"PATCH {OBJECT}/a",
        f"POST {OBJECT}/a/rewriteTo/b/{BUCKET}/o/b?ifSourceGenerationMatch={etag}",
        f"DELETE {OBJECT}/a?ifGenerationMatch={etag}",
    ]


def test_another_version(proxied: Proxied) -> None:
    """It is neither deleted, copied, moved nor changed; an absent blob is absent, whatever the etag."""
    backend, a, b = parts(proxied)
    old = proxied.honest.set("a", "1", metadata={"m": "1"}).etag
    proxied.honest.set("a", "2", metadata={"m": "2"})
    for etag in (old, "made-up", "0", ""):
        calls: list[Callable[[], object]] = [
            partial(backend.delete, a, if_match=etag),
            partial(backend.copy, a, b, overwrite=True, if_match=etag),
            partial(backend.copy, a, b, overwrite=False, if_match=etag),
            partial(backend.move, a, b, overwrite=True, if_match=etag),
            partial(backend.update, a, Changes(content_type="x/y"), if_match=etag),
            partial(backend.update, a, Changes(metadata={"m": "3"}), if_match=etag),
        ]
        for call in calls:
            assert kind(backend, call) is PreconditionFailedError
    assert proxied.honest.list() == ["a"]
    assert (proxied.honest.get("a"), proxied.honest.info("a").metadata) == ("2", {"m": "2"})
    proxied.honest.delete("a")
    for call in (*calls, lambda: backend.delete(a, if_match=old), lambda: backend.update(a, Changes(metadata={}))):
        assert kind(backend, call) is NotFoundError


def test_both_conditions_of_a_copy(proxied: Proxied) -> None:
    """Which of the two did not hold is told apart."""
    backend, a, b = parts(proxied)
    etag = proxied.honest.set("a", "1").etag
    proxied.honest.set("b", "there")
    assert kind(backend, lambda: backend.copy(a, b, overwrite=False, if_match=etag)) is AlreadyExistsError
    proxied.honest.set("a", "2")
    assert kind(backend, lambda: backend.copy(a, b, overwrite=False, if_match=etag)) is PreconditionFailedError
    assert proxied.honest.get("b") == "there"


def test_a_copy_in_many_calls_keeps_its_conditions(proxied: Proxied) -> None:
    """Each of the calls that a large copy takes carries them, and one that meets another version ends it."""
    backend, a, b = parts(proxied)
    etag = proxied.honest.set("a", b"x" * (5 * MIB)).etag
    backend.copy(a, b, overwrite=True, if_match=etag)
    assert [f"ifSourceGenerationMatch={etag}" in line for line in proxied.seen()] == [True, True]

    def replaced(request: Request) -> None:
        if "rewriteToken" in request.target:
            proxied.honest.set("a", "new")

    proxied.proxy.plan = replaced
    assert kind(backend, lambda: backend.copy(a, b, overwrite=True, if_match=etag)) is PreconditionFailedError


@pytest.mark.parametrize("action", ["delete", "move", "update"])
def test_one_winner(proxied: Proxied, action: str) -> None:
    """Of sixteen threads that delete, move or set one version by its etag and a new one, one wins."""
    backend, a, b = proxied.honest.backend, path(proxied.honest, "a"), path(proxied.honest, "b")
    etag = proxied.honest.set("a", "1").etag

    def act(number: int) -> str:
        try:
            if action == "delete":
                backend.delete(a, if_match=etag)
            elif action == "move":
                backend.move(a, f"{b}{number}", overwrite=True, if_match=etag)
            else:
                backend.put(a, b"2", TEXT._replace(if_match=etag))
        except Exception as exc:
            found = backend.classify(exc)
            assert found is not None
            assert issubclass(found, (NotFoundError, PreconditionFailedError))
            return "lost"
        return "won"

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(act, range(16))) == ["lost"] * 15 + ["won"]


def test_changes_of_many_at_once(proxied: Proxied) -> None:
    """Sixteen threads that each replace all metadata leave those of one of them, and no mixture."""
    backend, a = proxied.honest.backend, path(proxied.honest, "a")
    proxied.honest.set("a", "1", metadata={"old": "x"})
    wanted = [{f"n{n}": str(n), "all": str(n)} for n in range(16)]
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda metadata: backend.update(a, Changes(metadata=metadata)), wanted))
    assert [stat.metadata for stat in made] == wanted
    assert proxied.honest.info("a").metadata in wanted


def test_what_a_change_leaves(proxied: Proxied) -> None:
    """What is not given stays, the etag too; metadata are replaced whole; the mark of a write is kept and not seen."""
    backend, a, _ = parts(proxied)
    made = proxied.honest.set(
        "a", "1", overwrite=False, metadata={"x": "1", "y": "é"}, content_type="a/b", cache_control="no-store"
    )
    stat = backend.update(a, Changes(metadata={"y": "2", "z": "ü"}))
    assert (stat.etag, stat.content_type, stat.cache_control, stat.metadata) == (
        made.etag,
        "a/b",
        "no-store",
        {"y": "2", "z": "ü"},
    )
    stat = backend.update(a, Changes(content_type="c/d", content_encoding="gzip", metadata={}))
    assert (stat.content_type, stat.cache_control, stat.content_encoding) == ("c/d", "no-store", "gzip")
    assert stat == backend.stat(a)
    assert proxied.honest.info("a").metadata == {}
    assert len(proxied.seen()) == 5


def test_a_change_that_somebody_else_is_faster_with(proxied: Proxied) -> None:
    """The names that go are read anew; a new version is changed as well, unless one was asked for."""
    backend, a, _ = parts(proxied)
    proxied.honest.set("a", "1", metadata={"m": "1"})
    turns = iter([{"n": "2"}, {"o": "3"}])

    def meanwhile(request: Request) -> None:
        metadata = next(turns, None) if request.method == "PATCH" else None
        if metadata is not None:
            proxied.honest.set("a", "new", metadata=metadata)

    proxied.proxy.plan = meanwhile
    assert backend.update(a, Changes(metadata={"p": "4"})).metadata == {"p": "4"}
    proxied.proxy.plan = None
    assert (proxied.honest.get("a"), proxied.honest.info("a").metadata) == ("new", {"p": "4"})


# ---- lost answers ------------------------------------------------------------------------------------------------------


def old(proxied: Proxied, key: str) -> Fault:
    """The answer of a service that says that this blob has been there for a day."""
    backend = proxied.honest.backend
    stat = backend.stat(path(proxied.honest, key))
    found = {
        "name": path(proxied.store, key),
        "size": str(stat.size),
        "generation": stat.etag,
        "metageneration": "1",
        "timeCreated": "2026-11-21T19:05:11.000Z",
    }
    headers = {"Content-Type": "application/json", "Date": "Sun, 22 Nov 2026 19:05:11 GMT"}
    return answer(200, json.dumps(found).encode(), headers)


LOST_CALLS: dict[str, tuple[str, type[Exception], Callable[[Backend, str, str, str], object]]] = {
    "create": ("a", AlreadyExistsError, lambda s, a, b, e: s.put(a, b"2", TEXT._replace(overwrite=False))),
    "swap": ("a", PreconditionFailedError, lambda s, a, b, e: s.put(a, b"2", TEXT._replace(if_match="77"))),
    "delete": ("a", PreconditionFailedError, lambda s, a, b, e: s.delete(a, if_match="77")),
    "copy": ("a", PreconditionFailedError, lambda s, a, b, e: s.copy(a, b, overwrite=True, if_match="77")),
    "create by copy": ("b", AlreadyExistsError, lambda s, a, b, e: s.copy(a, b, overwrite=False)),
    "both": ("b", AlreadyExistsError, lambda s, a, b, e: s.copy(a, b, overwrite=False, if_match=e)),
    "update": ("a", PreconditionFailedError, lambda s, a, b, e: s.update(a, Changes("x/y"), if_match="77")),
    "metadata": ("a", PreconditionFailedError, lambda s, a, b, e: s.update(a, Changes(metadata={}), if_match="77")),
}


@pytest.mark.parametrize("name", LOST_CALLS)
def test_a_refusal_whose_answer_is_lost(proxied: Proxied, name: str) -> None:
    """A blob that was there before the first try, by the service's own clock, was in its way; one that may be newer leaves
    open what that try did."""
    backend, a, b = parts(proxied)
    proxied.honest.set_many({"a": "1", "b": "1"})
    etag = proxied.honest.info("a").etag
    key, wanted, call = LOST_CALLS[name]

    def changes(request: Request) -> bool:
        return request.method != "GET"

    def of_key(request: Request) -> bool:
        return request.method == "GET" and path(proxied.store, key) in request.target.replace("%2F", "/")

    proxied.proxy.script(LOST, when=changes)
    proxied.proxy.plan = lambda r: old(proxied, key) if of_key(r) else None
    assert kind(backend, lambda: call(backend, a, b, etag)) is wanted
    proxied.proxy.plan = None
    if name == "metadata":
        return  # it looks before anything can be lost
    proxied.proxy.script(LOST, when=changes)
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        call(backend, a, b, etag)
    undated = answer(200, old(proxied, key).body, {"Content-Type": "application/json"})
    proxied.proxy.script(LOST, when=changes)
    proxied.proxy.plan = lambda r: undated if of_key(r) else None
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        call(backend, a, b, etag)


def test_a_delete_of_one_version_whose_answer_is_lost(proxied: Proxied) -> None:
    """Deleted, and then gone or replaced: nobody can tell by whom. A look that fails settles nothing either."""
    backend, a, _ = parts(proxied)
    etag = proxied.honest.set("a", "1").etag
    proxied.proxy.script(LOST)
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        backend.delete(a, if_match=etag)
    etag = proxied.honest.set("a", "1").etag

    def meanwhile(request: Request) -> Fault | None:
        if request.method == "DELETE":  # the second
            proxied.honest.set("a", "another's")
        return answer(403) if request.method == "GET" else None

    proxied.proxy.script(LOST, when=lambda r: r.method == "DELETE")
    proxied.proxy.plan = meanwhile
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        backend.delete(a, if_match=etag)
    proxied.proxy.plan = None
    assert proxied.honest.get("a") == "another's"


def test_a_change_whose_answer_is_lost(proxied: Proxied) -> None:
    """It is made once more, which changes nothing; where the blob is gone by then, the outcome is unknown."""
    backend, a, _ = parts(proxied)
    etag = proxied.honest.set("a", "1", metadata={"m": "1"}).etag
    for changes in (Changes(content_type="x/y"), Changes(metadata={"n": "2"})):
        proxied.proxy.script(LOST, when=lambda r: r.method == "PATCH")
        assert backend.update(a, changes, if_match=etag).etag == etag
    assert proxied.honest.info("a").metadata == {"n": "2"}
    proxied.proxy.script(LOST, when=lambda r: r.method == "PATCH")
    proxied.proxy.plan = lambda r: (
        answer(404, b"Not Found") if r.method == "GET" and len(proxied.proxy.requests) > 2 else None
    )
    proxied.proxy.requests.clear()
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        backend.update(a, Changes(metadata={"n": "3"}))


# ---- the words of a 404 --------------------------------------------------------------------------------------------------


def test_a_name_may_hold_any_words(proxied: Proxied) -> None:
    """A missing blob whose name says that a bucket is missing is a missing blob."""
    for key in ("the bucket does not exist", "md5", "object name"):
        with pytest.raises(NotFoundError) as caught:
            proxied.store.get(key)
        assert isinstance(caught.value.__cause__, MissingError)
        assert not proxied.store.exists(key)


def test_absence_loads_no_package(proxied: Proxied) -> None:
    """A 404 is told without google.api_core, whose import would take longer than the call: also in a store of no bucket."""
    with Storage(proxied.server.url(bucket="no-such-bucket"), auth=proxied.server.account()) as store:
        with pytest.raises(BucketNotFoundError) as caught:
            store.get("a")
        cause: Any = caught.value.__cause__
        assert isinstance(cause, MissingError)
        assert "bucket does not exist" in str(cause)
