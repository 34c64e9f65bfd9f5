"""Construction, refusals, errors and uploads of ``s3+obstore://``."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from unittest import mock

import boto3
import pytest
from botocore.credentials import Credentials, ReadOnlyCredentials
from urllib3.util.retry import Retry

from storage import (
    AuthenticationError,
    BucketNotFoundError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    SigningError,
    Storage,
    UnsupportedOperationError,
)
from storage.backends import PutOptions
from storage.backends.obstore._settings import STATUSES
from storage.backends.obstore._writer import MAX_WHOLE

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "query, word",
    [
        ("keys=raw", "raw"),
        ("colour=red", "colour"),
        ("addressing_style=both", "path"),
        ("anonymous=yes", "true"),
        ("endpoint_url=ftp://x", "http"),
        ("sse=AES256&sse_kms_key_id=k", "sse=aws:kms"),
    ],
)
def test_wrong_urls(query, word):
    """A parameter that cannot be is refused before anything is done, and the message says what can."""
    with pytest.raises(ConfigurationError, match=word):
        Storage(f"s3+obstore://bucket?{query}")


@pytest.mark.parametrize(
    "query, location",
    [
        ("", "s3://bucket"),
        ("?region=eu-west-1", "s3://bucket"),
        ("?endpoint_url=http://h:1", "http://h:1/bucket"),
        ("?endpoint_url=https://h/", "https://h/bucket"),
    ],
)
def test_location(query, location):
    """A bucket is the same place through both drivers, so that types of the two cannot overlap unnoticed."""
    assert {Storage(f"{scheme}://bucket{query}").backend.location for scheme in ("s3", "s3+obstore")} == {location}
    with pytest.raises(ConfigurationError, match="overlap"):
        Storage(f"s3://bucket{query}", storage_types={"data": "", "tmp": f"s3+obstore://bucket/tmp{query}"})


def test_no_bucket_and_no_gs():
    """The bucket is needed; GCS is not spoken."""
    with pytest.raises(ConfigurationError, match="bucket is missing"):
        Storage("s3+obstore:///path")
    with pytest.raises(ConfigurationError, match="unknown scheme"):
        Storage("gs+obstore://bucket")


def test_statuses_of_its_own_only():
    """A status list is the Rust library's own or refused; the rest of a Retry is taken."""
    with pytest.raises(ConfigurationError, match="status_forcelist"):
        Storage("s3+obstore://b", retries=Retry(total=1, status_forcelist=[503]))
    Storage("s3+obstore://b", retries=Retry(total=1, status_forcelist=sorted(STATUSES)))
    Storage("s3+obstore://b", retries=Retry(total=1, backoff_factor=0))


@pytest.mark.parametrize(
    "auth", [5, {"access_key_id": "a"}, {"access_key_id": "a", "secret_access_key": "s3cret", "color": "x"}, "path"]
)
def test_wrong_auth(auth):
    """What is no credentials is refused at once, and no secret is repeated."""
    with pytest.raises(ConfigurationError) as caught:
        Storage("s3+obstore://b", auth)
    assert "s3cret" not in str(caught.value)


def test_each_kind_of_auth(seaweedfs, monkeypatch):
    """A mapping, a session, credentials objects, the environment, a profile: each opens the store; none: an error."""
    key, secret = seaweedfs.access_key, seaweedfs.secret_key
    url = seaweedfs.url(scheme="s3+obstore")
    auths = [
        seaweedfs.auth,
        boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret),
        Credentials(key, secret),
        ReadOnlyCredentials(key, secret, None),
    ]
    for auth in auths:
        with Storage(url, auth) as store:
            store.set("a", type(auth).__name__)
            assert store.list() == ["a"]
    with Storage(url) as store, pytest.raises(AuthenticationError, match="AWS_ACCESS_KEY_ID"):
        store.get("a")
    os.makedirs(os.path.expanduser("~/.aws"))
    with open(os.path.expanduser("~/.aws/credentials"), "w") as file:
        file.write(f"[me]\naws_access_key_id={key}\naws_secret_access_key={secret}\n")
    with Storage(f"{url}&profile=me") as store:
        assert store.get("a") == "ReadOnlyCredentials"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweedfs.endpoint_url)
    with Storage(url.partition("?")[0]) as store:
        assert store.get("a") == "ReadOnlyCredentials"
        assert seaweedfs.endpoint_url in store.get_signed_url("a")


