"""Preparing a bucket: idempotent, and other people's rules stay."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from storage import Storage
from storage.testing.faults import answer

OTHER_CORS = {"ID": "mine", "AllowedMethods": ["GET"], "AllowedOrigins": ["https://other.example"]}
OTHER_RULE = {"ID": "mine", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 9}}


@pytest.fixture(params=["moto_s3", "seaweedfs"])
def bucket(request) -> Iterator[Storage]:
    """A store in a bucket of its own, which is not there yet."""
    server = request.getfixturevalue(request.param)
    store = Storage(server.url("app", bucket=f"setup-{uuid.uuid4().hex[:12]}"), server.auth)
    yield store
    name = store.backend.location.rpartition("/")[2]
    if store.backend.bucket_exists():
        store.backend.client.delete_bucket(Bucket=name)
    store.close()


def test_everything(bucket) -> None:
    """The bucket, the CORS rule and the lifecycle rules are made; a second call finds nothing to do."""
    name = bucket.backend.location.rpartition("/")[2]
    wanted = {"create_bucket": True, "cors_origins": ["https://b.example", "https://a.example"], "tmp_days": 3}
    lines = bucket.setup(**wanted)
    assert len(lines) == 6, lines
    assert bucket.setup(**wanted) == []
    client = bucket.backend.client
    (cors,) = client.get_bucket_cors(Bucket=name)["CORSRules"]
    assert cors["ID"] == "storage-uploads"
    assert cors["AllowedOrigins"] == ["https://a.example", "https://b.example"]
    assert set(cors["AllowedMethods"]) == {"GET", "HEAD", "PUT", "POST"}
    assert {"content-type", "content-md5", "content-length", "if-none-match"} <= set(cors["AllowedHeaders"])
    assert cors["ExposeHeaders"] == ["ETag"]
    tmp, *aborts = client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert (tmp["Filter"], tmp["Expiration"]["Days"]) == ({"Prefix": "app/tmp/"}, 3)
    assert [rule["Filter"]["Prefix"] for rule in aborts] == ["app/data/", "app/tmp/", "app/result/"]
    assert {rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for rule in aborts} == {7}


def test_other_rules_stay(bucket) -> None:
    """What others have set up is left as it is, whatever is changed or removed."""
    name = bucket.backend.location.rpartition("/")[2]
    bucket.setup(create_bucket=True)
    client = bucket.backend.client
    client.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [OTHER_CORS]})
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [OTHER_RULE]})
    for days, origins in ((3, ["https://a.example"]), (5, ["https://b.example"])):
        assert bucket.setup(tmp_days=days, cors_origins=origins)
        rules = client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        assert [rule["Expiration"]["Days"] for rule in rules if rule["ID"].startswith("storage-tmp")] == [days]
        assert [rule["Expiration"]["Days"] for rule in rules if rule["ID"] == "mine"] == [9]
        assert len(rules) == 5
        origin_lists = {rule["ID"]: rule["AllowedOrigins"] for rule in client.get_bucket_cors(Bucket=name)["CORSRules"]}
        assert origin_lists == {"mine": ["https://other.example"], "storage-uploads": origins}
    bucket.setup(cors_origins=[])
    assert [rule["ID"] for rule in client.get_bucket_cors(Bucket=name)["CORSRules"]] == ["mine"]


def test_nothing_is_wanted(stub) -> None:
    """Without arguments nothing is asked of the server."""
    proxy, store = stub
    assert store.setup() == []
    assert proxy.requests == []


def test_sweep_ends_old_uploads_only(stub) -> None:
    """An upload is ended when nobody can be at it any more, and no sooner."""
    proxy, store = stub
    now = datetime.now(timezone.utc)
    uploads = "".join(
        f"<Upload><Key>k{days}</Key><UploadId>u{days}</UploadId>"
        f"<Initiated>{now - timedelta(days=days):%Y-%m-%dT%H:%M:%S.000Z}</Initiated></Upload>"
        for days in (0, 1, 6, 8, 30)
    )
    body = (
        f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{uploads}</ListMultipartUploadsResult>".encode()
    )
    proxy.plan = lambda request: answer(204) if request.method == "DELETE" else answer(200, body)
    assert store.backend.sweep() == ["ended 2 uploads that nobody completed in 7 days"]
    assert [request.target for request in proxy.requests[1:]] == ["/bucket/k8?uploadId=u8", "/bucket/k30?uploadId=u30"]

    gone = answer(404, b"<Error><Code>NoSuchUpload</Code></Error>")
    proxy.plan = lambda request: (
        answer(200, body) if request.method != "DELETE" else gone if "k8" in request.target else answer(204)
    )
    assert store.backend.sweep() == ["ended 1 uploads that nobody completed in 7 days"]


def test_sweep_leaves_the_uploads_of_others(stub) -> None:
    """Only what is below the given prefixes is ended, also where the server lists the whole bucket whatever is asked."""
    proxy, store = stub
    uploads = "".join(
        f"<Upload><Key>{key}</Key><UploadId>u</UploadId><Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>"
        for key in ("backups/db", "data/mine", "tmp/mine")
    )
    body = f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{uploads}</ListMultipartUploadsResult>"
    proxy.plan = lambda request: answer(204) if request.method == "DELETE" else answer(200, body.encode())
    assert store.backend.sweep(["data/", "tmp/"]) == ["ended 2 uploads that nobody completed in 7 days"]
    listed = [request.target for request in proxy.requests if request.method == "GET"]
    assert [target.partition("prefix=")[2].partition("&")[0] for target in listed] == ["data%2F", "tmp%2F"]
    ended = [request.target for request in proxy.requests if request.method == "DELETE"]
    assert ended == ["/bucket/data/mine?uploadId=u", "/bucket/tmp/mine?uploadId=u"]


def test_lint_counts_what_has_no_portable_key(open_store) -> None:
    """Folder markers and odd names are counted, and not listed."""
    store = open_store()
    prefix = store._core.routes["data"].prefix
    for name in ("ok", "folder/", "a//b", "a\\b", "x/../y"):
        store.backend.client.put_object(Bucket="bucket", Key=prefix + name, Body=b"")
    assert store.list() == ["ok"]
    assert store.backend.find_foreign_names(prefix) == [
        "1 folder markers (keys that end in a slash)",
        "3 blobs whose names are no portable keys",
    ]
