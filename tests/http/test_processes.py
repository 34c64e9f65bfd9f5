"""Many threads, and forks: no answer is ever given to another request."""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.backends._http import ConnectionLostError, ReadTimeoutError, TransportError, tls_context
from storage.testing._races import in_child
from tests.http.certificates import Authority
from tests.http.scripted import Server, ok, pool_of


@pytest.fixture(params=["http", "https"])
def tls(request, tmp_path):
    """The contexts of client and server."""
    if request.param == "http":
        return None, None
    authority = Authority(tmp_path)
    return tls_context(str(authority.bundle)), authority.server()


def body_of(target: str) -> bytes:
    """What belongs to a target, and to no other: of very different lengths."""
    return f"{target};".encode() * (1 + sum(target.encode()) % 400)


def echoing(peer) -> None:
    while head := peer.head():
        peer.send(ok(body_of(head.split()[1].decode())))


def ask(pool, target: str) -> bool:
    return pool.request("GET", target, {}, repeatable=True).body == body_of(target)


def in_a_child(work) -> None:
    """Runs ``work`` in a fork; it must be true there, in time."""
    assert in_child(lambda: str(work()))() == "True"


def test_64_threads_get_their_own_answers(tls):
    with Server(echoing, tls=tls[1]) as server, pool_of(server.port, tls=tls[0], read_timeout=30) as pool:
        with ThreadPoolExecutor(64) as threads:
            assert all(threads.map(lambda number: ask(pool, f"/{number}"), range(2000)))
        assert server.accepted <= 64


def _no_answer(peer, body, choose) -> bool:
    return False


def _part_of_an_answer(peer, body, choose) -> bool:
    peer.send(ok(body)[: choose.randrange(len(ok(body)))])
    return False


def _a_reset(peer, body, choose) -> bool:
    peer.send(ok(body))
    peer.reset()
    return False


def _another_answer(peer, body, choose) -> bool:
    peer.send(ok(body) + ok(b"another's" * 50))
    return True


def _chunks(peer, body, choose) -> bool:
    half = len(body) // 2
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.send(b"".join(b"%x\r\n" % len(piece) + piece + b"\r\n" for piece in (body[:half], body[half:]) if piece))
    peer.send(b"0\r\n\r\n" + choose.choice([b"", b"0\r\n\r\n", ok(b"another's")]))
    return True


def _an_interim_answer(peer, body, choose) -> bool:
    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + ok(body))
    return True


def _the_last_answer(peer, body, choose) -> bool:
    peer.send(ok(body, "Connection: close"))
    return False


def _two_packets(peer, body, choose) -> bool:
    cut = choose.randrange(len(ok(body)))
    peer.send(ok(body)[:cut])
    peer.send(ok(body)[cut:])
    return True


_TRICKS = [_no_answer, _part_of_an_answer, _a_reset, _another_answer, _chunks, _an_interim_answer, _the_last_answer]
_TRICKS += [_two_packets] * 4


def unruly(peer) -> None:
    """A server that plays every trick while it answers; a HEAD it answers with a body."""
    choose = random.Random()
    while head := peer.head():
        method, target = head.split()[:2]
        trick = _two_packets if method == b"HEAD" else choose.choice(_TRICKS)
        if not trick(peer, body_of(target.decode()), choose):
            return


@pytest.mark.parametrize("requests", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_64_threads_never_get_another_ones_answer_from_a_server_that_plays_tricks(tls, requests):
    wrong: list[str] = []
    counts = {"good": 0, "failed": 0}

    def work(number: int) -> None:
        target = f"/{number}"
        method = "HEAD" if number % 7 == 0 else "GET"
        try:
            if number % 5 == 0:
                with pool.request(method, target, {}, repeatable=True, stream=True) as answer:
                    body = b"".join(answer)
            else:
                body = pool.request(method, target, {}, repeatable=True).body
        except TransportError:
            counts["failed"] += 1
            return
        if body == (b"" if method == "HEAD" else body_of(target)):
            counts["good"] += 1
        else:
            wrong.append(target)

    with (
        Server(unruly, tls=tls[1]) as server,
        pool_of(server.port, tls=tls[0], read_timeout=30) as pool,
        ThreadPoolExecutor(64) as threads,
    ):
        list(threads.map(work, range(requests)))
    assert wrong == []
    assert counts["good"] > requests / 3
    assert counts["failed"] > requests / 300


def test_a_fork_has_connections_of_its_own(tls):
    with Server(echoing, tls=tls[1]) as server, pool_of(server.port, tls=tls[0]) as pool:
        assert ask(pool, "/parent")
        (kept,) = pool._idle

        def child() -> bool:
            return all(ask(pool, f"/child{number}") for number in range(50)) and kept not in pool._idle

        for number in range(3):
            in_a_child(child)
            assert ask(pool, f"/after{number}")
        # The parent's connection has been its own all the time.
        assert list(pool._idle) == [kept]
        assert server.accepted == 4


@pytest.mark.parametrize("forks", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_forks_while_64_threads_are_at_work(tls, forks):
    stop = threading.Event()
    wrong: list[str] = []

    def work(thread: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            target = f"/{os.getpid()}/{thread}/{number}"
            if not ask(pool, target):
                wrong.append(target)

    with Server(echoing, tls=tls[1]) as server, pool_of(server.port, tls=tls[0], read_timeout=30) as pool:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(forks):
                in_a_child(lambda: all(ask(pool, f"/{os.getpid()}/{number}") for number in range(10)))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert wrong == []


def test_a_body_that_was_begun_before_a_fork_is_its_parents(tls):
    data = body_of("/large") * 2000
    go_on = threading.Event()

    def script(peer):
        peer.request()
        peer.send(ok(data)[: len(data) // 2])
        assert go_on.wait(30)
        peer.send(ok(data)[len(data) // 2 :])
        peer.wait_for_the_end()

    with Server(script, tls=tls[1]) as server, pool_of(server.port, tls=tls[0], read_timeout=30) as pool:
        with pool.request("GET", "/", {}, repeatable=True, stream=True) as answer:
            begun = answer.read(1000)

            def child() -> bool:
                try:
                    while answer.read(100_000):
                        pass
                except ConnectionLostError:
                    answer.close()
                    return True
                return False

            in_a_child(child)
            go_on.set()
            assert begun + b"".join(answer) == data
        assert len(pool._idle) == 1


def test_a_pool_that_is_closed_in_a_fork_leaves_the_parents_alone(tls):
    with Server(echoing, tls=tls[1]) as server, pool_of(server.port, tls=tls[0]) as pool:
        assert ask(pool, "/1")
        in_a_child(lambda: pool.close() is None)
        assert ask(pool, "/2")
        assert server.accepted == 1


def test_a_timeout_of_one_thread_is_no_other_ones():
    def script(peer):
        while head := peer.head():
            if b"/slow" in head:
                peer.wait_for_the_end()
                return
            peer.send(ok(body_of(head.split()[1].decode())))

    def slow(_: int) -> bool:
        with pytest.raises(ReadTimeoutError):
            pool.request("GET", "/slow", {}, repeatable=True)
        return True

    with Server(script) as server, pool_of(server.port, read_timeout=3) as pool, ThreadPoolExecutor(16) as threads:
        waiting = threads.map(slow, range(8))
        assert all(threads.map(lambda number: ask(pool, f"/{number}"), range(200)))
        assert all(waiting)
