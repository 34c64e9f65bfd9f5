"""The FastAPI example of the docs, in its own server."""

from __future__ import annotations

import hashlib
import http.client
import json
import queue
import socket
import threading
import time
import tracemalloc
from urllib.parse import urlsplit

import pytest
import uvicorn

from storage import Storage
from tests.emulators.s3 import seaweedfs

__all__ = ["seaweedfs"]

MIB = 1024 * 1024


@pytest.fixture
def ended():
    """The paths of the requests that the server is done with, in this order."""
    return queue.SimpleQueue()


@pytest.fixture(params=["file", "s3"])
def address(request, tmp_path, monkeypatch, ended):
    if request.param == "s3":
        server = request.getfixturevalue("seaweedfs")
        monkeypatch.setenv("STORAGE_URL", server.url())
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    else:
        monkeypatch.setenv("STORAGE_URL", f"file://{tmp_path}/store?fsync=false")
    from examples.fastapi_app import app

    async def watched(scope, receive, send):
        try:
            await app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                ended.put(scope["path"])

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(watched, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.mark.parametrize("address", ["file"], indirect=True)  # S3 holds the parts that are on their way
def test_a_large_blob_passes_through_both_ways_without_being_held(address):
    """64 MiB up, and down again, the same bytes, in memory that is a fraction of them."""
    piece = bytes(range(256)) * 4096
    digest = hashlib.sha256(piece * 64).hexdigest()
    tracemalloc.start()
    try:
        client = http.client.HTTPConnection(*address)
        client.request(
            "PUT",
            "/blobs/big/one.bin",
            body=(piece for _ in range(64)),
            headers={"Content-Type": "application/x-big"},
            encode_chunked=True,
        )
        answer = client.getresponse()
        assert (answer.status, b'"size":67108864' in answer.read()) == (201, True)
        client.request("GET", "/blobs/big/one.bin")
        answer = client.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-big")
        received = hashlib.sha256()
        while data := answer.read(MIB):
            received.update(data)
        client.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert received.hexdigest() == digest
    assert peak < 32 * MIB


def test_a_client_that_goes_away_leaves_the_old_blob(address, ended):
    """Half an upload is no blob."""
    store = Storage()
    store.set("key", "old")
    with socket.create_connection(address) as client:
        client.sendall(b"PUT /blobs/key HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n" + bytes(5 * MIB))
    assert ended.get(timeout=60) == "/blobs/key"
    assert store.get("key") == "old"
    assert store.list() == ["key"]


@pytest.mark.parametrize("path", ["/blobs/none", "/blobs/a%2F..%2Fb"])
def test_what_is_not_there(address, path):
    """An absent blob and a key that cannot be are both 404."""
    client = http.client.HTTPConnection(*address)
    client.request("GET", path)
    assert client.getresponse().status == 404
    client.close()


def ask(address, method, path, headers=(), body=None):
    """The status, headers and body of one answer."""
    client = http.client.HTTPConnection(*address, timeout=10)
    client.request(method, path, body=body, headers=dict(headers))
    answer = client.getresponse()
    data = answer.read()
    client.close()
    return answer.status, answer.headers, data


@pytest.mark.parametrize(
    "span, status, data",
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_ranges(address, span, status, data):
    """A part of a blob, as browsers and video players ask for it."""
    Storage().set("key", b"0123456789")
    found, headers, body = ask(address, "GET", "/blobs/key", {"Range": span})
    assert found == status
    if data is not None:
        assert body == data
        assert headers["Content-Length"] == str(len(data))
    if status != 200:
        assert headers["Content-Range"].endswith("/10")


def test_a_version_that_the_client_has(address):
    """An etag that still holds is a 304 without a body."""
    Storage().set("key", "one")
    _, headers, _ = ask(address, "GET", "/blobs/key")
    assert ask(address, "GET", "/blobs/key", {"If-None-Match": headers["ETag"]})[0::2] == (304, b"")
    Storage().set("key", "two")
    assert ask(address, "GET", "/blobs/key", {"If-None-Match": headers["ETag"]})[0::2] == (200, b"two")


def test_a_signed_upload_goes_past_the_service(address):
    """The client sends the blob to the store itself, with exactly what was signed, and only once."""
    status, _, body = ask(address, "POST", "/uploads?key=cat.png&content_type=image/png")
    assert status == 200
    signed = json.loads(body)
    where = urlsplit(signed["url"])
    assert where.port != address[1]
    to = (where.hostname, where.port)
    assert ask(to, "PUT", f"{where.path}?{where.query}", {"Content-Type": "text/html"}, b"<b>")[0] == 403
    assert ask(to, signed["method"], f"{where.path}?{where.query}", signed["headers"], b"png")[0] == 200
    assert ask(to, signed["method"], f"{where.path}?{where.query}", signed["headers"], b"png")[0] == 412
    assert Storage().info("cat.png").content_type == "image/png"
    assert ask(address, "POST", "/uploads?key=a//b&content_type=image/png")[0] == 422
