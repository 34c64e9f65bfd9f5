"""Signs and verifies the URLs and forms of local stores. Pure: no I/O, no state; the time is passed in.

A URL is ``BASE/STORE/PATH?v=1&expires=…&…&signature=…``. The signature is HMAC-SHA-256 over the store's random id, the
method, the path below the root of the store (with the prefix of the storage type) and every pair of the query, decoded,
in its order, each with its length before it, so that no two requests have the same text. ``BASE`` is not signed: a proxy
may put the server where it likes.

A form is posted to ``BASE/STORE/PATH``. Its field ``policy`` holds what a URL has in its query, and its field ``signature`` is
made in the same way, with the method ``POST``.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote

from storage._backend import FormOptions, SigningKeys, SignOptions
from storage._metadata import check_header
from storage._types import SignedForm, SignedRequest
from storage.exceptions import UnsupportedOperationError

METHODS: Final = ("GET", "HEAD", "PUT")

_VERSION: Final = "1"
_CONTEXT: Final = b"storage signed url"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# The headers of an upload that pairs bind. If-None-Match is required as S3 does, so that a client that forgets it fails here, and
# not only in production.
_HEADERS: Final = {"type": "Content-Type", "md5": "Content-MD5", "create": "If-None-Match", "length": "Content-Length"}
_DIGITS = re.compile(r"[0-9]{1,18}").fullmatch
# One sentence for all of them: a forger learns nothing from it.
_FORGED: Final = "this URL was altered, has expired, or was signed for another request; ask for a new one"

clock = time.time
"""Seconds since 1970: what the backends sign with and the server verifies by, unless it was given a clock."""


class Grant(NamedTuple):
    """All that was signed, after the request was checked against it."""

    method: str  # "GET", "HEAD", "PUT", or "POST" for a form
    path: str  # below the root of the store
    content_disposition: str | None = None  # GET, HEAD: the response's header
    # GET, HEAD: the response's header. PUT: the type that was bound, which is the request's. POST: the one that was bound, else
    # that of the form's field Content-Type; None: the form says none.
    content_type: str | None = None
    content_length: int | None = None  # PUT: bytes that were bound; the request announces as many
    content_md5: str | None = None  # PUT: base64 that was bound and announced; the caller still has to check the body
    overwrite: bool = True  # PUT: False: the path must not have a blob
    max_length: int | None = None  # POST: the most bytes that the file may have; None: the server's own limit alone


class RefusedError(Exception):
    """A request that is refused, with a 4xx ``status`` and a ``reason`` for the client that holds nothing of the URL."""

    def __init__(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = headers


def sign(keys: SigningKeys, base_url: str, path: str, options: SignOptions, now: float) -> SignedRequest:
    """A request that ``verify`` accepts from ``now`` (seconds since 1970) until ``options.expires_in`` seconds later.

    ``base_url``: where the server is, without a slash at its end. ``UnsupportedOperationError``: a path that no URL can hold (a
    lone surrogate, under ``keys=raw``).
    """
    pairs, expires_at = _begun(now, options.expires_in)
    bound = {
        "type": options.content_type,
        "disposition": options.content_disposition,
        "length": options.content_length,
        "md5": options.content_md5,
        "create": None if options.overwrite else 1,
    }
    pairs += [(name, str(value)) for name, value in bound.items() if value is not None]
    where, query, signature = _sealed(keys, options.method, path, pairs)
    headers = _bound_headers(dict(pairs)) if options.method == "PUT" else {}
    return SignedRequest(options.method, f"{base_url}/{where}?{query}&signature={signature}", headers, expires_at)


def sign_form(keys: SigningKeys, base_url: str, path: str, options: FormOptions, now: float) -> SignedForm:
    """A form that ``verify_form`` accepts from now until ``options.expires_in`` seconds later.

    Its fields are ``policy``, ``signature`` and, where a type is bound, ``Content-Type``. The arguments are those of ``sign``.
    """
    pairs, expires_at = _begun(now, options.expires_in)
    fields: dict[str, str] = {}
    if options.content_type is not None:
        pairs.append(("type", options.content_type))
        fields["Content-Type"] = options.content_type
    if options.max_length is not None:
        pairs.append(("max", str(options.max_length)))
    where, fields["policy"], fields["signature"] = _sealed(keys, "POST", path, pairs)
    return SignedForm(f"{base_url}/{where}", fields, expires_at)


def _begun(now: float, expires_in: int) -> tuple[list[tuple[str, str]], datetime]:
    """The first pairs of everything that is signed, and the time at which it expires."""
    milliseconds = int(now * 1000) + expires_in * 1000
    return [("v", _VERSION), ("expires", str(milliseconds))], _EPOCH + timedelta(milliseconds=milliseconds)


def _sealed(keys: SigningKeys, method: str, path: str, pairs: Sequence[tuple[str, str]]) -> tuple[str, str, str]:
    """The path of the URL, the pairs as a query, and their signature."""
    try:
        signature = _signature(keys.secrets[0], keys.store_id, method, path, pairs)
        where = quote(path)
    except UnicodeEncodeError as exc:
        raise UnsupportedOperationError(f"path {path!r}: no URL can hold a lone surrogate") from exc
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    return f"{keys.store_id}/{where}", query, signature


def verify(
    keys: SigningKeys, method: str, path: str, query: str, headers: Mapping[str, Sequence[str]], now: float
) -> Grant:
    """Verifies a request against its signed URL, and returns all that was signed.

    ``path``: decoded, below the root of the store; ``query``: as it came; ``headers``: names in lower case, each with all values.

    Raises:
        RefusedError: 403: altered, expired, signed for another request, or without a header that is bound; 411: without a
            length that is bound.
    """
    signed = _opened(keys, method, path, query, now)
    bound = _bound_headers(signed)
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
        _check_bound_headers(bound, headers)
    return grant


def verify_form(keys: SigningKeys, path: str, fields: Sequence[tuple[str, str]], now: float) -> Grant:
    """Verifies a posted form against its policy, and returns all that was signed.

    The caller still checks the length of the file against ``max_length`` while it comes, and stores it as ``content_type``, or
    where that is ``None``, as what its key says.

    ``fields``: every field that comes before ``file``, in any order, names in any case. ``path`` and ``now``: as for ``verify``.

    Raises:
        RefusedError: 403: altered, expired, signed for another path, a field that is missing, given twice or unknown, or another
            ``Content-Type`` than the one that is bound; 400: a ``Content-Type`` that is not valid.
    """
    given = {name.lower(): value for name, value in fields}
    if len(given) != len(fields) or not {"policy", "signature"} <= given.keys() <= {
        "policy",
        "signature",
        "content-type",
    }:
        raise RefusedError(403, _FORGED)
    signed = _opened(keys, "POST", path, f"{given['policy']}&signature={given['signature']}", now)
    length, bound = signed.pop("max", None), signed.pop("type", None)
    if signed:
        raise RefusedError(403, _FORGED)
    content_type = given.get("content-type") or None
    if bound is not None and content_type != bound:
        raise RefusedError(403, f"this form was signed for the field Content-Type: {bound}; send exactly that")
    try:
        check_header("content-type", content_type)
    except ValueError as exc:
        raise RefusedError(400, f"the field {exc}") from None
    return Grant("POST", path, content_type=content_type, max_length=None if length is None else int(length))


def _opened(keys: SigningKeys, method: str, path: str, query: str, now: float) -> dict[str, str]:
    """The pairs of a query whose last one signs the others, without version and expiry, which were checked too."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names) or names[-1:] != ["signature"]:
            raise RefusedError(403, _FORGED)
        given = pairs.pop()[1].encode()
        matches = [
            hmac.compare_digest(_signature(secret, keys.store_id, method, path, pairs).encode(), given)
            for secret in keys.secrets
        ]
    except ValueError:  # an item that is no pair, or bytes that are no text
        raise RefusedError(403, _FORGED) from None
    if not any(matches):
        raise RefusedError(403, _FORGED)
    # What follows was written by `sign` or `sign_form` of some version.
    signed = dict(pairs)
    expires = signed.pop("expires", "")
    if signed.pop("v", None) != _VERSION or not _DIGITS(expires) or now * 1000 >= int(expires):
        raise RefusedError(403, _FORGED)
    return signed


def _bound_headers(signed: Mapping[str, str]) -> dict[str, str]:
    """The headers that an upload with these pairs must have."""
    return {header: "*" if name == "create" else signed[name] for name, header in _HEADERS.items() if name in signed}


def _check_bound_headers(bound: Mapping[str, str], headers: Mapping[str, Sequence[str]]) -> None:
    """Refuses an upload that lacks a header that is bound, or has another value."""
    for name, value in bound.items():
        given = headers.get(name.lower(), ())
        if name == "Content-Length" and (not given or "transfer-encoding" in headers):
            raise RefusedError(411, f"this URL was signed for a body of {value} bytes; send Content-Length")
        if list(given) != [value]:
            raise RefusedError(403, f"this URL was signed for the header {name}: {value}; send exactly that")


def _signature(secret: bytes, store_id: str, method: str, path: str, pairs: Sequence[tuple[str, str]]) -> str:
    mac = hmac.new(secret, _CONTEXT, "sha256")
    for text in (store_id, method, path, *(part for pair in pairs for part in pair)):
        data = text.encode()
        mac.update(b"\n%d:" % len(data))
        mac.update(data)
    return mac.hexdigest()
