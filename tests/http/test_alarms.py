"""A caller's own SIGALRM handler that raises ``TimeoutError``: it comes out as it is, whatever the transport was at."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from storage import Storage
from storage.backends._http import _dial, tls_context
from tests.http.certificates import Authority
from tests.http.scripted import Peer, Server, pool_of

LARGE = bytes(64 * 1024 * 1024)


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise TimeoutError("the caller's own")

    before = signal.signal(signal.SIGALRM, give_up)
    yield
    signal.signal(signal.SIGALRM, before)


def ring() -> None:
    """As ``signal.alarm`` does when its time has come."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)


def before_the_answer(peer: Peer) -> None:
    peer.request()
    ring()
    peer.wait_for_the_end()


def in_the_head(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-")
    ring()
    peer.wait_for_the_end()


def in_the_body(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123")
    ring()
    peer.wait_for_the_end()


def while_sending(peer: Peer) -> None:
    peer.head()
    ring()
    peer.wait_for_the_end()


def in_the_handshake(peer: Peer) -> None:
    peer.sock.recv(1)
    ring()
    peer.wait_for_the_end()


MOMENTS = [before_the_answer, in_the_head, in_the_body, while_sending]


@pytest.mark.parametrize("script", MOMENTS, ids=lambda script: script.__name__)
@pytest.mark.parametrize("secure", [False, True])
def test_during_a_request(script: Callable[[Peer], None], secure: bool, tmp_path) -> None:
    """In plain HTTP and in TLS; the connection is not used again."""
    authority = Authority(tmp_path) if secure else None
    tls = tls_context(str(authority.bundle)) if authority else None
    body = LARGE if script is while_sending else b"x"
    with (
        Server(script, tls=authority.server() if authority else None) as server,
        pool_of(server.port, tls=tls, read_timeout=30) as pool,
    ):
        with pytest.raises(TimeoutError, match="the caller's own"):
            pool.request("PUT", "/", {}, body, repeatable=True)
        assert not pool._idle
    assert server.accepted == 1


def test_in_the_handshake(tmp_path) -> None:
    tls = tls_context(str(Authority(tmp_path).bundle))
    with (
        Server(in_the_handshake) as server,
        pool_of(server.port, tls=tls) as pool,
        pytest.raises(TimeoutError, match="the caller's own"),
    ):
        pool.request("GET", "/", {}, repeatable=True)


@pytest.mark.parametrize(
    "where, name", [(socket, "getaddrinfo"), (_dial, "wait_for")], ids=["looking up", "connecting"]
)
def test_while_connecting(where: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def rings(*_: object, **__: object) -> None:
        raise TimeoutError("the caller's own")

    with Server(Peer.wait_for_the_end) as server, pool_of(server.port) as pool:
        monkeypatch.setattr(where, name, rings)
        with pytest.raises(TimeoutError, match="the caller's own"):
            pool.request("GET", "/", {}, repeatable=True)


URLS = {
    "s3": "s3://bucket?region=us-east-1&endpoint_url=http://127.0.0.1:{port}",
    "gs": "gs://bucket?anonymous=true&project=p&endpoint_url=http://127.0.0.1:{port}",
}
CALLS = {
    "get": lambda store: store.get("k"),
    "set": lambda store: store.set("k", b"1"),
    "set, create-only": lambda store: store.set("k", b"1", overwrite=False),
    "open": lambda store: store.open("k").read(),
    "delete": lambda store: store.delete("k"),
    "copy": lambda store: store.copy("k", "l"),
    "list": lambda store: store.list(),
    "get_file": lambda store: store.get_file("k", "unused"),
}


@pytest.mark.parametrize("scheme", URLS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_driver_does_not_try_again(scheme: str, call: Callable[[Storage], object], tmp_path, monkeypatch) -> None:
    """The exception is the caller's, bare, after one request."""
    monkeypatch.chdir(tmp_path)
    auth = {"access_key_id": "a", "secret_access_key": "b"} if scheme == "s3" else None
    with (
        Server(before_the_answer) as server,
        Storage(URLS[scheme].format(port=server.port), auth=auth, timeout=(5, 30)) as store,
    ):
        with pytest.raises(TimeoutError, match="the caller's own") as caught:
            call(store)
        assert type(caught.value) is TimeoutError
    assert server.accepted == 1
