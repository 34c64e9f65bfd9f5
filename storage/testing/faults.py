"""A proxy for HTTP servers that breaks things on purpose, and slows them down: for tests and benchmarks of network drivers.

::

    with FaultProxy("http://127.0.0.1:9000") as proxy:
        store = Storage(f"s3://bucket?endpoint_url={proxy.url}")
        proxy.script(LOST)                       # the next request is carried out, its answer is not delivered
        store.set("a", "1", overwrite=False)
        assert [request.method for request in proxy.requests] == ["PUT", "PUT"]

It speaks HTTP/1.1 and leaves requests as they are, the ``Host`` header too, so that their signatures stay valid. In a process
of its own, for benchmarks::

    python -m storage.testing.faults http://127.0.0.1:9000 --latency 0.03 --bandwidth 40e6
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Literal, cast
from urllib.parse import urlsplit

from typing_extensions import Self

from storage.testing._relay import PIECE, EndedError, Head, Pace, copy, read_head, relay_body

__all__ = [
    "LOST",
    "RESET",
    "RESET_BODY",
    "STALL",
    "STALL_BODY",
    "TRUNCATE",
    "Fault",
    "FaultProxy",
    "Randomly",
    "Request",
    "answer",
]

_BODILESS = frozenset({204, 304})


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; see the constants of this module, and :func:`answer`.

    Attributes:
        kind: ``"answer"``: the proxy answers itself, and forwards nothing.
            ``"reset"``: the connection is reset, and nothing is forwarded.
            ``"stall"``: nothing is forwarded and nothing comes back; the connection is held.
            ``"lost"``: the request is carried out; its answer is dropped and the connection reset.
            ``"truncate"``, ``"reset-body"``, ``"stall-body"``: carried out; half of the answer's body comes back, then the
            connection is closed in good order, reset, or held. An answer without a body comes back whole.
        status: of ``"answer"``.
        body: of ``"answer"``.
        headers: of ``"answer"``, besides ``Content-Length``.
    """

    kind: Literal["answer", "reset", "stall", "lost", "truncate", "reset-body", "stall-body"]
    status: int = 0
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


RESET = Fault("reset")
STALL = Fault("stall")
LOST = Fault("lost")
TRUNCATE = Fault("truncate")
RESET_BODY = Fault("reset-body")
STALL_BODY = Fault("stall-body")


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Fault:
    """The fault that is an answer of the proxy's own, as a server under load gives it: ``answer(503)``."""
    return Fault("answer", status, body, tuple((headers or {}).items()))


@dataclass
class Request:
    """A request as the proxy saw it.

    Attributes:
        method: in upper case.
        target: path and query, as sent.
        headers: names in lower case.
        connection: counts the client's connections, from 1.
        fault: what was done to it.
    """

    method: str
    target: str
    headers: dict[str, str]
    connection: int = 0
    fault: Fault | None = None


Plan = Callable[[Request], "Fault | None"]


class Randomly:
    """A plan: each fault with its own probability, the same for the same ``seed`` and order of requests.

    Args:
        rates: the probability of each fault, 0 to 1; they may add up to 1.
        seed: of the random numbers.
    """

    def __init__(self, rates: Mapping[Fault, float], seed: int = 0) -> None:
        self._rates = dict(rates)
        self._random = random.Random(seed)  # noqa: S311 (a test's choice, not a secret)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Fault | None:
        del request
        with self._lock:
            dice = self._random.random()
        for fault, rate in self._rates.items():
            dice -= rate
            if dice < 0:
                return fault
        return None


@dataclass(eq=False)
class _Script:
    fault: Fault | None
    when: Callable[[Request], bool]


