"""The application as a server calls it, without one: what it says where stores fail, and what is no request."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

import pytest

from storage import Storage, StorageError, UnavailableError
from storage.backends.memory import MemoryBackend
from storage.server import SignedURLs
from tests.server.serving import call

LENGTH = 300_000


class Failing(MemoryBackend):
    """A store whose every part can be made to fail: ``failing["stat"] = UnavailableError("…")``."""

    def __init__(self):
        super().__init__()
        self.failing = {}

    def _meet(self, name):
        if name in self.failing:
            raise self.failing[name]

    def signing_keys(self, *, create=False):
        self._meet("keys")
        return super().signing_keys(create=create)

    @property
    def cors_origins(self):
        self._meet("origins")
        return ("*",)

    def put(self, path, data, options):
        self._meet("put")
        return super().put(path, data, options)

    def stream(self, path, start=0, end=None, if_match=None):
        self._meet("stream")
        found = super().stream(path, start, end, if_match)

        def chunks():
            for chunk in found.chunks:
                yield chunk[: LENGTH // 2]
                self._meet("chunk")
                yield chunk[LENGTH // 2 :]

        return found._replace(chunks=chunks())


@pytest.fixture
def backend():
    return Failing()


@pytest.fixture
def store(backend):
    with Storage(backend=backend) as storage:
        storage.set("a", bytes(LENGTH))
        yield storage


def ask(app, url, method="GET", headers=(), body=b""):
    parts = urlsplit(url)
    pieces = [body] if body else []
    pairs = [*headers, ("content-length", str(len(body)))] if body else headers
    return asyncio.run(call(app, method, (parts.path, parts.query), pairs, pieces))


def talk(app, kind, *messages):
    """What the application answers to the messages of a scope that is no request."""
    coming, sent = list(messages), []

    async def receive():
        return {"type": coming.pop(0)}

    async def answer(message):
        sent.append(message)

    asyncio.run(app({"type": kind}, receive, answer))
    assert coming == []
    return [message["type"] for message in sent]


def test_start_and_end_of_a_server(store):
    """A server that tells of its start and its end gets its answers; a websocket is closed at once."""
    app = SignedURLs(store)
    started = talk(app, "lifespan", "lifespan.startup", "lifespan.shutdown")
    assert started == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert talk(app, "websocket", "websocket.connect") == ["websocket.close"]


def test_a_backend_is_served_as_it_is(store, backend):
    """No ``Storage`` is needed around it."""
    assert ask(SignedURLs(backend), store.get_signed_url("a"))[:2] == (200, bytes(LENGTH))


def test_a_store_whose_keys_cannot_be_read(store, backend, caplog):
    """Its URLs are refused, which the log explains; the stores beside it are served."""
    with Storage("memory://") as other:
        other.set("a", b"other")
        app = SignedURLs(store, other)
        url = store.get_signed_url("a")
        backend.failing["keys"] = StorageError("the secret is unreadable")
        with caplog.at_level(logging.WARNING, "storage.server"):
            assert ask(app, url)[0] == 403
        assert ask(app, other.get_signed_url("a"))[:2] == (200, b"other")
    assert "the secret is unreadable" in caplog.text


@pytest.mark.parametrize("failure", [StorageError("unreadable"), PermissionError("unreadable")], ids=["ours", "any"])
def test_a_store_whose_origins_cannot_be_read(store, backend, caplog, failure):
    """No page may use it, and whoever is no page still may."""
    app, url = SignedURLs(store), store.get_signed_url("a")
    page = [("origin", "https://a.example")]
    assert b"access-control-allow-origin" in dict(ask(app, url, headers=page)[2])
    backend.failing["origins"] = failure
    with caplog.at_level(logging.WARNING, "storage.server"):
        status, _, headers = ask(app, url, headers=page)
    assert status == 200
    assert b"access-control-allow-origin" not in dict(headers)
    assert "unreadable" in caplog.text


@pytest.mark.parametrize(
    "failure, status, logged",
    [
        (UnavailableError("secret words"), 503, False),
        (StorageError("secret words"), 500, True),
        (ZeroDivisionError("secret words"), 500, True),
    ],
    ids=["known", "ours", "any"],
)
@pytest.mark.parametrize(
    "name, asked",
    [
        ("stream", lambda store: (store.get_signed_url("a"),)),
        ("put", lambda store: (store.get_upload_url("b"), "PUT", (), b"x")),
    ],
    ids=["stream", "put"],
)
def test_a_store_that_fails(store, backend, caplog, name, asked, failure, status, logged):
    """A known failure has its status, any other is 500; the client learns no more, the log all of what is not known."""
    app = SignedURLs(store)
    backend.failing[name] = failure
    with caplog.at_level(logging.ERROR, "storage.server"):
        answer = ask(app, *asked(store))
    assert answer[0] == status
    assert b"secret" not in answer[1]
    assert dict(answer[2])[b"cache-control"] == b"no-store"
    assert ("secret words" in caplog.text) == logged


@pytest.mark.parametrize("failure", [UnavailableError("down"), ZeroDivisionError("down")], ids=["ours", "any"])
def test_a_store_that_fails_in_the_middle(store, backend, caplog, failure):
    """An answer that has begun is not followed by another: it ends short, and the log says so."""
    backend.failing["chunk"] = failure
    sent = []

    async def receive():
        return await asyncio.Future()

    async def answer(message):
        sent.append(message)

    parts = urlsplit(store.get_signed_url("a"))
    scope = {
        "type": "http", "method": "GET", "path": parts.path, "raw_path": parts.path.encode(), "root_path": "",
        "query_string": parts.query.encode(), "client": ("127.0.0.1", 1), "scheme": "http", "headers": [],
    }  # fmt: skip
    with caplog.at_level(logging.INFO, "storage.server"):
        asyncio.run(SignedURLs(store)(scope, receive, answer))
    assert [message["type"] for message in sent].count("http.response.start") == 1
    assert sent[0]["status"] == 200
    assert sum(len(message.get("body", b"")) for message in sent) < LENGTH
    assert all(message["more_body"] for message in sent[1:])
    assert "(broken off)" in caplog.text


@pytest.mark.parametrize(
    "length, body, status", [("3", b"12345", 400), ("5", b"123", 400), ("9" * 30, b"1", 413), ("-1", b"1", 400)]
)
def test_a_body_of_another_length(store, length, body, status):
    """More or fewer bytes than were announced store nothing, also where no server has counted them."""
    parts = urlsplit(store.get_upload_url("b"))
    asked = call(SignedURLs(store), "PUT", (parts.path, parts.query), [("content-length", length)], [body])
    assert asyncio.run(asked)[0] == status
    assert not store.exists("b")
