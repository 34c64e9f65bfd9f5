"""Configuration that is read without botocore is what botocore would read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import botocore.session
import pytest
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.exceptions import BotoCoreError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.backends.s3._environment import Configuration, configuration
from storage.backends.s3._sigv4 import Keys

CONFIG = """
[default]
region = eu-west-1
output = json
[profile mine]
region=eu-north-1
aws_access_key_id = AKIACONFIG
aws_secret_access_key = config-secret
[profile role]
role_arn = arn:aws:iam::1:role/x
source_profile = mine
region = us-west-2
[profile endpoint]
endpoint_url = https://minio.example:9000
ca_bundle = /etc/ca.pem
[profile styled]
region = us-west-2
s3 =
    addressing_style = path
[profile fips]
use_fips_endpoint = true
[profile "quoted"]
region = sa-east-1
"""
PLAIN_CONFIG = CONFIG.replace('[profile "quoted"]\nregion = sa-east-1\n', "")
CREDENTIALS = """
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = default/secret+key
[mine]
aws_access_key_id = AKIAMINE
aws_secret_access_key = mine-secret
aws_session_token = mine-token
[alone]
aws_access_key_id = AKIAALONE
aws_secret_access_key = alone-secret
[half]
aws_access_key_id = AKIAHALF
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of configuration, good and bad."""
    home = tmp_path_factory.mktemp("aws")
    (home / "config").write_text(PLAIN_CONFIG)
    (home / "quoted").write_text(CONFIG)
    (home / "credentials").write_text(CREDENTIALS)
    (home / "broken").write_text("[default\nregion")
    return home


@pytest.fixture(autouse=True)
def bare() -> Iterator[None]:
    """No variable of this machine."""
    with mock.patch.dict(
        os.environ,
        {name: value for name, value in os.environ.items() if "AWS" not in name and name != "REQUESTS_CA_BUNDLE"},
        clear=True,
    ):
        yield


def asked_of_botocore(environ: dict[str, str], profile: str | None) -> Configuration:
    """What botocore's session says; raises what it raises."""
    with mock.patch.dict(os.environ, environ):
        session = botocore.session.Session(profile=profile)
        # The services that would be asked for credentials are none of these tests' business.
        resolver = session.get_component("credential_provider")
        for name in ("iam-role", "container-role"):
            resolver.remove(name)
        endpoint = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), "s3").provide()
        found: Any = session.get_credentials()
        keys = None if found is None else Keys(*found.get_frozen_credentials()[:3])
        bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        return Configuration(session.get_config_variable("region"), endpoint, bundle, None, keys)


VARIABLES: dict[str, tuple[str, ...]] = {
    "AWS_ACCESS_KEY_ID": ("AKIAENV", ""),
    "AWS_SECRET_ACCESS_KEY": ("env-secret", ""),
    "AWS_SESSION_TOKEN": ("env-token", ""),
    "AWS_SECURITY_TOKEN": ("old-token",),
    "AWS_DEFAULT_REGION": ("ap-south-1", ""),
    "AWS_REGION": ("ap-east-1",),
    "AWS_PROFILE": ("mine", "alone", "role", "half", "none", "endpoint", "styled", "fips", "quoted", ""),
    "AWS_DEFAULT_PROFILE": ("mine", "default"),
    "AWS_CONFIG_FILE": ("config", "quoted", "broken", "absent"),
    "AWS_SHARED_CREDENTIALS_FILE": ("credentials", "broken", "absent"),
    "AWS_ENDPOINT_URL": ("http://127.0.0.1:9000", ""),
    "AWS_ENDPOINT_URL_S3": ("http://127.0.0.1:9001",),
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": ("true",),
    "AWS_CA_BUNDLE": ("/bundle.pem", ""),
    "REQUESTS_CA_BUNDLE": ("/requests.pem",),
    "AWS_USE_FIPS_ENDPOINT": ("true",),
    "AWS_CREDENTIAL_EXPIRATION": ("2030-01-01T00:00:00Z",),
    "AWS_LAMBDA_FUNCTION_NAME": ("f",),
    "AWS_EC2_METADATA_DISABLED": ("true",),
}


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VARIABLES.items()}),
    st.sampled_from((None, None, "mine", "alone", "role", "none", "default")),
)
def test_it_is_what_botocore_says(home: Path, chosen: dict[str, str], profile: str | None) -> None:
    """Or nothing is said, and botocore is asked."""
    environ = {"AWS_CONFIG_FILE": "absent", "AWS_SHARED_CREDENTIALS_FILE": "absent", **chosen}
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        environ[name] = str(home / environ[name])
    ours = configuration(profile, environ=environ)
    if ours is None:
        return
    try:
        theirs = asked_of_botocore(environ, profile)
    except BotoCoreError:
        theirs = None
    if theirs is None:
        assert ours.keys is None  # credentials that botocore refuses are left to it
        return
    if ours.keys is None:
        theirs = theirs._replace(keys=None)
    assert tuple(ours) == tuple(theirs)