class FaultProxy:
    """A proxy on 127.0.0.1 in front of one HTTP server, running in threads of this process until ``close``.

    Args:
        target: ``http://HOST:PORT`` of the server.
        plan: what goes wrong with each request (``None``: nothing); may be replaced at any time through ``plan``.
        latency: seconds added to each round trip: a new connection, an ``Expect: 100-continue``, a request.
        bandwidth: bytes a second that one connection carries, each way; ``None``: no limit.
        hold: seconds that a stall holds the connection.
        port: to listen on; 0: a free one.

    Attributes:
        url: ``http://127.0.0.1:PORT``.
        requests: what has come in, in order; clear it as you like.
        plan: see above.
    """

    def __init__(
        self,
        target: str,
        plan: Plan | None = None,
        *,
        latency: float = 0.0,
        bandwidth: float | None = None,
        hold: float = 60.0,
        port: int = 0,
    ) -> None:
        parts = urlsplit(target)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"target {target!r}: use http://HOST:PORT")
        self._upstream = (parts.hostname, parts.port or 80)
        self.plan = plan
        self.requests: list[Request] = []
        self._latency, self._bandwidth, self._hold = latency, bandwidth, hold
        self._scripts: list[_Script] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._connections = 0
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bandwidth is not None:
            # The kernel's buffer would take the first megabytes of an upload at full speed.
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(256)
        self.url: str = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._acceptor = threading.Thread(target=self._accept, name="fault-proxy", daemon=True)
        self._acceptor.start()

    def script(self, *faults: Fault | None, when: Callable[[Request], bool] | None = None) -> None:
        """Does these faults, one a request, in order, to the next requests for which ``when`` holds; before the plan.

        ``None`` among them lets a request pass.
        """
        with self._lock:
            self._scripts += [_Script(fault, when or (lambda _: True)) for fault in faults]

    def close(self) -> None:
        """Closes every connection and stops listening. Idempotent."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ---- connections -------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(client)
                self._connections += 1
                number = self._connections
            threading.Thread(
                target=self._serve, args=(client, number), name=f"fault-proxy-{number}", daemon=True
            ).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        connection = _Connection(self, client, number)
        try:
            if self._latency:
                time.sleep(self._latency)
            while connection.one_request():
                pass
        except (OSError, EndedError, ValueError):
            pass  # either side is gone: so are both
        finally:
            with self._lock:
                self._open.discard(client)
            connection.close()

    def _fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for script in self._scripts:
                if script.when(request):
                    self._scripts.remove(script)
                    request.fault = script.fault
                    return script.fault
        request.fault = self.plan(request) if self.plan is not None else None
        return request.fault


class _Connection:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, number: int) -> None:
        self._proxy, self._client, self._number = proxy, client, number
        self._from_client = cast("BinaryIO", client.makefile("rb", PIECE))
        self._server: socket.socket | None = None
        self._from_server: BinaryIO | None = None
        self._up, self._down = Pace(proxy._bandwidth), Pace(proxy._bandwidth)  # noqa: SLF001 (one unit)

    def close(self) -> None:
        for thing in (self._from_client, self._client, self._from_server, self._server):
            if thing is not None:
                with contextlib.suppress(OSError):
                    thing.close()

    def one_request(self) -> bool:
        """Serves one request; tells whether the connection lives on."""
        head = read_head(self._from_client)
        if head is None:
            return False
        method, target, _ = head.first.split(" ", 2)
        fault = self._proxy._fault_for(Request(method.upper(), target, head.lower, self._number))  # noqa: SLF001
        kind = fault.kind if fault else None
        if kind == "reset":
            return self._reset()
        if kind == "stall":
            return self._stall()
        if "expect" in head.lower:
            time.sleep(self._proxy._latency)  # noqa: SLF001
            self._client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fault is not None and kind == "answer":
            relay_body(self._from_client, head.lower, lambda _: None, self._up)
            return self._answer(fault, method)
        self._forward(head)
        time.sleep(self._proxy._latency)  # noqa: SLF001
        return self._deliver(method, kind)

    def _forward(self, head: Head) -> None:
        if self._server is None:
            self._server = socket.create_connection(self._proxy._upstream, timeout=120)  # noqa: SLF001
            self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._from_server = cast("BinaryIO", self._server.makefile("rb", PIECE))
        self._server.sendall(head.without("expect") if "expect" in head.lower else head.raw)
        relay_body(self._from_client, head.lower, self._server.sendall, self._up)

    def _deliver(self, method: str, kind: str | None) -> bool:
        assert self._from_server is not None  # `_forward` made it
        head = read_head(self._from_server)
        while head is not None and head.first.split(" ")[1] == "100":
            head = read_head(self._from_server)
        if head is None:
            return self._reset()
        status = int(head.first.split(" ")[1])
        has_body = method != "HEAD" and status not in _BODILESS
        if kind == "lost":
            if has_body:
                relay_body(self._from_server, head.lower, lambda _: None, self._down, answer=True)
            return self._reset()
        self._client.sendall(head.raw)
        if not has_body:
            return head.lower.get("connection", "").lower() != "close"
        length = int(head.lower.get("content-length", -1))
        if kind in ("truncate", "reset-body", "stall-body") and length > 0:
            copy(self._from_server, length // 2, self._client.sendall, self._down)
            if kind == "stall-body":
                return self._stall()
            return self._reset() if kind == "reset-body" else False
        lasts = relay_body(self._from_server, head.lower, self._client.sendall, self._down, answer=True)
        return lasts and head.lower.get("connection", "").lower() != "close"

    def _answer(self, fault: Fault, method: str) -> bool:
        time.sleep(self._proxy._latency)  # noqa: SLF001
        fields = "".join(f"{name}: {value}\r\n" for name, value in fault.headers)
        head = f"HTTP/1.1 {fault.status} Injected\r\n{fields}Content-Length: {len(fault.body)}\r\n\r\n".encode()
        self._client.sendall(head if method == "HEAD" else head + fault.body)
        return True

    def _reset(self) -> bool:
        # With no time to linger, close() sends RST instead of FIN.
        with contextlib.suppress(OSError):
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _stall(self) -> bool:
        self._proxy._closing.wait(self._proxy._hold)  # noqa: SLF001
        return False


def main(argv: list[str] | None = None) -> None:
    """Runs a proxy until SIGTERM or SIGINT; its URL is the first line of standard output."""
    parser = argparse.ArgumentParser(prog="python -m storage.testing.faults", description=main.__doc__)
    parser.add_argument("target", help="http://HOST:PORT of the server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds added to each round trip")
    parser.add_argument("--bandwidth", type=float, help="bytes a second for each connection, each way")
    args = parser.parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with FaultProxy(args.target, latency=args.latency, bandwidth=args.bandwidth, port=args.port) as proxy:
        print(proxy.url, flush=True)  # noqa: T201 (what the program is for)
        stop.wait()


if __name__ == "__main__":
    main()
