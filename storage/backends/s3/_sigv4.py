"""AWS Signature Version 4 in headers, as S3 reads it. Pure: the clock is passed in.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from storage.backends._http import header_lines

if TYPE_CHECKING:
    from hashlib import _Hash

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
"""In place of a body's hash: the body is checked by another header, and travels over TLS."""

_BEGUN: Final = hashlib.sha256()  # a copy takes half the time of a new one

EMPTY: Final = _BEGUN.hexdigest()
"""The hash of no body."""


class Secrets(Protocol):
    """Credentials at one moment, as botocore freezes them."""

    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class Keys(NamedTuple):
    """Credentials at one moment. The ``repr`` shows none of them."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return "Keys(…)"


def sign(
    method: str,
    path: str,
    query: str,
    headers: dict[str, str],
    payload: str,
    *,
    keys: Secrets,
    region: str,
    now: float,
) -> str:
    """Signs a request.

    Args:
        path: percent-encoded.
        query: percent-encoded and sorted by name.
        headers: names in lower case, ``host`` among them; all of them are signed.
        payload: the body's SHA-256 in hexadecimal, or :data:`UNSIGNED`.
        now: seconds since 1970.

    Returns:
        The headers as lines, those of the signature among them.

    Raises:
        ConfigurationError: a header has a line break.
    """
    stamp = _stamp(int(now))
    headers["x-amz-content-sha256"] = payload
    headers["x-amz-date"] = stamp
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    pairs = sorted(headers.items())
    lines = header_lines(pairs)
    names = ";".join([name for name, _ in pairs])
    request = canonical_request(method, path, query, lines, names, payload)
    inner, outer, scope, credential = _scope(keys.access_key, keys.secret_key, stamp[:8], region)
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash_of(request.encode())}"
    # What hmac.digest does, in half the time: the key has been hashed already.
    inner, outer = inner.copy(), outer.copy()
    inner.update(text.encode())
    outer.update(inner.digest())
    return f"{lines}authorization:{credential}{names}, Signature={outer.hexdigest()}\n"


def canonical_request(method: str, path: str, query: str, lines: str, names: str, payload: str) -> str:
    """The text that is signed, without time and scope. ``lines`` are the headers', in order; ``names`` are theirs."""
    if "  " in lines or "\t" in lines:
        pairs = [line.partition(":") for line in lines.removesuffix("\n").split("\n")]
        lines = header_lines([(name, " ".join(value.split())) for name, _, value in pairs])
    return f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}"


def hash_of(data: bytes | memoryview) -> str:
    """The SHA-256 of ``data`` in hexadecimal."""
    running = _BEGUN.copy()
    running.update(data)
    return running.hexdigest()


@lru_cache(maxsize=8)
def _stamp(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


@lru_cache(maxsize=64)
def _scope(access_key: str, secret_key: str, day: str, region: str) -> tuple[_Hash, _Hash, str, str]:
    """The two hashes of an HMAC (RFC 2104) that have taken in the signing key of a day; its scope, and how the header begins."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    scope = f"{day}/{region}/s3/aws4_request"
    key = key.ljust(64, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in key)) for pad in (0x36, 0x5C))
    return inner, outer, scope, f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders="
