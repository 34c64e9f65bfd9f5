"""Whatever is sent, the answer is no 5xx, nothing unsigned changes, and the server goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import Storage
from storage.server import SignedURLs
from storage.testing._http import send
from tests.server.serving import call, connect, moved, read_all, serving, status_of

STORE = Storage("memory://")
STORE.set("a", b"old")
APP = SignedURLs(STORE, max_upload=10_000)
GET, PUT = urlsplit(STORE.get_signed_url("a")), urlsplit(STORE.get_upload_url("a"))
BOUND = STORE.sign_upload("a", content_type="text/x", content_length=3, overwrite=False)

NAMES = [
    "range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-type",
    "content-length",
    "content-md5", "content-encoding", "cache-control", "transfer-encoding", "expect", "origin", "access-control-request-method",
    "access-control-request-headers", "host", "connection", "x-forwarded-for",
]  # fmt: skip
VALUES = [
    "", "*", "0", "3", "-1", "1e9", "99999999999999999999", "bytes=", "bytes=0-", "bytes=-", "bytes=1-0", "bytes=0-0,2-2",
    '"x"', "W/",
    "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 99 Foo 99999 99:99:99 +9999", "chunked", "100-continue", "text/x", "null", "YQ==",
    "1B2M2Y8AsgTpgAmY7PhCfg==", "é\xff", "a" * 5000, "\x7f", ", ,", "GET",
]  # fmt: skip
texts = st.one_of(
    st.sampled_from(VALUES),
    st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=20),
)
headers = st.lists(
    st.tuples(st.one_of(st.sampled_from(NAMES), st.from_regex(r"[a-z-]{1,12}", fullmatch=True)), texts), max_size=6
)
methods = st.one_of(
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"]),
    st.text(max_size=5),
)
targets = st.one_of(
    st.sampled_from(
        [(GET.path, GET.query), (PUT.path, PUT.query), (urlsplit(BOUND.url).path, urlsplit(BOUND.url).query)]
    ),
    st.tuples(st.text(max_size=20).map(lambda text: "/" + text), st.text(max_size=30)),
    st.tuples(st.just(GET.path), st.text(st.characters(max_codepoint=255), max_size=40)),
)
bodies = st.lists(st.binary(max_size=5000), max_size=4)


@settings(max_examples=200)
@given(methods, targets, headers, bodies, st.booleans())
def test_any_request(method, target, pairs, pieces, leave):
    """The application answers any request with a status below 500, and header values that a server can send."""
    status, _, answered = asyncio.run(call(APP, method, target, pairs, pieces, leave=leave))
    assert 200 <= status < 500
    for name, value in answered:
        assert name == name.lower()
        assert b"\r" not in value
        assert b"\n" not in value
    assert STORE.list() == ["a"]


@settings(max_examples=100)
@given(
    targets.filter(lambda target: target[1] not in (GET.query, PUT.query, urlsplit(BOUND.url).query)), headers, bodies
)
def test_nothing_unsigned_changes_anything(target, pairs, pieces):
    """Without a valid signature no PUT is carried out."""
    before = STORE.info("a")
    status, _, _ = asyncio.run(call(APP, "PUT", target, pairs, pieces))
    assert status in (400, 403)
    assert STORE.info("a") == before


def mangled(rng, request):
    """Some bytes of a request replaced, inserted, cut out or cut off."""
    data = bytearray(request)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            data[at:at] = rng.choice(
                [b"\r\n", b"\n", b"\0", b" ", b":", b"%", b"\xff", b"Content-Length: 5\r\n", b"HTTP/1.1"]
            )
        elif kind == 2:
            del data[at : at + rng.randrange(1, 30)]
        elif kind == 3:
            data[at:at] = data[max(0, at - rng.randrange(1, 60)) : at]
        else:
            del data[max(at, 1) :]
        data = data or bytearray(b"\n")
    return bytes(data)


def test_mangled_bytes():
    """On a real socket: whatever bytes come, each answer is a 4xx or the right one, and the server answers the next client."""
    rng = random.Random(7)
    with Storage("memory://") as store, serving(SignedURLs(store, stall_seconds=0.3, max_upload=10_000)) as base:
        store.set("a", b"old")
        get, put = (urlsplit(moved(url, base)) for url in (store.get_signed_url("a"), store.get_upload_url("a")))
        requests = [
            f"GET {get.path}?{get.query} HTTP/1.1\r\nHost: {get.netloc}\r\nRange: bytes=0-1\r\n\r\n".encode(),
            f"PUT {put.path}?{put.query} HTTP/1.1\r\nHost: {put.netloc}\r\nContent-Length: 3\r\n\r\nnew".encode(),
            f"PUT {put.path}?{put.query} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnew\r\n0\r\n\r\n".encode(),
            f"OPTIONS {put.path} HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nAccess-Control-Request-Method: PUT\r\n\r\n".encode(),
            f"CONNECT {get.netloc} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
            f"GET {get.path}?{get.query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode(),
        ]
        statuses = set()
        for index in range(300):
            with connect(base) as connection, contextlib.suppress(ConnectionError, socket.timeout):
                connection.sendall(mangled(rng, rng.choice(requests)) if index else requests[0])
                connection.shutdown(socket.SHUT_WR)
                statuses.add(status_of(read_all(connection)))
        assert all(status < 500 for status in statuses), statuses
        assert {206, 400, 403} <= statuses
        assert send("GET", get.geturl()).status == 200


@pytest.mark.parametrize("root", ["", "/files", "/a/b"])
def test_where_it_is_mounted(root):
    """Below any path of another application the same URLs work, and a path beside it does not."""

    async def mounted(path, raw_path):
        scope_path, sent = path, []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def answer(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": scope_path,
            "root_path": root,
            "query_string": GET.query.encode(),
            "headers": [],
        }
        if raw_path is not None:
            scope["raw_path"] = raw_path.encode()
        await APP(scope, receive, answer)
        return sent[0]["status"]

    # As ASGI has it now (the path is whole), as older servers had it (the path is cut), and without a raw path.
    assert asyncio.run(mounted(root + GET.path, root + GET.path)) == 200
    assert asyncio.run(mounted(GET.path, root + GET.path)) == 200
    assert asyncio.run(mounted(root + GET.path, None)) == 200
    assert asyncio.run(mounted(f"/other{GET.path}", f"/other{GET.path}")) == 403
