"""The application: statuses, headers, conditions, bodies. What every backend must do is in the conformance suite."""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
import time
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit

import pytest

from storage import Storage
from storage.backends import Setup
from storage.backends.memory import MemoryBackend
from storage.server import SignedURLs
from storage.testing._http import send
from tests.server.serving import connect, head, moved, read_all, serving, status_of


@pytest.fixture
def store():
    """An empty store in memory."""
    with Storage("memory://") as storage:
        yield storage


def test_headers_of_a_download(store):
    """A blob is served so that it harms nobody and stays with nobody, unless its owner says otherwise."""
    store.set("a.html", "<script>alert(1)</script>")
    answer = send("GET", store.get_signed_url("a.html"))
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "sandbox" in policy.split("; ")
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers
    store.set("a.html", b"\x1f\x8b", cache_control="public, max-age=60", content_encoding="gzip")
    answer = send("GET", store.get_signed_url("a.html"))
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert (answer.headers["content-encoding"], answer.body) == ("gzip", b"\x1f\x8b")


def test_refusals_carry_no_blob_and_are_not_kept(store):
    """A refusal is a line of text that nobody caches and no browser takes for something else."""
    answer = send("GET", store.get_signed_url("absent"))
    assert answer.status == 404
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


PATHS = ["/", "", "/x", "/favicon.ico", "/../..", "//", "/%00", "/%ff/%fe", "/.storage~/secret", "/data/a"]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_unsigned(store, path):
    """No path but a signed one is answered, and there is no listing."""
    store.set("a", "secret")
    base = store.get_signed_url("a").partition("/" + store.backend.signing_keys().store_id)[0]
    for method in ("GET", "HEAD", "PUT"):
        assert send(method, base + path, body=b"x" if method == "PUT" else None).status == 403
    assert store.list() == ["a"]


