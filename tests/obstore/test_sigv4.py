"""The signer against botocore's, byte for byte."""

from __future__ import annotations

from datetime import datetime, timezone
from unittest import mock
from urllib.parse import urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from storage.backends._sigv4 import Keys, presign

NOW = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=timezone.utc)


@pytest.mark.parametrize("token", [None, "to/ken+=="])
@pytest.mark.parametrize(
    "base", ["https://b.s3.eu-west-1.amazonaws.com", "http://127.0.0.1:9000/bucket", "https://h:443/b"]
)
@pytest.mark.parametrize(
    "method, key, query, headers",
    [
        ("GET", "a", {}, {}),
        ("HEAD", "a b/é/😀/%2F+~*'()!", {}, {}),
        ("GET", "a", {"response-content-disposition": 'attachment; filename="a b&c=d.csv"; x=%41+'}, {}),
        (
            "PUT",
            "a",
            {},
            {"Content-Type": "text/x; a=b", "Content-Length": "5", "Content-MD5": "x==", "If-None-Match": "*"},
        ),
    ],
)
def test_as_botocore_signs(token, base, method, key, query, headers):
    """Every part of the URL and the signature are what botocore makes of the same request."""
    from urllib.parse import quote

    ours = presign(
        method, base, key, keys=Keys("AKID", "se/cret", token), region="eu-west-1", now=NOW, expires_in=60,
        query=query, headers=headers,
    )  # fmt: skip
    target = f"{base}/{quote(key)}"
    if query:
        target += "?" + "&".join(f"{quote(n, '')}={quote(v, '')}" for n, v in query.items())
    request = AWSRequest(method, target, headers=headers)
    signer = auth.S3SigV4QueryAuth(Credentials("AKID", "se/cret", token), "s3", "eu-west-1", expires=60)
    with mock.patch.object(auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        signer.add_auth(request)
    theirs = urlsplit(request.url)
    assert urlsplit(ours)[:3] == theirs[:3]
    assert sorted(urlsplit(ours).query.split("&")) == sorted(theirs.query.split("&"))


def test_the_bucket_itself():
    """Without a key the request is for what the base names."""
    keys = Keys("AKID", "secret")
    url = presign("GET", "https://h/b", None, keys=keys, region="r", now=NOW, expires_in=1, query={"list-type": "2"})
    assert urlsplit(url).path == "/b"
    url = presign("GET", "https://b.h", None, keys=keys, region="r", now=NOW, expires_in=1)
    assert urlsplit(url).path == "/"


def test_keys_are_not_shown():
    """Credentials never show in a repr."""
    assert "secret" not in repr(Keys("AKID", "secret", "token"))
