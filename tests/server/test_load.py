"""Many clients at once lose nothing."""

from __future__ import annotations

import hashlib
import threading
from http.client import HTTPConnection
from urllib.parse import urlsplit

from storage import Storage
from storage.server import SignedURLs
from tests.server.serving import moved, serving

CLIENTS = 64
ROUNDS = 6


def content(client, round_):
    """What a client uploads in a round: small, and sometimes longer than one piece."""
    size = 2_000_000 if (client + round_) % 16 == 0 else 5_000
    return hashlib.sha256(f"{client} {round_}".encode()).digest() * (size // 32)


def test_64_clients():
    """64 clients at once, each on one connection, upload and read back: every byte is there, every answer is 200."""
    failures = []

    with Storage("memory://") as store, serving(SignedURLs(store)) as base:
        start = threading.Barrier(CLIENTS)
        address = urlsplit(base)

        def run(client):
            try:
                connection = HTTPConnection(address.hostname, address.port, timeout=60)
                start.wait(60)
                for round_ in range(ROUNDS):
                    key, data = f"{client}/{round_}", content(client, round_)
                    for method, url, body in (
                        ("PUT", store.get_upload_url(key), data),
                        ("GET", store.get_signed_url(key), None),
                    ):
                        parts = urlsplit(moved(url, base))
                        connection.request(method, f"{parts.path}?{parts.query}", body)
                        response = connection.getresponse()
                        received = response.read()
                        if response.status != 200 or (method == "GET" and received != data):
                            failures.append((key, method, response.status, len(received)))
                connection.close()
            except Exception as exc:
                failures.append((client, exc))

        threads = [threading.Thread(target=run, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(list(store.iter_list())) == CLIENTS * ROUNDS
        for client in range(0, CLIENTS, 7):
            assert store.get_bytes(f"{client}/3") == content(client, 3)
