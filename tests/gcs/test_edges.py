"""What a service does rarely: parts of a batch that fail, parts that come damaged, answers that say too little."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import pytest

from storage import (
    BucketNotFoundError,
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    Storage,
    UnavailableError,
)
from storage.testing.faults import LOST, TRUNCATE, Fault, Request
from tests.emulators.gcs import GCSServer
from tests.gcs.conftest import Proxied, answer

MIB = 1024 * 1024
NO_BUCKET = (
    b'{"error": {"code": 404, "message": "The specified bucket does not exist.", "errors": [{"reason": "notFound"}]}}'
)


def batch(*parts: tuple[int, int, bytes]) -> Fault:
    """The answer to a batch: the number of each call, its status and its body."""
    text = b"".join(
        b"--x\r\nContent-Type: application/http\r\nContent-ID: <response-%d>\r\n\r\nHTTP/1.1 %d Said\r\n"
        b"Content-Type: application/json\r\n\r\n%b\r\n" % part
        for part in parts
    )
    return answer(200, text + b"--x--\r\n", {"Content-Type": "multipart/mixed; boundary=x"})


def test_parts_of_a_batch_that_fail(proxied: Proxied) -> None:
    """What says "later" is asked for again, alone; what is refused is told with its key; the rest is done."""
    proxied.honest.set_many({"a": "1", "b": "1", "c": "1"})
    proxied.proxy.script(batch((0, 204, b""), (1, 503, b""), (2, 204, b"")))
    proxied.store.delete_many(["a", "b", "c"])
    first, second = proxied.proxy.requests
    assert first.headers["content-length"] > second.headers["content-length"]
    assert proxied.honest.list() == ["a", "c"]  # the proxy answered for these
    denied = b'{"error": {"code": 403, "message": "held", "errors": [{"reason": "forbidden"}]}}'
    proxied.proxy.script(batch((0, 403, denied), (1, 204, b"")))
    with pytest.raises(PermissionDeniedError, match="held") as caught:
        proxied.store.delete_many(["a", "c"])
    assert caught.value.key == "a"


@pytest.mark.parametrize("refusal", [answer(501, b"no"), answer(405, b"no"), answer(404, b"Not Found\n")])
def test_a_server_without_batches(proxied: Proxied, refusal: Fault) -> None:
    """It gets single deletes, from then on without another try of a batch; a bucket that is not there is still told."""
    proxied.honest.set_many({f"k{n}": "1" for n in range(12)})
    proxied.proxy.plan = lambda request: refusal if request.target.startswith("/batch") else None
    proxied.store.delete_many(["k0", "k1", "absent"])
    assert [request.method for request in proxied.proxy.requests] == ["POST", "DELETE", "DELETE", "DELETE"]
    proxied.proxy.requests.clear()
    assert proxied.store.delete_prefix("k") == 10
    assert {request.method for request in proxied.proxy.requests} == {"GET", "DELETE"}
    assert proxied.honest.list() == []
    proxied.proxy.plan = lambda request: refusal if request.target.startswith("/batch") else answer(404, NO_BUCKET)
    with pytest.raises(BucketNotFoundError):
        proxied.store.delete_many(["a", "b"])
    denied = b'{"error": {"code": 403, "message": "held", "errors": [{"reason": "forbidden"}]}}'
    proxied.proxy.plan = lambda request: answer(403, denied)
    with pytest.raises(PermissionDeniedError, match="held") as caught:
        proxied.store.delete_many(["a", "c"])
    assert caught.value.key == "a"


def test_a_batch_that_never_gets_through(proxied: Proxied) -> None:
    """After the retries the failure is told, of a part and of the whole, and so is an answer with parts missing."""
    store = proxied.open(retries=1)
    for fault in (batch((0, 503, b"")), answer(503), batch()):
        proxied.proxy.plan = lambda _, fault=fault: fault
        with pytest.raises(UnavailableError):
            store.delete_many(["a"])
    proxied.proxy.plan = None
    store.close()


def test_a_batch_in_a_bucket_that_is_missing(gcs: GCSServer) -> None:
    """So many absent blobs are no absent blobs."""
    for url in (gcs.url(bucket="no-such-bucket"), gcs.url(bucket="no-such-bucket", endpoint_url=gcs.emulator_url)):
        with Storage(url, auth=gcs.account()) as store:
            with pytest.raises(BucketNotFoundError):
                store.delete_many(["a", "b"])
            with pytest.raises(BucketNotFoundError):
                store.set("a", io.BytesIO(b"x" * (9 * MIB)))
            with pytest.raises(BucketNotFoundError):
                store.list()


def test_listing_is_refused(proxied: Proxied) -> None:
    """A listing that is not allowed raises, from its first page and from a later one."""
    proxied.proxy.script(answer(403, b"no"))
    with pytest.raises(PermissionDeniedError):
        list(proxied.store.iter_list())


def test_parts_that_come_damaged(proxied: Proxied) -> None:
    """A part, or a blob put together, whose checksum is another than was sent is an IntegrityError; the old blob stands."""
    proxied.honest.set("a", "old")
    proxied.store.backend.parallel_uploads = True  # type: ignore[attr-defined]
    wrong = {"X-Goog-Hash": "crc32c=AAAAAA==", "ETag": '"x"', "X-Goog-Generation": "1"}
    cases: list[Callable[[Request], bool]] = [
        lambda r: "partNumber=1&" in r.target,
        lambda r: r.method == "POST" and "uploadId=" in r.target,
    ]
    for case in cases:
        proxied.proxy.script(answer(200, b"", wrong), when=case)
        with pytest.raises(IntegrityError, match="CRC32C|bytes"):
            proxied.store.set("a", io.BytesIO(b"x" * (9 * MIB)))
        assert proxied.honest.get("a") == "old"


def test_an_upload_in_parts_without_a_name(proxied: Proxied) -> None:
    """An answer that does not name the upload is a failure of the service."""
    proxied.store.backend.parallel_uploads = True  # type: ignore[attr-defined]
    proxied.proxy.plan = lambda r: answer(200, b"<x/>") if r.target.endswith("?uploads") else None
    with pytest.raises(UnavailableError, match="does not name it"):
        proxied.store.set("a", io.BytesIO(b"x" * (9 * MIB)))


def test_parts_whose_end_nobody_can_tell(proxied: Proxied) -> None:
    """A lost answer to the last request, and another's blob there by then: the outcome is unknown. Without a loss: as it is."""
    proxied.store.backend.parallel_uploads = True  # type: ignore[attr-defined]

    def last(request: Request) -> bool:
        return request.method == "POST" and "uploadId=" in request.target

    ends: list[Request] = []

    def meanwhile(request: Request) -> None:
        if last(request):
            ends.append(request)
            proxied.honest.set("a", "another's")

    proxied.proxy.script(LOST, when=last)
    proxied.proxy.plan = meanwhile
    with pytest.raises(UnavailableError, match="outcome is unknown"):
        proxied.store.set("a", io.BytesIO(b"x" * (9 * MIB)))
    assert len(ends) == 1
    proxied.proxy.plan = None
    proxied.proxy.script(answer(403, b"<Error><Code>AccessDenied</Code></Error>"), when=last)
    with pytest.raises(PermissionDeniedError):
        proxied.store.set("a", io.BytesIO(b"x" * (9 * MIB)))
    assert proxied.honest.get("a") == "another's"


