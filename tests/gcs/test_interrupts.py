"""Ctrl-C while Cloud Storage says nothing: every kind of call ends soon, and sends nothing more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.s3.test_interrupts import CALLS, Stalling, interrupt

SIZE = 40 * 1024 * 1024
BLOB = {"kind": "storage#object", "name": "large", "size": str(SIZE), "generation": "1", "metageneration": "1",
        "timeCreated": "2026-11-02T10:00:00.123Z", "updated": "2026-11-02T10:00:00.123Z", "crc32c": "AAAAAA=="}  # fmt: skip


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
    url = f"gs://bucket?endpoint_url=http://127.0.0.1:{server.port}&anonymous=true&project=p&types=data:"
    interrupt(server, url, None, name)
