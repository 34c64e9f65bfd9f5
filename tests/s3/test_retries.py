"""Faults on the way: what is retried, how often, and that no write ever loses against itself."""

from __future__ import annotations

import base64
import random
import zlib

import pytest

import storage as s
from storage.testing.faults import LOST, RESET, RESET_BODY, STALL, TRUNCATE, Randomly, answer
from tests.s3.conftest import at_once

FAULTS = [RESET, answer(500), answer(503, b"<Error><Code>SlowDown</Code></Error>"), LOST]


def methods(proxy) -> list[str]:
    return [request.method for request in proxy.requests]


@pytest.mark.parametrize("fault", FAULTS, ids=["reset", "500", "503", "lost"])
def test_one_fault_is_mended(store, proxy, fault) -> None:
    """Any single fault of the server or of the way is not seen by the caller."""
    calls = [
        lambda: store.set("k", "value", metadata={"a": "b"}),
        lambda: store.get("k"),
        lambda: store.info("k"),
        store.list,
        lambda: store.copy("k", "k2"),
        lambda: store.delete("k2"),
        lambda: store.delete_many(["k2"]),
        lambda: store.set("new", "1", overwrite=False),
        lambda: store.copy("k", "k3", overwrite=False),
        lambda: store.move("k3", "k4"),
    ]
    for call in calls:
        proxy.script(fault)
        call()
    assert store.get("k") == "value"
    assert store.list() == ["k", "k4", "new"]
    assert sum(request.fault is fault for request in proxy.requests) == len(calls)


@pytest.mark.parametrize("total", [0, 1, 4])
def test_count(open_store, proxy, total) -> None:
    """``retries`` counts the tries after the first."""
    store = open_store(proxy.url, retries=at_once(total))
    proxy.plan = lambda _: answer(500)
    with pytest.raises(s.UnavailableError):
        store.get("k")
    assert len(proxy.requests) == total + 1


def test_status_forcelist(open_store, proxy) -> None:
    """A ``Retry`` that lists statuses has those retried, and no others."""
    store = open_store(proxy.url, retries=at_once(2, status_forcelist=[418, 503]))
    for status, requests in ((418, 3), (503, 3), (500, 1), (403, 1)):
        proxy.requests.clear()
        proxy.plan = lambda _, status=status: answer(status)
        with pytest.raises(s.StorageError):
            store.get("k")
        assert len(proxy.requests) == requests, status


@pytest.mark.parametrize(
    "status, code", [(403, "AccessDenied"), (404, "NoSuchKey"), (400, "InvalidArgument"), (501, "")]
)
def test_what_no_try_can_mend_is_not_retried(store, proxy, status, code) -> None:
    """A request that is wrong is sent once."""
    proxy.plan = lambda _: answer(status, f"<Error><Code>{code}</Code></Error>".encode())
    with pytest.raises(s.StorageError):
        store.get("k")
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("code", ["RequestTimeout", "ConditionalRequestConflict", "OperationAborted", "BadDigest"])
def test_codes_that_mean_later(store, proxy, code) -> None:
    """Some 4xx codes are worth another try."""
    conflict = answer(409 if "Condition" in code else 400, f"<Error><Code>{code}</Code></Error>".encode())
    proxy.script(conflict, conflict)
    store.set("k", "v", overwrite=False)
    assert methods(proxy) == ["PUT"] * 3
    assert store.get("k") == "v"


def test_stalls_time_out_and_are_retried(open_store, proxy) -> None:
    """A server that goes silent costs one read timeout, not the call."""
    store = open_store(proxy.url, timeout=(5, 0.5))
    store.set("k", "v")
    proxy.script(STALL)
    assert store.get("k") == "v"


@pytest.mark.parametrize("fault", [TRUNCATE, RESET_BODY], ids=["truncate", "reset"])
@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_cut_bodies(store, proxy, fault, size) -> None:
    """A body that is cut half way is completed: from where it broke off if it is large, and by etag."""
    data = random.Random(size).randbytes(size)
    etag = store.set("k", data).etag
    for read in (
        lambda: store.get_bytes("k"),
        lambda: b"".join(store.iter_bytes("k")),
        lambda: store.get_bytes("k", start=7, end=size - 7),
    ):
        proxy.requests.clear()
        proxy.script(fault, fault)
        assert read() in (data, data[7 : size - 7])
        assert methods(proxy) == ["GET"] * 3
        if size > 1_000_000:
            assert [r.headers.get("if-match") for r in proxy.requests[1:]] == [f'"{etag}"'] * 2
            first, second, third = (
                r.headers.get("range", "bytes=0-").split("=")[1].split("-")[0] for r in proxy.requests
            )
            # A reset throws away what had come but was not read yet; a close in good order does not.
            assert int(first) <= int(second) <= int(third)
            assert fault is RESET_BODY or int(first) < int(second) < int(third)


