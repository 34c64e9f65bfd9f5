"""What a deployment needs of the bucket itself; other people's rules are left as they are."""

from __future__ import annotations

from typing import Any

from storage._backend import Setup
from storage.backends.s3._errors import code_of
from storage.backends.s3._requests import Requests

__all__ = ["ABORT_DAYS", "setup"]

ABORT_DAYS = 7
"""Days after which the lifecycle rule ends an upload in parts that nobody completed."""

_CORS_ID = "storage-uploads"
_ABORT_ID = "storage-abort-uploads"
_MAX_ID = 255


def setup(requests: Requests, wanted: Setup, region: str | None) -> list[str]:
    """Makes the bucket, its CORS rule and its lifecycle rules as ``wanted``; a line for each change."""
    lines = []
    if wanted.create_bucket:
        lines += _create(requests, region)
    if wanted.cors_origins is not None:
        lines += _cors(requests, wanted.cors_origins)
    if wanted.tmp_days is not None:
        lines += _lifecycle(requests, wanted.tmp_prefix or "", wanted.tmp_days)
    return lines


def _create(requests: Requests, region: str | None) -> list[str]:
    try:
        requests.send("head_bucket")
    except Exception as exc:
        if code_of(exc) not in ("404", "NoSuchBucket"):
            raise
    else:
        return []
    # The default region is the one that may not be named.
    where = {} if region in (None, "us-east-1") else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        requests.send("create_bucket", **where)
    except Exception as exc:
        if code_of(exc) != "BucketAlreadyOwnedByYou":
            raise
        return []
    return [f"created the bucket {requests.bucket!r}"]


def _cors(requests: Requests, origins: tuple[str, ...]) -> list[str]:
    try:
        rules = requests.send("get_bucket_cors")["CORSRules"]
    except Exception as exc:
        if code_of(exc) != "NoSuchCORSConfiguration":
            raise
        rules = []
    ours = {
        "ID": _CORS_ID,
        "AllowedOrigins": sorted(origins),
        "AllowedMethods": ["GET", "HEAD", "PUT"],
        "AllowedHeaders": [
            "content-type",
            "content-length",
            "content-md5",
            "if-none-match",
            "x-amz-server-side-encryption*",
        ],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 3600,
    }
    others = [rule for rule in rules if rule.get("ID") != _CORS_ID]
    old = [rule for rule in rules if rule.get("ID") == _CORS_ID]
    if old == ([ours] if origins else []):
        return []
    if origins:
        requests.send("put_bucket_cors", CORSConfiguration={"CORSRules": [*others, ours]})
        return [f"CORS rule {_CORS_ID!r}: {', '.join(sorted(origins))} may GET, HEAD and PUT"]
    if others:
        requests.send("put_bucket_cors", CORSConfiguration={"CORSRules": others})
    else:
        requests.send("delete_bucket_cors")
    return [f"CORS rule {_CORS_ID!r}: removed"]


def _lifecycle(requests: Requests, prefix: str, days: int) -> list[str]:
    try:
        rules = requests.send("get_bucket_lifecycle_configuration")["Rules"]
    except Exception as exc:
        if code_of(exc) != "NoSuchLifecycleConfiguration":
            raise
        rules = []
    # Two stores in one bucket have a rule each.
    expire_id = f"storage-tmp-{prefix}"[:_MAX_ID]
    ours: list[dict[str, Any]] = [
        {"ID": expire_id, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}},
        {
            "ID": _ABORT_ID,
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_DAYS},
        },
    ]
    missing = [rule for rule in ours if not any(_same(rule, other) for other in rules)]
    if not missing:
        return []
    replaced = {rule["ID"] for rule in missing}
    rules = [rule for rule in rules if rule.get("ID") not in replaced] + missing
    requests.send("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": rules})
    words = {
        expire_id: f"lifecycle rule {expire_id!r}: blobs below {prefix!r} expire after {days} days",
        _ABORT_ID: f"lifecycle rule {_ABORT_ID!r}: uploads that nobody completes end after {ABORT_DAYS} days",
    }
    return [words[rule["ID"]] for rule in missing]


def _same(rule: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a server's rule is ours; it may say the same in more words."""
    return all(other.get(name) == value for name, value in rule.items())
