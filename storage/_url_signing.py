"""Signed URLs of the local backends: made and verified. Pure: no I/O, no state; the time is passed in.

A URL is ``BASE/STORE/PATH?v=1&expires=…&…&signature=…``. The signature is HMAC-SHA-256 over the store's random id, the
method, the path below the root of the store (with the prefix of the storage type) and every pair of the query, decoded,
in its order, each with its length before it, so that no two requests have the same text. ``BASE`` is not signed: a proxy
may put the server where it likes.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from storage._backend import SignOptions
from storage._types import SignedRequest
from storage.exceptions import UnsupportedOperationError

__all__ = ["METHODS", "Grant", "RefusedError", "SigningKeys", "clock", "new_keys", "new_secret", "sign", "verify"]

METHODS: Final = ("GET", "HEAD", "PUT")

_VERSION: Final = "1"
_CONTEXT: Final = b"storage signed url"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DIGITS = re.compile(r"[0-9]{1,18}").fullmatch
# One sentence for all of them: a forger learns nothing from it.
_FORGED: Final = "this URL was altered, has expired, or was signed for another request; ask for a new one"

clock = time.time
"""Seconds since 1970: what the backends sign with and the server verifies by, unless it was given a clock."""


class SigningKeys(NamedTuple):
    """What a store signs with. Its ``repr`` shows no secret.

    Attributes:
        store_id: random, not secret; it stands in each URL, so that stores that share a secret do not share URLs.
        secrets: the first one signs, each one verifies. At least one.
    """

    store_id: str
    secrets: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"SigningKeys(store_id={self.store_id!r}, secrets=<{len(self.secrets)}>)"


class Grant(NamedTuple):
    """All that was signed, after the request was held against it.

    Attributes:
        method: ``"GET"``, ``"HEAD"`` or ``"PUT"``.
        path: below the root of the store.
        content_disposition: GET, HEAD: the response's header.
        content_type: GET, HEAD: the response's header. PUT: the type that was bound, which is the request's.
        content_length: PUT: bytes that were bound; the request announces as many.
        content_md5: PUT: base64 that was bound; the request announces it, the body is still to be held against it.
        overwrite: PUT: ``False``: the path must not have a blob.
    """

    method: str
    path: str
    content_disposition: str | None = None
    content_type: str | None = None
    content_length: int | None = None
    content_md5: str | None = None
    overwrite: bool = True


class RefusedError(Exception):
    """A request that is not answered.

    Attributes:
        status: the HTTP status, 4xx.
        reason: one sentence for the client; it holds nothing of the URL.
        headers: more headers of the answer.
    """

    def __init__(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers


def new_secret() -> str:
    """A new random secret: 64 hexadecimal digits."""
    return secrets.token_hex(32)


def new_keys() -> SigningKeys:
    """A new random id and a new secret."""
    return SigningKeys(secrets.token_hex(16), (new_secret().encode(),))


def sign(keys: SigningKeys, base_url: str, path: str, options: SignOptions, now: float) -> SignedRequest:
    """A request that ``verify`` accepts from now until ``options.expires_in`` seconds later.

    Args:
        keys: those of the store.
        base_url: where the server is, without a slash at its end.
        path: below the root of the store.
        options: what to bind.
        now: seconds since 1970.

    Raises:
        UnsupportedOperationError: a path that no URL can hold (a lone surrogate, under ``keys=raw``).
    """
    milliseconds = int(now * 1000) + options.expires_in * 1000
    pairs = [("v", _VERSION), ("expires", str(milliseconds))]
    headers: dict[str, str] = {}
    if options.content_type is not None:
        pairs.append(("type", options.content_type))
        headers["Content-Type"] = options.content_type
    if options.content_disposition is not None:
        pairs.append(("disposition", options.content_disposition))
    if options.content_length is not None:
        pairs.append(("length", str(options.content_length)))
        headers["Content-Length"] = str(options.content_length)
    if options.content_md5 is not None:
        pairs.append(("md5", options.content_md5))
        headers["Content-MD5"] = options.content_md5
    if not options.overwrite:
        pairs.append(("create", "1"))
        # As at S3: what a client forgets on a laptop it would miss in production.
        headers["If-None-Match"] = "*"
    try:
        signature = _signature(keys.secrets[0], keys.store_id, options.method, path, pairs)
        where = quote(path)
    except UnicodeEncodeError as exc:
        raise UnsupportedOperationError(f"path {path!r}: no URL can hold a lone surrogate") from exc
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in [*pairs, ("signature", signature)])
    return SignedRequest(
        options.method,
        f"{base_url}/{keys.store_id}/{where}?{query}",
        headers if options.method == "PUT" else {},
        _EPOCH + timedelta(milliseconds=milliseconds),
    )


def verify(
    keys: SigningKeys, method: str, path: str, query: str, headers: Mapping[str, Sequence[str]], now: float
) -> Grant:
    """What the URL of a request allows, after the request was held against all of it.

    Args:
        keys: those of the store that the URL names.
        method: the request's.
        path: decoded, below the root of the store.
        query: as it came, without the question mark.
        headers: the request's: names in lower case, each with all of its values.
        now: seconds since 1970.

    Raises:
        RefusedError: 403: altered, expired, signed for another request, or without a header that is bound; 411: without a
            length that is bound.
    """
    try:
        pairs = _parse(query)
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names) or names[-1] != "signature":
            raise RefusedError(403, _FORGED)
        given = pairs.pop()[1].encode()
        matches = [hmac.compare_digest(_signature(secret, keys.store_id, method, path, pairs).encode(), given)
                   for secret in keys.secrets]  # fmt: skip
    except UnicodeError:
        raise RefusedError(403, _FORGED) from None
    if not any(matches):
        raise RefusedError(403, _FORGED)
    # What follows was written by `sign` of some version.
    signed = dict(pairs)
    expires = signed.pop("expires", "")
    if signed.pop("v", None) != _VERSION or not _DIGITS(expires) or now * 1000 >= int(expires):
        raise RefusedError(403, _FORGED)
    length = signed.pop("length", None)
    grant = Grant(
        method,
        path,
        content_disposition=signed.pop("disposition", None),
        content_type=signed.pop("type", None),
        content_length=None if length is None else int(length),
        content_md5=signed.pop("md5", None),
        overwrite=signed.pop("create", None) is None,
    )
    if signed or method not in METHODS:
        raise RefusedError(403, _FORGED)
    if method == "PUT":
        _hold(grant, headers)
    return grant


def _hold(grant: Grant, headers: Mapping[str, Sequence[str]]) -> None:
    """Refuses an upload that lacks a header that is bound, or has another value."""
    if grant.content_type is not None:
        _hold_header(headers, "Content-Type", grant.content_type)
    if grant.content_md5 is not None:
        _hold_header(headers, "Content-MD5", grant.content_md5)
    if not grant.overwrite:
        _hold_header(headers, "If-None-Match", "*")
    if grant.content_length is not None:
        if "content-length" not in headers or "transfer-encoding" in headers:
            raise RefusedError(
                411, f"this URL was signed for a body of {grant.content_length} bytes; send Content-Length"
            )
        _hold_header(headers, "Content-Length", str(grant.content_length))


def _hold_header(headers: Mapping[str, Sequence[str]], name: str, value: str) -> None:
    if list(headers.get(name.lower(), ())) != [value]:
        raise RefusedError(403, f"this URL was signed for the header {name}: {value}; send exactly that")


def _parse(query: str) -> list[tuple[str, str]]:
    """The pairs of a query, decoded, in order. What is no pair has an empty name and so is in no URL of ours."""
    pairs = []
    for item in query.split("&"):
        name, separator, value = item.partition("=")
        if not separator:
            raise RefusedError(403, _FORGED)
        pairs.append((_decode(name), _decode(value)))
    return pairs


def _decode(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()


def _signature(secret: bytes, store_id: str, method: str, path: str, pairs: Sequence[tuple[str, str]]) -> str:
    mac = hmac.new(secret, _CONTEXT, "sha256")
    for text in (store_id, method, path, *(part for pair in pairs for part in pair)):
        data = text.encode()
        mac.update(b"\n%d:" % len(data))
        mac.update(data)
    return mac.hexdigest()
