"""Ctrl-C while Cloud Storage says nothing: every kind of call ends soon, and sends nothing more."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.s3.test_interrupts import CALLS, PROGRAM, Stalling

SIZE = 40 * 1024 * 1024
BLOB = {"kind": "storage#object", "name": "large", "size": str(SIZE), "generation": "1", "metageneration": "1",
        "timeCreated": "2026-11-02T10:00:00.123Z", "updated": "2026-11-02T10:00:00.123Z", "crc32c": "AAAAAA=="}  # fmt: skip
S3 = """    "s3://bucket?endpoint_url=http://127.0.0.1:{port}&region=us-east-1&types=data:",
    {{"access_key_id": "a", "secret_access_key": "b"}},
"""
GS = """    "gs://bucket?endpoint_url=http://127.0.0.1:{port}&anonymous=true&project=p&types=data:",
"""


class StallingGCS(Stalling):
    """As there; it also describes a large blob, and begins sessions."""

    def _serve(self, connection: Any) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as file:
            while line := file.readline():
                method, target, _ = line.decode().split(" ", 2)
                length = 0
                while (header := file.readline()) not in (b"\r\n", b""):
                    name, _, value = header.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                self.requests.append(f"{method} {target}")
                body, extra = b"", b""
                if method == "POST" and "uploadType=resumable" in target:
                    file.read(length)
                    place = f"http://127.0.0.1:{self.port}{re.sub('&.*', '', target)}&upload_id=u"
                    extra = f"Location: {place}\r\n".encode()
                elif method == "GET" and "large" in target and "alt=media" not in target:
                    body = json.dumps(BLOB).encode()
                elif method != "DELETE":
                    self.silent.set()
                    while connection.recv(65536):
                        pass
                    return
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nX-GUploader-UploadID: r\r\nContent-Type: application/json\r\n"
                    b"%bContent-Length: %d\r\n\r\n%b" % (extra, len(body), body)
                )


@pytest.fixture
def server() -> Iterator[StallingGCS]:
    stalling = StallingGCS()
    yield stalling
    stalling.close()


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_ends_it(server: StallingGCS, name: str) -> None:
    """At once, whatever ``timeout`` and ``retries`` would allow; only an upload that was begun is still called off."""
    assert S3 in PROGRAM
    program = PROGRAM.replace(S3, GS).format(port=server.port, call=CALLS[name])
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.silent.wait(60)
        before = len(server.requests)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=45)
    finally:
        process.kill()
    assert time.monotonic() - began < 30, err
    assert out == "begun\ninterrupted\n", err
    late = [request for request in server.requests[before:] if not request.startswith("DELETE")]
    assert len(late) <= 10, late  # what had been handed to a thread before the signal came
