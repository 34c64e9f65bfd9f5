"""Lost answers, cut bodies, slow and refused connections: what was stored is known, and nothing is stored twice or in part."""

from __future__ import annotations

import io
import itertools
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3.util.retry import Retry

from storage import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    PreconditionFailedError,
    Storage,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
)
from storage.testing.faults import (
    LOST,
    RESET,
    RESET_BODY,
    STALL,
    STALL_BODY,
    TRUNCATE,
    Fault,
    FaultProxy,
    Randomly,
    Request,
)
from tests.emulators.gcs import GCSServer
from tests.gcs.conftest import Proxied, answer

MIB = 1024 * 1024
BIG = 12 * MIB


def is_upload(request: Request) -> bool:
    return request.target.startswith("/upload/")


# ---- conditional writes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True])
def test_a_lost_answer_to_a_create_is_recognised(proxied: Proxied, large: bool) -> None:
    """The write that was carried out and not confirmed is found to be ours, and is no "already exists"."""
    value = b"x" * BIG if large else b"mine"
    last = (lambda r: r.method == "PUT" and "/12582912" in r.headers.get("content-range", "")) if large else is_upload
    proxied.proxy.script(LOST, when=last)
    made = proxied.store.set("a", io.BytesIO(value), overwrite=False, metadata={"m": "é"})
    assert proxied.honest.get_bytes("a") == value
    info = proxied.honest.info("a")
    assert (info.etag, info.metadata) == (made.etag, {"m": "é"})
    assert made.metadata == {"m": "é"}


def test_a_lost_answer_to_a_swap_is_recognised(proxied: Proxied) -> None:
    """So is one under ``if_match``: an increment is not done twice."""
    etag = proxied.honest.set("a", "1").etag
    proxied.proxy.script(LOST, when=is_upload)
    made = proxied.store.set("a", "2", if_match=etag)
    assert proxied.honest.info("a").etag == made.etag
    assert len([line for line in proxied.seen() if line.startswith("POST")]) == 2


def test_a_lost_answer_that_somebody_has_overwritten(proxied: Proxied) -> None:
    """Where another blob is there by then, nobody can tell: the outcome is unknown, and no loser is named."""
    waits = iter([lambda: proxied.honest.set("a", "another's")])

    def meanwhile(request: Request) -> None:
        if is_upload(request) and len([r for r in proxied.proxy.requests if is_upload(r)]) == 2:
            next(waits, lambda: None)()

    proxied.proxy.script(LOST, when=is_upload)
    proxied.proxy.plan = meanwhile
    with pytest.raises(UnavailableError, match="outcome is unknown") as caught:
        proxied.store.set("a", "mine", overwrite=False)
    assert not isinstance(caught.value, PreconditionFailedError)
    assert proxied.honest.get("a") == "another's"


def test_a_refusal_that_no_lost_answer_explains(proxied: Proxied) -> None:
    """After tries that cannot have been carried out, "already exists" is the truth."""
    proxied.honest.set("a", "another's")
    proxied.proxy.script(answer(429), answer(429))
    with pytest.raises(AlreadyExistsError):
        proxied.store.set("a", "mine", overwrite=False)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert proxied.honest.get("a") == "another's"


def test_the_mark_of_a_write_is_never_seen(proxied: Proxied) -> None:
    """What recognises a write is in no metadata that users see, and a copy does not show it either."""
    proxied.store.set("a", "1", overwrite=False, metadata={"x": "1"})
    proxied.store.copy("a", "b")
    assert [proxied.store.info(key).metadata for key in "ab"] == [{"x": "1"}] * 2
    proxied.store.set("c", "1", overwrite=False)
    assert proxied.store.info("c").metadata == {}


