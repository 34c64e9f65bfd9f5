"""The page's guard: who may call, and what a call may say. What the page does is tried in a browser (tests/browser)."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from storage import Storage
from storage.cli._browse import Browse
from storage.server._inprocess import process_server
from storage.testing._http import send
from tests.server.serving import serving

SCRIPTS = ("calls", "details", "listing", "page", "uploads", "view")


class _Later:
    """An application that is made once its address is known."""

    app = None

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


@pytest.fixture
def page(monkeypatch):
    """A page on a store; its ``call`` is what the page's script does."""
    monkeypatch.setattr(process_server, "_adopted", None)
    monkeypatch.setattr(process_server, "_stores", process_server._stores)
    later = _Later()
    with Storage("memory://") as store, serving(later) as base:
        store.set("dir/a.txt", "text", metadata={"m": "ü"})
        store.set("b", b"12")
        later.app = Browse(store, process_server.adopt(base, store), base)
        yield Page(base, later.app.page_url.partition("#token=")[2], store)


class Page:
    def __init__(self, base, token, store):
        self.base, self.token, self.store = base, token, store
        self.host = urlsplit(base).netloc

    def call(self, name, body=None, **changes):
        """A call as the page makes it, but for ``changes`` of its headers (``None``: left out)."""
        headers = {"Content-Type": "application/json", "X-Storage-Token": self.token, "Host": self.host}
        headers |= {key.replace("_", "-"): value for key, value in changes.items()}
        data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        headers = {key: value for key, value in headers.items() if value is not None}
        answer = send("POST", f"{self.base}/-/{name}", headers, data)
        return answer.status, json.loads(answer.body) if answer.body else None, answer


def test_the_page_itself(page):
    """The page holds no secret, allows no script but its own, no frame around it, and is not kept."""
    for path in ("/", "/-/page.css", *(f"/-/{name}.js" for name in SCRIPTS)):
        answer = send("GET", page.base + path)
        assert answer.status == 200
        assert page.token.encode() not in answer.body
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    html = send("GET", page.base + "/").body
    assert b"<script>" not in html
    assert b" style=" not in html
    assert b" onclick=" not in html


