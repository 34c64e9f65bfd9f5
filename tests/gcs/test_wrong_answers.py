"""Answers that do not fit what was asked, and answers of something else: never wrong bytes, never a success that was none."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3.util.retry import Retry

from storage import IntegrityError, PreconditionFailedError, Storage, UnavailableError
from storage.backends import PutOptions
from storage.backends.gcs._headers import checksum, encoded_crc
from storage.testing.faults import Fault, FaultProxy, Request
from tests.gcs.conftest import Proxied, answer

MIB = 1024 * 1024
DATA = bytes(range(256)) * 4096
READS: dict[str, Callable[[Storage], object]] = {
    "get_bytes": lambda s: s.get_bytes("a", start=1000, end=2000),
    "from": lambda s: s.get_bytes("a", start=1000),
    "iter_bytes": lambda s: b"".join(s.iter_bytes("a", start=1000, end=2000)),
    "open": lambda s: _read(s, 1000, 1000),
    "last": lambda s: s.backend.get("data/a", -1000),
}


def _read(store: Storage, start: int, size: int) -> bytes:
    with store.open("a") as file:
        file.seek(start)
        return bytes(file.read(size))


@pytest.fixture
def store(proxy: FaultProxy) -> Iterator[Storage]:
    url = f"gs://bucket?anonymous=true&project=p&endpoint_url={proxy.url}"
    with Storage(url, retries=Retry(1, backoff_factor=0), timeout=5) as store:
        yield store


def resource(data: bytes = DATA, **changes: Any) -> bytes:
    described = {
        "name": "data/a",
        "size": str(len(data)),
        "generation": "7",
        "metageneration": "1",
        "timeCreated": "2026-11-22T19:05:11.000Z",
        "crc32c": encoded_crc(checksum(data)),
        **changes,
    }
    return json.dumps({name: value for name, value in described.items() if value is not None}).encode()


def media(status: int, data: bytes, span: str | None = None, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    spans = {"Content-Range": span} if span else {}
    return answer(status, data, {"X-Goog-Generation": "7", **spans, **named})


def serve(proxy: FaultProxy, body: Callable[[Request], Fault]) -> None:
    """Each description is the true one; each download is ``body``'s."""
    proxy.plan = lambda request: body(request) if "alt=media" in request.target else answer(200, resource())


def test_a_server_without_ranges(store: Storage, proxy: FaultProxy) -> None:
    """The whole blob where a range was asked for: what was asked for is taken from it."""
    serve(proxy, lambda _: media(200, DATA))
    assert READS["get_bytes"](store) == READS["iter_bytes"](store) == READS["open"](store) == DATA[1000:2000]
    assert READS["from"](store) == DATA[1000:]
    assert READS["last"](store) == DATA[-1000:]
    assert store.get_bytes("a", start=len(DATA) + 5) == b""


def test_a_range_with_status_200(store: Storage, proxy: FaultProxy) -> None:
    """Google's own test bench answers so."""

    def ranged(request: Request) -> Fault:
        first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
        start = int(first) if first else len(DATA) - int(last)
        stop = min(int(last) if first and last else len(DATA) - 1, len(DATA) - 1)
        return media(200, DATA[start : stop + 1], f"bytes {start}-{stop}/{len(DATA)}")

    serve(proxy, ranged)
    assert READS["get_bytes"](store) == READS["iter_bytes"](store) == READS["open"](store) == DATA[1000:2000]
    assert READS["from"](store) == DATA[1000:]
    assert READS["last"](store) == DATA[-1000:]