def test_a_lost_answer_to_a_delete(proxied: Proxied) -> None:
    """A delete that was retried after a lost answer and finds nothing says that the outcome is unknown."""
    proxied.honest.set("a", "1")
    proxied.proxy.script(LOST)
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        proxied.store.delete("a")
    assert not proxied.honest.exists("a")
    proxied.proxy.script(RESET)
    proxied.honest.set("a", "1")
    proxied.store.delete("a")
    proxied.honest.set_many({"x": "1", "y": "2"})
    proxied.proxy.script(LOST)
    proxied.store.delete_many(["x", "y"])
    assert proxied.honest.list() == []


def test_a_lost_answer_to_a_copy_that_creates(proxied: Proxied) -> None:
    """A copy without overwriting whose answer got lost never says "already exists" of itself."""
    proxied.honest.set("a", "1")
    proxied.proxy.script(LOST)
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        proxied.store.copy("a", "b", overwrite=False)
    assert proxied.honest.get("b") == "1"
    proxied.proxy.script(LOST)
    proxied.store.copy("a", "b")


# ---- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [TRUNCATE, RESET_BODY])
def test_a_cut_body_is_resumed(proxied: Proxied, fault: Fault) -> None:
    """A body that ends half way is read on from there, of the same version, and nothing is read twice."""
    data = random.Random(1).randbytes(3 * MIB)
    etag = proxied.honest.set("a", data).etag
    proxied.proxy.script(fault, fault, when=lambda r: "alt=media" in r.target)
    assert proxied.store.get_bytes("a") == data
    ranges = [request.headers.get("range") for request in proxied.proxy.requests]
    assert ranges[0] is None
    # A reset may take with it what the client had not read yet: then the rest is all of it.
    assert fault is RESET_BODY or all(text and text.startswith("bytes=") for text in ranges[1:])
    assert all(f"ifGenerationMatch={etag}" in request.target for request in proxied.proxy.requests[1:])
    proxied.proxy.script(fault, when=lambda r: "alt=media" in r.target)
    assert b"".join(proxied.store.iter_bytes("a", start=100, end=2 * MIB)) == data[100 : 2 * MIB]
    proxied.proxy.script(fault, when=lambda r: "alt=media" in r.target)
    target = io.BytesIO()
    proxied.store.get_file("a", target)
    assert target.getvalue() == data


def test_a_body_cut_again_and_again(proxied: Proxied) -> None:
    """As long as each try gets on, a body may be cut more often than there are retries."""
    data = random.Random(2).randbytes(8 * MIB)
    proxied.honest.set("a", data)
    cuts = itertools.count()
    proxied.proxy.plan = lambda r: TRUNCATE if "alt=media" in r.target and next(cuts) < 4 else None
    assert proxied.store.get_bytes("a") == data
    assert next(cuts) >= 4


def test_a_blob_replaced_while_it_is_read(proxied: Proxied) -> None:
    """The rest of a cut body comes from the same version or not at all."""
    proxied.honest.set("a", b"1" * (4 * MIB))
    proxied.proxy.script(TRUNCATE, when=lambda r: "alt=media" in r.target)
    chunks = iter(proxied.store.iter_bytes("a"))
    first = next(chunks)
    assert set(first) == {ord("1")}
    proxied.honest.set("a", b"2" * (4 * MIB))
    with pytest.raises(PreconditionFailedError):
        b"".join(chunks)


def test_a_blob_replaced_between_its_infos_and_its_bytes(proxied: Proxied) -> None:
    """A stream that has given nothing yet takes the new version, whole."""
    proxied.honest.set("a", b"1" * 100, metadata={"v": "1"})
    done: list[object] = []

    def replace(request: Request) -> None:
        if "alt=media" in request.target and not done:
            done.append(proxied.honest.set("a", b"2" * 200, metadata={"v": "2"}))

    proxied.proxy.plan = replace
    target = io.BytesIO()
    info = proxied.store.get_file("a", target)
    assert (target.getvalue(), info.size, info.metadata) == (b"2" * 200, 200, {"v": "2"})