@pytest.mark.parametrize(
    "headers, status, body",
    [
        ({"Range": "bytes=0-0"}, 206, b"0"),
        ({"Range": "bytes=0-"}, 206, b"0123456789"),
        ({"Range": "bytes=-100"}, 206, b"0123456789"),
        ({"Range": "bytes=3-3"}, 206, b"3"),
        ({"Range": "bytes=-0"}, 416, None),
        ({"Range": "bytes=10-"}, 416, None),
        ({"Range": "bytes=99999999999999999-"}, 416, None),
        ({"Range": "bytes=99999999999999999999-"}, 416, None),
        ({"Range": "bytes=99999999999999999999-999999999999999999999"}, 416, None),
        ({"Range": f"bytes={'9' * 9000}-"}, 416, None),
        ({"Range": f"bytes=8-{'9' * 9000}"}, 206, b"89"),
        ({"Range": f"bytes=-{'9' * 9000}"}, 206, b"0123456789"),
        ({"Range": f"bytes={'0' * 9000}3-4"}, 206, b"34"),
        ({"Range": "bytes=5-2"}, 200, b"0123456789"),
        ({"Range": "bytes=a-b"}, 200, b"0123456789"),
        ({"Range": "bytes=0-1,3-4"}, 200, b"0123456789"),
        ({"Range": "lines=0-1"}, 200, b"0123456789"),
        ({"Range": "bytes=0-1", "If-Range": '"ETAG"'}, 206, b"01"),
        ({"Range": "bytes=0-1", "If-Range": '"other"'}, 200, b"0123456789"),
        ({"Range": "bytes=0-1", "If-Range": 'W/"ETAG"'}, 200, b"0123456789"),
        ({"Range": "bytes=0-1", "If-Range": "DATE"}, 206, b"01"),
        ({"Range": "bytes=0-1", "If-Range": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200, b"0123456789"),
        ({"If-None-Match": '"ETAG"'}, 304, b""),
        ({"If-None-Match": 'W/"ETAG"'}, 304, b""),
        ({"If-None-Match": '"x", "ETAG"'}, 304, b""),
        ({"If-None-Match": "*"}, 304, b""),
        ({"If-None-Match": '"x"', "If-Modified-Since": "DATE"}, 200, b"0123456789"),
        ({"If-Modified-Since": "DATE"}, 304, b""),
        ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200, b"0123456789"),
        ({"If-Modified-Since": "nonsense"}, 200, b"0123456789"),
        ({"If-Match": '"ETAG"'}, 200, b"0123456789"),
        ({"If-Match": "*"}, 200, b"0123456789"),
        ({"If-Match": 'W/"ETAG"'}, 412, None),
        ({"If-Match": '"x"'}, 412, None),
        ({"If-Unmodified-Since": "DATE"}, 200, b"0123456789"),
        ({"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 412, None),
        ({"If-None-Match": '"ETAG"', "Range": "bytes=0-1"}, 304, b""),
    ],
)
def test_conditions_and_ranges(store, headers, status, body):
    """RFC 9110, for GET; HEAD answers the conditions alike, and knows no ranges."""
    store.set("a", "0123456789")
    answer = send("GET", store.get_signed_url("a"))
    facts = {"ETAG": answer.headers["etag"].strip('"'), "DATE": answer.headers["last-modified"]}
    for word, fact in facts.items():
        headers = {name: value.replace(word, fact) for name, value in headers.items()}
    found = send("GET", store.get_signed_url("a"), headers)
    assert found.status == status
    assert body is None or found.body == body
    if status in (200, 206):
        assert int(found.headers["content-length"]) == len(body)
        assert found.headers["accept-ranges"] == "bytes"
    if status == 416:
        assert found.headers["content-range"] == "bytes */10"
    if status == 304:
        assert found.headers["etag"] == answer.headers["etag"]
    found = send("HEAD", store.sign_download("a", method="HEAD").url, headers)
    assert (found.status, found.body) == ({206: 200, 416: 200}.get(status, status), b"")


def test_a_range_of_nothing(store):
    """An empty blob is served, and no range of it can be."""
    store.set("a", b"")
    url = store.get_signed_url("a")
    answer = send("GET", url)
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
    assert send("GET", url, {"Range": "bytes=0-"}).status == 416


def test_a_blob_replaced_between_look_and_read(store, monkeypatch):
    """A range is never cut out of two versions: it is counted anew on the version that is there."""
    store.set("a", b"old")
    backend = store.backend
    real = MemoryBackend.stat
    calls = []

    def stat(self, path):
        found = real(self, path)
        if not calls:
            calls.append(path)
            store.set("a", b"much newer")
        return found

    url = store.get_signed_url("a")
    monkeypatch.setattr(type(backend), "stat", stat)
    answer = send("GET", url, {"Range": "bytes=-5"})
    assert (answer.status, answer.body) == (206, b"newer")
    assert answer.headers["content-range"] == "bytes 5-9/10"


def test_a_blob_replaced_all_the_time(store, monkeypatch):
    """Who never gets hold of one version is told to come back, not given a mix."""
    store.set("a", b"0")
    real = MemoryBackend.stat

    def stat(self, path):
        found = real(self, path)
        store.set("a", b"again")
        return found

    url = store.get_signed_url("a")
    monkeypatch.setattr(MemoryBackend, "stat", stat)
    assert send("GET", url, {"Range": "bytes=0-"}).status == 409


# ---- uploads -----------------------------------------------------------------------------------------------------------


def md5(data):
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def test_what_the_client_decides(store):
    """Without anything bound, a client's headers describe the blob, and the answer has its etag."""
    headers = {
        "Content-Type": "text/x",
        "Cache-Control": "max-age=1",
        "Content-Encoding": "br",
        "Content-MD5": md5(b"abc"),
    }
    answer = send("PUT", store.get_upload_url("a.json"), headers, b"abc")
    info = store.info("a.json")
    assert (answer.status, answer.headers["etag"]) == (200, f'"{info.etag}"')
    assert (info.content_type, info.cache_control, info.content_encoding) == ("text/x", "max-age=1", "br")
    send("PUT", store.get_upload_url("a.json"), body=b"abc")
    info = store.info("a.json")
    assert (info.content_type, info.cache_control, info.content_encoding) == ("application/json", None, None)


def test_conditions_of_an_upload(store):
    """``If-None-Match: *`` and ``If-Match`` hold for an upload, too."""
    url = store.get_upload_url("a")
    assert send("PUT", url, {"If-Match": '"x"'}, b"0").status == 412
    first = send("PUT", url, {"If-None-Match": "*"}, b"1")
    assert first.status == 200
    assert send("PUT", url, {"If-None-Match": "*"}, b"2").status == 412
    assert send("PUT", url, {"If-Match": '"x"'}, b"3").status == 412
    assert store.get("a") == "1"
    assert send("PUT", url, {"If-Match": first.headers["etag"]}, b"4").status == 200
    assert store.get("a") == "4"


@pytest.mark.parametrize(
    "headers",
    [
        {"If-None-Match": '"x"'},
        {"If-None-Match": "*", "If-Match": '"x"'},
        {"If-Match": "x"},
        {"Content-MD5": "x"},
        {"Content-MD5": "YWJj"},
        {"Content-MD5": "é"},
        {"Content-Type": "text/\xe9"},
        {"Content-Type": "a" * 1025},
    ],
)
def test_headers_that_cannot_be(store, headers):
    """What makes no sense in an upload is a 400, and stores nothing."""
    store.set("a", b"old")
    assert send("PUT", store.get_upload_url("a"), headers, b"new").status == 400
    assert store.get("a") == "old"


@pytest.mark.parametrize("size", [3, 3_000_000])
def test_md5_of_the_body(store, size):
    """A body that is not the one announced is a 400 and changes nothing, whether small or streamed; the right one is stored."""
    store.set("a", b"old")
    data = b"x" * size
    assert send("PUT", store.get_upload_url("a"), {"Content-MD5": md5(b"y" * size)}, data).status == 400
    assert store.get("a") == "old"
    assert send("PUT", store.get_upload_url("a"), {"Content-MD5": md5(data)}, data).status == 200
    assert store.get_bytes("a") == data


@pytest.mark.parametrize("size", [0, 1, 1_048_576, 2_500_000])
def test_chunked_uploads(store, size):
    """A body of unknown length is stored whole."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    pieces = [data[start : start + 100_000] for start in range(0, len(data), 100_000)]
    assert send("PUT", store.get_upload_url("a"), body=iter(pieces), chunked=True).status == 200
    assert store.get_bytes("a") == data


def test_no_length_at_all(store):
    """A PUT that announces no body in either way is a 411."""
    with connect(store.get_upload_url("a")) as connection:
        connection.sendall(head("PUT", store.get_upload_url("a"), "Connection: close"))
        assert status_of(read_all(connection)) == 411
    assert not store.exists("a")


def test_max_upload():
    """A body over the limit is a 413, announced or not, and stores nothing; one at the limit is stored."""
    with Storage("memory://") as store, serving(SignedURLs(store, max_upload=1000)) as base:
        url = moved(store.get_upload_url("a"), base)
        assert send("PUT", url, body=b"x" * 1001).status == 413
        assert send("PUT", url, body=iter([b"x" * 600] * 2), chunked=True).status == 413
        assert send("PUT", url, body=b"x" * 3_000_000).status == 413
        assert send("PUT", url, {"Content-Length": str(10**17)}).status == 413
        assert not store.exists("a")
        assert send("PUT", url, body=b"x" * 1000).status == 200
        assert store.info("a").size == 1000


def test_expect_continue(store):
    """A client that asks first is told to go on, or is refused before it sends anything."""
    url = store.get_upload_url("a")
    with connect(url) as connection:
        connection.sendall(head("PUT", url, "Content-Length: 3", "Expect: 100-continue", "Connection: close"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert status_of(read_all(connection)) == 200
    assert store.get("a") == "abc"
    with connect(url) as connection:
        connection.sendall(head("PUT", url + "0", "Content-Length: 3", "Expect: 100-continue"))
        assert status_of(read_all(connection)) == 403


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("encoding", ["Content-Length: {}", "Transfer-Encoding: chunked"])
def test_a_body_that_ends_early(store, size, encoding):
    """A body that stops before its end is a 400, and the old blob stands, small or streamed, counted or chunked."""
    store.set("a", b"old")
    url = store.get_upload_url("a")
    body = b"x" * size if "Length" in encoding else b"%x\r\n%s\r\n" % (size, b"x" * size)
    with connect(url) as connection:
        connection.sendall(head("PUT", url, encoding.format(size + 1)) + body)
        connection.shutdown(1)
        assert status_of(read_all(connection)) == 400
    assert store.get("a") == "old"
    assert store.list() == ["a"]


def test_a_client_that_goes_away():
    """An upload whose client vanishes is aborted: the writer is told, and the old blob stands."""
    aborted = []
    begun = threading.Event()

    class Watched(MemoryBackend):
        def writer(self, path, options, size=None):
            begun.set()
            writer = super().writer(path, options, size)
            writer.abort = lambda: aborted.append(path)
            return writer

    with Storage(backend=Watched()) as store:
        store.set("a", b"old")
        with serving(SignedURLs(store)) as base:
            url = moved(store.get_upload_url("a"), base)
            with connect(url) as connection:
                connection.sendall(head("PUT", url, "Content-Length: 9000000") + b"x" * 3_000_000)
                assert begun.wait(20)
        # The server has stopped, so every request has come to its end.
        assert aborted == ["data/a"]
        assert store.get("a") == "old"


def test_a_client_that_stalls():
    """A client that sends nothing for too long is given up with a 408, one that reads nothing is cut off."""
    with Storage("memory://") as store, serving(SignedURLs(store, stall_seconds=0.2)) as base:
        store.set("big", b"x" * 50_000_000)
        url = moved(store.get_upload_url("a"), base)
        with connect(url) as connection:
            connection.sendall(head("PUT", url, "Content-Length: 10") + b"x")
            assert status_of(read_all(connection)) == 408
        url = moved(store.get_signed_url("big"), base)
        with connect(url) as connection:
            connection.sendall(head("GET", url))
            time.sleep(0.5)
            assert len(read_all(connection)) < 50_000_000
        assert not store.exists("a")


def test_a_download_that_is_left(store):
    """A client that leaves in the middle of a download stops it: the rest is not read."""
    read = []

    class Slow(MemoryBackend):
        def stream(self, path, start=0, end=None, if_match=None):
            found = super().stream(path, start, end, if_match)

            def chunks():
                try:
                    for index in range(1000):
                        read.append(index)
                        yield b"x" * 100_000
                finally:
                    read.append("closed")

            return found._replace(stat=found.stat._replace(size=100_000_000), chunks=chunks())

    slow = Storage(backend=Slow())
    slow.set("a", b"")
    with serving(SignedURLs(slow)) as base:
        url = moved(slow.get_signed_url("a"), base)
        with connect(url) as connection:
            connection.sendall(head("GET", url))
            connection.recv(1000)
    assert read[-1] == "closed"
    assert len(read) < 900


def test_a_backend_that_fails_in_the_middle(store, caplog):
    """A download that cannot go on is broken off, so that the client sees that it is not whole."""

    class Broken(MemoryBackend):
        def stream(self, path, start=0, end=None, if_match=None):
            found = super().stream(path, start, end, if_match)

            def chunks():
                yield b"x" * 100_000
                raise ConnectionError("https://host/?signature=hush")

            return found._replace(stat=found.stat._replace(size=200_000), chunks=chunks())

    broken = Storage(backend=Broken())
    broken.set("a", b"")
    with serving(SignedURLs(broken)) as base:
        url = moved(broken.get_signed_url("a"), base)
        parts = urlsplit(url)
        connection = HTTPConnection(parts.hostname, parts.port, timeout=20)
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        with pytest.raises(Exception, match="IncompleteRead"):
            response.read()
        connection.close()
    assert response.status == 200


def test_connections_are_kept(store):
    """One connection serves many requests, also after a refusal whose body was short."""
    store.set("a", b"1")
    parts = urlsplit(store.get_signed_url("a"))
    up = urlsplit(store.get_upload_url("b"))
    connection = HTTPConnection(parts.hostname, parts.port, timeout=20)
    connection.connect()
    mine = connection.sock.getsockname()
    for _ in range(3):
        for method, target, body, status in (
            ("GET", f"{parts.path}?{parts.query}", None, 200),
            ("PUT", f"{up.path}?{up.query}", b"x" * 1000, 200),
            ("PUT", f"{parts.path}?{parts.query}", b"x" * 100_000, 403),
            ("DELETE", f"{parts.path}?{parts.query}", None, 405),
        ):
            connection.request(method, target, body)
            response = connection.getresponse()
            response.read()
            assert response.status == status
            assert connection.sock.getsockname() == mine
    connection.close()


# ---- who may ask -------------------------------------------------------------------------------------------------------


def test_stores_that_share_a_server(store):
    """A URL of one store opens nothing of another on the same server."""
    with Storage("memory://") as other:
        store.set("a", b"mine")
        other.set("a", b"theirs")
        mine, theirs = store.get_signed_url("a"), other.get_signed_url("a")
        assert urlsplit(mine).netloc == urlsplit(theirs).netloc
        ids = [one.backend.signing_keys().store_id for one in (store, other)]
        assert send("GET", mine).body == b"mine"
        assert send("GET", theirs).body == b"theirs"
        assert send("GET", mine.replace(ids[0], ids[1])).status == 403


def test_stores_that_share_a_secret(store):
    """Nor where both have the same secret, nor where their names are the same."""
    with Storage("memory://") as other:
        keys = store.backend.signing_keys()
        other.backend._signing_keys = keys._replace(store_id="f" * 32)
        other.set("a", b"theirs")
        url = store.get_signed_url("a")
        assert send("GET", other.get_signed_url("a")).status == 200
        assert send("GET", url.replace(keys.store_id, "f" * 32)).status == 403


def test_other_types(store):
    """A URL of one storage type opens nothing of another: the type's prefix is signed."""
    store.set("a", b"1", "tmp")
    assert send("GET", store.get_signed_url("a").replace("/data/a", "/tmp/a")).status == 403


def test_a_clock_of_ones_own(store):
    """The application tells the time by the clock that it is given."""
    store.set("a", b"1")
    now = [time.time()]
    with serving(SignedURLs(store, clock=lambda: now[0])) as base:
        url = moved(store.get_signed_url("a", expires_in=60), base)
        assert send("GET", url).status == 200
        now[0] += 59
        assert send("GET", url).status == 200
        now[0] += 2
        assert send("GET", url).status == 403


# ---- browsers ----------------------------------------------------------------------------------------------------------


def test_cors(store):
    """``setup(cors_origins=…)`` lets pages of just these origins read, and send all that ``sign_upload`` can ask for."""
    request = store.sign_upload("a", content_type="text/x", content_length=1, content_md5=md5(b"1"), overwrite=False)
    ask = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": ",".join(name.lower() for name in request.headers),
    }
    assert send("OPTIONS", request.url, ask).status == 403
    store.backend.setup(Setup(cors_origins=("https://app.example", "http://localhost:3000")))
    answer = send("OPTIONS", request.url, ask)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert {"PUT", "GET", "HEAD", "POST"} == set(answer.headers["access-control-allow-methods"].split(", "))
    assert set(answer.headers["access-control-allow-headers"].split(", ")) == {name.lower() for name in request.headers}
    assert "Origin" in answer.headers["vary"]
    for changed in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Access-Control-Request-Method": "DELETE"},
        {"Access-Control-Request-Headers": "x-other"},
    ):
        refused = send("OPTIONS", request.url, {**ask, **changed})
        assert refused.status == 403, changed
        assert "access-control-allow-origin" not in refused.headers
    stored = send("PUT", request.url, {**request.headers, "Origin": "https://app.example"}, b"1")
    assert stored.status == 200
    assert stored.headers["access-control-allow-origin"] == "https://app.example"
    assert "ETag" in stored.headers["access-control-expose-headers"]
    assert stored.headers["vary"] == "Origin"
    url = store.get_signed_url("a")
    assert "access-control-allow-origin" not in send("GET", url, {"Origin": "https://evil.example"}).headers
    # A page must be able to see why it was refused.
    refused = send("GET", url + "0", {"Origin": "https://app.example"})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (403, "https://app.example")
    store.backend.setup(Setup(cors_origins=("*",)))
    assert send("GET", url, {"Origin": "https://evil.example"}).headers["access-control-allow-origin"] == "*"
    store.backend.setup(Setup(cors_origins=()))
    assert send("OPTIONS", request.url, ask).status == 403


