"""Checksums of uploads, and of blobs that are read whole."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64decode
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal

from storage.backends.s3._headers import md5_of
from storage.exceptions import IntegrityError

Kind = Literal["md5", "crc32"]
"""What an upload carries: every server that is not AWS's knows Content-MD5, and AWS keeps a CRC-32."""

_MD5: Final = hashlib.md5(usedforsecurity=False)  # a copy takes half the time of a new one
_MD5_DIGITS: Final = 32
_CRC32: Final = "x-amz-checksum-crc32"
_REMEDY: Final = "if this server's etags only look like MD5, add ?checksums=false to the URL"
_THE_ETAG: Final = f"its etag, which is its MD5; {_REMEDY}"


def upload_headers(data: bytes | memoryview, kind: Kind | None) -> dict[str, str]:
    """The headers by which the server checks the body ``data``."""
    if kind == "md5":
        running = _MD5.copy()
        running.update(data)
        return {"content-md5": _base64(running.digest())}
    if kind == "crc32":
        return {_CRC32: _base64(zlib.crc32(data).to_bytes(4, "big")), "x-amz-sdk-checksum-algorithm": "CRC32"}
    return {}


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def check_upload(sent: Mapping[str, str], etag: str, answered: Mapping[str, str]) -> None:
    """Compares what an upload's answer says of the bytes with the checksum that was sent along.

    Raises:
        IntegrityError: the service has other bytes.
    """
    if "content-md5" in sent:
        expected = a2b_base64(sent["content-md5"]).hex()
        if etag != expected and md5_of(etag, answered) not in (None, expected):
            raise IntegrityError(f"the etag of the upload is not the MD5 of what was sent; send it again, or {_REMEDY}")
    elif _CRC32 in sent and answered.get(_CRC32, sent[_CRC32]) != sent[_CRC32]:
        raise IntegrityError("the service has a CRC-32 other than that of what was sent; send it again")


class _Crc32:
    """A running CRC-32, as hashlib would have it."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


_KEPT: Final[tuple[tuple[str, Callable[[], Any]], ...]] = (
    (_CRC32, _Crc32),
    ("x-amz-checksum-sha256", hashlib.sha256),
    ("x-amz-checksum-sha1", partial(hashlib.sha1, usedforsecurity=False)),
)


class Checksum:
    """Runs over a blob's bytes, and compares the result with what the service says of it, in hexadecimal."""

    __slots__ = ("_expected", "_running", "_words", "update")

    def __init__(self, running: Any, expected: str, words: str) -> None:
        self._running, self._expected, self._words = running, expected, words
        self.update: Callable[[bytes], object] = running.update

    def check(self) -> None:
        """Raises ``IntegrityError`` unless the bytes are the blob's."""
        if self._running.hexdigest() != self._expected:
            raise IntegrityError(f"the bytes that came are not the blob's: they do not match {self._words}")


def checksum_of(etag: str, headers: Mapping[str, str]) -> Checksum | None:
    """A checker for the whole blob of an answer with this etag and headers; ``None``: the service gives no checksum."""
    for name, make in _KEPT:
        if name in headers and headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT":
            expected = _hex(headers[name])
            if expected is not None:
                return Checksum(make(), expected, name)
    md5 = md5_of(etag, headers)
    return None if md5 is None else Checksum(_MD5.copy(), md5, _THE_ETAG)


def check_whole(data: bytes, etag: str, headers: Mapping[str, str]) -> None:
    """Compares a whole blob with what its answer, with this etag and headers, says of the bytes.

    Raises:
        IntegrityError: they are not the blob's.
    """
    if len(etag) == _MD5_DIGITS and _CRC32 not in headers:  # the usual case, but at AWS
        running = _MD5.copy()
        running.update(data)
        if running.hexdigest() == etag:
            return
    checksum = checksum_of(etag, headers)
    if checksum is not None:
        checksum.update(data)
        checksum.check()


def _hex(text: str) -> str | None:
    """A checksum as a header has it, in hexadecimal; that of a blob in parts (``…-3``) is none of its bytes."""
    try:
        return b64decode(text, validate=True).hex()
    except ValueError:
        return None
