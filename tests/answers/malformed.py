"""Answers that no service should give, and that clients meet all the same."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import methodcaller
from typing import Any

from tests.answers.wire import Answer, End, Request, Wire

__all__ = ["ALTERED", "FOREIGN", "STALLING", "Spoilt", "headers_spoilt", "json_spoilt", "xml_spoilt"]

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>Welcome to this network &mdash; sign in</body></html>"
HTML = ("Content-Type", "text/html; charset=utf-8")


@dataclass(frozen=True)
class Spoilt:
    """One malformed answer.

    Attributes:
        name: for the report.
        make: the wire's bytes, from the request and the true answer (``None`` where the request never reached the service).
        reached: the service got the request, and did what it asks.
        strict: a success has to be the truth. Otherwise the answer tells another story that hangs together, such as another
            etag: then a result has to be well-formed, and bytes of blobs true.
    """

    name: str
    make: Callable[[Request, Answer], Wire]
    reached: bool = True
    strict: bool = True


FOREIGN: list[Spoilt] = []
ALTERED: list[Spoilt] = []
STALLING: list[Spoilt] = []


def foreign(name: str, answer: Answer | bytes, end: str = End.KEEP) -> None:
    """Something else answers, and the service never hears of the request."""

    def make(request: Request, _true: Answer) -> Wire:
        return Wire(answer if isinstance(answer, bytes) else answer.raw(request.method), end)

    FOREIGN.append(Spoilt(name, make, reached=False))


def altered(
    name: str,
    change: Callable[[Answer], Answer | bytes],
    *,
    end: str = End.KEEP,
    strict: bool = True,
    into: list[Spoilt] = ALTERED,
) -> None:
    """The service answers, and the answer is changed on the way."""

    def make(request: Request, true: Answer) -> Wire:
        changed = change(true)
        return Wire(changed if isinstance(changed, bytes) else changed.raw(request.method), end)

    into.append(Spoilt(name, make, strict=strict))


def page(status: int, *headers: tuple[str, str], body: bytes = PAGE) -> Answer:
    return Answer(status, [HTML, *headers], body)


# ---- what is no answer of the service at all ---------------------------------------------------------------------------

foreign("a login page with 200", page(200))
foreign("a login page as XML", Answer(200, [("Content-Type", "application/xml")], PAGE))
foreign("a login page as JSON", Answer(200, [("Content-Type", "application/json")], PAGE))
foreign(
    "a login page in chunks", page(200, ("Transfer-Encoding", "chunked"), body=b"5\r\n<html\r\n1\r\n>\r\n0\r\n\r\n")
)
foreign("200 and nothing", Answer(200))
foreign("201 and nothing", Answer(201))
foreign("202 and nothing", Answer(202))
foreign("204 and nothing", Answer(204))
foreign("206 and a page", page(206))
foreign("206 of something", page(206, ("Content-Range", "bytes 0-9/10"), body=b"0123456789"))
foreign("207", page(207))
for code in (300, 301, 302, 303, 305, 307, 308):
    foreign(f"{code} to elsewhere", page(code, ("Location", "/trap")))
foreign("302 to nowhere", page(302))
foreign(
    "301 with an endpoint",
    Answer(301, [], b"<Error><Code>PermanentRedirect</Code><Endpoint>evil.example</Endpoint></Error>"),
)
foreign("304", Answer(304))
for code in (
    400,
    401,
    402,
    403,
    404,
    405,
    406,
    407,
    408,
    409,
    410,
    411,
    412,
    413,
    414,
    416,
    417,
    418,
    421,
    422,
    426,
    429,
    431,
    451,
    499,
):
    foreign(f"{code} with a page", page(code))
for code in (400, 401, 403, 404, 409, 412, 416):
    foreign(f"{code} and nothing", Answer(code))
for code in (500, 501, 502, 503, 504, 505, 507, 511, 599, 600, 999):
    foreign(f"{code} with a page", page(code))
foreign(
    "401 with an odd challenge",
    page(401, ("WWW-Authenticate", 'Basic realm="'), ("WWW-Authenticate", "Negotiate \xff")),
)
for text in ("soon", "-5", "1e999", "9" * 5000, "Fri, 99 Foo 2026 99:99:99 GMT", ""):
    foreign(f"503, Retry-After {text[:10]!r}", page(503, ("Retry-After", text)))
foreign("429, Retry-After for years", page(429, ("Retry-After", "99999999")))
for code in (400, 403, 404, 409, 412, 416, 500, 503):
    foreign(
        f"{code} with cut XML",
        Answer(code, [("Content-Type", "application/xml")], b"<?xml version='1.0'?><Error><Code>NoS"),
    )
    foreign(
        f"{code} with odd JSON",
        Answer(code, [("Content-Type", "application/json")], b'{"error": [1, null, {"errors": 5}]}'),
    )
    foreign(f"{code} with JSON of text", Answer(code, [("Content-Type", "application/json")], b'"no"'))
    foreign(
        f"{code} with bytes",
        Answer(code, [("Content-Type", "application/json; charset=\xff")], b"\xff\xfe\x00\x80" * 5),
    )
foreign("500 with deep XML", Answer(500, [], b"<a>" * 50_000))
foreign("500 with deep JSON", Answer(500, [("Content-Type", "application/json")], b'{"error":' * 50_000))
foreign("404 with JSON null", Answer(404, [("Content-Type", "application/json")], b'{"error": null}'))

NAMES = ("items", "size", "generation", "name", "done", "resource")
for name, body in {
    "an empty object": b"{}",
    "an empty list": b"[]",
    "null": b"null",
    "a number": b"5",
    "a text": b'"text"',
    "NaN": b"NaN",
    "a text for each field": json.dumps(dict.fromkeys(NAMES, "x")).encode(),
    "a list for each field": json.dumps({name: [5] for name in NAMES}).encode(),
    "deep JSON": b"[" * 100_000,
    "deep JSON objects": b'{"items":' * 100_000,
    "a huge number": b'{"size": ' + b"9" * 5_000 + b"}",
    "bytes": b'{"name": "\xff\xfe"}',
    "a mark and JSON": b"\xef\xbb\xbf{}",
    "UTF-16": '{"items": []}'.encode("utf-16"),
    "cut": b'{"items": [{"name": "a',
    "twice": b"{}{}",
    "surrogates": b'{"items": [{"name": "\\ud800"}]}',
    "blanks": b" " * 1000,
}.items():
    foreign(f"JSON: {name}", Answer(200, [("Content-Type", "application/json")], body))

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><ListBucketResult>&j;</ListBucketResult>"
)
for name, body in {
    "an element": b"<a/>",
    "an empty listing": b"<ListBucketResult/>",
    "no element": b"<?xml version='1.0'?>",
    "deep": b"<a>" * 100_000,
    "a bomb": BOMB,
    "another file": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><ListBucketResult><Name>&x;</Name></ListBucketResult>',
    "another encoding": b'<?xml version="1.0" encoding="no-such"?><ListBucketResult/>',
    "UTF-16": "<ListBucketResult/>".encode("utf-16"),
    "bytes": b"<ListBucketResult><Contents><Key>\xff\xfe</Key></Contents></ListBucketResult>",
    "cut": b"<ListBucketResult><Contents><Key>a",
    "an error with 200": b"<Error><Code>InternalError</Code><Message>Try again</Message></Error>",
    "an error without a code": b"<Error/>",
    "an error with a deep code": b"<Error><Code><Code>x</Code></Code></Error>",
    "control characters": b"<ListBucketResult><Contents><Key>\x00\x01</Key></Contents></ListBucketResult>",
    "no token": b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    "a key alone": b"<ListBucketResult><Contents><Key>data/a</Key></Contents></ListBucketResult>",
}.items():
    foreign(f"XML: {name}", Answer(200, [("Content-Type", "application/xml")], body))
foreign(
    "an error of JSON with 200",
    Answer(200, [("Content-Type", "application/json")], b'{"error": {"code": 503, "message": "later"}}'),
)

# ---- what is no HTTP -----------------------------------------------------------------------------------------------

foreign("closed at once", b"", End.CLOSE)
foreign("reset at once", b"", End.RESET)
foreign("half a status line", b"HTTP/1.1 20", End.CLOSE)
foreign("no status", b"HTTP/1.1 \r\n\r\n", End.CLOSE)
foreign("a status of letters", b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", End.CLOSE)
foreign("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", End.CLOSE)
foreign("a status of five digits", b"HTTP/1.1 20000 OK\r\nContent-Length: 0\r\n\r\n", End.CLOSE)
foreign("a negative status", b"HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n", End.CLOSE)
foreign("HTTP/9.9", b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n", End.CLOSE)
foreign("HTTP/0.9", PAGE, End.CLOSE)
foreign("another protocol", b"220 mail.example ESMTP\r\n", End.CLOSE)
foreign("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x28", End.CLOSE)
foreign("an HTTP/2 frame", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", End.CLOSE)
foreign("a header without a colon", b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", End.CLOSE)
foreign("a header without a name", b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n", End.CLOSE)
foreign("blanks in a name", b"HTTP/1.1 200 OK\r\nContent Length: 0\r\nETag : x\r\n\r\n", End.CLOSE)
foreign(
    "a line of 200 KB", b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n", End.CLOSE
)
foreign("5,000 headers", b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5_000 + b"Content-Length: 0\r\n\r\n", End.CLOSE)
foreign("NULs in headers", b'HTTP/1.1 200 OK\r\nETag: "\x00\x01"\r\nContent-Length: 0\r\n\r\n', End.CLOSE)
foreign(
    "bytes in headers",
    b'HTTP/1.1 200 \xff\xfe\r\nX-Odd: "\xc3\xa9\xff"\r\nX-Amz-Meta-A: =?utf-8?b?/w==?=\r\nContent-Length: 0\r\n\r\n',
    End.CLOSE,
)
foreign("a head that is cut", b"HTTP/1.1 200 OK\r\nContent-Type: text/pl", End.CLOSE)
foreign("lines that are folded", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n 5\r\n\r\n", End.CLOSE)
foreign("only 100", b"HTTP/1.1 100 Continue\r\n\r\n", End.CLOSE)
foreign("100 a thousand times", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, End.CLOSE)
foreign(
    "101",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello",
    End.CLOSE,
)
foreign("103 and no more", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", End.CLOSE)


# ---- true answers that were spoilt on the way ----------------------------------------------------------------------


def with_length(length: str) -> Callable[[Answer], Answer]:
    return lambda true: true.having(("Content-Length", length))


def in_chunks(body: Callable[[bytes], bytes]) -> Callable[[Answer], Answer]:
    return lambda true: replace(
        true.without("Content-Length").also(("Transfer-Encoding", "chunked")), body=body(true.body)
    )


altered("closed before the answer", lambda _: b"", end=End.CLOSE)
altered("reset before the answer", lambda _: b"", end=End.RESET)
altered("the body is cut", lambda true: true.raw("GET")[: -max(1, len(true.body) // 2)], end=End.CLOSE)
altered("the body is cut by a reset", lambda true: true.raw("GET")[: -max(1, len(true.body) // 2)], end=End.RESET)
altered(
    "the body is missing",
    lambda true: with_length(str(len(true.body) or 10))(replace(true, body=b"")).head(),
    end=End.CLOSE,
)
altered("the body is empty", lambda true: replace(true.without("Content-Length"), body=b""))
altered("the body is another", lambda true: replace(true.without("Content-Length"), body=PAGE))
altered("the body is twice there", lambda true: replace(true.without("Content-Length"), body=true.body * 2 or b"x"))
altered(
    "the body is short, and so is its length",
    lambda true: replace(true.without("Content-Length"), body=true.body[: len(true.body) // 2]),
)
altered("the length is too short", lambda true: with_length(str(max(0, len(true.body) - 3)))(true), end=End.CLOSE)
altered("the length is too long", lambda true: with_length(str(len(true.body) + 3))(true), end=End.CLOSE)
for text in ("-1", "abc", "", "1e3", "0x10", "+5", " 1 2", "9" * 30, "9" * 5_000, "\u0663".encode().decode("latin-1")):
    altered(f"the length is {text[:12]!r}", with_length(text), end=End.CLOSE)
altered(
    "two lengths",
    lambda true: true.also(("Content-Length", "3"), ("Content-Length", str(len(true.body)))),
    end=End.CLOSE,
)
altered(
    "a length in chunks",
    lambda true: in_chunks(lambda body: b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) or 1, body or b"x"))(true).also(
        ("Content-Length", "3")
    ),
    end=End.CLOSE,
)
for name, chunked in {
    "no number": lambda body: b"zz\r\n" + body,
    "negative": lambda body: b"-5\r\n" + body,
    "huge": lambda body: b"f" * 40 + b"\r\n" + body,
    "larger than long": lambda body: b"7fffffffffffffff\r\n" + body,
    "cut": lambda body: b"%x\r\n" % (len(body) + 10) + body,
    "without an end": lambda body: b"%x\r\n%s\r\n" % (len(body) or 1, body or b"x"),
    "without a line": lambda body: b"5\r\nhello0\r\n\r\n",
    "only an end": lambda _: b"0\r\n\r\n",
    "an endless size": lambda _: b"1" * 100_000,
    "with bytes": lambda body: b"\xff\xfe\r\n" + body,
}.items():
    altered(f"chunks: {name}", in_chunks(chunked), end=End.CLOSE)
altered("gzip that is none", lambda true: true.having(("Content-Encoding", "gzip")), strict=False)
altered(
    "gzip that is cut",
    lambda true: replace(true.having(("Content-Encoding", "gzip")), body=gzip.compress(true.body)[:-6]),
    strict=False,
)
altered("an unknown coding", lambda true: true.having(("Content-Encoding", "br, zstd, x")), strict=False)
altered(
    "Transfer-Encoding of another kind", lambda true: true.also(("Transfer-Encoding", "gzip, identity")), end=End.CLOSE
)
altered("a second answer behind", lambda true: true.raw("GET") + page(200).raw("GET"))
altered("with 200", lambda true: replace(true, status=200))
altered("with 206", lambda true: replace(true, status=206))
altered("with 202", lambda true: replace(true, status=202))
altered("with 203", lambda true: replace(true, status=203))
altered("with 299", lambda true: replace(true, status=299))
altered("with 304", lambda true: replace(true, status=304))
altered("with 308", lambda true: replace(true, status=308))
altered("with 404", lambda true: replace(true, status=404))
altered("with 500", lambda true: replace(true, status=500))
altered("with no header at all", lambda true: Answer(true.status, [], true.body))
altered(
    "every header twice",
    lambda true: replace(true, headers=[pair for pair in true.headers for _ in range(2)]),
    strict=False,
)

for name, value in {
    "another start": "bytes 1-{last}/{size}",
    "another end": "bytes {first}-0/{size}",
    "another size": "bytes {first}-{last}/7",
    "no size": "bytes {first}-{last}/*",
    "backwards": "bytes {last}-{first}/{size}",
    "no span": "bytes */{size}",
    "other units": "items {first}-{last}/{size}",
    "nothing": "",
    "negative": "bytes -5--1/{size}",
    "letters": "bytes a-b/c",
    "huge": "bytes {first}-{last}/" + "9" * 5_000,
    "huge span": "bytes {first}-" + "9" * 30 + "/" + "9" * 31,
}.items():

    def spanned(true: Answer, value: str = value) -> Answer:
        span = true.header("Content-Range") or "bytes 0-9/10"
        first, _, rest = span.removeprefix("bytes ").partition("-")
        last, _, size = rest.partition("/")
        return replace(true, status=206).having(("Content-Range", value.format(first=first, last=last, size=size)))

    altered(f"Content-Range: {name}", spanned)

altered("stalls before the answer", lambda _: b"", end=End.STALL, into=STALLING)
altered("stalls in the head", lambda true: true.head()[:-10], end=End.STALL, into=STALLING)
altered(
    "stalls in the body",
    lambda true: with_length(str(len(true.body) + 5))(true).raw("GET"),
    end=End.STALL,
    into=STALLING,
)


# ---- one header, field or element at a time ------------------------------------------------------------------------

CONTENT = {"content-type", "content-encoding", "cache-control"}


def _changed(change: Callable[[Answer], Answer], request: Request, true: Answer) -> Wire:
    return Wire(change(true).raw(request.method))


def headers_spoilt(true: Answer) -> Iterator[Spoilt]:
    """The true answer with each of its headers missing, empty, garbled and there twice."""
    for name in dict.fromkeys(name for name, _ in true.headers):
        values: dict[str, Callable[[Answer], Answer]] = {
            "missing": methodcaller("without", name),
            "empty": methodcaller("having", (name, "")),
            "garbled": methodcaller("having", (name, "\xff;=,\"'<")),
            "of 5,000 digits": methodcaller("having", (name, "9" * 5_000)),
            "twice, unlike": methodcaller("also", (name, "other")),
        }
        for how, change in values.items():
            yield Spoilt(f"{name} {how}", partial(_changed, change), strict=False)


REPLACEMENTS: tuple[Any, ...] = (
    None,
    5,
    -1,
    1e400,
    True,
    "",
    "x",
    "9" * 5_000,
    "-3",
    "2026-99-99T99:99:99Z",
    "\ud800",
    [],
    [5],
    {},
    {"a": 1},
)


def json_spoilt(true: Answer) -> Iterator[Spoilt]:
    """The true answer with each field of its document missing or of another kind."""
    try:
        document = json.loads(true.body)
    except ValueError:
        return
    for path in _paths(document):
        label = ".".join(map(str, path))
        yield Spoilt(f"{label} missing", _on_json(path, missing=True), strict=False)
        for value in REPLACEMENTS:
            yield Spoilt(f"{label} = {str(value)[:20]!r}", _on_json(path, value), strict=False)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else list(enumerate(node))[:1] if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _on_json(path: tuple[Any, ...], value: Any = None, *, missing: bool = False) -> Callable[[Request, Answer], Wire]:
    def make(request: Request, true: Answer) -> Wire:
        try:
            document = node = json.loads(true.body)
            for key in path[:-1]:
                node = node[key]
            if missing:
                del node[path[-1]]
            else:
                node[path[-1]] = value
        except (ValueError, LookupError, TypeError):
            return Wire(true.raw(request.method))  # this page has no such field
        return Wire(replace(true.without("Content-Length"), body=json.dumps(document).encode()).raw(request.method))

    return make


TEXTS = ("", "x", "-1", "9" * 5_000, "2026-99-99T99:99:99Z", "&#xD7FF;", "%ff%zz", "<b>x</b>", "true", "&undefined;")


def _always(text: str, _: str) -> str:
    return text


def xml_spoilt(true: Answer) -> Iterator[Spoilt]:
    """The true answer with the first element of each name missing, with another text, or there twice."""
    import re

    text = true.body.decode("utf-8", "replace")
    if "<" not in text:
        return
    for name in dict.fromkeys(re.findall(r"<([A-Za-z]+)[^>]*>", text)):
        whole = re.compile(rf"<{name}(?: [^>]*)?>.*?</{name}>", re.DOTALL)

        def having(to: Callable[[str], str], whole: re.Pattern[str] = whole) -> Callable[[Request, Answer], Wire]:
            def make(request: Request, true: Answer) -> Wire:
                text = true.body.decode("utf-8", "replace")
                body = whole.sub(lambda found: to(found[0]), text, count=1).encode("utf-8", "surrogatepass")
                return Wire(replace(true.without("Content-Length"), body=body).raw(request.method))

            return make

        yield Spoilt(f"<{name}> missing", having(lambda _: ""), strict=False)
        yield Spoilt(f"<{name}> twice", having(lambda found: found * 2), strict=False)
        yield Spoilt(f"<{name}> renamed", having(methodcaller("replace", name, "Other")), strict=False)
        for value in TEXTS:
            yield Spoilt(
                f"<{name}> = {value[:20]!r}",
                having(partial(_always, f"<{name}>{value}</{name}>")),
                strict=False,
            )
