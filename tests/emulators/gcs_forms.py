"""Checks a browser form from what comes alone, as Cloud Storage documents it; it shares no code with what signs.

https://cloud.google.com/storage/docs/authentication/signatures#policy-document and …/docs/xml-api/post-object-forms.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tests.emulators.gcs_v4 import ALGORITHM, Refusal

__all__ = ["Form", "parsed_form", "refusal_of"]

REQUIRED = ("key", "policy", "x-goog-algorithm", "x-goog-credential", "x-goog-date", "x-goog-signature")
FREE = {"policy", "x-goog-signature", "file"}


class Form(NamedTuple):
    """What a form holds.

    Attributes:
        fields: those before the file, names in lower case.
        file: its bytes; ``None``: there is none.
    """

    fields: dict[str, str]
    file: bytes | None


def parsed_form(content_type: str, body: bytes) -> Form:
    """A ``multipart/form-data`` body, up to its file."""
    fields: dict[str, str] = {}
    found = re.search(r'boundary="?([^";]+)', content_type)
    if not content_type.startswith("multipart/form-data") or found is None:
        return Form(fields, None)
    for part in body.split(b"--" + found[1].encode())[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(r'name="((?:[^"\\]|\\.)*)"', head.decode())
        data = data.removesuffix(b"\r\n")
        if name is None:
            continue
        if name[1].lower() == "file":
            return Form(fields, data)
        fields[name[1].lower()] = data.decode()
    return Form(fields, None)


def refusal_of(form: Form, bucket: str, keys: Mapping[str, RSAPublicKey], now: datetime) -> Refusal | None:  # noqa: PLR0911
    """Why a form is refused; ``None``: its policy is signed, has not expired, and everything in the form is as it says."""
    fields, file = form
    missing = [name for name in REQUIRED if not fields.get(name)]
    if missing or file is None:
        return Refusal(400, "InvalidArgument", f"The form has no field {missing[0] if missing else 'file'}.")
    email, *scope = fields["x-goog-credential"].split("/")
    if fields["x-goog-algorithm"] != ALGORITHM or scope != [
        fields["x-goog-date"][:8],
        "auto",
        "storage",
        "goog4_request",
    ]:
        return Refusal(400, "InvalidArgument", "Another algorithm, or a credential of another scope.")
    key = keys.get(email)
    try:
        if key is None:
            raise InvalidSignature
        signature = bytes.fromhex(fields["x-goog-signature"])
        key.verify(signature, fields["policy"].encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return Refusal(403, "SignatureDoesNotMatch", "The signature does not match the policy.")
    policy = json.loads(base64.b64decode(fields["policy"]))
    if datetime.fromisoformat(policy["expiration"].replace("Z", "+00:00")) <= now:
        return Refusal(400, "ExpiredToken", "The policy has expired.")
    given = {**fields, "bucket": bucket}
    covered = set()
    for condition in policy["conditions"]:
        names, holds = _check(condition, given, len(file))
        if not holds:
            return Refusal(403, "AccessDenied", f"The form does not satisfy the condition {json.dumps(condition)}.")
        covered |= names
    uncovered = [name for name in fields if name not in covered | FREE and not name.startswith("x-ignore-")]
    if uncovered:
        return Refusal(403, "AccessDenied", f"The policy has no condition for the field {uncovered[0]}.")
    return None


def _check(condition: Any, given: dict[str, str], size: int) -> tuple[set[str], bool]:
    """The fields that a condition is about, and whether it holds."""
    if isinstance(condition, dict):
        names = {name.lower() for name in condition}
        return names, all(given.get(name.lower()) == value for name, value in condition.items())
    kind, name, value = condition
    if kind == "content-length-range":
        return set(), int(name) <= size <= int(value)
    name = name.removeprefix("$").lower()
    if kind == "starts-with":
        return {name}, given.get(name, "").startswith(value)
    return {name}, kind == "eq" and given.get(name) == value
