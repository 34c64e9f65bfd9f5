"""Which connection a request goes on, when it is sent again, and how it ends when the server does not play along."""

from __future__ import annotations

import gc
import select
import signal
import socket
import threading
import time
from contextlib import ExitStack
from io import BytesIO

import pytest

from storage._stop import Stop, Stopped, current
from storage.backends._http import (
    BodyCutError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    Pool,
    ReadTimeoutError,
    TransportError,
)
from tests.http.scripted import Server, ok, pool_of

KIB = b"k" * 1024


def get(pool, target="/", **options):
    return pool.request("GET", target, {}, **{"repeatable": True} | options)


def readable(pool) -> None:
    """Returns when something can be read on the pool's idle connection: its end, or what nobody asked for."""
    poll = select.poll()
    poll.register(pool._idle[-1]._socket, select.POLLIN)
    assert poll.poll(5000)


# ---- what is sent --------------------------------------------------------------------------------------------------


def test_a_request_is_what_was_asked_for():
    with Server() as server:
        server._scripts = (server.answering(ok(), ok(), ok()),)
        with pool_of(server.port) as pool:
            pool.request("GET", "/b/k%20y?x=%C3%A9", {"Range": "bytes=0-9", "x-é": "ü"}, repeatable=True)
            pool.request("PUT", "/b/k", {"content-type": "a/b"}, b"data", repeatable=True)
            pool.request("POST", "/", {}, repeatable=True)
    host = f"host:127.0.0.1:{server.port}\r\n".encode()
    assert server.requests == [
        (b"GET /b/k%20y?x=%C3%A9 HTTP/1.1\r\n" + host + "Range:bytes=0-9\r\nx-é:ü\r\n\r\n".encode(), b""),
        (b"PUT /b/k HTTP/1.1\r\n" + host + b"content-type:a/b\r\ncontent-length:4\r\n\r\n", b"data"),
        (b"POST / HTTP/1.1\r\n" + host + b"content-length:0\r\n\r\n", b""),
    ]
    assert server.accepted == 1


_SIZES = (1, 65_535, 65_536, 65_537, 300_000, 9_000_000)


@pytest.mark.parametrize(
    "pieces",
    [*([size] for size in _SIZES), [10, 20, 30], [65_000, 1000, 5], [300_000, 1, 300_000], [1, 300_000, 1], [0, 5, 0]],
    ids=str,
)
def test_a_body_arrives_as_it_was(pieces):
    data = [bytes([number + 65]) * size for number, size in enumerate(pieces)]
    with Server() as server:
        server._scripts = (server.answering(ok(), ok(), ok()),)
        with pool_of(server.port) as pool:
            pool.request("PUT", "/", {}, data, repeatable=True)
            pool.request("PUT", "/", {}, [memoryview(piece) for piece in data], repeatable=True)
            pool.request("PUT", "/", {}, b"".join(data), repeatable=True)
    assert [body for _, body in server.requests] == [b"".join(data)] * 3
    assert server.accepted == 1


@pytest.mark.parametrize(
    "target, headers",
    [("/a b", {}), ("/a\r\nX: y", {}), ("/", {"a": "b\r\nX: y"}), ("/", {"a\n": "b"}), ("/", {"a": "b\rc"})],
)
def test_nothing_can_be_put_between_the_lines(target, headers):
    with (
        Server(lambda _: pytest.fail("nothing is sent")) as server,
        pool_of(server.port) as pool,
        pytest.raises(ValueError, match="line break"),
    ):
        pool.request("GET", target, headers, repeatable=True)
    assert server.accepted == 0


@pytest.mark.parametrize(
    "scheme, host, port, authority",
    [
        ("http", "h", None, "h"),
        ("http", "h", 80, "h"),
        ("http", "h", 443, "h:443"),
        ("http", "h", 8333, "h:8333"),
        ("http", "::1", None, "[::1]"),
        ("http", "::1", 8333, "[::1]:8333"),
    ],
)
def test_the_authority_leaves_out_the_usual_port(scheme, host, port, authority):
    assert Pool(scheme, host, port, connect_timeout=1, read_timeout=1).authority == authority


@pytest.mark.parametrize("scheme", ["https", "ftp", "HTTP"])
def test_a_scheme_that_cannot_be(scheme):
    with pytest.raises(ValueError, match="scheme"):
        Pool(scheme, "h", connect_timeout=1, read_timeout=1)


# ---- which connection ----------------------------------------------------------------------------------------------


