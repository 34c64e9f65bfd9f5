"""The XML of requests and answers."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from storage import UnavailableError
from storage.backends.s3._documents import listing

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
    page = listing(AWS, detail=True)
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
    assert listing(AWS, detail=False).entries == [(first, None), (second, None), (third, None)]


def test_page_that_is_not_encoded() -> None:
    """A server that does not encode keys is taken at its word."""
    body = AWS.replace(b"<EncodingType>url</EncodingType>", b"")
    assert listing(body, detail=False).entries[0][0] == "p/a+b%2Bc%25%C3%BC&%3C"


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
        # There is more, and no word of where.
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    ],
)
def test_page_that_is_none(body) -> None:
    """What is cut or garbled is an error that is worth another try, never a shorter listing."""
    with pytest.raises(UnavailableError):
        listing(body, detail=True)


@pytest.mark.parametrize("fraction", ["", ".000", ".1", ".123456", ".123456789"])
def test_time(fraction) -> None:
    """Times with any number of digits."""
    body = AWS.replace(b"2026-11-22T19:05:11.000Z", f"2026-11-22T19:05:11{fraction}Z".encode())
    _, blob = listing(body, detail=True).entries[0]
    assert blob is not None
    found = blob.last_modified
    assert found.tzinfo is UTC
    assert abs(found - datetime(2026, 11, 22, 19, 5, 11, tzinfo=UTC)) < timedelta(seconds=0.2)
