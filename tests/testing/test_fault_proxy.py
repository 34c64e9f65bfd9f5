"""The fault-injecting proxy does each fault that it promises, and nothing else."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from storage.testing.faults import (
    LOST,
    RESET,
    RESET_BODY,
    STALL,
    STALL_BODY,
    TRUNCATE,
    FaultProxy,
    Randomly,
    Request,
    answer,
)

BODY = bytes(range(256)) * 1024


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append(self.command)  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("X-Host", self.headers["Host"])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(BODY)

    do_PUT = do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.seen = []  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(server: ThreadingHTTPServer) -> Iterator[FaultProxy]:
    with FaultProxy(f"http://127.0.0.1:{server.server_port}", hold=0.3) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=5)
    yield connection
    connection.close()


def ask(client: http.client.HTTPConnection, method: str = "GET", path: str = "/", body: bytes | None = None) -> bytes:
    client.request(method, path, body)
    return client.getresponse().read()


def test_passes_requests_as_they_are(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    """Without a fault, bodies, chunked ones too, and the Host header come through, over one connection."""
    client.request("PUT", "/a?b=c", b"x" * 300_000)
    response = client.getresponse()
    assert response.read() == BODY
    assert response.headers["X-Host"] == proxy.url.removeprefix("http://")
    assert ask(client, path="/chunked") == b"hello world"
    assert ask(client, "HEAD") == b""
    assert [(r.method, r.target, r.connection) for r in proxy.requests] == [
        ("PUT", "/a?b=c", 1),
        ("GET", "/chunked", 1),
        ("HEAD", "/", 1),
    ]


@pytest.mark.parametrize(
    "fault, error, reaches",
    [
        (RESET, ConnectionResetError, False),
        (STALL, http.client.RemoteDisconnected, False),
        (LOST, ConnectionResetError, True),
        (TRUNCATE, http.client.IncompleteRead, True),
        (RESET_BODY, ConnectionResetError, True),
        (STALL_BODY, http.client.IncompleteRead, True),
    ],
)
def test_fault(fault, error, reaches, server, proxy, client) -> None:
    """Each fault does to the client and to the server what its constant says."""
    proxy.script(fault)
    with pytest.raises(error):
        ask(client)
    assert server.seen == (["GET"] if reaches else [])
    client.close()
    assert ask(client) == BODY
    assert [r.fault for r in proxy.requests] == [fault, None]


def test_answer(server, proxy, client) -> None:
    """An answer of the proxy's own reaches the client, and the server sees nothing, also of a request with a body."""
    proxy.script(answer(503, b"<Error/>", {"Retry-After": "1"}), None, answer(500), when=lambda r: r.method == "PUT")
    client.request("PUT", "/", b"x" * 100_000)
    response = client.getresponse()
    assert (response.status, response.read(), response.headers["Retry-After"]) == (503, b"<Error/>", "1")
    assert ask(client) == BODY
    assert ask(client, "PUT", body=b"x") == BODY
    assert ask(client, "PUT", body=b"x") == b""
    assert server.seen == ["GET", "PUT"]


def test_expect(server, proxy, client) -> None:
    """A client that waits for "100 Continue" gets it."""
    client.putrequest("PUT", "/")
    client.putheader("Content-Length", "3")
    client.putheader("Expect", "100-continue")
    client.endheaders()
    assert client.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc")
    assert client.getresponse().read() == BODY


def test_random_plan() -> None:
    """A plan of rates is the same for the same seed, and about as frequent as it says."""
    rates = {RESET: 0.1, LOST: 0.2}
    one, two = Randomly(rates, seed=4), Randomly(rates, seed=4)
    faults = [one(Request("GET", "/", {})) for _ in range(5000)]
    assert faults == [two(Request("GET", "/", {})) for _ in range(5000)]
    assert 400 < faults.count(RESET) < 600
    assert 850 < faults.count(LOST) < 1150


def test_shaping(server) -> None:
    """Latency is added to each round trip, and no connection carries more than its bandwidth."""
    with FaultProxy(f"http://127.0.0.1:{server.server_port}", latency=0.05, bandwidth=len(BODY) * 4) as proxy:
        client = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=5)
        started = time.monotonic()
        assert ask(client) == BODY
        elapsed = time.monotonic() - started
        client.close()
    assert elapsed >= 0.1 + 0.2  # connecting and asking; the body at four a second, less what the first piece has ahead


def raw(data: bytes) -> int:
    """The port of a server that answers one connection with these bytes and closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with listener, connection:
            connection.recv(65536)
            connection.sendall(data)

    Thread(target=serve, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    "said, body",
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", http.client.IncompleteRead),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", http.client.IncompleteRead),
        (b"HTTP/1.1 200 OK\r\nContent-Le", ConnectionResetError),
        (b"", ConnectionResetError),
    ],
    ids=["unframed", "short", "chunked", "head", "nothing"],
)
def test_a_server_that_closes(said, body) -> None:
    """A body may end with its connection; anything else that does reaches the client as cut as it came."""
    with FaultProxy(f"http://127.0.0.1:{raw(said)}") as proxy:
        client = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=5)
        if isinstance(body, bytes):
            assert ask(client) == body
        else:
            with pytest.raises(body):
                ask(client)
        client.close()
