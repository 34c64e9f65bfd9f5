"""Signed forms on the server: what is stored, what is refused, and that a limit holds while the file comes."""

from __future__ import annotations

import asyncio
import random
import socket
from urllib.parse import urlsplit

import pytest

from storage import Storage
from storage.backends import Setup
from storage.server import SignedURLs
from storage.server._form import _Form
from storage.testing._http import send
from tests.server.serving import call, connect, head, read_all, serving, status_of

LIMIT = 1000
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


def encoded(fields, file=b"new", *, name="file", filename="a.txt", more=()):
    """A form as a browser writes it; ``more``: parts after the file."""
    parts = [f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode() for key, value in fields]
    if file is not None:
        told = (
            f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: text/html\r\n\r\n'
        )
        parts.append(told.encode() + file)
    parts += [f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode() for key, value in more]
    return b"".join(b"--%s\r\n%s\r\n" % (BOUNDARY.encode(), part) for part in parts) + f"--{BOUNDARY}--\r\n".encode()


def post(url, body, **headers):
    """Sends a body as a form."""
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return send("POST", url, {**kind, **{name.replace("_", "-"): value for name, value in headers.items()}}, body)


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    """A store with a blob."""
    with Storage("memory://" if request.param == "memory" else f"file://{tmp_path}/s?fsync=false") as opened:
        opened.set("a.csv", b"old")
        yield opened


def test_a_form_stores_its_file(store):
    """The blob has the bytes of the file, the type that its key says, and the answer has its etag and no body."""
    form = store.sign_form("a.csv")
    data = bytes(range(256)) * 20_000
    answer = post(form.url, encoded(form.fields.items(), data))
    info = store.info("a.csv")
    assert (answer.status, answer.body, answer.headers["etag"]) == (204, b"", f'"{info.etag}"')
    assert store.get_bytes("a.csv") == data
    assert (info.content_type, info.metadata) == ("text/csv", {})


@pytest.mark.parametrize("bound", [None, "image/png"])
def test_the_type_of_a_form(store, bound):
    """A type that is bound is the only one; else the form's own field says it, and never the file's part."""
    form = store.sign_form("a.csv", content_type=bound)
    assert post(form.url, encoded(form.fields.items())).status == 204
    assert store.info("a.csv").content_type == (bound or "text/csv")
    fields = {**form.fields, "Content-Type": "text/x"}
    answer = post(form.url, encoded(fields.items(), b"other"))
    assert answer.status == (403 if bound else 204)
    assert store.info("a.csv").content_type == (bound or "text/x")
    for wrong in ("text/é", "x" * 2000):
        answer = post(form.url, encoded({**form.fields, "Content-Type": wrong}.items(), b"wrong"))
        assert answer.status == (403 if bound else 400)
    assert store.get("a.csv") != "wrong"


@pytest.mark.parametrize("size, status", [(0, 204), (LIMIT, 204), (LIMIT + 1, 413), (5_000_000, 413)])
def test_the_length_of_a_form(store, size, status):
    """A file of just the limit is stored, a longer one is refused, and leaves the old blob and nothing on disk."""
    form = store.sign_form("a.csv", max_length=LIMIT)
    assert post(form.url, encoded(form.fields.items(), b"x" * size)).status == status
    assert store.get_bytes("a.csv") == (b"x" * size if status == 204 else b"old")
    assert store.list() == ["a.csv"]


def test_a_limit_holds_while_the_file_comes(tmp_path):
    """A file that is too long is refused long before its end, and none of it is kept."""
    with Storage(f"file://{tmp_path}/s?fsync=false") as store:
        store.set("a", b"old")
        form = store.sign_form("a", max_length=3_000_000)
        begun = encoded(form.fields.items(), b"").partition(b"text/html\r\n\r\n")
        with connect(form.url) as connection:
            lines = (f"Content-Type: multipart/form-data; boundary={BOUNDARY}", "Content-Length: 1000000000000")
            connection.sendall(head("POST", form.url, *lines) + begun[0] + begun[1] + b"x" * 4_000_000)
            assert status_of(connection.recv(65536)) == 413
        assert store.get("a") == "old"
        assert [
            path for path in (tmp_path / "s/.storage~").rglob("*") if path.stat().st_size > 1000 and path.is_file()
        ] == []