@pytest.mark.parametrize(
    "environ, profile, region, access",
    [
        (
            {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "r"},
            None,
            "r",
            "AKIAENV",
        ),
        ({}, None, "eu-west-1", "AKIADEFAULT"),
        ({"AWS_PROFILE": "mine"}, None, "eu-north-1", "AKIAMINE"),
        ({}, "alone", None, "AKIAALONE"),
        ({"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"}, "mine", "eu-north-1", "AKIAMINE"),
        ({"AWS_PROFILE": "role"}, None, "us-west-2", None),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "arn"}, None, "eu-west-1", None),
    ],
)
def test_the_usual_is_read(home: Path, environ: dict[str, str], profile: str | None, region: str, access: str) -> None:
    """Keys in the environment or a file need no SDK, nor does the region where a role needs one for its keys."""
    files = {"AWS_CONFIG_FILE": str(home / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials")}
    found = configuration(profile, environ={**files, **environ})
    assert found is not None
    assert found.region == region
    assert (None if found.keys is None else found.keys.access_key) == access
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_PROFILE": "styled"},
        {"AWS_PROFILE": "fips"},
        {"AWS_PROFILE": "none"},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_SOMETHING_NEW": "x"},
        {"AWS_CONFIG_FILE": "quoted"},
        {"AWS_CONFIG_FILE": "broken"},
        {"BOTOCORE_EXPERIMENTAL__PLUGINS": "a=b"},
    ],
    ids=str,
)
def test_the_unusual_is_left_to_botocore(home: Path, environ: dict[str, str]) -> None:
    """What this module does not know by name it does not read."""
    files = {"AWS_CONFIG_FILE": str(home / environ.get("AWS_CONFIG_FILE", "config"))}
    assert configuration(None, environ={**environ, **files}) is None


def test_keys_of_ones_own_need_no_profile(home: Path) -> None:
    """A variable that names a profile which is not there is no error for who brings credentials."""
    environ = {"AWS_PROFILE": "none", "AWS_CONFIG_FILE": str(home / "config")}
    assert configuration(None, own_keys=True, environ=environ) == Configuration()


# ---- the first call of a process ---------------------------------------------------------------------------------------

PROGRAM = """
import sys
from storage import Storage
with Storage({url!r}) as store:
    store.set("first", "call", metadata={{"a": "b"}})
    assert store.get("first") == "call"
    assert store.exists("first")
    assert "first" in store.list()
    store.delete_many(["first"])
    assert "botocore.session" not in sys.modules and "boto3" not in sys.modules, "the SDK was loaded"
    print(store.backend.way)
"""


@pytest.mark.parametrize("how", ["environment", "files"])
def test_a_first_call_loads_no_sdk(seaweedfs, tmp_path: Path, how: str) -> None:
    """A process that makes plain calls with plain credentials never loads boto3, nor botocore's session."""
    environ = {
        **os.environ,
        "PYTHONPATH": os.getcwd(),
        "AWS_CONFIG_FILE": str(tmp_path / "c"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if how == "environment":
        environ |= {"AWS_ACCESS_KEY_ID": seaweedfs.access_key, "AWS_SECRET_ACCESS_KEY": seaweedfs.secret_key}
    else:
        lines = f"[default]\naws_access_key_id={seaweedfs.access_key}\naws_secret_access_key={seaweedfs.secret_key}\n"
        (tmp_path / "credentials").write_text(lines)
        environ["AWS_SHARED_CREDENTIALS_FILE"] = str(tmp_path / "credentials")
    program = PROGRAM.format(url=seaweedfs.url("first"))
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "straight to 127.0.0.1" in done.stdout