WRONG: dict[str, Fault] = {
    "another range": media(206, DATA[:1000], f"bytes 0-999/{len(DATA)}"),
    "shorter": media(206, DATA[1000:1500], f"bytes 1000-1499/{len(DATA)}"),
    "longer": media(206, DATA[1000:3000], f"bytes 1000-2999/{len(DATA)}"),
    "shorter than it says": media(206, DATA[1000:1500], f"bytes 1000-1999/{len(DATA)}"),
    "longer than it says": media(206, DATA[1000:3000], f"bytes 1000-1999/{len(DATA)}"),
    "no range": media(206, DATA[1000:2000]),
    "a range of nothing": media(206, DATA[1000:2000], "bytes */*"),
    "a range that is none": media(206, DATA[1000:2000], "bytes 1000-1999"),
    "a negative range": media(206, DATA[1000:2000], f"bytes -5-1999/{len(DATA)}"),
    "a huge range": media(206, DATA[1000:2000], f"bytes 1000-{'9' * 40}/{len(DATA)}"),
    "less than is stored": media(200, DATA[:500], X_Goog_Stored_Content_Length=str(len(DATA))),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("name", WRONG)
def test_another_range(store: Storage, proxy: FaultProxy, name: str, read: str) -> None:
    """Another range or length than was asked for is an IntegrityError, however it is read."""
    serve(proxy, lambda _: WRONG[name])
    with pytest.raises(IntegrityError):
        READS[read](store)


def test_a_whole_blob_that_is_a_part(store: Storage, proxy: FaultProxy, tmp_path: Path) -> None:
    """A part where the whole was asked for, also in parallel ranges: no shorter file is written."""
    serve(proxy, lambda _: media(206, DATA[:1000], f"bytes 0-999/{len(DATA)}"))
    target = tmp_path / "target"
    target.write_bytes(b"old")
    calls: list[Callable[[], object]] = [
        lambda: store.get_bytes("a"),
        lambda: store.get("a"),
        lambda: list(store.iter_bytes("a")),
        lambda: store.get_file("a", target),
        lambda: store.get_file("a", io.BytesIO()),
    ]
    for parallel in (None, 1):
        store.backend.parallel_from = parallel
        for call in calls:
            with pytest.raises(IntegrityError):
                call()
    assert target.read_bytes() == b"old"


def test_a_size_that_is_not_the_blobs(store: Storage, proxy: FaultProxy) -> None:
    """A description and a download of one generation that differ in their size."""
    proxy.plan = lambda r: media(200, DATA) if "alt=media" in r.target else answer(200, resource(size="5"))
    with pytest.raises(IntegrityError):
        READS["iter_bytes"](store)


def test_another_version(store: Storage, proxy: FaultProxy) -> None:
    """A server or cache that ignores the generation that was asked for gives no mixture of two versions."""
    served: list[Request] = []

    def body(request: Request) -> Fault:
        served.append(request)
        first, _, last = request.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, stop = int(first), int(last or len(DATA) - 1)
        told = {"X-Goog-Generation": "7" if len(served) == 1 else "8"}
        return answer(206, DATA[start : stop + 1], {**told, "Content-Range": f"bytes {start}-{stop}/{len(DATA)}"})

    serve(proxy, body)
    with store.open("a") as file:
        assert file.read(10) == DATA[:10]
        file.seek(MIB - 10)
        with pytest.raises(PreconditionFailedError):
            file.read(10)
        assert "ifGenerationMatch=7" in served[-1].target
    backend = store.backend
    for read in (backend.get, backend.stream):
        with pytest.raises(PreconditionFailedError):
            read("data/a", 0, 100, if_match="7")
    with pytest.raises(PreconditionFailedError):
        b"".join(store.iter_bytes("a", end=100))


# ---- uploads -----------------------------------------------------------------------------------------------------------


def test_a_chunk_that_ends_the_upload(proxied: Proxied) -> None:
    """A chunk that is not the last, answered as if it were: the upload is cancelled, and no tail is published."""
    proxied.honest.set("a", "old")
    info = proxied.honest.info("a")
    made = {"size": "3", "generation": info.etag, "timeCreated": "2026-11-22T19:05:11Z"}
    for body in (json.dumps(made).encode(), b""):
        proxied.proxy.requests.clear()
        proxied.proxy.script(answer(200, body), when=lambda r: r.method == "PUT")
        with pytest.raises(IntegrityError, match="before its last"):
            proxied.store.set("a", io.BytesIO(b"x" * (20 * MIB)))
        methods = [request.method for request in proxied.proxy.requests]
        assert methods == ["POST", "PUT", "DELETE"]
        assert proxied.honest.get("a") == "old"


def test_a_page_in_the_middle_of_an_upload(proxied: Proxied) -> None:
    """Something else's answer to a chunk settles nothing: the service is asked how far it has got."""
    data = bytes(range(256)) * (80 * 1024)
    proxied.proxy.script(answer(200, b"<html>log in</html>"), when=lambda r: r.method == "PUT")
    proxied.store.set("a", io.BytesIO(data))
    assert proxied.honest.get_bytes("a") == data
    proxied.proxy.plan = lambda r: answer(200, b"<html>log in</html>") if r.method == "PUT" else None
    with pytest.raises(UnavailableError):
        proxied.store.set("b", io.BytesIO(data))
    proxied.proxy.plan = None
    assert proxied.honest.list() == ["a"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_end_without_a_description(store: Storage, proxy: FaultProxy, overwrite: bool) -> None:
    """Google's test bench ends an upload so: the blob is looked at, and is ours or not."""
    data, marks = b"x" * 1000, []
    found: list[Fault] = []

    def plan(request: Request) -> Fault:
        if request.method == "POST":
            return answer(200, b"", {"Location": f"{proxy.url}/upload/s?upload_id=1"})
        return answer(200, b"") if request.method == "PUT" else found[0]

    proxy.plan = plan
    options = PutOptions("text/plain", overwrite=overwrite)

    def write(**changes: Any) -> str:
        writer: Any = store.backend.writer("data/a", options)
        mark = {"storage_write": writer._write.nonce} if writer._write.nonce else None
        marks.append(mark)
        found[:] = [answer(200, resource(data, **{"metadata": mark, **changes}))]
        writer.write(data)
        try:
            return str(writer.commit().etag)
        finally:
            writer.abort()

    assert write() == "7"
    wrong: list[dict[str, Any]] = [{"crc32c": "AAAAAB=="}, {"size": "999"}]
    if not overwrite:
        wrong.append({"metadata": {"storage_write": "another's"}})
    for changes in wrong:
        with pytest.raises(UnavailableError):
            write(**changes)


def test_a_blob_of_nothing_without_a_size(store: Storage, proxy: FaultProxy) -> None:
    """Google's test bench leaves it out; where the checksum is not that of nothing, it is missing."""
    proxy.plan = lambda _: answer(200, resource(b"", size=None))
    assert store.set("a", b"").size == 0
    assert store.info("a").size == 0
    proxy.plan = lambda _: answer(200, resource(size=None))
    with pytest.raises(UnavailableError):
        store.info("a")


# ---- answers of something else -----------------------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html><html><body>Log in to the network</body></html>"
CALLS: dict[str, Callable[[Storage], object]] = {
    "set": lambda s: s.set("a", b"1"),
    "set large": lambda s: s.set("a", io.BytesIO(bytes(9 * MIB))),
    "get": lambda s: s.get("a"),
    "iter_bytes": lambda s: list(s.iter_bytes("a")),
    "info": lambda s: s.info("a"),
    "exists": lambda s: s.exists("a"),
    "delete": lambda s: s.delete("a"),
    "delete_many": lambda s: s.delete_many(["a", "b"]),
    "copy": lambda s: s.copy("a", "b"),
    "move": lambda s: s.move("a", "b"),
    "list": lambda s: s.list(),
    "iter_info": lambda s: list(s.iter_info()),
    "setup": lambda s: s.setup(create_bucket=True),
    "cors": lambda s: s.setup(cors_origins=["https://a.example"]),
}
FOREIGN: dict[str, Fault] = {
    "a page": answer(200, PAGE, {"Content-Type": "text/html"}),
    "a redirect to a page": answer(302, PAGE, {"Location": "https://login.example/"}),
    "a page that says 404": answer(404, PAGE),
    "bytes": answer(200, b"\xff\xfe\x00"),
    "cut JSON": answer(200, resource()[:40]),
    "null": answer(200, b"[null]"),
    "a number": answer(200, b"7"),
    "a bomb": answer(200, b"[" * 100_000 + b"]" * 100_000),
    "a long number": answer(200, b'{"size": ' + b"1" * 5000 + b"}"),
    "a text for each field": answer(
        200,
        json.dumps(
            dict.fromkeys(["size", "generation", "name", "done", "rewriteToken", "kind", "items"], "x")
        ).encode(),
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("call", CALLS)
def test_something_elses_answer(store: Storage, proxy: FaultProxy, name: str, call: str) -> None:
    """A login page, a cut or malformed document: an UnavailableError, after the retries, and never a success."""
    proxy.plan = lambda _: FOREIGN[name]
    with pytest.raises(UnavailableError) as caught:
        CALLS[call](store)
    assert len(proxy.requests) >= 2
    assert "<html>" not in repr(caught.value) or name == "a redirect to a page" or "404" in name


def test_what_the_service_always_says(store: Storage, proxy: FaultProxy) -> None:
    """A download without a generation, an upload without its place, a copy that makes no progress: not the service's."""
    proxy.plan = lambda _: answer(200, b"data")
    with pytest.raises(UnavailableError, match="generation"):
        store.get("a")
    proxy.plan = lambda _: answer(200, b"")
    with pytest.raises(UnavailableError, match="location"):
        store.set("a", io.BytesIO(bytes(9 * MIB)))
    for body, words in ((b'{"done": false}', "rewriteToken"), (b'{"done": false, "rewriteToken": "t"}', "no progress")):
        proxy.plan = lambda _, body=body: answer(200, body)
        with pytest.raises(UnavailableError, match=words):
            store.copy("a", "b")


def test_answers_without_their_name(store: Storage, proxy: FaultProxy) -> None:
    """Where the service has named an answer of its own, one without a name is something else's: also to a delete."""
    proxy.plan = lambda _: answer(204)
    store.delete("a")
    bare = Fault("answer", 204)
    proxy.plan = lambda _: bare
    with pytest.raises(UnavailableError, match="without the request id"):
        store.delete("a")
    proxy.script(bare, answer(204))
    store.delete("a")
