"""Limits: heads, slow clients, connections; what an upload that is cut off leaves on disk."""

from __future__ import annotations

import contextlib
import inspect
import re
import shutil
import socket
import time

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
        # One that never ends is cut off, long before its deadline.
        with connect(url) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /" + b"x" * 20_000_000)
            assert status_of(read_all(connection)) == 0
        assert send("GET", url).status == 200


@pytest.mark.parametrize("first", [False, True])
def test_slow_heads(store, monkeypatch, first):
    """A client that drips its head, on a new connection or after a request, is closed in time however busy it looks."""
    monkeypatch.setattr(_uvicorn, "_HEAD_SECONDS", 0.5)
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


@pytest.mark.parametrize(
    "lines, version",
    [
        (("Content-Length: 3", "Transfer-Encoding: chunked"), "1.1"),
        (("Transfer-Encoding: chunked", "Content-Length: 3"), "1.1"),
        (("Transfer-Encoding: chunked",), "1.0"),
        (("Transfer-Encoding: gzip, chunked",), "1.1"),
        (("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "1.1"),
        (("Transfer-Encoding: xchunked",), "1.1"),
        (("Content-Length: 3", "Content-Length: 4"), "1.1"),
    ],
)
def test_where_a_body_ends(store, lines, version):
    """A body whose end a proxy may see elsewhere is a 400, and what follows is no second request: the connection is closed."""
    with serving(SignedURLs(store)) as base:
        url = moved(store.get_upload_url("a"), base)
        smuggled = head("GET", moved(store.get_signed_url("a"), base))
        with connect(url) as connection:
            first = head("PUT", url, *lines).replace(b"HTTP/1.1", b"HTTP/" + version.encode())
            connection.sendall(first + b"3\r\nnew\r\n0\r\n\r\n" + smuggled)
            answer = read_all(connection)
        assert status_of(answer) == 400
        assert len(re.findall(rb"HTTP/1\.1 \d", answer)) == 1
        assert b"connection: close" in answer.lower()
    assert store.get("a") == "old"


def test_a_request_whose_client_sends_no_more(store):
    """A client that closes its half of the connection after whole requests gets every answer."""
    with serving(SignedURLs(store)) as base:
        url = moved(store.get_signed_url("a"), base)
        upload = moved(store.get_upload_url("b"), base)
        with connect(url) as connection:
            connection.sendall(head("GET", url) + head("PUT", upload, "Content-Length: 3") + b"new" + head("GET", url))
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection).count(b"HTTP/1.1 200") == 3
    assert store.get("b") == "new"


def test_idle_connections(store, monkeypatch):
    """A client that connects and says nothing is closed, too."""
    monkeypatch.setattr(_uvicorn, "_HEAD_SECONDS", 0.2)
    with serving(SignedURLs(store)) as base, connect(base) as connection:
        assert read_all(connection) == b""


def test_a_slow_body_is_no_slow_head(store, monkeypatch):
    """The deadline of a head does not count while a body comes or goes."""
    monkeypatch.setattr(_uvicorn, "_HEAD_SECONDS", 0.2)
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


def copied(tmp_path):
    """A store and a copy of it, with its id, as ``cp -a`` makes it."""
    with Storage(f"file://{tmp_path}/one?fsync=false") as one:
        one.set("a", b"one")
        one.get_signed_url("a")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    return Storage(f"file://{tmp_path}/one?serve_url=http://x"), Storage(f"file://{tmp_path}/two?serve_url=http://x")


def test_a_copied_store(tmp_path):
    """Two directories with one id are refused by name; with an id of its own the copy is served; one opened twice is no copy."""
    one, two = copied(tmp_path)
    with pytest.raises(ConfigurationError, match=r"/one and .*/two have the same id.*\.storage~/id"):
        SignedURLs(one, two)
    SignedURLs(one, Storage(f"file://{tmp_path}/one"))
    (tmp_path / "two/.storage~/id").unlink()
    two.set("a", b"two")
    with serving(SignedURLs(one, two)) as base:
        assert send("GET", moved(two.get_signed_url("a"), base)).body == b"two"
        assert send("GET", moved(one.get_signed_url("a"), base)).body == b"one"


def test_a_copied_store_in_one_process(tmp_path):
    """The server of the process serves no two directories with one id either; one that was moved is served where it is now."""
    copied(tmp_path)
    one, two = (Storage(f"file://{tmp_path}/{name}") for name in ("one", "two"))
    assert send("GET", one.get_signed_url("a")).body == b"one"
    with pytest.raises(ConfigurationError, match=r"/one and .*/two have the same id"):
        two.get_signed_url("a")
    shutil.rmtree(tmp_path / "one")
    assert send("GET", two.get_signed_url("a")).body == b"one"


def test_a_store_that_becomes_a_copy(tmp_path, caplog):
    """A directory that gets the id of another while both are served is not answered, and the log names both."""
    one, two = copied(tmp_path)
    (tmp_path / "two/.storage~/id").rename(tmp_path / "id")
    with serving(SignedURLs(one, two)) as base:
        url = moved(one.get_signed_url("a"), base)
        assert send("GET", url).status == 200
        (tmp_path / "id").rename(tmp_path / "two/.storage~/id")
        assert send("GET", url).status == 403
    assert "/one and" in caplog.text
    assert "/two have the same id" in caplog.text


def test_what_is_used_of_uvicorn():
    """The names of uvicorn beside its settings that the server rests on: a version without them is not for us."""
    parameters = inspect.signature(HttpToolsProtocol.__init__).parameters
    assert {"config", "server_state", "app_state", "_loop"} <= set(parameters)
    source = inspect.getsource(HttpToolsProtocol)
    assert "self.access_log = " in source
    assert '"state": self.app_state.copy()' in source
    assert issubclass(_uvicorn.Server, uvicorn.Server)
    for name in ("main_loop", "on_tick", "shutdown"):
        assert inspect.iscoroutinefunction(getattr(uvicorn.Server, name))
    server = _uvicorn.make_server(lambda *_: None)
    assert (server.server_state.connections, server.server_state.tasks) == (set(), set())
    assert server.should_exit is server.force_exit is False


def test_a_store_with_a_service_of_its_own():
    """Only local stores can be served; another is refused when the application is made."""
    with (
        Storage("s3://bucket?region=eu-central-1&anonymous=true") as store,
        pytest.raises(ConfigurationError, match="its own service"),
    ):
        SignedURLs(store)