def test_bytes_that_do_not_match_their_checksum(proxied: Proxied) -> None:
    """What was damaged on the way down is an IntegrityError, on every way that reads the whole blob."""
    proxied.honest.set("a", b"the truth")
    etag = proxied.honest.info("a").etag
    crc = "AAAAAA=="
    headers = {"X-Goog-Generation": etag, "X-Goog-Hash": f"crc32c={crc},md5=x"}
    calls: list[Callable[[], object]] = [
        lambda: proxied.store.get("a"),
        lambda: list(proxied.store.iter_bytes("a")),
        lambda: proxied.store.get_file("a", io.BytesIO()),
    ]
    for call in calls:
        proxied.proxy.script(answer(200, b"the trvth", headers), when=lambda r: "alt=media" in r.target)
        with pytest.raises(IntegrityError, match="CRC32C"):
            call()


def test_timeouts(gcs: GCSServer) -> None:
    """A server that says nothing, or stops in the middle, is a StorageTimeoutError after ``timeout`` seconds."""
    with FaultProxy(gcs.endpoint_url) as proxy, Storage(gcs.url("t"), auth=gcs.account()) as honest:
        honest.set("a", b"x" * MIB)
        store = Storage(gcs.url("t", endpoint_url=proxy.url), auth=gcs.account(), retries=0, timeout=(2, 0.3))
        for fault, call in (
            (STALL, lambda: store.get("a")),
            (STALL_BODY, lambda: store.get_bytes("a")),
            (STALL, lambda: store.set("b", b"1")),
            (STALL, store.list),
        ):
            proxy.script(fault)
            began = time.monotonic()
            with pytest.raises(StorageTimeoutError):
                call()
            assert time.monotonic() - began < 20
        store.close()


def test_a_refused_connection(gcs: GCSServer) -> None:
    """Nobody there: an UnavailableError, after as many tries as allowed and no more."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = gcs.url("t", endpoint_url=f"http://127.0.0.1:{nobody.getsockname()[1]}")
        retries = Retry(total=2, backoff_factor=0)
        with Storage(url, auth=gcs.account(), retries=retries) as store:
            with pytest.raises(UnavailableError):
                store.get("a")
            with pytest.raises(UnavailableError):
                store.set("a", b"1", overwrite=False)


def test_retries_mean_what_they_say(proxied: Proxied) -> None:
    """``retries`` counts tries after the first, ``status_forcelist`` names the answers, and nothing else is retried."""
    proxied.honest.set("a", "1")
    cases: list[tuple[Retry | int, int, int]] = [
        (0, 503, 1),
        (2, 503, 3),
        (2, 403, 1),
        (Retry(total=4, backoff_factor=0), 429, 5),
        (Retry(total=2, backoff_factor=0, status_forcelist=[418]), 418, 3),
        (Retry(total=2, backoff_factor=0, status_forcelist=[418]), 503, 1),
    ]
    for retries, status, tries in cases:
        store = proxied.open(retries=retries)
        proxied.proxy.requests.clear()
        proxied.proxy.plan = lambda _, status=status: answer(status)
        with pytest.raises(StorageError):
            store.get("a")
        proxied.proxy.plan = None
        assert len(proxied.proxy.requests) == tries, (retries, status)
        store.close()


def test_rate_limits_that_come_as_403_are_retried(proxied: Proxied) -> None:
    """A 403 whose reason is a rate limit means "later"."""
    proxied.honest.set("a", "1")
    text = b'{"error": {"message": "slow down", "errors": [{"reason": "rateLimitExceeded"}]}}'
    proxied.proxy.script(answer(403, text), answer(403, text))
    assert proxied.store.get("a") == "1"


# ---- large writes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [RESET, LOST, answer(503), answer(429), TRUNCATE])
def test_a_large_write_goes_on_after_a_fault(proxied: Proxied, fault: Fault) -> None:
    """A resumable upload asks how far it got and goes on from there; the blob is whole."""
    data = random.Random(3).randbytes(BIG + 12345)
    chunks = itertools.count()
    proxied.proxy.plan = lambda r: fault if r.method == "PUT" and next(chunks) in (0, 2, 5) else None
    proxied.store.set("a", io.BytesIO(data), overwrite=False)
    proxied.proxy.plan = None
    assert proxied.honest.get_bytes("a") == data


def test_an_upload_that_the_service_dropped(proxied: Proxied) -> None:
    """A session that is gone is an UnavailableError; what stood there stands."""
    proxied.honest.set("a", "old")
    for status in (404, 410):
        proxied.proxy.script(answer(status), when=lambda r: r.method == "PUT")
        with pytest.raises(UnavailableError, match="dropped"):
            proxied.store.set("a", io.BytesIO(b"x" * BIG))
        assert proxied.honest.get("a") == "old"


def test_a_large_write_that_fails_leaves_nothing(proxied: Proxied) -> None:
    """An upload that is given up is cancelled at the service, and what stood there stands."""
    proxied.honest.set("a", "old")

    def broken() -> Iterator[bytes]:
        yield b"x" * (10 * MIB)
        raise RuntimeError("the source broke")

    for parallel in (False, True):
        proxied.store.backend.parallel_uploads = parallel  # type: ignore[attr-defined]
        proxied.proxy.requests.clear()
        with pytest.raises(RuntimeError, match="the source broke"):
            proxied.store.set("a", broken())
        assert proxied.proxy.requests[-1].method == "DELETE"
        assert proxied.honest.get("a") == "old"


def test_no_upload_session_is_named_in_an_exception(proxied: Proxied) -> None:
    """Whoever knows an upload's URL can write: it stands in no message and no cause."""
    store = proxied.open(retries=0)
    for fault in (RESET, answer(503, b"no"), answer(403, b"no")):
        proxied.proxy.script(fault, when=lambda r: r.method == "PUT")
        with pytest.raises(StorageError) as caught:
            store.set("a", io.BytesIO(b"x" * BIG))
        exc: BaseException | None = caught.value
        while exc is not None:
            assert "upload_id" not in f"{exc} {exc!r}"
            exc = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    store.close()