def test_calls(page):
    """Types, listing, facts and signed requests."""
    assert page.call("store")[1] == {"url": "memory://", "types": ["data", "tmp", "result"], "entries": 1000}
    status, found, _ = page.call("list", {"storage_type": "data"})
    assert (status, found["next"]) == (200, None)
    assert found["entries"][1] == "dir/"
    assert found["entries"][0]["key"] == "b"
    (listed,) = page.call("list", {"storage_type": "data", "prefix": "dir/a"})[1]["entries"]
    assert (listed["size"], listed["content_type"]) == (4, "text/plain")
    assert page.call("info", {"storage_type": "data", "key": "dir/a.txt"})[1]["metadata"] == {"m": "ü"}
    signed = page.call("sign", {"storage_type": "data", "key": "dir/a.txt", "method": "GET", "expires_in": 60})[1]
    assert signed["url"].startswith(page.base + "/")
    assert send("GET", signed["url"]).body == b"text"
    signed = page.call("sign", {"storage_type": "tmp", "key": "new", "method": "PUT", "overwrite": False})[1]
    assert signed["headers"] == {"If-None-Match": "*"}
    assert send("PUT", signed["url"], signed["headers"], b"1").status == 200
    assert page.store.get("new", "tmp") == "1"


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"X_Storage_Token": None}, 401),
        ({"X_Storage_Token": ""}, 401),
        ({"X_Storage_Token": "x" * 43}, 401),
        ({"X_Storage_Token": "\xe9"}, 401),
        ({"Host": "localhost:PORT"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Host": "evil.example:PORT"}, 403),
        ({"Host": "127.0.0.1.evil.example:PORT"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Forwarded": "for=127.0.0.1"}, 403),
        ({"X_Forwarded_For": "127.0.0.1"}, 403),
        ({"X_Forwarded_Host": "127.0.0.1"}, 403),
        ({"X_Forwarded_Anything": "1"}, 403),
        ({"Via": "1.1 proxy"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": None}, 415),
    ],
)
def test_who_may_not_call(page, changes, status):
    """Without the token, under another name, through a proxy, from another page or as a form's POST: refused, told nothing."""
    port = page.host.partition(":")[2]
    changes = {name: value.replace("PORT", port) if value else value for name, value in changes.items()}
    for name in ("store", "list", "info", "sign", "delete"):
        body = (
            {"storage_type": "data", "key": "b", "method": "GET"}
            if name in ("info", "sign", "delete")
            else {"storage_type": "data"}
        )
        found, answer, whole = page.call(name, body, **changes)
        assert found == status
        assert list(answer) == ["error"]
        assert "access-control-allow-origin" not in whole.headers
    if "Host" in changes or "Forwarded" in changes or "X_Forwarded_For" in changes:
        headers = {name.replace("_", "-"): value for name, value in changes.items()}
        assert send("GET", page.base + "/", {"Host": page.host, **headers}).status == 403


def test_calls_are_posts(page):
    """No call is a GET, which any page could make with a picture."""
    for name in ("store", "list", "info", "sign", "delete"):
        for method in ("GET", "HEAD", "PUT", "OPTIONS"):
            answer = send(method, f"{page.base}/-/{name}", {"X-Storage-Token": page.token})
            assert answer.status == 405, (name, method)


@pytest.mark.parametrize(
    "name, body",
    [
        ("list", b""),
        ("list", b"[]"),
        ("list", b"[" * 60_000),
        ("list", b"\xff"),
        ("list", rb'{"storage_type": "\ud800"}'),
        ("list", rb'{"storage_type": "data", "prefix": "\udfff"}'),
        ("list", rb'{"storage_type": "data", "\ud800": ""}'),
        ("info", rb'{"storage_type": "data", "key": "a\ud800"}'),
        ("sign", rb'{"storage_type": "data", "key": "b", "method": "GET", "content_type": "\ud800"}'),
        ("list", {}),
        ("list", {"storage_type": "nope"}),
        ("list", {"storage_type": ["data"]}),
        ("list", {"storage_type": "data", "prefix": "/"}),
        ("list", {"storage_type": "data", "prefix": 1}),
        ("list", {"storage_type": "data", "limit": 1}),
        ("info", {"storage_type": "data", "key": "../b"}),
        ("info", {"storage_type": "data"}),
        ("sign", {"storage_type": "data", "key": "b"}),
        ("sign", {"storage_type": "data", "key": "b", "method": "DELETE"}),
        ("sign", {"storage_type": "data", "key": "b", "method": []}),
        ("sign", {"storage_type": "data", "key": "b", "method": "GET", "expires_in": 10**9}),
        ("sign", {"storage_type": "data", "key": "b", "method": "GET", "expires_in": "x"}),
        ("sign", {"storage_type": "data", "key": "b", "method": "GET", "overwrite": False}),
        ("sign", {"storage_type": "data", "key": "b", "method": "PUT", "content_disposition": "x"}),
        ("sign", {"storage_type": "data", "key": "b", "method": "PUT", "self": 1}),
    ],
)
def test_calls_that_cannot_be(page, name, body):
    """A call that makes no sense is a 400 with one sentence."""
    status, answer, _ = page.call(name, body)
    assert status == 400
    assert answer["error"]


@pytest.mark.parametrize("path", ["/-/store/", "/-/page.js/", "/-/list//", "/-/", "/-/nope"])
def test_no_redirect(page, path):
    """A path with a slash too many is not there: a redirect would name whatever Host a client sent."""
    for host in (page.host, "evil.example"):
        answer = send("POST", page.base + path, {"X-Storage-Token": page.token, "Host": host}, b"{}")
        assert answer.status == (404 if host == page.host else 403)
        assert "location" not in answer.headers
        assert b"evil" not in answer.body


def test_what_is_absent_or_too_long(page):
    """An absent blob is a 404, an overlong call a 413."""
    assert page.call("info", {"storage_type": "data", "key": "absent"})[0] == 404
    assert page.call("list", b'{"storage_type": "' + b"x" * 70_000 + b'"}')[0] == 413


def test_a_long_listing_in_pages(page):
    """A level comes a thousand entries at a time, each once, also where a page ends at a folder that holds more."""
    page.store.set_many({f"many/{n:04}": "" for n in range(999)})
    page.store.set_many({f"many/0999/{n}": "" for n in range(3)})
    page.store.set_many({f"many/{n:04}": "" for n in range(1000, 2500)})
    found, after, sizes = [], None, []
    while True:
        answer = page.call("list", {"storage_type": "data", "prefix": "many/", "after": after})[1]
        found += [entry if isinstance(entry, str) else entry["key"] for entry in answer["entries"]]
        sizes.append(len(answer["entries"]))
        after = answer["next"]
        if after is None:
            break
    assert found == [f"many/{n:04}" + ("/" if n == 999 else "") for n in range(2500)]
    assert sizes == [1000, 1000, 500]
    assert page.call("list", {"storage_type": "data", "prefix": "many/", "after": 1})[0] == 400


def test_a_delete_of_one_version(page):
    """A call deletes the version that it names, and no other; without a version it is no call."""
    old = page.store.info("b").etag
    page.store.set("b", b"newer")
    assert page.call("delete", {"storage_type": "data", "key": "b"})[0] == 400
    assert page.call("delete", {"storage_type": "data", "key": "b", "etag": None})[0] == 400
    assert page.call("delete", {"storage_type": "data", "key": "b", "etag": old})[0] == 409
    assert page.store.get("b") == "newer"
    assert page.call("delete", {"storage_type": "data", "key": "b", "etag": page.store.info("b").etag})[:2] == (200, {})
    assert not page.store.exists("b")
    assert page.call("delete", {"storage_type": "data", "key": "b", "etag": old})[0] == 404


def test_signed_urls_need_no_token(page):
    """Beside the page signed URLs work as ever, under any name, and unsigned paths are refused."""
    url = page.store.get_signed_url("b")
    assert url.startswith(page.base + "/")
    assert send("GET", url, {"Host": "any.example"}).body == b"12"
    assert send("GET", url + "0").status == 403
    assert send("GET", page.base + "/-").status == 403


def test_a_store_that_names_another_server(tmp_path, monkeypatch):
    """Where the store's URL names a server, the page still signs for itself, so that it needs no CORS."""
    monkeypatch.setattr(process_server, "_adopted", None)
    monkeypatch.setattr(process_server, "_stores", process_server._stores)
    later = _Later()
    with Storage(f"file://{tmp_path}/s?serve_url=http://elsewhere.example:1") as store, serving(later) as base:
        store.set("a", b"1")
        app = later.app = Browse(store, process_server.adopt(base, store), base)
        page = Page(base, app.page_url.partition("#token=")[2], store)
        signed = page.call("sign", {"storage_type": "data", "key": "a", "method": "GET"})[1]
        assert send("GET", signed["url"]).body == b"1"
        assert "elsewhere" not in send("GET", base + "/").headers["content-security-policy"]