def test_the_servers_own_limit(store):
    """--max-upload holds for a form, too, also where the form allows more."""
    form = store.sign_form("a.csv", max_length=10 * LIMIT)
    with serving(SignedURLs(store, max_upload=LIMIT)) as base:
        url = base + urlsplit(form.url).path
        assert post(url, encoded(form.fields.items(), b"x" * (LIMIT + 1))).status == 413
        assert post(url, encoded(form.fields.items(), b"x" * LIMIT)).status == 204


def altered(form):
    """The fields of a form, each changed, left out, given twice, and with others; with a label."""
    pairs = list(form.fields.items())
    for index, (name, value) in enumerate(pairs):
        yield f"{name} changed", [*pairs[:index], (name, value + "0"), *pairs[index + 1 :]]
        yield f"{name} emptied", [*pairs[:index], (name, ""), *pairs[index + 1 :]]
        yield f"{name} left out", pairs[:index] + pairs[index + 1 :]
        yield f"{name} twice", [*pairs, (name, value)]
        yield f"{name} in capitals twice", [*pairs, (name.upper(), value)]
    yield "one more", [*pairs, ("key", "b")]
    yield "one more that is empty", [*pairs, ("x", "")]
    yield "longer", [(n, v.replace("max=1000", "max=9999") if n == "policy" else v) for n, v in pairs]
    yield "no limit", [(n, v.replace("&max=1000", "") if n == "policy" else v) for n, v in pairs]
    yield "later", [(n, v.replace("expires=1", "expires=2") if n == "policy" else v) for n, v in pairs]
    yield "another type", [(n, v.replace("png", "gif")) for n, v in pairs]
    yield "none", []


def test_altered_forms(store):
    """Whatever is changed in a form is a 403, and nothing is stored."""
    form = store.sign_form("a.csv", max_length=LIMIT, content_type="image/png")
    labels = []
    for label, fields in altered(form):
        labels.append(label)
        assert post(form.url, encoded(fields)).status == 403, label
    assert len(labels) > 20
    other = form.url.replace("a.csv", "b.csv")
    assert post(other, encoded(form.fields.items())).status == 403
    assert post(form.url.replace("/data/", "/tmp/"), encoded(form.fields.items())).status == 403
    assert store.get("a.csv") == "old"
    assert store.list() == ["a.csv"]
    assert post(form.url, encoded(form.fields.items())).status == 204


def test_a_form_of_another_store_or_method(store):
    """A form opens no other store, and neither a form nor a URL serves for the other."""
    with Storage("memory://") as other:
        form, theirs = store.sign_form("a.csv"), other.sign_form("a.csv")
        ids = [urlsplit(one.url).path.split("/")[1] for one in (form, theirs)]
        assert post(theirs.url.replace(ids[1], ids[0]), encoded(theirs.fields.items())).status == 403
    query = f"{form.fields['policy']}&signature={form.fields['signature']}"
    for method in ("GET", "HEAD", "PUT"):
        assert send(method, f"{form.url}?{query}", body=b"x" if method == "PUT" else None).status == 403
    url = urlsplit(store.get_upload_url("a.csv"))
    policy, _, signature = url.query.rpartition("&signature=")
    fields = [("policy", policy), ("signature", signature)]
    assert post(form.url, encoded(fields)).status == 403
    assert (
        post(url.geturl(), encoded(form.fields.items())).status == 204
    )  # what stands in the query of a form's URL is nothing
    assert store.get("a.csv") == "new"


