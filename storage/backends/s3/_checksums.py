"""What tells that bytes arrived as they were sent: checksums of uploads, and of blobs that are read whole."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final, Literal

from storage.backends.s3._headers import etag_of, md5_of
from storage.exceptions import IntegrityError

__all__ = ["Checksum", "Kind", "check_upload", "checksum_of", "upload_headers"]

Kind = Literal["md5", "crc32"]
"""What an upload carries: every server that is not AWS's knows Content-MD5, and AWS keeps a CRC-32."""

_CRC32: Final = "x-amz-checksum-crc32"
_HASHES: Final = {"x-amz-checksum-sha256": "sha256", "x-amz-checksum-sha1": "sha1"}
_REMEDY: Final = "if this server's etags only look like MD5, add ?checksums=false to the URL"


def upload_headers(data: bytes | memoryview, kind: Kind | None) -> dict[str, str]:
    """The headers by which the server checks the body ``data``."""
    if kind == "md5":
        return {"content-md5": b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()}
    if kind == "crc32":
        return {_CRC32: _crc_text(zlib.crc32(data)), "x-amz-sdk-checksum-algorithm": "CRC32"}
    return {}


def check_upload(sent: Mapping[str, str], answered: Mapping[str, str]) -> None:
    """Compares what an upload's answer says of the bytes with the checksum that was sent along.

    Raises:
        IntegrityError: the service has other bytes.
    """
    if "content-md5" in sent:
        stored = md5_of(etag_of(answered), answered)
        if stored is not None and stored != b64decode(sent["content-md5"]).hex():
            raise IntegrityError(f"the etag of the upload is not the MD5 of what was sent; send it again, or {_REMEDY}")
    elif _CRC32 in sent and answered.get(_CRC32, sent[_CRC32]) != sent[_CRC32]:
        raise IntegrityError("the service has a CRC-32 other than that of what was sent; send it again")


class Checksum:
    """Runs over a blob's bytes, and compares the result with what the service says of it."""

    def __init__(self, algorithm: str, expected: str) -> None:
        self._expected = expected
        self._crc: int | None = 0 if algorithm == "crc32" else None
        self._hash: Any = None if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)
        self._words = f"its etag, which is its MD5; {_REMEDY}" if algorithm == "md5" else f"its {algorithm.upper()}"

    def update(self, data: bytes) -> None:
        """Counts the next bytes."""
        if self._crc is not None:
            self._crc = zlib.crc32(data, self._crc)
        else:
            self._hash.update(data)

    def check(self) -> None:
        """Raises ``IntegrityError`` unless the bytes are the blob's."""
        found = self._hash.hexdigest() if self._crc is None else f"{self._crc:08x}"
        if found != self._expected:
            raise IntegrityError(f"the bytes that came are not the blob's: they do not match {self._words}")


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """What checks the whole blob that an answer with these headers brings; ``None``: nothing does."""
    if headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
        for name, algorithm in ((_CRC32, "crc32"), *_HASHES.items()):
            expected = _hex(headers.get(name))
            if expected:
                return Checksum(algorithm, expected)
    md5 = md5_of(etag_of(headers), headers)
    return None if md5 is None else Checksum("md5", md5)


def _hex(text: str | None) -> str | None:
    """A checksum as a header has it, in hexadecimal; one of a blob in parts (``…-3``) is none of its bytes."""
    if text is None:
        return None
    try:
        return b64decode(text, validate=True).hex()
    except ValueError:
        return None


def _crc_text(crc: int) -> str:
    return b64encode(crc.to_bytes(4, "big")).decode()
