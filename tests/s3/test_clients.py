"""How the client is made: credentials, configuration, processes, threads, regions."""

from __future__ import annotations

import multiprocessing
import pickle
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import boto3
import pytest
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from moto import mock_aws

from storage import AuthenticationError, ConfigurationError, Storage, UnsupportedOperationError
from storage._retry import Timeout
from storage.backends.s3._sdk_client import SharedClient
from storage.backends.s3._settings import POOL_SIZE, Settings
from storage.testing.faults import FaultProxy, Request, answer


def signer(proxy: FaultProxy) -> str | None:
    """The access key that the last request was signed with."""
    header = proxy.requests[-1].headers.get("authorization")
    return header.split("Credential=")[1].split("/")[0] if header else None


def a_request(proxy: FaultProxy, bucket: str, query: str = "", auth=None) -> Request:
    """The one request of a ``get``."""
    proxy.plan = lambda _: answer(200, b"x", {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT"})
    with Storage(f"s3://{bucket}?endpoint_url={quote(proxy.url, safe=':/')}{query}", auth, 0) as store:
        assert store.get("k") == "x"
    return proxy.requests[-1]


KINDS = {
    "mapping": {"access_key_id": "AKIAME", "secret_access_key": "s"},
    "token": {"access_key_id": "AKIAME", "secret_access_key": "s", "session_token": "t"},
    "session": boto3.Session(aws_access_key_id="AKIAME", aws_secret_access_key="s", aws_session_token="t"),
    "credentials": Credentials("AKIAME", "s", "t"),
    "frozen": ReadOnlyCredentials("AKIAME", "s", "t"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_auth(stub, bucket, kind) -> None:
    """Each kind of ``auth`` signs requests."""
    proxy, _ = stub
    request = a_request(proxy, bucket, "&region=eu-west-1", KINDS[kind])
    assert "Credential=AKIAME/" in request.headers["authorization"]
    assert "/eu-west-1/s3/" in request.headers["authorization"]
    assert request.headers.get("x-amz-security-token") == (None if kind == "mapping" else "t")


def test_refreshable_credentials(stub, bucket) -> None:
    """Credentials that refresh themselves are used as such, not as they were at first."""
    proxy, _ = stub
    made: list[str] = []

    def fresh():
        made.append(f"AKIA{len(made)}")
        end = datetime.now(timezone.utc) + timedelta(seconds=1 if len(made) == 1 else 3600)
        return {"access_key": made[-1], "secret_key": "s", "token": "t", "expiry_time": end.isoformat()}

    auth = RefreshableCredentials.create_from_metadata(fresh(), fresh, "test")
    request = a_request(proxy, bucket, "&region=us-east-1", auth)
    assert "Credential=AKIA1/" in request.headers["authorization"]


def test_environment_and_profile(stub, bucket, monkeypatch, tmp_path) -> None:
    """Without ``auth`` the SDK's chain is asked; ``profile`` names one of its profiles."""
    proxy, _ = stub
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert "Credential=AKIAENV/" in a_request(proxy, bucket, "&region=us-east-1").headers["authorization"]
    config = tmp_path / "config"
    config.write_text(
        "[profile mine]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\nregion = eu-north-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    header = a_request(proxy, bucket, "&profile=mine").headers["authorization"]
    assert "Credential=AKIAPROFILE/" in header
    assert "/eu-north-1/s3/" in header
    with Storage(f"s3://{bucket}?profile=none") as store, pytest.raises(ConfigurationError):
        store.get("k")


def test_endpoint_of_the_environment(stub, bucket, monkeypatch) -> None:
    """``AWS_ENDPOINT_URL`` works as in the SDK, and its server is treated as one that is not AWS's."""
    proxy, _ = stub
    proxy.plan = lambda _: answer(200, b"<DeleteResult/>", {"ETag": '"e"'})
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    with Storage(f"s3://{bucket}?region=us-east-1", KINDS["mapping"], 0) as store:
        store.set("k", "v")
        store.delete_many(["k"])
    put, delete = proxy.requests
    assert not [name for name in (*put.headers, *delete.headers) if "checksum" in name]
    assert "content-md5" in delete.headers


def test_anonymous(stub, bucket) -> None:
    """``anonymous=true`` signs nothing."""
    proxy, _ = stub
    assert "authorization" not in a_request(proxy, bucket, "&region=us-east-1&anonymous=true").headers


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"access_key_id": "a"},
        {"access_key_id": "a", "secret_access_key": ""},
        {"access_key_id": "a", "secret_access_key": b"s"},
        {"access_key_id": "a", "secret_access_key": "s3cr3t", "region": "x"},
        {"access_key_id": "a", "secret_access_key": "s3cr3t", "session_token": 1},
        {"access_key_id": "a", "secret_access_key": "s3cr3t\n"},
        {"access_key_id": " a", "secret_access_key": "s3cr3t"},
        {"access_key_id": "a", "secret_access_key": "s3cr3t", "session_token": "t\r\nx: y"},
        {"access_key_id": "a", "secret_access_key": "s3cr3t\ud800"},
        ("a", "s3cr3t"),
        "s3cr3t",
    ],
)
def test_auth_that_cannot_be(auth) -> None:
    """Another ``auth`` is a ConfigurationError at once, which repeats no secret."""
    with pytest.raises(ConfigurationError) as caught:
        Storage("s3://b", auth)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "anonymous=yes",
        "addressing_style=x",
        "sse=x",
        "sse=AES256&sse_kms_key_id=k",
        "endpoint_url=ftp://x",
        "what=1",
        "region=",
        "region=a%20b",
        "region=a/b",
        "sse_kms_key_id=k%0A",
        "endpoint_url=http://h%20h",
    ],
)
def test_query_that_cannot_be(query) -> None:
    """A query parameter that is unknown or cannot be is a ConfigurationError at once."""
    with pytest.raises(ConfigurationError):
        Storage(f"s3://b?{query}")