def test_options_that_is_no_preflight(store):
    """OPTIONS is for preflights; alone it is another verb."""
    answer = send("OPTIONS", store.get_signed_url("a"))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, PUT, POST")


# ---- log ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [logging.DEBUG, 1])
def test_the_log_holds_no_query(store, caplog, level):
    """Each request is one line, without the query, which is a credential, and on one line whatever the path holds."""
    caplog.set_level(level)
    store.set("a b", b"12345")
    urls = [store.get_signed_url("a b"), store.get_upload_url("x"), store.get_signed_url("y\u2028z") + "0"]
    with serving(SignedURLs(store)) as base:
        send("GET", moved(urls[0], base))
        send("PUT", moved(urls[1], base), body=b"1")
        send("GET", moved(urls[2], base))
    mine = store.backend.signing_keys().store_id
    lines = [record.getMessage() for record in caplog.records if record.name == "storage.server"]
    lines = [line for line in lines if mine in line]
    assert [line.split('" ')[1].split()[:2] for line in lines] == [["200", "5"], ["200", "0"], ["403", "88"]]
    assert "/data/a%20b" in lines[0]
    for url in urls:
        query = urlsplit(url).query
        signature = query.rpartition("signature=")[2][:20]
        assert all(signature not in record.getMessage() for record in caplog.records)
        assert all("expires=" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("times", [0, 1, 2, 5])
def test_a_signature_in_a_path_is_not_logged(store, caplog, times):
    """A client that encodes a whole URL, once or more often, puts its signature into the path, where it is not logged either."""
    caplog.set_level(logging.DEBUG)
    url = store.get_signed_url("a")
    parts = urlsplit(url)
    tail = f"?{parts.query}"
    for _ in range(times):
        tail = quote(tail, safe="")
    with serving(SignedURLs(store)) as base:
        assert send("GET", f"{base}{parts.path}{tail}").status == (403 if times else 404)
        assert send("GET", f"{base}{parts.path}/{parts.query.upper()}").status == 403
    signature = parts.query.rpartition("=")[2]
    text = "\n".join(record.getMessage() for record in caplog.records).lower()
    assert parts.path.lower() in text
    assert signature not in text
