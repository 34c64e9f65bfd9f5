"""Limits: heads, slow clients, connections; what an upload that is cut off leaves on disk."""

from __future__ import annotations

import contextlib
import time

import pytest

from storage import ConfigurationError, Storage
from storage.server import SignedURLs, _uvicorn
from storage.testing._http import send
from tests.server.serving import connect, head, moved, read_all, serving, status_of


@pytest.fixture
def store(tmp_path):
    """A directory."""
    with Storage(f"file://{tmp_path}/s?fsync=false") as storage:
        storage.set("a", b"old")
        yield storage


def test_long_heads(store):
    """A head over the limit is a 4xx, not memory."""
    with serving(SignedURLs(store)) as base:
        url = moved(store.get_signed_url("a"), base)
        for line in ("X-Long: " + "x" * 40_000, "\r\n".join(f"X-{n}: {'x' * 100}" for n in range(400))):
            with connect(url) as connection, contextlib.suppress(ConnectionError):
                connection.sendall(head("GET", url, line, "Connection: close"))
                assert 400 <= status_of(read_all(connection)) < 500
        with connect(url) as connection:
            connection.sendall(b"GET /" + b"x" * 50_000)
            assert status_of(read_all(connection)) in (0, 400)
        assert send("GET", url).status == 200


@pytest.mark.parametrize("first", [False, True])
def test_slow_heads(store, monkeypatch, first):
    """A client that drips its head, on a new connection or after a request, is closed in time however busy it looks."""
    monkeypatch.setattr(_uvicorn, "_HEADER_SECONDS", 0.5)
    with serving(SignedURLs(store)) as base:
        url = moved(store.get_signed_url("a"), base)
        with connect(url) as connection:
            if first:
                connection.sendall(head("GET", url))
                answer = b""
                while not answer.endswith(b"old"):
                    answer += connection.recv(10_000)
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                for byte in head("GET", url, *(f"X-{n}: y" for n in range(100))):
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)  # a slow client is what this is about
                    if time.monotonic() - began > 10:
                        pytest.fail("it may drip for ever")
            assert time.monotonic() - began < 10
        assert send("GET", url).status == 200


def test_idle_connections(store, monkeypatch):
    """A client that connects and says nothing is closed, too."""
    monkeypatch.setattr(_uvicorn, "_HEADER_SECONDS", 0.2)
    with serving(SignedURLs(store)) as base, connect(base) as connection:
        assert read_all(connection) == b""


def test_a_slow_body_is_no_slow_head(store, monkeypatch):
    """The deadline of a head does not count while a body comes or goes."""
    monkeypatch.setattr(_uvicorn, "_HEADER_SECONDS", 0.2)
    with serving(SignedURLs(store)) as base:
        url = moved(store.get_upload_url("a"), base)
        with connect(url) as connection:
            connection.sendall(head("PUT", url, "Content-Length: 4", "Connection: close"))
            for byte in b"slow":
                time.sleep(0.15)
                connection.sendall(bytes([byte]))
            assert status_of(read_all(connection)) == 200
    assert store.get("a") == "slow"


def test_too_many_connections(store, monkeypatch):
    """Over the limit a client is told to come later, and once there is room it is served."""
    monkeypatch.setattr(_uvicorn, "_CONNECTIONS", 5)
    with serving(SignedURLs(store)) as base:
        url = moved(store.get_signed_url("a"), base)
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(connect(url)) for _ in range(6)]
            held[-1].sendall(head("GET", url, "Connection: close"))
            assert status_of(read_all(held[-1])) == 503
        for _ in range(100):
            if send("GET", url).status == 200:
                return
        pytest.fail("the others are gone, and there is still no room")


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_what_a_cut_upload_leaves(store, tmp_path, size):
    """A client that vanishes in the middle of an upload leaves the old blob, and no file of its own on disk."""
    with serving(SignedURLs(store)) as base:
        url = moved(store.get_upload_url("a"), base)
        with connect(url) as connection:
            connection.sendall(head("PUT", url, f"Content-Length: {size + 1}") + b"x" * size)
            staged = tmp_path / "s/.storage~/tmp"
            for _ in range(400 if size > 1_048_576 else 0):
                if list(staged.iterdir()):
                    break
                time.sleep(0.05)  # until the server has begun to write
            else:
                assert size < 1_048_576
    assert store.get("a") == "old"
    assert store.list() == ["a"]
    assert list((tmp_path / "s/.storage~/tmp").iterdir()) == []


def test_a_file_that_is_replaced_during_a_download(store):
    """A download that has begun is of one version to its end."""
    store.set("big", b"1" * 30_000_000)
    with serving(SignedURLs(store)) as base:
        url = moved(store.get_signed_url("big"), base)
        with connect(url) as connection:
            connection.sendall(head("GET", url, "Connection: close"))
            received = connection.recv(100_000)
            store.set("big", b"2" * 30_000_000)
            received += read_all(connection)
    body = received.partition(b"\r\n\r\n")[2]
    assert body == b"1" * 30_000_000


def test_a_store_with_a_service_of_its_own():
    """Only local stores can be served; another is refused when the application is made."""
    with (
        Storage("s3://bucket?region=eu-central-1&anonymous=true") as store,
        pytest.raises(ConfigurationError, match="its own service"),
    ):
        SignedURLs(store)