def test_cut_and_replaced(store, proxy) -> None:
    """A blob that is replaced while its cut body is asked for anew is never mixed."""
    old, new = b"a" * 3_000_000, b"b" * 3_000_000
    store.set("k", old)
    chunks = store.iter_bytes("k", chunk_size=100_000)
    proxy.script(TRUNCATE)
    assert next(chunks) == b"a" * 100_000
    store.set("k", new)
    with pytest.raises(s.PreconditionFailedError):
        list(chunks)


def test_listing_is_cut(store, proxy) -> None:
    """A page of a listing that is cut is asked for anew: no key is lost."""
    store.set_many({f"k{n:03}": "" for n in range(50)})
    proxy.script(TRUNCATE)
    assert len(store.list()) == 50


# ---- lost answers ------------------------------------------------------------------------------------------------------


def test_create_only_recognises_itself(store, proxy) -> None:
    """A create-only write whose answer was lost is a success, with the blob's info, and hides how it knew."""
    proxy.script(LOST)
    info = store.set("k", "v", overwrite=False, metadata={"a": "ü"})
    assert methods(proxy) == ["PUT", "PUT", "HEAD"]
    assert info == store.info("k")
    assert info.metadata == {"a": "ü"}


def test_create_only_that_was_too_late_anyway(store, proxy) -> None:
    """Where a blob was there before the first try, a lost answer changes nothing: it already exists."""
    store.set("k", "old")
    head = store.backend.client.head_object(Bucket="bucket", Key=store._core.routes["data"].prefix + "k")
    assert head["ContentLength"] == 3
    proxy.script(LOST)
    with pytest.raises((s.AlreadyExistsError, s.UnavailableError)) as caught:
        store.set("k", "new", overwrite=False)
    # Within two seconds of the other write nobody can tell whose it was.
    if not isinstance(caught.value, s.AlreadyExistsError):
        assert "unknown" in str(caught.value)
    assert store.get("k") == "old"


def test_create_only_long_after(stub, bucket) -> None:
    """The blob's time tells that it was there before the first try."""
    proxy, _ = stub
    head = {
        "ETag": '"e"',
        "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT",
        "Date": "Sun, 22 Nov 2026 19:06:11 GMT",
    }
    with s.Storage(
        f"s3://{bucket}?region=x&endpoint_url={proxy.url}", {"access_key_id": "a", "secret_access_key": "b"}, at_once()
    ) as store:
        for lost, later, kind in (
            (answer(500), answer(412), s.AlreadyExistsError),
            (answer(500), answer(412), s.PreconditionFailedError),
        ):
            proxy.plan = lambda _: answer(200, b"", head)
            proxy.script(lost, later)
            options = {"overwrite": False} if kind is s.AlreadyExistsError else {"if_match": "x"}
            with pytest.raises(kind) as caught:
                store.set("k", "new", **options)
            assert type(caught.value) is kind


def test_if_match_recognises_itself(store, proxy) -> None:
    """So is a compare-and-swap."""
    etag = store.set("k", "1").etag
    proxy.script(LOST)
    info = store.set("k", "2", if_match=etag)
    assert store.get("k") == "2"
    assert info.etag == store.info("k").etag


def test_lost_and_then_replaced_is_unknown(store, proxy) -> None:
    """A write that was replaced before its second try cannot know: it says so, and blames nobody."""
    etag = store.set("k", "1").etag

    def replace_between(request):
        if request.method == "PUT" and len([r for r in proxy.requests if r.method == "PUT"]) == 2:
            proxy.plan = None
            store.set("k", "3")

    proxy.requests.clear()
    proxy.script(LOST)
    proxy.plan = replace_between
    with pytest.raises(s.UnavailableError, match="unknown"):
        store.set("k", "2", if_match=etag)


def test_nonce_only_where_it_is_needed(store, proxy) -> None:
    """Only conditional writes carry the mark, and full metadata leave no room for one."""
    store.set("plain", "1", metadata={"a": "b"})
    store.set("marked", "1", overwrite=False, metadata={"a": "b"})
    full = {"a" * 48: "v" * 2000}
    store.set("full", "1", overwrite=False, metadata=full)
    marks = [[name for name in r.headers if name == "x-amz-meta-storage--nonce"] for r in proxy.requests]
    assert [len(mark) for mark in marks] == [0, 1, 0]
    assert store.info("marked").metadata == {"a": "b"}
    assert store.copy("marked", "copy").metadata == {"a": "b"}
    assert store.info("copy").metadata == {"a": "b"}
    assert store.info("full").metadata == full


def test_lost_without_room_for_a_mark(store, proxy) -> None:
    """Without a mark the outcome is unknown, and that is what the caller is told."""
    proxy.script(LOST)
    with pytest.raises(s.UnavailableError, match="unknown"):
        store.set("k", "1", overwrite=False, metadata={"a" * 48: "v" * 2000})