@pytest.mark.parametrize("wrong", [{"access_key_id": "AKIAWRONG"}, {"secret_access_key": "wrong"}])
def test_wrong_credentials(seaweedfs, wrong):
    """Every call says that the credentials are wrong, also those whose answer has no body."""
    with Storage(seaweedfs.url(scheme="s3+obstore"), {**seaweedfs.auth, **wrong}, 0) as store:
        calls = [
            lambda: store.get("a"),
            lambda: store.set("a", ""),
            lambda: store.exists("a"),
            lambda: store.delete("a"),
            store.list,
            lambda: store.delete_many(["a"]),
        ]
        for call in calls:
            with pytest.raises(AuthenticationError):
                call()


def test_anonymous(seaweedfs):
    """Nothing is signed, and nothing can be."""
    with Storage(seaweedfs.url(scheme="s3+obstore", query="&anonymous=true"), retries=0) as store:
        with pytest.raises(PermissionDeniedError):
            store.get("a")
        with pytest.raises(PermissionDeniedError):
            store.list()
        with pytest.raises(SigningError, match="anonymous"):
            store.get_signed_url("a")


@pytest.mark.parametrize(
    "query, url",
    [
        ("", "https://bucket.s3.us-east-1.amazonaws.com/"),
        ("?region=eu-west-1", "https://bucket.s3.eu-west-1.amazonaws.com/"),
        ("?region=cn-north-1&addressing_style=path", "https://s3.cn-north-1.amazonaws.com.cn/bucket/"),
        ("?endpoint_url=http://h:1", "http://h:1/bucket/"),
        ("?endpoint_url=https://h&addressing_style=virtual", "https://bucket.h/"),
    ],
)
def test_addresses(query, url):
    """Where requests go, by region, endpoint and addressing style."""
    with Storage(f"s3+obstore://bucket{query}", {"access_key_id": "a", "secret_access_key": "b"}) as store:
        assert store.get_signed_url("k").startswith(f"{url}data/k?")


def test_a_missing_bucket(moto_s3):
    """Every call tells a missing bucket from a missing blob; setup makes it."""
    url = moto_s3.url("x", scheme="s3+obstore", bucket=f"bucket-{os.urandom(4).hex()}")
    with Storage(url, moto_s3.auth) as store:
        calls = [
            lambda: store.get("a"),
            lambda: store.set("a", ""),
            lambda: store.set("a", "", overwrite=False),
            lambda: store.set("a", "", if_match="e"),
            lambda: store.exists("a"),
            lambda: store.delete("a"),
            store.list,
            lambda: store.delete_many(["a"]),
            lambda: store.copy("a", "b"),
            lambda: store.set("a", iter([b"1" * MIB] * 12)),
        ]
        for call in calls:
            with pytest.raises(BucketNotFoundError):
                call()
        assert len(store.setup(create_bucket=True)) == 1
        assert store.setup(create_bucket=True) == []
        assert not store.exists("a")
        with pytest.raises(UnsupportedOperationError, match="s3://"):
            store.setup(cors_origins=["*"])
        with pytest.raises(UnsupportedOperationError, match="unfinished uploads; do it once through s3://"):
            store.backend.sweep()


