"""Signs requests and forms with boto3, and binds every option into the signature."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from json import loads
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from storage._backend import FormOptions, SignOptions
from storage._types import SignedForm, SignedRequest
from storage.backends.s3 import _sdk
from storage.backends.s3._errors import classify
from storage.backends.s3._headers import Encryption
from storage.backends.s3._sdk_client import SharedClient
from storage.exceptions import AuthenticationError, SigningError, UnsupportedOperationError

_OPERATIONS: Final = {"GET": "get_object", "HEAD": "head_object", "PUT": "put_object"}
_PARAMETERS: Final = {
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
}
_MOST: Final = 5 * 1024**4  # bytes: more than any blob has
_FILENAME: Final = "${filename}"


def sign(shared: SharedClient, bucket: str, path: str, options: SignOptions, encryption: Encryption) -> SignedRequest:
    """Signs with version 4, which binds headers; in the bucket's region.

    Raises:
        SigningError: there are no credentials, or they cannot be had.
    """
    params: dict[str, Any] = {"Bucket": bucket, "Key": path}
    headers: dict[str, str] = {}
    if options.method == "PUT":
        headers = _upload(params, options, encryption)
    else:
        if options.content_disposition is not None:
            params["ResponseContentDisposition"] = options.content_disposition
        if options.content_type is not None:
            params["ResponseContentType"] = options.content_type

    def presign(client: Any) -> str:
        return client.generate_presigned_url(  # type: ignore[no-any-return]
            _OPERATIONS[options.method], Params=params, ExpiresIn=options.expires_in, HttpMethod=options.method
        )

    url, credentials = _signed(shared, bucket, presign)
    query = parse_qs(urlsplit(url).query)
    signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    expires = signed + timedelta(seconds=int(query["X-Amz-Expires"][0]))
    return SignedRequest(options.method, url, headers, _earlier(expires, credentials))


def sign_form(shared: SharedClient, bucket: str, path: str, options: FormOptions, encryption: Encryption) -> SignedForm:
    """Signs a policy for a form's POST.

    Raises:
        SigningError: there are no credentials, or they cannot be had.
        UnsupportedOperationError: the service would put another name into this key.
    """
    if _FILENAME in path:
        raise UnsupportedOperationError(
            f"{path!r}: S3 replaces {_FILENAME!r} in a form's key by the name of the user's file; choose another key"
        )
    fields = dict(encryption)
    conditions: list[Any] = [{name: value} for name, value in encryption.items()]
    if options.content_type is None:
        conditions.append(["starts-with", "$Content-Type", ""])
    else:
        fields["Content-Type"] = options.content_type
        conditions.append({"Content-Type": options.content_type})
    conditions.append(["content-length-range", 0, _MOST if options.max_length is None else options.max_length])

    def presign(client: Any) -> dict[str, Any]:
        return client.generate_presigned_post(  # type: ignore[no-any-return]
            bucket, path, Fields=fields, Conditions=conditions, ExpiresIn=options.expires_in
        )

    signed, credentials = _signed(shared, bucket, presign)
    if "x-amz-signature" not in signed["fields"]:
        raise SigningError(
            f"s3://{bucket}: forms are signed with SigV4 alone, which this client is configured not to use"
        )
    policy = loads(b64decode(signed["fields"]["policy"]))
    expires = datetime.strptime(policy["expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return SignedForm(signed["url"], signed["fields"], _earlier(expires, credentials))


def _signed(shared: SharedClient, bucket: str, presign: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The result of ``presign(client)``, and the credentials that signed it."""
    try:
        credentials = shared.credentials()
        result = None if credentials is None else presign(shared.regional())
    except Exception as exc:
        if issubclass(classify(exc) or Exception, AuthenticationError):
            raise SigningError(
                f"s3://{bucket}: the credentials to sign with cannot be had ({type(exc).__name__})"
            ) from exc
        raise
    if credentials is None:
        raise SigningError(
            f"s3://{bucket}: there are no credentials to sign with; pass auth=…, set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or name a profile"
        )
    return result, credentials


def _upload(params: dict[str, Any], options: SignOptions, encryption: Encryption) -> dict[str, str]:
    """Adds what binds an upload to ``params``; returns the headers that the client must then send."""
    headers = {}
    if options.content_type is not None:
        params["ContentType"] = headers["Content-Type"] = options.content_type
    if options.content_length is not None:
        params["ContentLength"] = options.content_length
        headers["Content-Length"] = str(options.content_length)
    if options.content_md5 is not None:
        params["ContentMD5"] = headers["Content-MD5"] = options.content_md5
    if not options.overwrite:
        params["IfNoneMatch"] = headers["If-None-Match"] = "*"
    params.update((_PARAMETERS[name], value) for name, value in encryption.items())
    return {**headers, **encryption}


def _earlier(expires: datetime, credentials: Any) -> datetime:
    """When a signature stops working: at its own time, or before it with the credentials, where their end is known."""
    end = _sdk.expiry_of(credentials)
    return expires if end is None else min(expires, end.astimezone(timezone.utc))