@pytest.mark.parametrize("fault", [RESET, LOST, answer(503)])
def test_parallel_parts_go_on_after_a_fault(proxied: Proxied, fault: Fault) -> None:
    """Each part is sent again by itself, and a lost answer to the last request is recognised."""
    data = random.Random(4).randbytes(BIG + 777)
    proxied.store.backend.parallel_uploads = True  # type: ignore[attr-defined]
    proxied.proxy.script(fault, when=lambda r: "partNumber=2" in r.target)
    proxied.proxy.script(fault, when=lambda r: r.method == "POST" and "uploadId=" in r.target)
    made = proxied.store.set(
        "a", io.BytesIO(data), content_type="text/x", metadata={"m": "1"}, cache_control="no-store"
    )
    assert proxied.honest.get_bytes("a") == data
    info = proxied.honest.info("a")
    assert (info.content_type, info.metadata, info.cache_control) == ("text/x", {"m": "1"}, "no-store")
    assert (made.etag, made.size, made.content_type, made.metadata) == (info.etag, len(data), "text/x", {"m": "1"})


def test_what_parts_cannot_do_goes_up_in_chunks(proxied: Proxied) -> None:
    """Conditions, and metadata that no header can hold, take a resumable upload even where parts are allowed."""
    proxied.store.backend.parallel_uploads = True  # type: ignore[attr-defined]
    for options in ({"overwrite": False}, {"metadata": {"m": "é"}}, {"metadata": {"m": " x"}}):
        proxied.proxy.requests.clear()
        proxied.store.set("a", io.BytesIO(b"x" * BIG), **options)
        assert any("uploadType=resumable" in request.target for request in proxied.proxy.requests)
        assert proxied.honest.info("a").metadata == options.get("metadata", {})
        proxied.honest.delete("a")


