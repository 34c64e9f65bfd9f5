"""Whom ``s3://`` trusts: the certificates that the URL, a variable or a profile names, in every call."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from urllib3.util.retry import Retry

from storage import ConfigurationError, Storage, UnavailableError
from tests.emulators.relays import TLSEnd
from tests.emulators.s3 import S3Server
from tests.http.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody else knows, as a private cloud has one."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def secure(moto_s3: S3Server, authority: Authority) -> Iterator[str]:
    """The URL of moto behind TLS."""
    with TLSEnd(urlsplit(moto_s3.endpoint_url).port or 0, authority.server()) as end:
        yield f"https://127.0.0.1:{end.port}"


@pytest.fixture(autouse=True)
def _no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_PROFILE", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)


def every_call(store: Storage, bucket: str) -> None:
    """Each kind of request that the driver makes, whichever code sends it."""
    store.set("a", "1", metadata={"n": "1"})
    assert store.get("a") == "1"
    assert store.info("a").size == 1
    assert store.exists("a")
    assert not store.exists("none")
    store.copy("a", "b")
    store.copy("a", "c", overwrite=False)
    store.set_metadata("a", metadata={"n": "2"})
    with store.open("large", "wb") as file:
        file.write(bytes(11 * 1024 * 1024))
    assert store.get_file("large", io.BytesIO()).size == 11 * 1024 * 1024
    assert store.list() == ["a", "b", "c", "large"]
    store.setup(create_bucket=True, tmp_days=3)
    assert store.backend.bucket_exists()
    assert store.backend.client.list_objects_v2(Bucket=bucket)["KeyCount"]
    assert store.get_signed_url("a").startswith("https://127.0.0.1:")
    store.delete("a", if_match=store.info("a").etag)
    store.delete_many(["b", "c"])
    assert store.delete_prefix("l") == 1
    store.backend.sweep()


def own_bucket(moto_s3: S3Server) -> str:
    """A bucket that no other test has: to moto every upload is old, and so a sweep ends those of others."""
    return moto_s3.make_bucket(f"tls-{uuid.uuid4().hex}")


def named_by(way: str, bundle: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Names the bundle in that way; what the URL gains."""
    if way == "URL":
        return f"&ca_bundle={bundle}"
    if way == "profile":
        config = directory / "config"
        config.write_text(
            f"[profile private]\nca_bundle = {bundle}\naws_access_key_id = a\naws_secret_access_key = b\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        return "&profile=private"
    monkeypatch.setenv(way, str(bundle))
    return ""


WAYS = ["URL", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "profile"]


@pytest.mark.parametrize("through_boto3", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_every_call_trusts_it(
    way: str, through_boto3: bool, secure: str, moto_s3: S3Server, authority: Authority, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Also where requests go through boto3, and for boto3's client itself."""
    query = named_by(way, authority.bundle, tmp_path, monkeypatch)
    auth: Any = None if way == "profile" else moto_s3.auth
    if through_boto3:
        session = boto3.Session(moto_s3.access_key, moto_s3.secret_key)
        if way == "profile":
            session, query = boto3.Session(profile_name="private"), ""
        session.events.register("before-send.s3", lambda **_: None)
        auth = session
    bucket = own_bucket(moto_s3)
    url = moto_s3.url(bucket=bucket, endpoint_url=secure, query=query)
    with Storage(url, auth, retries=0, timeout=(5, 20)) as store:
        every_call(store, bucket)
        assert ("through boto3" in store.backend.way) == through_boto3  # type: ignore[attr-defined]


@pytest.mark.parametrize("through_boto3", [False, True])
def test_a_stranger_is_asked_once(secure: str, moto_s3: S3Server, through_boto3: bool) -> None:
    """Without the bundle nothing is told to the server, and nothing tried again."""
    auth: Any = moto_s3.auth
    if through_boto3:
        auth = boto3.Session(moto_s3.access_key, moto_s3.secret_key)
        auth.events.register("before-send.s3", lambda **_: None)
    for call in (lambda s: s.get("a"), lambda s: s.set("a", "1"), lambda s: s.setup(create_bucket=True)):
        with (
            Storage(moto_s3.url(endpoint_url=secure), auth, retries=Retry(5, backoff_factor=60)) as store,
            pytest.raises(UnavailableError, match=r"(?i)certificate"),
        ):
            call(store)


def test_the_url_goes_before_the_environment(
    secure: str, moto_s3: S3Server, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So one private cloud can be reached beside another."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(Authority(tmp_path).bundle))
    bucket = own_bucket(moto_s3)
    url = moto_s3.url(bucket=bucket, endpoint_url=secure, query=f"&ca_bundle={authority.bundle}")
    with Storage(url, moto_s3.auth, retries=0) as store:
        every_call(store, bucket)
    with (
        Storage(moto_s3.url(endpoint_url=secure), moto_s3.auth, retries=0) as store,
        pytest.raises(UnavailableError, match=r"(?i)certificate"),
    ):
        store.get("a")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """boto3 takes none, so it would serve some calls only."""
    with pytest.raises(ConfigurationError, match="ca_bundle"):
        Storage(f"s3://bucket?ca_bundle={tmp_path}")


@pytest.mark.parametrize("way", [*WAYS, "no certificate"])
def test_a_bundle_that_cannot_be_read_is_named(
    way: str, secure: str, moto_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration error, whoever names it."""
    missing = tmp_path / "none.pem"
    if way == "no certificate":
        missing.write_text("no certificate\n")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(missing))
        query = ""
    else:
        query = named_by(way, missing, tmp_path, monkeypatch)
    auth = None if way == "profile" else moto_s3.auth
    with pytest.raises(ConfigurationError, match=r"none\.pem"):  # noqa: SIM117 (the URL is refused at once)
        with Storage(moto_s3.url(endpoint_url=secure, query=query), auth, retries=0) as store:
            store.get("a")


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_profile_that_is_not_there_harms_nobody_who_has_credentials(
    variable: str, secure: str, moto_s3: S3Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``auth=`` no profile is needed, in no call."""
    monkeypatch.setenv(variable, "no-such-profile")
    bucket = own_bucket(moto_s3)
    url = moto_s3.url(bucket=bucket, endpoint_url=secure, query=f"&ca_bundle={authority.bundle}")
    with Storage(url, moto_s3.auth, retries=0) as store:
        every_call(store, bucket)
    with Storage(url, retries=0) as store, pytest.raises(ConfigurationError, match="no-such-profile"):
        store.get("a")
    assert os.environ[variable] == "no-such-profile"