@pytest.mark.parametrize("query", ["anonymous=true", "profile=p"])
def test_auth_and_another_way_in(query) -> None:
    """``auth`` excludes the URL's own way to credentials."""
    with pytest.raises(ConfigurationError):
        Storage(f"s3://b?{query}", KINDS["mapping"])


def test_settings_that_no_request_can_hold(stub, bucket, monkeypatch) -> None:
    """A line break in a variable is a ConfigurationError of the call, and nothing is sent."""
    proxy, _ = stub
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t0ken\n")
    with Storage(f"s3://{bucket}?region=us-east-1&endpoint_url={proxy.url}") as store:
        for call in (lambda: store.exists("k"), lambda: store.set("k", "v"), store.list):
            with pytest.raises(ConfigurationError, match="line break") as caught:
                call()
            assert "t0ken" not in str(caught.value)
    assert proxy.requests == []


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_key_in_a_variable_that_ends_with_a_line_break(monkeypatch, name) -> None:
    """It signs nothing, neither a request nor a URL, also where no header would hold it; and it is not shown."""
    values = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_SESSION_TOKEN": "t0ken"}
    for variable, value in values.items():
        monkeypatch.setenv(variable, value + "\n" if variable == name else value)
    with Storage("s3://b?region=us-east-1&endpoint_url=http://127.0.0.1:9", retries=0) as store:
        for call in (lambda: store.exists("k"), lambda: store.get_signed_url("k")):
            with pytest.raises(ConfigurationError, match="line break") as caught:
                call()
            assert values[name] not in str(caught.value)


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9"], ids=["own", "boto3"])
def test_a_line_break_in_refreshed_credentials_shows_none_of_them(monkeypatch, proxy) -> None:
    """Neither on our own way, nor through boto3, nor from the client that the user gets."""

    def fetch() -> dict[str, str]:
        expiry = datetime.now(timezone.utc) + timedelta(hours=1)
        return {
            "access_key": "AKIA",
            "secret_key": "s3cr3t",
            "token": "t0k\nen",
            "expiry_time": expiry.isoformat(),
        }

    credentials = RefreshableCredentials.create_from_metadata(fetch(), refresh_using=fetch, method="test")
    if proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
    with Storage("s3://b?region=us-east-1&endpoint_url=http://127.0.0.1:9", credentials, retries=0) as store:
        for call in (
            lambda: store.set("k", "v"),
            lambda: store.exists("k"),
            store.list,
            lambda: store.backend.client.head_object(Bucket="b", Key="k"),
        ):
            with pytest.raises(ConfigurationError, match="line break") as caught:
                call()
            assert "t0k" not in "".join(traceback.format_exception(caught.value))


def test_a_host_that_botocore_refuses() -> None:
    """It is a ConfigurationError where boto3 is asked."""
    url = "s3://b?region=us-east-1&endpoint_url=http://my_host:9000"
    with Storage(url, KINDS["mapping"]) as store, pytest.raises(ConfigurationError, match="Invalid endpoint"):
        store.exists("k")


def test_no_bucket() -> None:
    """A bucket is needed."""
    with pytest.raises(ConfigurationError, match="bucket"):
        Storage("s3:///prefix")


def test_addressing_style(stub, bucket) -> None:
    """Paths for a server of one's own, unless asked otherwise."""
    proxy, _ = stub
    assert a_request(proxy, bucket, "&region=us-east-1", KINDS["mapping"]).target == f"/{bucket}/data/k"
    client = Storage("s3://b?region=us-east-1&addressing_style=path", KINDS["mapping"]).backend.client
    assert client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}).startswith(
        "https://s3.amazonaws.com/b/k"
    )
    client = Storage("s3://bkt?region=us-east-1&addressing_style=virtual", KINDS["mapping"]).backend.client
    assert client.generate_presigned_url("get_object", Params={"Bucket": "bkt", "Key": "k"}).startswith(
        "https://bkt.s3."
    )