# ---- all at once -----------------------------------------------------------------------------------------------------


def test_soak(proxied: Proxied) -> None:  # noqa: C901, PLR0912 (a model of the store, one branch a call)
    """Under faults of every kind at random, each call does what it says or raises one of ours, and what is read is whole."""
    rates = {LOST: 0.06, RESET: 0.06, TRUNCATE: 0.06, RESET_BODY: 0.04, answer(503): 0.06, answer(429): 0.04}
    proxied.proxy.plan = Randomly(rates, seed=7)
    dice = random.Random(7)
    known: dict[str, set[bytes | None]] = {}  # what each key may hold
    for step in range(250):
        key = f"k{dice.randrange(8)}"
        possible = known.setdefault(key, {None})
        value = f"{key} {step} ".encode() * dice.choice((1, 50, 5000))
        action = dice.choice(("set", "create", "get", "delete", "copy", "info"))
        try:
            if action == "set":
                proxied.store.set(key, value)
                known[key] = {value}
            elif action == "create":
                possible.add(value)
                proxied.store.set(key, value, overwrite=False)
                known[key] = {value}
            elif action == "get":
                assert proxied.store.get_bytes(key) in possible
            elif action == "delete":
                possible.add(None)
                proxied.store.delete(key)
                known[key] = {None}
            elif action == "copy":
                other = f"k{dice.randrange(8)}"
                if other != key:
                    proxied.store.copy(key, other)
                    known[other] = set(possible) - {None}
            else:
                info = proxied.store.info(key)
                assert info.size in {len(held) for held in possible if held is not None}
        except AlreadyExistsError:
            assert possible - {value} != {None}
            possible.discard(value)
        except NotFoundError:
            assert None in possible
        except UnavailableError:
            if action == "set":
                possible.add(value)
            elif action == "copy":
                known.setdefault(other, {None}).update(possible - {None})
    proxied.proxy.plan = None
    for key, possible in known.items():
        held = proxied.honest.get_bytes(key) if proxied.honest.exists(key) else None
        assert held in possible, key


@pytest.mark.parametrize("named", [False, True])
def test_parallel_ranges_are_compared_with_the_checksum(
    proxied: Proxied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """A blob that comes down in parallel ranges is compared as a whole, though each range comes without a checksum."""
    monkeypatch.setattr(proxied.store.backend, "parallel_from", 1)
    data = random.Random(9).randbytes(20 * MIB + 17)
    proxied.honest.set("a", data)
    target: Any = tmp_path / "target" if named else io.BytesIO()
    proxied.store.get_file("a", target)
    assert (target.read_bytes() if named else target.getvalue()) == data
    etag = proxied.honest.info("a").etag
    last = 16 * MIB
    damaged = data[last:-1] + bytes([data[-1] ^ 1])
    headers = {"X-Goog-Generation": etag, "Content-Range": f"bytes {last}-{len(data) - 1}/{len(data)}"}
    # Which requests ask for the last range depends on who is first; damage it for all of them.
    proxied.proxy.plan = lambda r: (
        answer(206, damaged, headers) if r.headers.get("range") == f"bytes={last}-{len(data) - 1}" else None
    )
    target = tmp_path / "other" if named else io.BytesIO()
    with pytest.raises(IntegrityError, match="CRC32C"):
        proxied.store.get_file("a", target)
    assert not named or not target.exists()


def test_a_stream_that_nobody_reads_gives_its_connection_back(proxied: Proxied) -> None:
    """Closed before its first piece, or in the middle, it leaves nothing open."""
    proxied.honest.set("a", b"x" * (2 * MIB))
    backend = proxied.store.backend
    path = proxied.store._core.routes["data"].prefix + "a"
    for begun in (False, True):
        download = backend.stream(path)
        if begun:
            next(download.chunks)
        media = download.chunks._media  # type: ignore[attr-defined]
        download.chunks.close()
        assert media.answer._connection is None
        assert list(download.chunks) == []
