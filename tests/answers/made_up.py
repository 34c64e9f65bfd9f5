"""Answers that hypothesis makes up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from tests.answers.malformed import Spoilt
from tests.answers.wire import Answer, End, Request, Wire

__all__ = ["made_up"]

Change = Callable[[Answer], Answer]

# Any byte that can stand in a head, and what breaks one.
VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
NAMES = st.sampled_from(
    ["etag", "content-type", "content-range", "content-encoding", "last-modified", "date", "x-goog-generation", "x-goog-hash",
     "x-amz-request-id", "x-amz-meta-a", "x-goog-meta-a", "x-amz-checksum-crc32", "retry-after", "location", "range",
     "transfer-encoding", "connection", "x-goog-stored-content-length", "x-guploader-uploadid"]
)  # fmt: skip
PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"<", b">", b"&", b"]]>", b"<!--", b"{", b"}", b"[", b'"', b"null", b"-1", b"1e999", b"\x00", b"\xff", b"%zz"]
    ),
)


@st.composite
def edited(draw: st.DrawFn) -> Change:
    """A document with one to four places in it replaced."""
    edits = draw(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), PIECES), min_size=1, max_size=4))

    def change(true: Answer) -> Answer:
        body = true.body
        for place, length, piece in edits:
            start = int(place * len(body))
            body = body[:start] + piece + body[start + length :]
        return replace(true.without("Content-Length"), body=body)

    return change


def headed(name: str, value: str, *, besides: bool) -> Change:
    return lambda true: true.also((name, value)) if besides else true.having((name, value))


CHANGES = st.one_of(
    edited(),
    st.builds(headed, NAMES, VALUES, besides=st.booleans()),
    st.sets(NAMES, min_size=1).map(lambda names: lambda true: true.without(*names)),
    st.integers(0, 400).map(lambda size: lambda true: replace(true.without("Content-Length"), body=true.body[:size])),
)


def made_up(*, is_document: bool) -> st.SearchStrategy[Spoilt]:
    """A true answer with a few changes, or bytes of any kind. ``is_document``: its body is no blob's.

    Bytes of a blob that are exchanged for others of the same length are nothing that a range could be held against, and its
    headers may be anybody's. So the bodies of blobs are left as they are.
    """

    def altered(changes: list[Change]) -> Spoilt:
        def make(request: Request, true: Answer) -> Wire:
            answer = true
            for change in changes:
                changed = change(answer)
                answer = changed if is_document else replace(changed, body=true.body)
            length = true.header("Content-Length")
            if length is not None and not is_document:  # of a HEAD, whose length can be held against nothing
                answer = answer.having(("Content-Length", length))
            return Wire(answer.raw(request.method), End.CLOSE)

        return Spoilt("made up", make, strict=False)

    def foreign(data: bytes, *, head: bool) -> Spoilt:
        start = b"HTTP/1.1 200 OK\r\n" if head else b""
        return Spoilt("bytes", lambda *_: Wire(start + data, End.CLOSE), reached=False)

    return st.one_of(
        st.lists(CHANGES, min_size=1, max_size=3).map(altered),
        st.builds(foreign, st.binary(max_size=300), head=st.booleans()),
    )