@pytest.mark.parametrize(
    "query, headers",
    [
        ("&sse=AES256", {"x-amz-server-side-encryption": "AES256"}),
        ("&sse=aws:kms", {"x-amz-server-side-encryption": "aws:kms"}),
        (
            "&sse_kms_key_id=key-1",
            {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "key-1"},
        ),
    ],
)
def test_encryption(open_store, proxy, query, headers) -> None:
    """``sse`` and ``sse_kms_key_id`` go with every write: small, in parts, copied, and signed."""
    store = open_store(proxy.url, query=query)
    store.set("k", "v")
    store.copy("k", "k2")
    store.copy("k", "k3", overwrite=False)
    with store.open("big", "wb") as file:
        file.write(bytes(6_000_000))
    signed = store.sign_upload("k4")
    writes = [
        request
        for request in proxy.requests
        if (request.method == "PUT" and "partNumber" not in request.target) or request.target.endswith("?uploads")
    ]
    assert len(writes) == 4
    for request in writes:
        assert {name: request.headers.get(name) for name in headers} == headers
    assert dict(signed.headers) == headers


def test_one_client_for_all_threads(moto_s3) -> None:
    """Threads that come at once get one client, whose pool holds a connection for each."""
    shared = SharedClient(Settings("b", Timeout(1, 1), moto_s3.auth, "us-east-1"))
    with ThreadPoolExecutor(16) as pool:
        clients = list(pool.map(lambda _: shared.get(), range(64)))
    assert len({id(client) for client in clients}) == 1
    assert clients[0].meta.config.max_pool_connections == POOL_SIZE >= Storage("s3://b").backend.concurrency
    shared.close()
    assert shared.get() is not clients[0]


def test_fork_in_the_middle_of_a_read(open_store) -> None:
    """What was begun before a fork is the parent's: the child is told so, and the parent reads on."""
    store = open_store()
    data = bytes(range(256)) * 20_000
    store.set("k", data)
    chunks = store.iter_bytes("k", chunk_size=100_000)
    head = next(chunks)
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def child() -> None:
        try:
            sender.send(b"".join(chunks))
        except UnsupportedOperationError as exc:
            sender.send(("fork" in str(exc), store.get_bytes("k") == data))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert receiver.poll(60)
    assert receiver.recv() == (True, True)
    process.join(60)
    assert head + b"".join(chunks) == data


def test_pickle(moto_s3) -> None:
    """A backend pickles as its settings, unless that would write a secret out."""
    backend = Storage("s3://b?region=us-east-1&sse=AES256").backend
    assert pickle.loads(pickle.dumps(backend)).location == backend.location
    with pytest.raises(TypeError, match="auth"):
        pickle.dumps(Storage("s3://b", moto_s3.auth).backend)


def test_location() -> None:
    """The same bucket is the same place, and another server's is another."""
    assert Storage("s3://b/x").backend.location == Storage("s3://b/y?region=us-east-1").backend.location == "s3://b"
    assert Storage("s3://b?endpoint_url=http://127.0.0.1:1").backend.location == "http://127.0.0.1:1/b"


def test_mock_aws_needs_nothing_special() -> None:
    """Inside ``mock_aws`` a plain URL works."""
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
        store = Storage("s3://bucket")
        store.set("a/b", "text", metadata={"x": "ü"})
        store.set("c", "text", overwrite=False)
        assert store.get("a/b") == "text"
        assert store.list() == ["a/b", "c"]
        assert [info.size for info in store.iter_info()] == [4, 4]
        assert store.info("a/b").metadata == {"x": "ü"}
        store.delete("a/b")
        assert not store.exists("a/b")
        assert store.backend.client.list_objects_v2(Bucket="bucket")["KeyCount"] == 1


# ---- regions -----------------------------------------------------------------------------------------------------------


def test_region_that_the_server_names(stub, bucket) -> None:
    """A request that went to the wrong region follows the answer to the right one."""
    proxy, _ = stub
    there = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT"}

    def plan(request: Request):
        if "/eu-central-1/s3/" in request.headers.get("authorization", ""):
            return answer(200, b"x", there)
        body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>"
        return answer(400, b"" if request.method == "HEAD" else body, {"x-amz-bucket-region": "eu-central-1"})

    proxy.plan = plan
    # An endpoint that is given is kept, so the request must find its way by the region alone.
    with Storage(f"s3://{bucket}?region=us-east-1&endpoint_url={proxy.url}", KINDS["mapping"], 0) as store:
        try:
            assert store.get("k") == "x"
        except AuthenticationError:
            pytest.fail("the region that the server named was not tried")


def test_signing_finds_the_region(monkeypatch) -> None:
    """Where no region is given anywhere, the bucket is asked once, before the first URL is signed."""
    with mock_aws():
        made = boto3.client("s3", region_name="eu-central-1")
        made.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        store = Storage("s3://bucket")
        url = store.get_signed_url("k")
        assert "%2Feu-central-1%2Fs3%2F" in url
        assert store.backend.client.meta.region_name == "eu-central-1"
        seen = []
        store.backend.client.meta.events.register("before-send.s3", lambda **kwargs: seen.append(kwargs["event_name"]))
        store.get_signed_url("k")
        assert seen == []


def test_signing_for_a_bucket_that_is_not_there() -> None:
    """A server that names no region leaves the default one; whoever uses the URL is told what is wrong."""
    with mock_aws(), Storage("s3://absent") as store:
        assert "%2Fus-east-1%2Fs3%2F" in store.get_signed_url("k")