def test_the_connection_that_was_used_last_is_used_next():
    def script(peer):
        while head := peer.head():
            peer.send(ok(head.split()[1]))

    with Server(script) as server, pool_of(server.port) as pool:
        first = get(pool, "/1", stream=True)
        second = get(pool, "/2", stream=True)
        assert (first.read(9), second.read(9)) == (b"/1", b"/2")
        older, newer = pool._idle
        assert get(pool, "/3").body == b"/3"
        assert list(pool._idle) == [older, newer]
        assert server.accepted == 2


def test_no_more_idle_connections_are_kept_than_allowed():
    together = threading.Barrier(6)

    def script(peer):
        while peer.head():
            together.wait(5)
            peer.send(ok(KIB))

    with Server(script) as server, pool_of(server.port, connections=2) as pool:
        threads = [threading.Thread(target=get, args=(pool,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.accepted == 6
        assert len(pool._idle) == 2


def test_a_connection_that_the_server_has_closed_is_not_used():
    with Server() as server:
        server._scripts = (server.answering(ok(b"1")), server.answering(ok(b"2")))
        with pool_of(server.port) as pool:
            assert get(pool).body == b"1"
            readable(pool)
            assert get(pool, repeatable=False).body == b"2"


@pytest.mark.parametrize("extra", [b"x", ok(b"another's")], ids=["x", "an answer"])
def test_what_comes_behind_an_answer_later_is_nobodys(extra):
    read = threading.Event()

    def script(peer):
        peer.request()
        peer.send(ok(b"1"))
        assert read.wait(5)
        peer.send(extra)
        peer.wait_for_the_end()

    with Server(script) as server:
        server._scripts = (script, server.answering(ok(b"2")))
        with pool_of(server.port) as pool:
            assert get(pool).body == b"1"
            read.set()
            readable(pool)
            assert get(pool, repeatable=False).body == b"2"


def test_a_connection_that_was_idle_for_long_is_not_used():
    with Server() as server:
        server._scripts = (server.answering(ok(), ok()),)
        with pool_of(server.port) as pool:
            get(pool)
            pool._idle[-1].idle_since -= 61
            get(pool)
    assert server.accepted == 2


def test_a_closed_pool_keeps_nothing():
    with Server() as server:
        server._scripts = (server.answering(ok(b"12"), ok()),)
        with pool_of(server.port) as pool:
            answer = get(pool, stream=True)
            pool.close()
            assert answer.read(9) == b"12"
            assert len(pool._idle) == 0
            assert get(pool).status == 200  # a call that was under way still ends well
            assert len(pool._idle) == 0
            pool.close()


def test_what_is_dropped_is_closed():
    ended = threading.Semaphore(0)

    def script(peer):
        peer.request()
        peer.send(ok(KIB))
        peer.wait_for_the_end()
        ended.release()

    with Server(script) as server:
        pool = Pool("http", "127.0.0.1", server.port, connect_timeout=5, read_timeout=5)
        answer = get(pool, stream=True)
        get(pool)
        del answer, pool
        gc.collect()
        assert ended.acquire(timeout=5)
        assert ended.acquire(timeout=5)


def test_an_interrupt_leaves_no_connection_that_waits_for_an_answer(monkeypatch):
    class Interrupt(BaseException):
        pass

    def interrupt(*_):
        raise Interrupt

    ended = threading.Event()

    def script(peer):
        peer.request()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
        peer.wait_for_the_end()
        ended.set()

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Server(script) as server, pool_of(server.port) as pool:
            with pytest.raises(Interrupt):
                get(pool)
            assert len(pool._idle) == 0
            assert ended.wait(5)
    finally:
        signal.signal(signal.SIGALRM, before)


# ---- sent again, or not --------------------------------------------------------------------------------------------


def closing(peer):
    """Takes a request, and closes the connection instead of an answer."""
    peer.request()


def resetting(peer):
    peer.request()
    peer.reset()


def once_then(script):
    """A script that answers one request, and then runs ``script``."""

    def both(peer):
        peer.request()
        peer.send(ok(b"first"))
        script(peer)

    return both


deserting = pytest.mark.parametrize("script", [closing, resetting])


@deserting
@pytest.mark.parametrize("body", [b"", KIB, b"x" * 3_000_000], ids=["no body", "small", "large"])
def test_a_request_on_a_used_connection_that_was_closed_is_sent_again_on_a_new_one(script, body):
    with Server() as server:
        server._scripts = (once_then(script), server.answering(ok(b"second")))
        with pool_of(server.port) as pool:
            get(pool)
            assert pool.request("PUT", "/", {}, body, repeatable=True).body == b"second"
    assert server.accepted == 2
    assert server.requests[-1][1] == body


@deserting
def test_a_request_that_may_not_be_carried_out_twice_is_not_sent_again(script):
    with Server(once_then(script), closing) as server, pool_of(server.port) as pool:
        get(pool)
        with pytest.raises(ConnectionLostError) as caught:
            get(pool, repeatable=False)
    assert (caught.value.sent, caught.value.answered, caught.value.status) == (True, False, None)
    assert server.accepted == 1


@deserting
def test_a_request_on_a_new_connection_is_not_sent_again(script):
    with Server(script) as server, pool_of(server.port) as pool, pytest.raises(ConnectionLostError) as caught:
        get(pool)
    assert (caught.value.sent, caught.value.answered) == (True, False)
    assert server.accepted == 1


@deserting
def test_a_request_is_sent_again_once_only(script):
    with Server(once_then(script), script) as server, pool_of(server.port) as pool:
        get(pool)
        with pytest.raises(ConnectionLostError):
            get(pool)
    assert server.accepted == 2


def test_a_request_that_has_part_of_an_answer_is_not_sent_again():
    def script(peer):
        peer.request()
        peer.send(b"H")

    with Server(once_then(script)) as server, pool_of(server.port) as pool:
        get(pool)
        with pytest.raises(ConnectionLostError) as caught:
            get(pool)
    assert caught.value.answered
    assert server.accepted == 1


def test_a_request_that_nobody_wants_any_more_is_not_sent_again():
    stop = Stop()

    def script(peer):
        peer.request()
        stop.set()

    token = current.set(stop)
    try:
        with Server(once_then(script)) as server, pool_of(server.port) as pool:
            get(pool)
            with pytest.raises(Stopped):
                get(pool)
            with pytest.raises(Stopped):  # nor is another one
                get(pool)
    finally:
        current.reset(token)
    assert server.accepted == 1


@pytest.mark.parametrize("silent", ["head", "body"])
def test_a_wait_for_a_silent_server_ends_when_the_call_is_stopped(silent):
    stop, begun = Stop(), time.monotonic()

    def script(peer):
        peer.request()
        if silent == "body":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123")
        stop.set()
        peer.wait_for_the_end()

    token = current.set(stop)
    try:
        with Server(script) as server, pool_of(server.port, read_timeout=60) as pool, pytest.raises(Stopped):
            get(pool)
    finally:
        current.reset(token)
    assert time.monotonic() - begun < 20


def test_a_silent_server_is_not_asked_again():
    def script(peer):
        peer.request()
        peer.wait_for_the_end()

    with Server(once_then(script)) as server, pool_of(server.port, read_timeout=0.2) as pool:
        get(pool)
        began = time.monotonic()
        with pytest.raises(ReadTimeoutError) as caught:
            get(pool)
        assert 0.2 <= time.monotonic() - began < 2
    assert (caught.value.sent, caught.value.answered) == (True, False)
    assert server.accepted == 1


# ---- large uploads -------------------------------------------------------------------------------------------------

LARGE = b"u" * 30_000_000  # more than the buffers of both ends hold


@pytest.mark.parametrize("ends", [True, False], ids=["and closes", "and waits"])
def test_an_answer_to_an_upload_that_the_server_does_not_read_is_taken(ends):
    def script(peer):
        peer.head()
        peer.send(ok(b"too large", status="413 Payload Too Large"))
        if not ends:
            while select.select([peer.sock], [], [], 5)[0] and peer.sock.recv(1, socket.MSG_PEEK | socket.MSG_TRUNC):
                if gone.wait(0.01):
                    return

    gone = threading.Event()
    with Server(script) as server, pool_of(server.port) as pool:
        answer = pool.request("PUT", "/", {}, LARGE, repeatable=True)
        gone.set()
        assert (answer.status, answer.body) == (413, b"too large")
        assert len(pool._idle) == 0


def test_an_upload_goes_on_after_an_interim_answer():
    def script(peer):
        head = peer.head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert len(peer._file.read(len(LARGE))) == len(LARGE), head
        peer.send(ok(b"stored"))
        peer.wait_for_the_end()

    with Server(script) as server, pool_of(server.port) as pool:
        assert pool.request("PUT", "/", {}, LARGE, repeatable=True).body == b"stored"
        assert len(pool._idle) == 1


def test_an_upload_that_the_server_stops_reading_is_an_error_after_the_timeout():
    hold = threading.Event()

    def script(peer):
        peer.head()
        hold.wait(10)

    with Server(script) as server, pool_of(server.port, read_timeout=0.2) as pool:
        with pytest.raises(ReadTimeoutError, match="took no more bytes") as caught:
            pool.request("PUT", "/", {}, LARGE, repeatable=True)
        hold.set()
    assert (caught.value.sent, caught.value.answered) == (True, False)


@pytest.mark.parametrize("reset", [True, False])
def test_an_upload_that_the_server_breaks_off_is_an_error(reset):
    def script(peer):
        peer.head()
        if reset:
            peer.reset()

    with Server(script) as server, pool_of(server.port) as pool, pytest.raises(ConnectionLostError) as caught:
        pool.request("PUT", "/", {}, LARGE, repeatable=True)
    assert (caught.value.sent, caught.value.answered) == (True, False)
    assert server.accepted == 1


def test_a_download_that_is_reset_is_cut():
    def script(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 1_000_000)
        peer.reset()

    with Server(script) as server, pool_of(server.port) as pool, pytest.raises(BodyCutError) as caught:
        get(pool)
    assert caught.value.status == 200


def test_a_large_body_comes_whole():
    data = bytes(range(256)) * 40_000
    with Server() as server:
        server._scripts = (server.answering(ok(data), ok(data), ok(data)),)
        with pool_of(server.port) as pool:
            assert get(pool).body == data
            with get(pool, stream=True) as answer:
                assert answer.length == len(data)
                pieces = list(answer)
                assert b"".join(pieces) == data
                assert max(map(len, pieces)) <= 256 * 1024
            with get(pool, stream=True) as answer:
                whole, position = bytearray(len(data)), 0
                while count := answer.readinto(memoryview(whole)[position:] or memoryview(bytearray(1))):
                    position += count
                assert whole == data
    assert server.accepted == 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_body_that_fails_holds_no_buffer(stream):
    """Whoever keeps the exception keeps its frames; the buffer that they read into can be closed or made longer all the same."""
    with Server() as server, pool_of(server.port) as pool:
        server._scripts = (lambda peer: (peer.head(), peer.send(ok(b"x" * 500_000)[:-1]), peer.close()),)
        if stream:
            buffer = bytearray(500_000)
            with get(pool, stream=True) as answer, pytest.raises(TransportError) as caught:
                all(answer.readinto(buffer) for _ in range(500_000))
            buffer += b"longer"
            assert caught.value.__traceback__
        else:
            with pytest.raises(TransportError) as caught:
                get(pool)
            buffers = [
                value for entry in caught.traceback for value in entry.locals.values() if isinstance(value, BytesIO)
            ]
            assert buffers
            for buffer in buffers:
                buffer.close()


def test_a_body_longer_than_memory_that_is_taken_at_once(monkeypatch):
    monkeypatch.setattr("storage.backends._http._response._TRUSTED", 1000)
    with Server() as server, pool_of(server.port) as pool:
        server._scripts = (server.answering(ok(b"x" * 500_000)),)
        assert get(pool).body == b"x" * 500_000


# ---- connecting ----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def test_a_port_where_nobody_listens():
    port = free_port()
    with pool_of(port) as pool, pytest.raises(ConnectError, match=f"^127.0.0.1:{port}: no connection: ") as caught:
        get(pool)
    assert (caught.value.sent, caught.value.answered) == (False, False)
    assert not isinstance(caught.value, ConnectTimeoutError)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_a_name_that_has_no_address(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pool_of(80, host="a..b") as pool, pytest.raises(ConnectError, match="no name of a host"):
        get(pool)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pool_of(80, host="nowhere.invalid") as pool, pytest.raises(ConnectError, match="Name or service not known"):
        get(pool)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    with pool_of(80, host="nowhere.invalid") as pool, pytest.raises(ConnectError, match="has no address"):
        get(pool)


@pytest.fixture
def black_hole():
    """The port of a server that takes no connection: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_server_that_takes_no_connection(black_hole):
    began = time.monotonic()
    with pool_of(black_hole, connect_timeout=0.3) as pool, pytest.raises(ConnectTimeoutError) as caught:
        get(pool)
    assert 0.25 <= time.monotonic() - began < 2
    assert not caught.value.sent


def test_addresses_are_tried_in_turn_within_one_timeout(monkeypatch, black_hole):
    with Server() as server:
        server._scripts = (server.answering(ok(b"found")),)
        found = [free_port(), black_hole, server.port]
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in found],
        )
        began = time.monotonic()
        with pool_of(server.port, host="many.invalid", connect_timeout=2) as pool:
            assert get(pool).body == b"found"
        assert time.monotonic() - began < 2


def test_an_address_of_the_sixth_version(monkeypatch):
    with Server() as server:
        server._scripts = (server.answering(ok(b"six")),)
        asked = []

        def getaddrinfo(host, port, **_):
            asked.append(host)
            # Not every machine that runs tests has such an address.
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with pool_of(server.port, host="::1") as pool:
            assert get(pool).body == b"six"
    assert asked == ["::1"]
    assert f"host:[::1]:{server.port}\r\n".encode() in server.requests[0][0]
