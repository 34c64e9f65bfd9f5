"""What the driver makes of lost answers, cut bodies, stalls and refusals, on a real server behind a breaking proxy."""

from __future__ import annotations

import itertools

import pytest

from storage import (
    AlreadyExistsError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    Storage,
    StorageTimeoutError,
    UnavailableError,
)
from storage.testing.faults import LOST, RESET, RESET_BODY, STALL, STALL_BODY, TRUNCATE, answer

BIG = bytes(range(256)) * 12_000  # 3 MB: far more than any buffer between

ONCE = [RESET, LOST, STALL, answer(500), answer(503), answer(429)]


@pytest.mark.parametrize("fault", ONCE, ids=lambda fault: f"{fault.kind}{fault.status or ''}")
@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.set("k", b"new"),
        lambda store: store.set("k2", b"new", overwrite=False),
        lambda store: store.set("k", b"new", if_match=store.info("k").etag),
        lambda store: store.set("k", b"new", metadata={"content-type": "x"}),
        lambda store: store.get("k"),
        lambda store: store.info("k"),
        lambda store: store.delete("k"),
        lambda store: store.delete_many(["k", "absent"]),
        lambda store: store.list(),
        lambda store: list(store.iter_bytes("k")),
        lambda store: store.copy("k", "k3"),
        lambda store: store.set("big", iter([BIG] * 4)),
    ],
    ids=["set", "create", "swap", "header", "get", "info", "delete", "delete_many", "list", "stream", "copy", "parts"],
)
def test_one_fault_is_mended(store, direct, proxy, call, fault):
    """Any single fault before or instead of an answer is mended by the retries, and a write never blames itself."""
    direct.set("k", b"old")
    for position in itertools.count():
        direct.set("k", b"old")
        direct.delete("k2", missing_ok=True)
        del proxy.requests[:]
        proxy.script(*[None] * position, fault)
        call(store)
        if not any(request.fault for request in proxy.requests):
            proxy._scripts.clear()
            break
    assert position >= 1


@pytest.mark.parametrize("fault", [TRUNCATE, RESET_BODY, STALL_BODY], ids=lambda fault: fault.kind)
def test_a_cut_body_goes_on(store, direct, proxy, fault):
    """A body that breaks off is completed: by a request for the rest."""
    direct.set("big", BIG)
    proxy.script(fault)
    assert store.get_bytes("big") == BIG
    proxy.script(fault)
    assert b"".join(store.iter_bytes("big")) == BIG
    proxy.script(fault)
    assert store.get_bytes("big", start=10, end=2_000_000) == BIG[10:2_000_000]
    assert [request.headers.get("range") is None for request in proxy.requests] == [
        True,
        False,
        True,
        False,
        False,
        False,
    ]


def test_a_cut_body_whose_rest_is_refused(store, direct, proxy):
    """What the server says to the request for the rest is what the caller is told."""
    direct.set("big", BIG)
    refused = answer(403, b"<Error><Code>AccessDenied</Code></Error>")
    for read in (store.get_bytes, lambda key: b"".join(store.iter_bytes(key))):
        proxy.script(TRUNCATE, refused)
        with pytest.raises(PermissionDeniedError):
            read("big")


def test_a_blob_replaced_in_the_middle(store, direct, proxy):
    """Where the rest of a cut body is another version's, get begins anew and a stream fails: never a mix."""
    other = BIG[::-1]
    for read in (store.get_bytes, lambda key: b"".join(store.iter_bytes(key))):
        direct.set("big", BIG)
        seen = []

        def plan(request, seen=seen):
            if request.method == "GET":
                seen.append(request)
                if len(seen) == 1:
                    return TRUNCATE
                direct.set("big", other)
            return None

        proxy.plan = plan
        if read == store.get_bytes:
            assert read("big") == other
        else:
            with pytest.raises(PreconditionFailedError):
                read("big")
        proxy.plan = None


@pytest.mark.parametrize(
    "fault, error", [(STALL, StorageTimeoutError), (RESET, UnavailableError), (answer(503), UnavailableError)]
)
def test_no_retries(direct, proxy, store, fault, error):
    """``retries=0`` tries once, and says what it was."""
    with Storage(store._recipe["url"], store.backend._settings.auth, 0, timeout=0.3) as once:
        calls = [
            lambda: once.set("k", b""),
            lambda: once.set("k", b"", overwrite=False),
            lambda: once.get("k"),
            lambda: once.exists("k"),
            once.list,
            lambda: once.delete_many(["k"]),
        ]
        for call in calls:
            del proxy.requests[:]
            proxy.script(fault)
            with pytest.raises(error):
                call()
            assert len(proxy.requests) == 1


def test_nobody_listens():
    """A refused connection is an UnavailableError, soon."""
    auth = {"access_key_id": "a", "secret_access_key": "b"}
    with Storage("s3+obstore://bucket?endpoint_url=http://127.0.0.1:9", auth, 1) as store:
        for call in (lambda: store.get("a"), lambda: store.set("a", ""), store.list, lambda: store.exists("a")):
            with pytest.raises(UnavailableError):
                call()


def test_a_lost_creation_that_another_made_first(store, direct, proxy):
    """A lost answer does not turn another's blob into ours."""
    direct.set("k", b"another's")
    proxy.script(LOST)
    with pytest.raises(AlreadyExistsError):
        store.set("k", b"ours", overwrite=False)
    assert direct.get("k") == "another's"


def test_a_lost_swap_after_which_another_wrote(store, direct, proxy):
    """Where nobody can know whether a lost write was there for a moment, the error says so."""
    direct.set("k", b"1")
    etag = direct.info("k").etag
    proxy.plan = lambda request: RESET if len(proxy.requests) == 1 else direct.set("k", b"2") and None
    with pytest.raises(UnavailableError, match="unknown"):
        store.set("k", b"3", if_match=etag)
    assert direct.get("k") == "2"


def test_a_lost_delete_of_what_is_gone(store, direct, proxy):
    """A delete whose answer was lost succeeds; one of what was never there does not."""
    direct.set("k", b"1")
    proxy.script(LOST, when=lambda request: request.method == "DELETE")
    store.delete("k")
    assert not direct.exists("k")
    with pytest.raises(NotFoundError):
        store.delete("k")


def test_the_nonce_is_not_shown(store, direct):
    """What a conditional or large write leaves behind for itself is nobody's metadata."""
    assert store.set("a", b"1", overwrite=False, metadata={"m": "1"}).metadata == {"m": "1"}
    assert store.info("a").metadata == {"m": "1"}
    store.set("b", iter([BIG] * 3))
    assert store.info("b").metadata == {}


def test_requests_of_each_call(store, proxy):
    """Small calls are one request; delete is two, copy two, since neither tells what it did."""
    expected = {
        lambda: store.set("k", b"1"): ["PUT"],
        lambda: store.set("k", b"1", if_match=store.info("k").etag): ["HEAD", "PUT"],
        lambda: store.set("k9", b"1", overwrite=False): ["PUT"],
        lambda: store.get("k"): ["GET"],
        lambda: store.get_bytes("k", start=5): ["GET"],
        lambda: store.exists("k"): ["HEAD"],
        lambda: store.list(limit=3): ["GET"],
        lambda: store.copy("k", "l"): ["PUT", "HEAD"],
        lambda: store.move("l", "m"): ["PUT", "HEAD", "DELETE"],
        lambda: store.delete("k"): ["HEAD", "DELETE"],
        lambda: store.delete_many(["m", "k9"]): ["POST"],
    }
    for call, methods in expected.items():
        del proxy.requests[:]
        call()
        assert [request.method for request in proxy.requests] == methods
