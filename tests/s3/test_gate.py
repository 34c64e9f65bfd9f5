"""Which way requests go, and that each way does what boto3 does."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from moto import mock_aws

import storage as s
from storage import Storage
from storage._retry import Timeout
from storage.backends.s3 import S3Backend
from storage.backends.s3._environment import Configuration
from storage.backends.s3._gate import Gate, _computed, _learned
from storage.backends.s3._sdk_client import SharedClient
from storage.backends.s3._settings import Settings
from storage.backends.s3._wire import Wire
from storage.testing.faults import Fault, FaultProxy, Request, answer
from tests.s3.conftest import at_once

AUTH = {"access_key_id": "AKIA", "secret_access_key": "s"}
TIMEOUT = Timeout(5, 5)
BLOB = {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 19:05:11 GMT"}
STRAIGHT = "requests go straight to"


@pytest.fixture
def proxy(stub: tuple[FaultProxy, Storage]) -> FaultProxy:
    """A server that has a blob under every key."""
    stub[0].plan = lambda _: answer(200, b"x", BLOB)
    return stub[0]


@pytest.fixture
def no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration but what a test writes into this file."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "config"


def way(store: Storage) -> str:
    """How its requests go, in words."""
    assert isinstance(store.backend, S3Backend)
    return store.backend.way


def signed_for(request: Request) -> str:
    """The region that a request was signed for."""
    return request.headers["authorization"].split("Credential=")[1].split("/")[2]


# ---- endpoints ---------------------------------------------------------------------------------------------------------

BUCKETS = ("bucket", "my.bucket", "My_Bucket", "a" * 63, "xn--bucket", "192.168.1.1", "abc", "a-b--c", "b-s3alias")


@pytest.mark.parametrize("style", [None, "virtual", "auto", "path"])
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_plain_endpoints_are_those_of_botocore(no_files: Path, partition: str, style: str | None, step: int) -> None:
    """In every region, for every kind of name, requests go where the SDK would send them, and are signed for the same region."""
    regions = botocore.session.Session().get_available_regions("s3", partition)
    for region in {*regions[::step], *{"us-east-1"}.intersection(regions)}:  # the first one has a name of its own
        shared = SharedClient(Settings("bucket", TIMEOUT, AUTH, region, None, None, style))
        for bucket in BUCKETS:
            settings = Settings(bucket, TIMEOUT, AUTH, region, None, None, style)
            assert _computed(settings, Configuration()) == _learned(settings, shared), (bucket, region)


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:9000", "https://minio.local/base", "http://[::1]:8333", "https://s3.eu-west-1.amazonaws.com"],
)
@pytest.mark.parametrize("style", [None, "auto", "path"])
def test_other_servers_endpoints_are_those_of_botocore(no_files: Path, endpoint: str, style: str | None) -> None:
    """A server gets paths, below that of its endpoint."""
    shared = SharedClient(Settings("bucket", TIMEOUT, AUTH, "eu-west-1", endpoint, None, style))
    for bucket in BUCKETS:
        settings = Settings(bucket, TIMEOUT, AUTH, "eu-west-1", endpoint, None, style)
        assert _computed(settings, Configuration()) == _learned(settings, shared)


@pytest.mark.parametrize(
    "lines, variables, host",
    [
        ("s3 =\n  addressing_style = path\n", {}, "s3.eu-west-1.amazonaws.com"),
        ("s3 =\n  use_accelerate_endpoint = true\n", {}, "bucket.s3-accelerate.amazonaws.com"),
        ("use_fips_endpoint = true\n", {}, "bucket.s3-fips.eu-west-1.amazonaws.com"),
        ("", {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "bucket.s3.dualstack.eu-west-1.amazonaws.com"),
        ("", {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "127.0.0.1"),
        ("services = mine\n[services mine]\ns3 =\n  endpoint_url = http://127.0.0.2:9\n", {}, "127.0.0.2"),
        ("", {"AWS_DEFAULT_REGION": "mars-north-1"}, "bucket.s3.mars-north-1.amazonaws.com"),
    ],
)
def test_unusual_endpoints(no_files: Path, monkeypatch, lines, variables, host) -> None:
    """What the SDK's configuration says of the endpoint is asked of the SDK; the short way goes there too."""
    no_files.write_text(f"[default]\nregion = eu-west-1\n{lines}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    wire = Gate(Settings("bucket", TIMEOUT, AUTH)).wire()
    assert isinstance(wire, Wire)
    assert wire.target.host == host


def test_a_server_that_is_addressed_by_host_names(no_files: Path) -> None:
    """``addressing_style=virtual`` puts the bucket before an endpoint's host."""
    wire = Gate(Settings("bucket", TIMEOUT, AUTH, "x", "https://minio.local:9000", None, "virtual")).wire()
    assert isinstance(wire, Wire)
    assert (wire.target.host, wire.target.port, wire.target.base) == ("bucket.minio.local", 9000, "")


# ---- boto3's way -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bucket", ["b--usw2-az1--x-s3", "b--op-s3", "arn:aws:s3:us-west-2:123456789012:accesspoint:x", "a", "_x"]
)
def test_buckets_of_other_kinds(no_files: Path, bucket: str) -> None:
    """Directory buckets and access points, which are signed otherwise, are left to boto3, and so are impossible names."""
    gate = Gate(Settings(bucket, TIMEOUT, AUTH, "us-west-2"))
    assert gate.wire() is gate.sdk
    assert "boto3" in gate.describe()


