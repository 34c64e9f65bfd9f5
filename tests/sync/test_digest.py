"""The digest that verifies a copy: S3's etag."""

from __future__ import annotations

import hashlib

import pytest

from storage._sync.digest import Digest


def md5(data):
    return hashlib.md5(data)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 35])
@pytest.mark.parametrize("piece", [1, 7, 10, 100])
def test_digest(size, piece):
    """The MD5 of what fits into one part, else the MD5 of the parts' MD5s and their number, however the bytes come."""
    data = bytes(range(size))
    digest, whole = Digest(10), Digest()
    for start in range(0, size, piece):
        digest.update(data[start : start + piece])
        whole.update(data[start : start + piece])
    parts = [md5(data[start : start + 10]).digest() for start in range(0, size, 10)]
    expected = md5(data).hexdigest() if size <= 10 else f"{md5(b''.join(parts)).hexdigest()}-{len(parts)}"
    assert digest.result() == expected
    assert whole.result() == md5(data).hexdigest()
