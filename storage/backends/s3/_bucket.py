"""Sets up the bucket: makes it, its CORS and lifecycle rules; other people's rules stay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from storage._backend import Setup
from storage.backends.s3._errors import code_of
from storage.backends.s3._requests import Requests
from storage.exceptions import UnavailableError

ABORT_DAYS = 7
"""Days after which the lifecycle rule ends an upload in parts that nobody completed."""

_CORS_ID = "storage-uploads"
_MAX_ID = 255


def setup(requests: Requests, wanted: Setup) -> list[str]:
    """Makes the bucket, its CORS rule and its lifecycle rules as ``wanted``; a line for each change."""
    lines = []
    if wanted.create_bucket:
        lines += _create(requests)
    if wanted.cors_origins is not None:
        lines += _cors(requests, wanted.cors_origins)
    if wanted.tmp_days is not None:
        lines += _lifecycle(requests, wanted)
    return lines


def _create(requests: Requests) -> list[str]:
    try:
        requests.rare("head_bucket")
    except Exception as exc:
        if code_of(exc) not in ("404", "NoSuchBucket"):
            raise
    else:
        return []
    region = requests.gate.shared.get().meta.region_name
    # The default region is the one that may not be named.
    where = {} if region in (None, "us-east-1") else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        requests.rare("create_bucket", **where)
    except Exception as exc:
        if code_of(exc) != "BucketAlreadyOwnedByYou":
            raise
        return []
    return [f"created the bucket {requests.bucket!r}"]


def _cors(requests: Requests, origins: tuple[str, ...]) -> list[str]:
    rules = _rules(requests, "get_bucket_cors", "CORSRules", "NoSuchCORSConfiguration")
    ours = {
        "ID": _CORS_ID,
        "AllowedOrigins": sorted(origins),
        "AllowedMethods": ["GET", "HEAD", "PUT", "POST"],
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
        requests.rare("put_bucket_cors", CORSConfiguration={"CORSRules": [*others, ours]})
        return [f"CORS rule {_CORS_ID!r}: {', '.join(sorted(origins))} may GET, HEAD and PUT"]
    if others:
        requests.rare("put_bucket_cors", CORSConfiguration={"CORSRules": others})
    else:
        requests.rare("delete_bucket_cors")
    return [f"CORS rule {_CORS_ID!r}: removed"]


def _lifecycle(requests: Requests, wanted: Setup) -> list[str]:
    rules = _rules(requests, "get_bucket_lifecycle_configuration", "Rules", "NoSuchLifecycleConfiguration")
    # Other stores, and other programs, may use the bucket: each rule is about one prefix, and has it in its name.
    tmp, days = wanted.tmp_prefix or "", wanted.tmp_days
    ours = [_rule("storage-tmp-", tmp, "Expiration", {"Days": days})]
    words = {ours[0]["ID"]: f"blobs below {tmp!r} expire after {days} days"}
    for prefix in wanted.prefixes:
        rule = _rule("storage-abort-", prefix, "AbortIncompleteMultipartUpload", {"DaysAfterInitiation": ABORT_DAYS})
        ours.append(rule)
        words[rule["ID"]] = f"uploads below {prefix!r} that nobody completes end after {ABORT_DAYS} days"
    missing = [rule for rule in ours if not any(_same(rule, other) for other in rules)]
    if not missing:
        return []
    replaced = {rule["ID"] for rule in missing}
    rules = [rule for rule in rules if rule.get("ID") not in replaced] + missing
    requests.rare("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": rules})
    return [f"lifecycle rule {rule['ID']!r}: {words[rule['ID']]}" for rule in missing]


def _rule(name: str, prefix: str, action: str, when: dict[str, Any]) -> dict[str, Any]:
    return {"ID": f"{name}{prefix}"[:_MAX_ID], "Status": "Enabled", "Filter": {"Prefix": prefix}, action: when}


def _rules(requests: Requests, call: str, name: str, none: str) -> list[dict[str, Any]]:
    """The rules that the bucket has; ``none``: the error code that says that there are none."""
    try:
        rules = requests.rare(call).get(name)
    except Exception as exc:
        if code_of(exc) != none:
            raise
        return []
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise UnavailableError(
            "the answer has no rules, so it is not the service's; check proxies and gateways on the way"
        )
    return rules


def _same(rule: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a server's rule is ours; it may say the same in more words."""
    return all(other.get(name) == value for name, value in rule.items())


def sweep(requests: Requests, prefixes: Sequence[str]) -> list[str]:
    """Ends the uploads in parts below ``prefixes`` that nobody has completed for :data:`ABORT_DAYS`."""
    ended = sum(_sweep_below(requests, prefix) for prefix in prefixes)
    return [f"ended {ended} uploads that nobody completed in {ABORT_DAYS} days"] if ended else []


def _sweep_below(requests: Requests, prefix: str) -> int:
    old = datetime.now(timezone.utc) - timedelta(days=ABORT_DAYS)
    ended = 0
    markers: dict[str, str] = {}
    while True:
        response = requests.rare("list_multipart_uploads", Prefix=prefix, **markers)
        for upload in response.get("Uploads", ()):
            # Some servers list the uploads of the whole bucket, whatever the prefix.
            if upload["Initiated"] < old and upload["Key"].startswith(prefix):
                ended += _end(requests, upload)
        if not response.get("IsTruncated"):
            return ended
        following = {"KeyMarker": response["NextKeyMarker"], "UploadIdMarker": response["NextUploadIdMarker"]}
        if following == markers:
            raise UnavailableError(
                "the listing of uploads never ends: the server gave the same page again; try again, and check the server"
            )
        markers = following


def _end(requests: Requests, upload: dict[str, Any]) -> bool:
    """Whether it was there still: another sweep may have ended it, or its owner completed it."""
    try:
        requests.rare("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])
    except Exception as exc:
        if code_of(exc) != "NoSuchUpload":
            raise
        return False
    return True