def a_url(proxy: FaultProxy, query: str = "") -> str:
    return f"s3://bucket?region=us-east-1&endpoint_url={proxy.url}{query}"


@pytest.mark.parametrize(
    "event", ["before-sign.s3.GetObject", "before-call.s3", "request-created.s3", "before-send.s3"]
)
def test_handlers_of_a_session(proxy: FaultProxy, event: str) -> None:
    """They run, at every call."""
    seen: list[str] = []
    session = boto3.Session("AKIA", "s")
    session.events.register(event, lambda event_name, **_: seen.append(event_name))
    with Storage(a_url(proxy), session, 0) as store:
        assert store.get("k") == store.get("k") == "x"
        assert "the session has event handlers" in way(store)
    assert len(seen) == 2


def test_handlers_of_the_client(proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    """They run from the moment on that they are registered, and the log tells why requests go another way now."""
    seen: list[str] = []

    def add_header(request: Any, **_: Any) -> None:
        seen.append(request.method)
        request.headers["x-tracing"] = "1"

    with Storage(a_url(proxy), AUTH, 0) as store, caplog.at_level(logging.DEBUG, "storage.s3"):
        store.get("k")
        assert way(store).startswith(STRAIGHT)
        store.backend.client.meta.events.register("before-sign.s3", add_header)
        store.get("k")
        store.exists("k")
        assert "event handler" in way(store)
    assert seen == ["GET", "HEAD"]
    assert ["x-tracing" in request.headers for request in proxy.requests] == [False, True, True]
    assert "x-tracing" in proxy.requests[1].headers["authorization"]
    assert [record.getMessage() for record in caplog.records if "through boto3" in record.getMessage()]


def test_the_client_alone_changes_nothing(proxy: FaultProxy) -> None:
    """Who uses the SDK's client for something else does not slow this library down."""
    with Storage(a_url(proxy), AUTH, 0) as store:
        store.backend.client.head_object(Bucket="bucket", Key="k")
        store.get("k")
        assert way(store).startswith(STRAIGHT)


def test_something_in_botocores_place(proxy: FaultProxy) -> None:
    """``mock_aws`` and patched methods are asked while they are there, also by a store that went straight before."""
    with Storage(a_url(proxy), AUTH, 0) as store:
        assert store.get("k") == "x"
        with mock.patch("botocore.client.BaseClient._make_api_call", side_effect=RuntimeError("patched")):
            with pytest.raises(RuntimeError, match="patched"):
                store.get("k")
            assert "stands between" in way(store)
        assert store.get("k") == "x"
        assert way(store).startswith(STRAIGHT)
    assert len(proxy.requests) == 2


def test_mock_aws_around_a_store_in_use() -> None:
    """Inside of it a store that was made outside speaks to the mock."""
    with mock_aws():
        pass  # moto's handler is known to botocore from now on
    store = Storage("s3://bucket", {"access_key_id": "a", "secret_access_key": "b"}, 0, timeout=0.2)
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
        store.set("k", "v")
        assert store.get("k") == "v"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Requests go through it; not where it is not for this host."""
    monkeypatch.setenv(variable, proxy.url)
    url = "s3://bucket?region=us-east-1&endpoint_url=http://storage.invalid"
    with Storage(url, AUTH, 0) as store:
        if variable != "ALL_PROXY":  # which botocore does not use for http, so that the name is not found
            assert store.get("k") == "x"
            assert proxy.requests[-1].target == "http://storage.invalid/bucket/data/k"
        assert "proxy" in way(store)
    monkeypatch.setenv("NO_PROXY", "storage.invalid")
    with Storage(url, AUTH, 0) as store:
        assert way(store) == f"{STRAIGHT} storage.invalid"


def test_a_configuration_of_the_sessions_own(proxy: FaultProxy) -> None:
    """A session whose clients are configured by the user, with a client certificate say, keeps its client."""
    core = botocore.session.Session()
    core.set_default_client_config(Config(user_agent_extra="mine/1"))
    session = boto3.Session("AKIA", "s", botocore_session=core)
    with Storage(a_url(proxy), session, 0) as store:
        store.get("k")
        assert "configuration of its own" in way(store)
    assert "mine/1" in proxy.requests[-1].headers["user-agent"]


def test_a_plain_session(proxy: FaultProxy) -> None:
    """A session is no reason to go another way."""
    with Storage(a_url(proxy), boto3.Session("AKIA", "s"), 0) as store:
        store.get("k")
        assert way(store).startswith(STRAIGHT)
    assert proxy.requests[-1].headers["user-agent"] == "storage-facade"


# ---- mistakes that are mended ------------------------------------------------------------------------------------------


def elsewhere(region: str, status: int = 400) -> Any:
    """A plan: a bucket that is in another region."""

    def plan(request: Request) -> Fault:
        if signed_for(request) == region:
            return answer(200, b"" if request.method == "PUT" else b"x", BLOB)
        body = f"<Error><Code>AuthorizationHeaderMalformed</Code><Region>{region}</Region></Error>".encode()
        return answer(status, b"" if request.method == "HEAD" else body, {"x-amz-bucket-region": region})

    return plan


@pytest.mark.parametrize("first", ["get", "exists", "set"])
def test_the_region_is_learned(proxy: FaultProxy, first: str) -> None:
    """boto3 finds the bucket, once; what follows goes straight to the right region."""
    proxy.plan = elsewhere("eu-central-1")
    with Storage(a_url(proxy), AUTH, 0) as store:
        {"get": lambda: store.get("k"), "exists": lambda: store.exists("k"), "set": lambda: store.set("k", "x")}[
            first
        ]()
        proxy.requests.clear()
        assert store.get("k") == "x"
        store.set("k", "x")
        assert [signed_for(request) for request in proxy.requests] == ["eu-central-1"] * 2
        assert way(store).startswith(STRAIGHT)


def test_a_server_that_goes_on_redirecting(proxy: FaultProxy) -> None:
    """It is not asked twice for ever: boto3 serves it alone."""

    def plan(request: Request) -> Fault:
        own = request.headers["user-agent"] == "storage-facade"
        return answer(307, b"", {"Location": proxy.url}) if own else answer(200, b"x", BLOB)

    proxy.plan = plan
    with Storage(a_url(proxy), AUTH, 0) as store:
        for _ in range(8):
            assert store.get("k") == "x"
        assert "redirecting" in way(store)
    assert len(proxy.requests) == 8 + 4


def test_a_clock_that_is_wrong(proxy: FaultProxy) -> None:
    """The server's time is taken for signing, from the first refusal on."""
    now = datetime.now(timezone.utc) + timedelta(hours=3)

    def plan(request: Request) -> Fault:
        stamp = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        if abs(stamp - now) < timedelta(minutes=5):
            return answer(200, b"" if request.method == "PUT" else b"x", BLOB)
        body = b"" if request.method == "HEAD" else b"<Error><Code>RequestTimeTooSkewed</Code></Error>"
        return answer(403, body, {"Date": format_datetime(now, usegmt=True)})

    proxy.plan = plan
    with Storage(a_url(proxy), AUTH, 0) as store:
        assert store.get("k") == "x"
        assert len(proxy.requests) == 2
        store.set("k", "x")
        assert len(proxy.requests) == 3
    # A server that only says so is not asked for ever.
    proxy.requests.clear()
    date = {"Date": "Sun, 22 Nov 2026 19:05:11 GMT"}
    proxy.plan = lambda _: answer(403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>", date)
    with Storage(a_url(proxy), AUTH, 0) as store, pytest.raises(s.AuthenticationError):
        store.get("k")
    assert len(proxy.requests) == 2


# ---- credentials, threads, ends ----------------------------------------------------------------------------------------


def test_credentials_that_expire_during_a_run(proxy: FaultProxy) -> None:
    """Each request asks for the credentials of its moment."""
    made = 0

    def fresh() -> dict[str, Any]:
        nonlocal made
        made += 1
        end = datetime.now(timezone.utc) + timedelta(hours=1)
        return {"access_key": f"AKIA{made}", "secret_key": "s", "token": f"t{made}", "expiry_time": end.isoformat()}

    auth = RefreshableCredentials.create_from_metadata(fresh(), fresh, "test")
    with Storage(a_url(proxy), auth, 0) as store:
        store.get("k")
        vars(auth)["_expiry_time"] = datetime.now(timezone.utc) + timedelta(seconds=1)
        store.get("k")
        store.get("k")
    assert [request.headers["x-amz-security-token"] for request in proxy.requests] == ["t1", "t2", "t2"]


def test_the_chain_is_asked_for_credentials_that_end(proxy: FaultProxy, no_files: Path, tmp_path: Path) -> None:
    """A profile whose keys a program gives: it runs again when they are about to end."""
    count = tmp_path / "count"
    program = tmp_path / "keys"
    program.write_text(
        f"""#!/bin/sh
echo x >> {count}
n=$(wc -l < {count} | tr -d ' ')
minutes=$((n * 7))
end=$(date -u -d "+$minutes minutes" +%Y-%m-%dT%H:%M:%SZ)
echo '{{"Version": 1, "AccessKeyId": "AKIA'$n'", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "'$end'"}}'
"""
    )
    program.chmod(0o755)
    no_files.write_text(f"[profile program]\ncredential_process = {program}\nregion = us-east-1\n")
    with Storage(f"s3://bucket?profile=program&endpoint_url={proxy.url}", None, 0) as store:
        for _ in range(4):
            store.get("k")
        assert way(store).startswith(STRAIGHT)
    signers = [request.headers["authorization"].split("Credential=")[1].split("/")[0] for request in proxy.requests]
    # botocore renews what ends within a quarter of an hour: the first two (7 and 14 minutes), but not the third.
    assert signers == ["AKIA2", "AKIA3", "AKIA3", "AKIA3"]


def test_credentials_that_are_past_their_end(proxy: FaultProxy) -> None:
    """Where nobody gives better ones, that is what the caller is told."""
    past = {"access_key": "AKIA", "secret_key": "s", "token": "t", "expiry_time": "2020-01-01T00:00:00Z"}
    auth = RefreshableCredentials.create_from_metadata(past, lambda: past, "test")
    with Storage(a_url(proxy), auth, 0) as store:
        with pytest.raises(s.AuthenticationError):
            store.get("k")
        with pytest.raises(s.SigningError):
            store.get_signed_url("k")
    assert proxy.requests == []


def test_many_threads(open_store, seaweedfs) -> None:
    """64 threads each get the answers to their own requests, over connections that are used again."""
    with FaultProxy(seaweedfs.endpoint_url) as proxy:
        store = open_store(proxy.url)
        barrier = threading.Barrier(64)

        def work(number: int) -> bool:
            barrier.wait()
            value = f"{number} " * (number * 50 + 1)
            for turn in range(4):
                store.set(f"k{number}", f"{value}{turn}")
                if store.get(f"k{number}") != f"{value}{turn}" or not store.exists(f"k{number}"):
                    return False
            return True

        with ThreadPoolExecutor(64) as pool:
            assert all(pool.map(work, range(64)))
        assert max(request.connection for request in proxy.requests) < 2 * 64  # some may have gone stale


def test_use_after_close(proxy: FaultProxy) -> None:
    """A closed store opens new connections, and keeps them again."""
    store = Storage(a_url(proxy), AUTH, at_once(0))
    for _ in range(2):
        store.get("k")
        store.get("k")
        store.close()
    assert [request.connection - proxy.requests[0].connection for request in proxy.requests] == [0, 0, 1, 1]


def test_without_credentials(no_files: Path, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the chain ends nothing is sent; credentials that come later are found."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with Storage(a_url(proxy), None, 0) as store:
        with pytest.raises(s.AuthenticationError):
            store.get("k")
        assert proxy.requests == []


def test_a_missing_profile(no_files: Path, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is asked for is a configuration error; with ``auth`` nobody needs the one that a variable names."""
    monkeypatch.setenv("AWS_PROFILE", "none")
    with Storage(a_url(proxy), None, 0) as store, pytest.raises(s.ConfigurationError):
        store.get("k")
    with Storage(a_url(proxy), AUTH, 0) as store:
        assert store.get("k") == "x"
        assert store.get_signed_url("k").startswith(proxy.url)
        assert store.backend.client.head_object(Bucket="bucket", Key="k")["ETag"] == '"e"'
