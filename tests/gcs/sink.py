"""A server that answers as Cloud Storage does and keeps nothing: bytes that come are counted, bytes that go are zeros."""

from __future__ import annotations

import json
import re
import secrets
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

import google_crc32c
from typing_extensions import Self

from storage.backends.gcs._headers import encoded_crc

__all__ = ["Sink"]

MIB = 1024 * 1024
ZEROS = bytes(MIB)
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def crc_of_zeros(size: int) -> int:
    crc = 0
    for _ in range(size // MIB):
        crc = google_crc32c.extend(crc, ZEROS)
    return int(google_crc32c.extend(crc, ZEROS[: size % MIB]))


def resource(name: str, size: int, crc: str | None = None) -> dict[str, Any]:
    made = {
        "name": name,
        "size": str(size),
        "generation": "1",
        "timeCreated": "2026-01-01T00:00:00Z",
        "contentType": "a/b",
    }
    return {**made, "crc32c": crc} if crc else made


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    sink: ClassVar[Sink]

    def take(self) -> int:
        """Reads the body and forgets it; its CRC32C is kept."""
        left = length = int(self.headers.get("Content-Length", 0))
        self.crc, self.beginning = 0, b""
        while left:
            piece = self.rfile.read(min(left, MIB))
            if not piece:
                raise ConnectionError("the body ended early")
            self.crc = google_crc32c.extend(self.crc, piece)
            self.beginning = self.beginning or piece[:4096]
            left -= len(piece)
        with self.sink.lock:
            self.sink.received += length
        return length

    def name(self) -> str:
        """The blob's: in the query, in the JSON that begins an upload, or in the path."""
        parts = urlsplit(self.path)
        given = parse_qs(parts.query).get("name")
        told = re.search(rb'"name": ?("(?:[^"\\\\]|\\\\.)*")', self.beginning) if self.command == "POST" else None
        if given or told:
            return given[0] if given else str(json.loads(told[1])) if told else ""
        return unquote(parts.path.partition("/o/")[2])

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        length = self.take()
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if query.get("uploadType") == ["resumable"]:
            name = quote(self.name(), safe="")
            location = f"http://{self.headers['Host']}/upload?upload_id={secrets.token_hex(8)}&name={name}"
            return self.reply(200, Location=location)
        if "uploads" in query:
            begun = f'<InitiateMultipartUploadResult xmlns="{NAMESPACE}"><UploadId>u1</UploadId></InitiateMultipartUploadResult>'
            return self.reply(200, begun.encode())
        if "uploadId" in query:
            return self.reply(200, b"<R/>", X_Goog_Generation="1")
        # Two parts: the description, and the bytes.
        before = self.beginning.find(b"\r\n\r\n", self.beginning.find(b"\r\n\r\n") + 4) + 4
        behind = len(f"\r\n--{self.headers.get_boundary('')}--\r\n")
        return self.reply(200, json.dumps(resource(self.name(), length - before - behind)).encode())

    def do_PUT(self) -> None:
        self.take()
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", self.headers.get("Content-Range", ""))
        if span is None:
            return self.reply(200, ETag='"e"', X_Goog_Hash=f"crc32c={encoded_crc(self.crc)}")
        if span[3] == "*":
            return self.reply(308, Range=f"bytes=0-{span[2]}")
        return self.reply(200, json.dumps(resource(self.name(), int(span[3]))).encode())

    def do_GET(self) -> None:
        self.beginning = b""
        if "alt=media" not in self.path:
            return self.reply(200, json.dumps(resource(self.name(), self.sink.size, self.sink.crc)).encode())
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(span[1]) if span else 0
        last = int(span[2]) if span and span[2] else self.sink.size - 1
        if "warm" in self.path:
            return self.reply(200, b"x" * 1000, X_Goog_Generation="1")
        self.send_response(206 if span else 200)
        if span:
            self.send_header("Content-Range", f"bytes {first}-{last}/{self.sink.size}")
        self.send_header("X-Goog-Generation", "1")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        left = last - first + 1
        while left:
            left -= self.wfile.write(ZEROS[: min(left, MIB)])
        return None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (as it is called)
        """Nobody reads it."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error here."""


class Sink:
    """The server, in threads of this process. Every blob has ``size`` zeros."""

    def __init__(self, size: int = 1024 * MIB) -> None:
        self.size = size
        self.crc = encoded_crc(crc_of_zeros(size))
        self.received = 0
        self.lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"sink": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def main() -> None:
    """Serves blobs of as many bytes as the first argument says; prints the URL, and ends with standard input."""
    with Sink(int(sys.argv[1])) as sink:
        print(sink.url, flush=True)  # noqa: T201 (what the program is for)
        sys.stdin.read()


if __name__ == "__main__":
    main()