def test_delete_recognises_itself(store, proxy) -> None:
    """A delete whose answer was lost is not told that there is nothing."""
    store.set("k", "v")
    for fault_on in ("HEAD", "DELETE"):
        store.set("k", "v")
        proxy.script(LOST, when=lambda r, method=fault_on: r.method == method)
        store.delete("k")
    with pytest.raises(s.NotFoundError):
        store.delete("k")


@pytest.mark.parametrize("lost", ["uploads", "partNumber=2", "uploadId="])
def test_upload_in_parts_with_a_lost_answer(store, proxy, lost) -> None:
    """Beginning, a part and completing may each lose their answer, create-only or not."""
    data = bytes(12_000_000)
    for key, options in (("a", {}), ("b", {"overwrite": False})):
        method = "PUT" if "part" in lost else "POST"
        proxy.script(
            LOST, when=lambda r, m=method: r.method == m and lost in r.target and "partNumber=1" not in r.target
        )
        info = store.set_file(key, _file(data), **options)
        assert info.size == len(data)
        assert store.info(key).etag == info.etag
    assert store.get_bytes("b") == data


def _file(data: bytes):
    import io

    return io.BytesIO(data)


# ---- many faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [300, pytest.param(6000, marks=pytest.mark.slow)])
def test_soak(open_store, proxy, steps) -> None:  # noqa: C901, PLR0912, PLR0915 (one story)
    """Thousands of requests through a faulty network: no wrong byte, and only the contract's exceptions."""
    proxy.plan = Randomly(
        {
            RESET: 0.02,
            LOST: 0.03,
            TRUNCATE: 0.02,
            RESET_BODY: 0.02,
            answer(500): 0.02,
            answer(503, b"<Error><Code>SlowDown</Code></Error>"): 0.02,
        },
        seed=8,
    )
    store = open_store(proxy.url, retries=at_once(2))
    dice = random.Random(8)
    # What each key may hold: one value, or several where a failure left it open (`None`: no blob).
    may: dict[str, set[bytes | None]] = {f"k{n}": {None} for n in range(12)}
    failed = 0
    for step in range(steps):
        key = dice.choice(list(may))
        value = dice.randbytes(dice.choice((0, 10, 3000, 40_000)))
        call = dice.choice(("set", "set", "get", "get", "create", "delete", "copy", "info", "list"))
        try:
            if call == "set":
                store.set(key, value)
                may[key] = {value}
            elif call == "create":
                store.set(key, value, overwrite=False)
                assert None in may[key], f"step {step}: created over a blob"
                may[key] = {value}
            elif call == "get":
                got = store.get_bytes(key)
                assert got in may[key], f"step {step}: wrong bytes"
                may[key] = {got}
            elif call == "info":
                assert store.info(key).size in {len(v) for v in may[key] if v is not None}
            elif call == "delete":
                store.delete(key)
                may[key] = {None}
            elif call == "copy":
                other = dice.choice([k for k in may if k != key])
                store.copy(key, other)
                may[other] = {v for v in may[key] if v is not None}
            else:
                listed = set(store.list())
                assert all(None in may[k] for k in set(may) - listed)
        except s.AlreadyExistsError:
            assert may[key] != {None}, f"step {step}: blamed itself"
            may[key] -= {None}
        except s.NotFoundError:
            assert None in may[key], f"step {step}: lost a blob"
            may[key] = {None}
        except s.UnavailableError:
            failed += 1
            if call in ("set", "create"):
                may[key] |= {value}
            elif call == "delete":
                may[key] |= {None}
            elif call == "copy":
                may[other] |= may[key]
    faults = sum(request.fault is not None for request in proxy.requests)
    assert faults > steps // 12
    assert failed < steps // 20
    proxy.plan = None
    for key, values in may.items():
        assert (store.get_bytes(key) if store.exists(key) else None) in values


def test_bytes_that_do_not_match_their_checksum(stub, monkeypatch, bucket) -> None:
    """A whole blob whose stored checksum does not fit is an IntegrityError, however it is read, and is asked for again."""
    proxy, _ = stub
    monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_supported")  # as it is at AWS
    auth = {"access_key_id": "a", "secret_access_key": "b"}
    head = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT"}
    for body in (b"hello", b"hello" * 400_000):
        right = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        good = answer(200, body, {**head, "x-amz-checksum-crc32": right})
        bad = answer(200, body, {**head, "x-amz-checksum-crc32": "AAAAAA=="})
        with s.Storage(f"s3://{bucket}?region=us-east-1&endpoint_url={proxy.url}", auth, at_once(1)) as store:
            proxy.plan = lambda _, bad=bad: bad
            for read in (lambda: store.get_bytes("k"), lambda: list(store.iter_bytes("k"))):
                with pytest.raises(s.IntegrityError):
                    read()
            proxy.plan = lambda _, good=good: good
            assert store.get_bytes("k") == body
            assert b"".join(store.iter_bytes("k")) == body
            if len(body) < 1_000_000:
                proxy.script(bad)
                assert store.get_bytes("k") == body