def test_foreign_names(moto_s3):
    """Folder markers and names that the Rust library cannot say hide nothing, fail nothing and are counted."""
    url = moto_s3.url(scheme="s3+obstore", query="&types=data:")
    prefix = url.partition("?")[0].rpartition("/")[2]
    client = boto3.client(
        "s3",
        endpoint_url=moto_s3.endpoint_url,
        region_name=moto_s3.region,
        aws_access_key_id=moto_s3.access_key,
        aws_secret_access_key=moto_s3.secret_key,
    )
    for key in ("folder/", "a//b", "./x", "c\x01d", "folder/real"):
        client.put_object(Bucket=moto_s3.bucket, Key=f"{prefix}/{key}", Body=b"")
    with Storage(url, moto_s3.auth) as store:
        assert store.list() == ["folder/real"]
        assert [info.key for info in store.iter_info()] == ["folder/real"]
        assert store.backend.lint(f"{prefix}/") == [
            "1 folder marker(s), whose names end in a slash: never listed, read or deleted",
            "3 name(s) that are no portable keys: never listed, read or deleted",
        ]


def _uploads(server):
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name=server.region,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
    )
    return client.list_multipart_uploads(Bucket=server.bucket).get("Uploads", [])


def test_an_aborted_upload_leaves_nothing(moto_s3):
    """A source that fails, a writer that is aborted and one that is dropped leave no blob, no parts, no thread."""

    def failing():
        yield b"1" * 12 * MIB
        raise OSError("the caller's")

    with Storage(moto_s3.url(scheme="s3+obstore"), moto_s3.auth) as store:
        with pytest.raises(OSError, match="the caller's"):
            store.set("a", failing())
        writer = store.backend.writer("x/b", PutOptions("text/plain"))
        writer.write(b"1" * 12 * MIB)
        writer.abort()
        writer = store.backend.writer("x/c", PutOptions("text/plain"))
        writer.write(b"1" * 12 * MIB)
        thread = writer._thread
        del writer
        gc.collect()
        thread.join(30)
        assert not thread.is_alive()
        assert not [thread for thread in threading.enumerate() if thread.name == "storage-upload"]
        assert not store.exists("a")
        # Other tests share the bucket, and may be uploading at this moment.
        ours = ("x/", store._routes["data"].prefix)
        assert [upload for upload in _uploads(moto_s3) if upload["Key"].startswith(ours)] == []


def test_large_conditional_writes(seaweedfs):
    """A condition is honoured as far as memory allows, and refused beyond, before anything is sent."""
    with Storage(seaweedfs.url(scheme="s3+obstore"), seaweedfs.auth) as store:
        store.set("a", iter([b"1" * MIB] * 12), overwrite=False)
        assert store.info("a").size == 12 * MIB
        with pytest.raises(UnsupportedOperationError, match="s3://"):
            store.set("b", iter([b"1" * MIB] * (MAX_WHOLE // MIB + 1)), overwrite=False)
        with pytest.raises(NotFoundError):
            store.get("b")


def _child(url, auth, queue):
    with Storage(url, auth, 0, timeout=5) as store:
        try:
            queue.put(store.get("a"))
        except UnsupportedOperationError as exc:
            queue.put(str(exc))


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_child_processes(seaweedfs, start):
    """A forked child is told what to do, with a new store too; a spawned one works."""
    url = seaweedfs.url(scheme="s3+obstore")
    with Storage(url, seaweedfs.auth) as store:
        store.set("a", "text")
    context = multiprocessing.get_context(start)
    queue = context.Queue()
    process = context.Process(target=_child, args=(url, seaweedfs.auth, queue))
    process.start()
    said = queue.get(timeout=60)
    process.join(60)
    if start == "fork":
        assert "'spawn'" in said
        assert "s3://" in said
    else:
        assert said == "text"


def test_without_botocore(seaweedfs, monkeypatch):
    """Given keys need no botocore; a profile does, and the error says what to install."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.secret_key)
    url = seaweedfs.url(scheme="s3+obstore")
    with mock.patch.dict("sys.modules", {"botocore": None, "botocore.session": None}):
        with Storage(url) as store:
            store.set("a", "1")
            assert store.list() == ["a"]
            assert store.sign_upload("a", content_type="text/plain", overwrite=False).headers
        with Storage(f"{url}&profile=me") as store, pytest.raises(UnsupportedOperationError, match="pip install"):
            store.get("a")