def test_an_expired_form(store):
    """After its time a form stores nothing."""
    now = [0.0]
    form = store.sign_form("a.csv", expires_in=60)
    with serving(SignedURLs(store, clock=lambda: now[0])) as base:
        url = base + urlsplit(form.url).path
        now[0] = form.expires_at.timestamp() - 1
        assert post(url, encoded(form.fields.items())).status == 204
        now[0] = form.expires_at.timestamp()
        assert post(url, encoded(form.fields.items(), b"late")).status == 403
    assert store.get("a.csv") == "new"


SECOND = b'Content-Disposition: form-data; name="b"'
NO_FORMS = {
    "no file": lambda fields: encoded(fields, None),
    "nothing": lambda fields: b"",
    "only the end": lambda fields: f"--{BOUNDARY}--\r\n".encode(),
    "no end": lambda fields: encoded(fields)[:-6],
    "cut in the file": lambda fields: encoded(fields, b"x" * 500)[:-300],
    "cut in a field": lambda fields: encoded(fields)[:150],
    "a field after the file": lambda fields: encoded(fields, more=[("x", "y")]),
    "two files": lambda fields: encoded([*fields, ("x", "")], more=[("file", "y")]),
    "another boundary": lambda fields: encoded(fields).replace(BOUNDARY.encode(), b"x" * 20),
    "text": lambda fields: b"hello",
    "no disposition": lambda fields: encoded(fields).replace(b"Content-Disposition", b"X"),
    "no form-data": lambda fields: encoded(fields).replace(b"form-data;", b"attachment;"),
    "no name": lambda fields: encoded(fields).replace(b"name=", b"nam="),
    "two dispositions": lambda fields: encoded(fields).replace(b"Content-Type: text/html", SECOND),
    "not UTF-8": lambda fields: encoded([*fields, ("x", "é")]).replace("é".encode(), b"\xff"),
    "a long field": lambda fields: encoded([*fields, ("x", "y" * 100_000)]),
    "many fields": lambda fields: encoded([*fields, *((f"x{n}", "") for n in range(1000))]),
    "a long head": lambda fields: encoded(fields, filename="x" * 20_000),
    "many heads": lambda fields: encoded(fields).replace(b"Content-Type: text/html", b"X: y\r\n" * 5000 + b"X: y"),
}  # fmt: skip


@pytest.mark.parametrize("make", NO_FORMS.values(), ids=NO_FORMS)
def test_what_is_no_form(store, make):
    """A form that is cut, garbled or overlong is a 400, and stores nothing."""
    form = store.sign_form("a.csv")
    assert post(form.url, make(list(form.fields.items()))).status == 400
    assert store.get("a.csv") == "old"


@pytest.mark.parametrize(
    "kind, status",
    [
        (None, 405),
        ("text/plain", 405),
        ("application/x-www-form-urlencoded", 405),
        ("multipart/mixed; boundary=x", 405),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        (f"multipart/form-data; boundary={'x' * 5000}", 400),
    ],
)
def test_other_content_types(store, kind, status):
    """A POST that is no form is another verb; a form without a boundary that can be is a 400."""
    form = store.sign_form("a.csv")
    headers = {} if kind is None else {"Content-Type": kind}
    answer = send("POST", form.url, headers, encoded(form.fields.items()))
    assert answer.status == status
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD, PUT, POST"
    assert store.get("a.csv") == "old"


def test_a_client_that_goes_away(tmp_path):
    """A form whose client stops sending is a 400, and leaves the old blob and nothing on disk."""
    with Storage(f"file://{tmp_path}/s?fsync=false") as store:
        store.set("a", b"old")
        form = store.sign_form("a")
        body = encoded(form.fields.items(), b"x" * 3_000_000)
        with connect(form.url) as connection:
            lines = (f"Content-Type: multipart/form-data; boundary={BOUNDARY}", f"Content-Length: {len(body)}")
            connection.sendall(head("POST", form.url, *lines) + body[:-1000])
            connection.shutdown(socket.SHUT_WR)
            assert status_of(read_all(connection)) == 400
        assert store.get("a") == "old"
        assert list((tmp_path / "s/.storage~/tmp").iterdir()) == []


