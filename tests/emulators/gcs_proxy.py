"""A strict proxy in front of fake-gcs-server: it refuses what Cloud Storage refuses, and does what the emulator leaves out.

The emulator keeps the objects. The proxy checks tokens, V4 signatures, generation preconditions, checksums and the rules of
resumable and multipart uploads, and answers errors in Cloud Storage's own words. Each process has one (run as a script).
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.emulators.gcs_rules import StrictProxy
from tests.emulators.gcs_wire import Answer, Request

__all__ = ["serve"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    proxy: StrictProxy

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        headers: dict[str, str] = {}
        for given, value in self.headers.items():
            name = given.lower()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        body, whole = self._body(headers)
        request = Request(self.command, path, query, headers, body, whole)
        answer = Answer(200, {}, b"") if self.command == "OPTIONS" else self.proxy.answer(request)
        self.send_response(answer.status)
        for name, value in {**answer.headers, **self.proxy.xml.for_browsers(request)}.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-GUploader-UploadID", secrets.token_hex(8))
        if not whole:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and answer.status not in (204, 304):
            self.wfile.write(answer.body)
        self.wfile.flush()

    def _body(self, headers: dict[str, str]) -> tuple[bytes, bool]:
        """The body, and whether all of it came."""
        pieces = []
        try:
            if "chunked" in headers.get("transfer-encoding", ""):
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces), True
            left = int(headers.get("content-length") or 0)
            while left:
                piece = self.rfile.read(min(left, 256 * 1024))
                if not piece:
                    break
                pieces.append(piece)
                left -= len(piece)
        except OSError:
            left = 1
        return b"".join(pieces), not left

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = _serve  # noqa: N815 (the names http.server calls)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (as it is called)
        """A test run has no use for it, and a signed URL in it would be a leak."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the strict proxy's."""
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def serve(proxy: StrictProxy, port: int) -> Server:
    """A server for ``proxy`` on 127.0.0.1; the caller runs and closes it."""
    return Server(("127.0.0.1", port), type("BoundHandler", (Handler,), {"proxy": proxy}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--accounts", required=True, help="a file with JSON: the private key of each account")
    args = parser.parse_args()
    with open(args.accounts, encoding="utf-8") as file:
        proxy = StrictProxy(args.upstream, json.load(file))
    server = serve(proxy, args.port)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    with server:
        server.serve_forever()


if __name__ == "__main__":
    main()