def test_a_lost_write_that_cannot_be_looked_at(proxied: Proxied) -> None:
    """Where the look at what is there fails too, or finds nothing, the outcome is unknown."""
    store = proxied.open(retries=1)
    for look in (answer(403, b"no"), answer(404, b'{"error": {"message": "No such object: x"}}')):
        proxied.proxy.script(LOST, when=lambda r: r.method == "POST")
        proxied.proxy.script(look, when=lambda r: r.method == "GET")
        with pytest.raises(UnavailableError, match="outcome is unknown"):
            store.set(f"k{look.status}", "1", overwrite=False)
    store.close()


def test_a_service_that_takes_no_bytes(proxied: Proxied) -> None:
    """An upload whose chunks are acknowledged and not taken ends after the retries; one that loses bytes at once."""
    store = proxied.open(retries=2)
    proxied.proxy.plan = lambda r: answer(308) if r.method == "PUT" else None
    with pytest.raises(UnavailableError, match="takes no more bytes"):
        store.set("a", io.BytesIO(b"x" * (9 * MIB)))
    proxied.proxy.plan = None
    proxied.proxy.script(answer(308, b"", {"Range": "bytes=0-99999999"}), when=lambda r: r.method == "PUT")
    with pytest.raises(IntegrityError, match="lost bytes"):
        store.set("a", io.BytesIO(b"x" * (9 * MIB)))
    assert not proxied.honest.exists("a")
    store.close()