def test_a_form_from_another_origin(store):
    """A page of an allowed origin may post a form, also one that asks before (to show progress), and read the answer."""
    store.backend.setup(Setup(cors_origins=("https://app.example",)))
    form = store.sign_form("a.csv")
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = send("OPTIONS", form.url, asked)
    assert answer.status == 204
    assert "POST" in answer.headers["access-control-allow-methods"].split(", ")
    assert send("OPTIONS", form.url, {**asked, "Origin": "https://evil.example"}).status == 403
    answer = post(form.url, encoded(form.fields.items()), Origin="https://app.example")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "https://app.example")
    assert (
        "access-control-allow-origin"
        not in post(form.url, encoded(form.fields.items()), Origin="https://e.example").headers
    )


def test_the_log_holds_nothing_of_a_form(store, caplog):
    """Neither policy nor signature is logged."""
    caplog.set_level(1)
    form = store.sign_form("a.csv")
    post(form.url, encoded(form.fields.items()))
    post(form.url, encoded([("signature", form.fields["signature"])]))
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "POST" in text
    assert form.fields["signature"] not in text
    assert "expires=" not in text


def test_forms_in_pieces():
    """However a form is cut into pieces, the file comes out byte for byte, also where it holds almost a boundary."""
    dice = random.Random(7)
    almost = [f"\r\n--{BOUNDARY[:cut]}".encode() for cut in range(len(BOUNDARY))]
    for _ in range(300):
        file = b"".join(
            dice.choice([*almost, dice.randbytes(dice.randrange(40)), b"\r", b"\n", b"-"])
            for _ in range(dice.randrange(12))
        )
        body = encoded([("a", "1"), ("ü", "é\r\n2")], file)
        form, taken, at = _Form(BOUNDARY.encode()), b"", 0
        while at < len(body):
            size = dice.choice([1, 2, 3, 7, 50, 500])
            form.feed(body[at : at + size])
            taken += form.take_file()
            at += size
        assert (form.complete, form.fields, taken) == (True, [("a", "1"), ("ü", "é\r\n2")], file)


@pytest.mark.parametrize("seed", range(5))
def test_mangled_forms(seed):
    """Whatever is done to a form's bytes, the answer is a 4xx or the form was as good as the true one; the limit always holds."""
    dice = random.Random(seed)
    with Storage("memory://") as store:
        form = store.sign_form("a", max_length=50)
        path = urlsplit(form.url).path
        good = encoded(form.fields.items(), b"y" * 40)
        app = SignedURLs(store)
        statuses = set()
        for _ in range(400):
            data = bytearray(good)
            for _ in range(dice.randint(1, 4)):
                at = dice.randrange(len(data))
                kind = dice.randrange(4)
                if kind == 0:
                    data[at] = dice.randrange(256)
                elif kind == 1:
                    data[at:at] = dice.choice([b"\r\n", b"--", b"\0", BOUNDARY.encode(), b"x" * 60, b'name="file"'])
                elif kind == 2:
                    del data[at : at + dice.randrange(1, 40)]
                else:
                    data[at:at] = data[max(0, at - 50) : at]
            pairs = [("content-type", f"multipart/form-data; boundary={BOUNDARY}"), ("content-length", str(len(data)))]
            status, _, _ = asyncio.run(call(app, "POST", (path, ""), pairs, [bytes(data)]))
            statuses.add(status)
            assert status in (204, 400, 403, 413)
            assert not store.exists("a") or store.info("a").size <= 50
            store.delete("a", missing_ok=True)
        assert {400, 403} <= statuses
