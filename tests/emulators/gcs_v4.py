"""Checks a V4 signature from the request alone, as Cloud Storage documents it; it shares no code with what signs.

https://cloud.google.com/storage/docs/access-control/signed-urls and …/docs/authentication/canonical-requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import NamedTuple
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["Refusal", "canonical_request", "verify"]

ALGORITHM = "GOOG4-RSA-SHA256"
REQUIRED = (
    "X-Goog-Algorithm",
    "X-Goog-Credential",
    "X-Goog-Date",
    "X-Goog-Expires",
    "X-Goog-SignedHeaders",
    "X-Goog-Signature",
)
WEEK = 604_800
SKEW = timedelta(minutes=15)


class Refusal(NamedTuple):
    """Why a request is refused."""

    status: int
    code: str
    message: str


def _pairs(query: str) -> list[tuple[str, str]]:
    return [
        (unquote(name), unquote(value)) for name, _, value in (item.partition("=") for item in query.split("&") if item)
    ]


def canonical_request(method: str, path: str, query: str, headers: Mapping[str, str], signed: str) -> str:
    """The canonical request of a request as it came in.

    Args:
        method: the verb.
        path: as sent, percent-encoded.
        query: as sent.
        headers: names in lower case.
        signed: the names that the signature covers, with semicolons between.
    """
    # The signature covers every parameter but itself; the oldest vectors write its name in lower case.
    pairs = [(name, value) for name, value in _pairs(query) if name.lower() != "x-goog-signature"]
    canonical_query = "&".join(sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs))
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in signed.split(";")]
    payload = headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
    return "\n".join([method, path, canonical_query, *lines, "", signed, payload])


def verify(  # noqa: C901, PLR0911, PLR0912 (one branch for each way to be wrong)
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    keys: Mapping[str, RSAPublicKey],
    now: datetime,
) -> Refusal | None:
    """Why the request is refused; ``None``: its signature is good, covers it, and has not expired.

    Args:
        method: the verb.
        path: as sent, percent-encoded.
        query: as sent.
        headers: names in lower case.
        keys: the public key of each service account.
        now: aware.
    """
    pairs = _pairs(query)
    given: dict[str, str] = {}
    for name, value in pairs:
        if name.lower() in given:
            return Refusal(400, "InvalidArgument", f"{name} is given twice")
        given[name.lower()] = value
    missing = [name for name in REQUIRED if not given.get(name.lower())]
    if missing:
        return Refusal(400, "InvalidQueryParameterValue", f"{missing[0]} is missing")
    if given["x-goog-algorithm"] != ALGORITHM:
        return Refusal(400, "InvalidArgument", "another algorithm")
    email, *scope = given["x-goog-credential"].split("/")
    date = given["x-goog-date"]
    if len(scope) != 4 or scope[0] != date[:8] or scope[2:] != ["storage", "goog4_request"]:
        return Refusal(400, "InvalidArgument", "a credential of another scope")
    try:
        began = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        seconds = int(given["x-goog-expires"])
    except ValueError:
        return Refusal(400, "InvalidArgument", "a date or expiry that is none")
    if not 1 <= seconds <= WEEK:
        return Refusal(400, "InvalidArgument", "expires in less than a second or more than a week")
    signed = given["x-goog-signedheaders"]
    names = signed.split(";")
    if "host" not in names or names != sorted(set(names)):
        return Refusal(400, "MalformedSecurityHeader", "host is not signed, or the names are not in order")
    for name in names:
        if name not in headers:
            return Refusal(400, "MalformedSecurityHeader", f"header {name} was signed and not sent")
    for name in headers:
        if name.startswith("x-goog-") and name not in names:
            return Refusal(400, "MalformedSecurityHeader", f"header {name} was sent and not signed")
    request = canonical_request(method, path, query, headers, signed)
    to_sign = "\n".join([ALGORITHM, date, "/".join(scope), hashlib.sha256(request.encode()).hexdigest()])
    key = keys.get(email)
    if key is None:
        return Refusal(403, "AccessDenied", "nobody's key")
    try:
        key.verify(bytes.fromhex(given["x-goog-signature"]), to_sign.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return Refusal(403, "SignatureDoesNotMatch", "the signature does not match the request")
    if not began - SKEW <= now < began + timedelta(seconds=seconds):
        return Refusal(400, "ExpiredToken", "the request has expired, or is from the future")
    return None