def test_reading_one_version(proxied: Proxied) -> None:
    """What the backend reads under ``if_match``: that version, another one, an etag of none, past the end, an absent blob."""
    store, backend = proxied.store, proxied.store.backend
    path = store._core.routes["data"].prefix + "a"
    old = store.set("a", b"0123456789").etag
    assert backend.get(path, 2, 5, old) == b"234"
    found, chunks = backend.stream(path, 2, 5, old)
    assert (b"".join(chunks), found.size, found.etag) == (b"234", 10, old)
    found, chunks = backend.stream(path, 10, None, old)
    assert (list(chunks), found.size) == ([], 10)
    assert list(backend.stream(path, 99).chunks) == []
    store.set("a", b"new")
    reads: list[Callable[[str], object]] = [
        lambda etag: backend.get(path, if_match=etag),
        lambda etag: backend.stream(path, if_match=etag),
    ]

    def refused(wanted: type[Exception]) -> None:
        for read in reads:
            for etag in (old, "made-up"):
                with pytest.raises(Exception) as caught:
                    read(etag)
                kind = backend.classify(caught.value)
                assert kind is not None
                assert issubclass(kind, wanted)

    refused(PreconditionFailedError)
    store.delete("a")
    refused(NotFoundError)


def test_the_last_bytes(proxied: Proxied) -> None:
    """They come in one request, of one version, as a slice gives them; also where the body is cut, and of an empty blob."""
    data = random.Random(1).randbytes(3 * MIB)
    etag = proxied.honest.set("a", data).etag
    proxied.honest.set("empty", b"")
    backend, root = proxied.store.backend, proxied.store._core.routes["data"].prefix
    for last in (1, 100, len(data) - 1, len(data), len(data) + 1):
        proxied.seen()
        assert backend.get(root + "a", -last) == data[-last:]
        assert len(proxied.seen()) == 1
        found, chunks = backend.stream(root + "a", -last, if_match=etag)
        assert (b"".join(chunks), found.size) == (data[-last:], len(data))
        assert b"".join(backend.stream(root + "a", -last).chunks) == data[-last:]
    assert backend.get(root + "empty", -5) == b""
    assert list(backend.stream(root + "empty", -5).chunks) == []
    proxied.proxy.script(TRUNCATE, when=lambda r: "alt=media" in r.target)
    assert backend.get(root + "a", -2 * MIB) == data[-2 * MIB :]
    first, second = [r for r in proxied.proxy.requests if "alt=media" in r.target][-2:]
    assert first.headers["range"] == f"bytes=-{2 * MIB}"
    assert f"ifGenerationMatch={etag}" in second.target


def test_the_last_bytes_of_the_emulator(gcs: GCSServer) -> None:
    """Without the strict proxy: it gives an empty range of an empty blob."""
    with Storage(gcs.url(endpoint_url=gcs.emulator_url, query="&anonymous=true")) as store:
        store.set("empty", b"")
        assert store.backend.get(store._core.routes["data"].prefix + "empty", -5) == b""


def test_a_server_that_does_not_know_ranges(proxied: Proxied) -> None:
    """One that sends everything is read from where the range begins."""
    etag = proxied.honest.set("a", b"0123456789").etag
    proxied.proxy.script(answer(200, b"0123456789", {"X-Goog-Generation": etag}))
    assert proxied.store.get_bytes("a", start=7) == b"789"
