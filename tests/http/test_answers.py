"""How answers are read: whole or not at all, whatever pieces they come in and wherever they break off."""

from __future__ import annotations

import http.client
import sys
import time
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.backends._http import BodyCutError, ConnectionLostError, ProtocolError, ReadTimeoutError, TransportError
from storage.backends._http._parser import Parser
from tests.http.scripted import by_http_client, coming, ok

_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Case(NamedTuple):
    """An answer, and what it says."""

    wire: bytes
    body: bytes = b""
    status: int = 200
    method: str = "GET"
    reusable: bool = True
    ended_by_close: bool = False


CASES = {
    "length": Case(ok(b"hello, world"), b"hello, world"),
    "empty": Case(ok()),
    "header-less": Case(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "error": Case(ok(b"<Error/>", status="404 Not Found"), b"<Error/>", 404),
    "chunked": Case(_CHUNKED + b"5;a=b\r\nhello\r\n00A\r\n\r\n0123\r\n\r\n\r\n0\r\n\r\n", b"hello\r\n0123\r\n\r\n"),
    "trailers": Case(_CHUNKED + b"2\r\nok\r\n0\r\nETag: late\r\n\r\n", b"ok"),
    "interim": Case(_INTERIM + ok(b"after"), b"after"),
    "HEAD": Case(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n", method="HEAD"),
    "HEAD-chunked": Case(_CHUNKED, method="HEAD"),
    "204": Case(b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", status=204),
    "304": Case(b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", status=304),
    "close": Case(ok(b"bye", "Connection: close"), b"bye", reusable=False),
    "until-close": Case(b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end", reusable=False, ended_by_close=True),
    "1.0": Case(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", b"old", reusable=False),
    "1.0-keep": Case(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold", b"old"),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def idle(pool) -> int:
    return len(pool._idle)


@cases
def test_an_answer_is_read_as_it_was_meant(monkeypatch, case):
    with coming(monkeypatch, case.wire, closes=case.ended_by_close) as pool:
        answer = pool.request(case.method, "/", {}, repeatable=True)
        assert (answer.status, answer.body) == (case.status, case.body)
        assert idle(pool) == case.reusable


@cases
def test_pieces_of_any_size_make_the_same_answer(monkeypatch, case):
    for first in range(1, len(case.wire) + 1):
        for sizes in ([first, 1 << 20], [1, first], [first]):
            with coming(monkeypatch, case.wire, sizes, closes=case.ended_by_close) as pool:
                answer = pool.request(case.method, "/", {}, repeatable=True)
                assert (answer.status, answer.body, idle(pool)) == (case.status, case.body, case.reusable)


@cases
def test_an_answer_that_breaks_off_at_any_byte_is_an_error(monkeypatch, case):
    head = case.wire.find(b"\r\n\r\n", case.wire.rfind(b"HTTP/1.")) + 4
    for end in range(head if case.ended_by_close else len(case.wire)):
        with (
            coming(monkeypatch, case.wire[:end]) as pool,
            pytest.raises(ConnectionLostError) as caught,
        ):
            pool.request(case.method, "/", {}, repeatable=True)
        assert caught.value.sent
        assert caught.value.answered == (end > 0)
        assert isinstance(caught.value, BodyCutError) == (end >= head)
        assert caught.value.status == (case.status if end >= head else None)
        assert idle(pool) == 0


@cases
def test_an_answer_that_stops_coming_is_an_error_after_the_timeout(monkeypatch, case):
    end = 0 if case.method == "HEAD" or not case.body else len(case.wire) - 1
    began = time.monotonic()
    with coming(monkeypatch, case.wire[:end], closes=False) as pool, pytest.raises(ReadTimeoutError) as caught:
        pool.request(case.method, "/", {}, repeatable=True)
    assert 0.2 <= time.monotonic() - began < 2
    assert caught.value.answered == (end > 0)


@cases
@pytest.mark.parametrize("size", [1, 3, 1 << 18])
def test_a_streamed_body_is_the_same_in_pieces(monkeypatch, case, size):
    with coming(monkeypatch, case.wire, [7], closes=case.ended_by_close) as pool:
        with pool.request(case.method, "/", {}, repeatable=True, stream=True) as answer:
            assert answer.status == case.status
            pieces = [] if answer.status < 300 else [answer.body]
            while piece := answer.read(size):
                assert len(piece) <= size
                pieces.append(piece)
            assert b"".join(pieces) == case.body
            assert answer.read(size) == b""
        assert idle(pool) == case.reusable


@cases
def test_a_streamed_body_is_the_same_in_a_buffer(monkeypatch, case):
    with coming(monkeypatch, case.wire, [5], closes=case.ended_by_close) as pool:
        with pool.request(case.method, "/", {}, repeatable=True, stream=True) as answer:
            buffer, found = bytearray(4), answer.body
            while count := answer.readinto(buffer):
                found += buffer[:count]
        assert found == case.body
        assert idle(pool) == case.reusable


@pytest.mark.parametrize("name", ["length", "chunked", "trailers"])
def test_a_streamed_body_that_breaks_off_gives_its_beginning_and_an_error(monkeypatch, name):
    case = CASES[name]
    for end in range(case.wire.index(b"\r\n\r\n") + 4, len(case.wire)):
        found = b""
        with coming(monkeypatch, case.wire[:end], [3]) as pool:
            answer = pool.request("GET", "/", {}, repeatable=True, stream=True)
            with pytest.raises(BodyCutError):  # noqa: PT012
                while piece := answer.read(100):
                    found += piece
            assert case.body.startswith(found)
            with pytest.raises(ConnectionLostError):
                answer.read(1)  # it stays cut, and never reads as a whole one
            assert idle(pool) == 0


def test_a_streamed_body_that_is_closed_early_takes_its_connection_along(monkeypatch):
    with coming(monkeypatch, ok(b"x" * 1000), [100], closes=False) as pool:
        answer = pool.request("GET", "/", {}, repeatable=True, stream=True)
        assert answer.length == 1000
        assert answer.read(10)
        answer.close()
        answer.close()
        assert idle(pool) == 0
        with pytest.raises(ConnectionLostError):
            answer.read(1)


# ---- what is no answer ---------------------------------------------------------------------------------------------

_HEAD = b"HTTP/1.1 200 OK\r\n"
MALFORMED = {
    "rubbish": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "html": b"<html>\r\n\r\n</html>",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "leading line": b"\r\n" + ok(),
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "short status": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "long status": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "length twice": _HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "lengths that differ": _HEAD + b"Content-Length: 1\r\ncontent-length: 2\r\n\r\nok",
    "a list of lengths": _HEAD + b"Content-Length: 2, 2\r\n\r\nok",
    "a signed length": _HEAD + b"Content-Length: +2\r\n\r\nok",
    "a negative length": _HEAD + b"Content-Length: -1\r\n\r\nok",
    "no length": _HEAD + b"Content-Length:\r\n\r\nok",
    "a length in hex": _HEAD + b"Content-Length: 0x2\r\n\r\nok",
    "a huge length": _HEAD + b"Content-Length: 99999999999999999999\r\n\r\nok",
    "chunked with a length": _HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a length with chunked": _HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked twice": _HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": _HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": _HEAD + b"Transfer-Encoding: identity\r\n\r\nok",
    "chunked 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "etag twice": _HEAD + b'ETag: "a"\r\nETag: "b"\r\nContent-Length: 0\r\n\r\n',
    "range twice": _HEAD + b"Content-Range: bytes 0-1/2\r\nContent-Range: bytes 0-1/3\r\nContent-Length: 2\r\n\r\nok",
    "a folded header": _HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": _HEAD + b"Content-Length : 0\r\n\r\n",
    "a header without a name": _HEAD + b": x\r\nContent-Length: 0\r\n\r\n",
    "a header without a colon": _HEAD + b"X\r\nContent-Length: 0\r\n\r\n",
    "a NUL": _HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a lone CR": _HEAD + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "a lone LF": _HEAD + b"X: a\nContent-Length: 0\r\n\r\n",
    "a head of lone LFs": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
    "a name that is not ASCII": _HEAD + "é: b\r\n".encode() + b"Content-Length: 0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "interim for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    "a chunk size that is none": _CHUNKED + b"g\r\nok\r\n0\r\n\r\n",
    "a chunk size with a space": _CHUNKED + b"2 \r\nok\r\n0\r\n\r\n",
    "a chunk size with a sign": _CHUNKED + b"+2\r\nok\r\n0\r\n\r\n",
    "a huge chunk size": _CHUNKED + b"fffffffffffffffff\r\nok\r\n0\r\n\r\n",
    "a chunk that is longer": _CHUNKED + b"2\r\noks\r\n0\r\n\r\n",
    "chunks with lone LFs": _CHUNKED + b"2\nok\n0\n\n",
    "a huge head": _HEAD + b"X: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "a huge head that does not end": _HEAD + b"X: " + b"x" * 200_000,
    "many headers": _HEAD + b"X: y\r\n" * 300 + b"Content-Length: 0\r\n\r\n",
    "a huge chunk extension": _CHUNKED + b"2;" + b"x" * 800_000 + b"\r\nok\r\n0\r\n\r\n",
    "huge trailers": _CHUNKED + b"2\r\nok\r\n0\r\nX: " + b"x" * 800_000 + b"\r\n\r\n",
    "a huge error": b"HTTP/1.1 500 No\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 1000,
}


@pytest.mark.parametrize("wire", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("sizes", [[1 << 20], [97]], ids=["at once", "in pieces"])
def test_what_is_no_clear_answer_is_refused(monkeypatch, wire, sizes):
    with coming(monkeypatch, wire, sizes, closes=False) as pool, pytest.raises(ProtocolError) as caught:
        pool.request("GET", "/", {}, repeatable=True)
    assert caught.value.sent
    assert caught.value.answered
    assert idle(pool) == 0
    assert str(caught.value).startswith("scripted:80: ")


def test_an_error_whose_chunks_do_not_end_is_refused(monkeypatch):
    endless = b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    monkeypatch.setattr("storage.backends._http._pool._MAX_ERROR_BODY", 10_000)
    with (
        coming(monkeypatch, endless, closes=False) as pool,
        pytest.raises(ProtocolError, match="more than 10000 bytes"),
    ):
        pool.request("GET", "/", {}, repeatable=True)


_EXTRA = {"x": b"x", "line": b"\r\n", "answer": ok(b"another's"), "part of one": b"HTTP/1.1 200"}


@pytest.mark.parametrize(
    "name, extra",
    [
        (name, extra)
        for name in ("length", "empty", "chunked", "trailers", "HEAD", "204", "error", "interim")
        for extra in _EXTRA
        # HTTP/1.1 allows an empty line before an answer, and llhttp takes it when the last chunk has come.
        if not (extra == "line" and name in {"chunked", "trailers"})
    ],
)
@pytest.mark.parametrize("sizes", [[1 << 20], [1]], ids=["at once", "in pieces"])
def test_bytes_behind_an_answer_end_the_connection_and_are_never_part_of_one(monkeypatch, name, extra, sizes):
    case = CASES[name]
    with coming(monkeypatch, case.wire + _EXTRA[extra], sizes, closes=False) as pool:
        answer = pool.request(case.method, "/", {}, repeatable=True)
        assert (answer.status, answer.body) == (case.status, case.body)
        assert pool._take() is None
        assert idle(pool) == 0


def test_headers_are_a_dictionary_of_lower_case_names(monkeypatch):
    wire = b'HTTP/1.1 200 OK\r\nETag:"a"\r\nX-Empty:\r\nX-Blank: \t \r\nVARY: a \r\nVary:\tb\r\nX: caf\xe9:x\r\n'
    wire += b"Content-Length: 0\r\n\r\n"
    with coming(monkeypatch, wire, closes=False) as pool:
        assert pool.request("GET", "/", {}, repeatable=True).headers == {
            "etag": '"a"',
            "x-empty": "",
            "x-blank": "",
            "vary": "a, b",
            "x": "café:x",
            "content-length": "0",
        }


def test_trailers_change_no_header(monkeypatch):
    wire = _CHUNKED + b"2\r\nok\r\n0\r\nETag: late\r\nX: y\r\n\r\n"
    with coming(monkeypatch, wire, closes=False) as pool:
        assert pool.request("GET", "/", {}, repeatable=True).headers == {"transfer-encoding": "chunked"}


# ---- against the standard library ----------------------------------------------------------------------------------

_TOKENS = st.text("abcXYZ09-_.~!#$%&'*+^`|", min_size=1, max_size=12)
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)


@st.composite
def answers(draw) -> Case:
    """Well-formed answers of every kind."""
    status = draw(st.sampled_from([200, 204, 206, 304, 400, 404, 503]))
    method = draw(st.sampled_from(["GET", "HEAD", "PUT"]))
    body = draw(st.binary(max_size=300))
    names = draw(st.lists(_TOKENS.map(lambda name: f"x-{name}"), unique_by=str.lower, max_size=5))
    lines = [f"{name}:{draw(st.sampled_from(['', ' ', '  ']))}{draw(_VALUES)}" for name in names]
    # The standard library waits for chunks that a 204 never has.
    framing = draw(st.sampled_from(["length", "close"] if status in {204, 304} else ["length", "chunked", "close"]))
    empty = method == "HEAD" or status in {204, 304}
    data = body
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        lines.append("transfer-encoding: Chunked")
        data, left = b"", body
        while left:
            size = draw(st.integers(1, len(left)))
            data += b"%x%s\r\n" % (size, draw(st.sampled_from([b"", b";a", b';a="b"']))) + left[:size] + b"\r\n"
            left = left[size:]
        data += b"0\r\n" + draw(st.sampled_from([b"", b"T: u\r\n"])) + b"\r\n"
    lines = draw(st.permutations(lines))
    head = "\r\n".join([f"HTTP/1.1 {status} Reason", *lines, "", ""]).encode("latin-1")
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.integers(0, 2))
    return Case(
        interim + head + (b"" if empty else data),
        b"" if empty else body,
        status,
        method,
        reusable=empty or framing != "close",
        ended_by_close=not empty and framing == "close",
    )


@given(answers(), st.lists(st.integers(1, 40), max_size=20))
def test_well_formed_answers_are_read_as_the_standard_library_reads_them(case, sizes):
    with pytest.MonkeyPatch.context() as patch, coming(patch, case.wire, sizes, closes=case.ended_by_close) as pool:
        answer = pool.request(case.method, "/", {}, repeatable=True)
        assert (answer.status, answer.body, idle(pool)) == (case.status, case.body, case.reusable)
        status, headers, body = by_http_client(case.wire, case.method)
        assert (answer.status, answer.body) == (status, body)
        assert answer.headers == {name: value.strip(" \t") for name, value in headers.items()}


_EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 4),
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b"\0", b" ", b":", b"0", b"5", b"a", b"-", b"\xff", b"chunked", b"\t", b","]
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(answers(), _EDITS, st.lists(st.integers(1, 40), max_size=5))
def test_spoiled_answers_are_refused_or_read_as_the_standard_library_reads_them(case, edits, sizes):
    wire = case.wire
    for where, cut, put in edits:
        position = int(where * len(wire))
        wire = wire[:position] + put + wire[position + cut :]
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch, coming(patch, wire, sizes) as pool:
        try:
            answer = pool.request(case.method, "/", {}, repeatable=True)
        except TransportError:
            answer = None
    assert time.monotonic() - began < 5
    if answer is not None:
        try:
            status, _, body = by_http_client(wire, case.method)
        except (http.client.HTTPException, ValueError):
            return
        if status >= 200:  # it stops at interim answers other than "100 Continue"
            assert (answer.status, answer.body) == (status, body)


def test_what_llhttp_calls_is_no_python():
    """An interrupt that came in a function in Python would be swallowed there."""
    parser, called = Parser(), []
    parser.head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", "GET")
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        assert parser.chunked(b"2\r\nab\r\n0\r\n\r\n") == [b"ab"]
    finally:
        sys.setprofile(None)
    assert parser.complete
    assert set(called) == {"chunked", "_feed", "cast"}
