"""The listing's own parser, and what servers do differently."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from botocore.parsers import ResponseParserError

from storage.backends.s3._listing import parse_page, parse_time
from storage.testing.faults import answer

UTC = timezone.utc
AWS = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix>p%2F</Prefix>
<NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken><KeyCount>3</KeyCount>
<MaxKeys>1000</MaxKeys><Delimiter>%2F</Delimiter><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
<Contents><Key>p/a+b%2Bc%25%C3%BC&amp;%3C</Key><LastModified>2026-11-22T19:05:11.000Z</LastModified>
<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><Size>12</Size>
<Owner><ID>x</ID><DisplayName>Key</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>p/z</Key><LastModified>2026-11-22T19:05:11Z</LastModified><ETag>bare-2</ETag><Size>0</Size></Contents>
<CommonPrefixes><Prefix>p/f%20/</Prefix></CommonPrefixes></ListBucketResult>"""


def test_page() -> None:
    """Keys come back exactly, with size, etag and time; blobs and prefixes in order; and the token."""
    page = parse_page(AWS, detail=True)
    (first, blob), (second, folder), (third, other) = page.entries
    assert (first, second, third) == ("p/a b+c%ü&<", "p/f /", "p/z")
    assert folder is None
    assert blob is not None
    assert other is not None
    assert (blob.size, blob.etag) == (12, "d41d8cd98f00b204e9800998ecf8427e")
    assert blob.last_modified == datetime(2026, 11, 22, 19, 5, 11, tzinfo=UTC)
    assert (blob.metadata, blob.content_type) == (None, None)
    assert (other.size, other.etag) == (0, "bare-2")
    assert page.truncated
    assert page.token == "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM="
    assert parse_page(AWS, detail=False).entries == [(first, None), (second, None), (third, None)]


def test_page_that_is_not_encoded() -> None:
    """A server that does not encode keys is taken at its word."""
    body = AWS.replace(b"<EncodingType>url</EncodingType>", b"")
    assert parse_page(body, detail=False).entries[0][0] == "p/a+b%2Bc%25%C3%BC&%3C"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        AWS[:500],
        AWS[:-3],
        AWS.replace(b"<Size>12", b"<Size>x"),
        AWS.replace(b"<Key>p/z</Key>", b""),
        AWS.replace(b"2026-11-22T19:05:11Z", b"now"),
    ],
)
def test_page_that_is_none(body) -> None:
    """What is cut or garbled is an error that is worth another try, never a shorter listing."""
    with pytest.raises(ResponseParserError):
        parse_page(body, detail=True)


@pytest.mark.parametrize("fraction", ["", ".000", ".1", ".123456", ".123456789"])
def test_time(fraction) -> None:
    """Times with any number of digits."""
    found = parse_time(f"2026-11-22T19:05:11{fraction}Z")
    assert found.tzinfo is UTC
    assert abs(found - datetime(2026, 11, 22, 19, 5, 11, tzinfo=UTC)) < timedelta(seconds=0.2)


def page_of(keys: list[str], token: str | None) -> bytes:
    contents = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = str(token is not None).lower()
    return f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{contents}</ListBucketResult>".encode()


def test_server_without_tokens(stub) -> None:
    """A server that gives no token is asked to go on after the last key."""
    proxy, store = stub
    truncated = page_of(["p/data/a", "p/data/b"], "x").replace(b"<NextContinuationToken>x</NextContinuationToken>", b"")
    proxy.script(answer(200, truncated), answer(200, page_of(["p/data/c"], None)))
    assert list(store.iter_list()) == ["a", "b", "c"]
    assert "start-after=p%2Fdata%2Fb" in proxy.requests[1].target


def test_seaweedfs_goes_on_inside_a_folder(stub) -> None:
    """After ``a`` SeaweedFS would leave out ``a/b``: it is asked to go on after ``a/``, once it is known."""
    proxy, store = stub
    server = {"Server": "SeaweedFS 4.48"}
    pages = [
        answer(200, page_of(["p/data/b"], None), server),
        answer(200, page_of(["p/data/a/b", "p/data/b"], None), server),
    ]
    proxy.script(*pages, pages[1])
    store.backend._depth_first = False
    assert store.list(start_after="a") == ["a/b", "b"]
    assert store.list(start_after="a") == ["a/b", "b"]
    store.backend._depth_first = False
    assert [request.target.partition("start-after=")[2].partition("&")[0] for request in proxy.requests] == [
        "p%2Fdata%2Fa",
        "p%2Fdata%2Fa%2F",
        "p%2Fdata%2Fa%2F",
    ]
