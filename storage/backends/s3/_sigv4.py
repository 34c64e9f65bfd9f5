"""AWS Signature Version 4 in a URL's query, as S3 reads it. Pure: the clock is passed in.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, urlsplit

__all__ = ["Keys", "presign"]

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Keys(NamedTuple):
    """Credentials at one moment. The ``repr`` shows none of them."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return "Keys(…)"


def presign(
    method: str,
    base: str,
    path: str | None,
    *,
    keys: Keys,
    region: str,
    now: datetime,
    expires_in: int,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """A URL that anyone can send until it expires.

    Args:
        method: the HTTP method.
        base: ``http(s)://HOST[:PORT]``, with a path (already encoded) where the bucket stands in it, without a slash at its end.
        path: a key, not encoded; ``None``: what ``base`` names, the bucket itself.
        keys: who signs.
        region: of the bucket.
        now: when, aware, UTC.
        expires_in: seconds.
        query: further parameters, not encoded; bound.
        headers: what must be sent with the request, exactly so; bound.
    """
    parts = urlsplit(base)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme):
        host = f"{host}:{parts.port}"
    bound = {name.lower(): " ".join(value.split()) for name, value in (headers or {}).items()}
    bound["host"] = host
    names = ";".join(sorted(bound))
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    params = {
        **(query or {}),
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_in),
        "X-Amz-SignedHeaders": names,
    }
    if keys.token:
        params["X-Amz-Security-Token"] = keys.token
    encoded = "&".join(sorted(f"{quote(name, '')}={quote(value, '')}" for name, value in params.items()))
    target = (parts.path or "/") if path is None else f"{parts.path}/{quote(path)}"
    lines = "".join(f"{name}:{bound[name]}\n" for name in sorted(bound))
    request = f"{method}\n{target}\n{encoded}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(_signing_key(keys.secret_key, stamp[:8], region), text.encode(), "sha256").hexdigest()
    return f"{parts.scheme}://{parts.netloc}{target}?{encoded}&X-Amz-Signature={signature}"


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
