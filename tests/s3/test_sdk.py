"""The names of the SDK that are not documented are still there, and mean what the driver takes them for."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

import boto3
import botocore.awsrequest
import botocore.client
import botocore.handlers
import botocore.session
import pytest
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.stub import Stubber
from moto import mock_aws
from moto.core.models import patch_client

from storage.backends.s3 import _sdk


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    return boto3.Session("AKIA", "s", region_name="us-east-1")


@pytest.fixture(scope="module")
def client(session: boto3.Session) -> Any:
    return session.client("s3")


def test_every_part_that_may_be_replaced_is_there() -> None:
    """Each is a plain function of botocore's own, else the gate would be shut for everybody, or for nobody."""
    for module, owner, name in _sdk._PARTS:
        part = getattr(getattr(__import__(module, fromlist=[owner]), owner), name)
        assert part.__module__ == module, (owner, name)
    for name in _sdk._CONNECTIONS:
        assert getattr(botocore.awsrequest, name).__module__ == "botocore.awsrequest"
    assert not _sdk.intercepted()


def test_mock_aws_is_seen() -> None:
    """While it is switched on, and no longer."""
    with mock_aws():
        assert _sdk.intercepted()
    assert not _sdk.intercepted()


def _replacement(*_: Any, **__: Any) -> None:
    """Stands in a method's place."""


@pytest.mark.parametrize("part", _sdk._PARTS, ids=lambda part: part[2])
def test_a_replaced_part_is_seen(part: tuple[str, str, str]) -> None:
    """By a mock, and by a function of somebody's."""
    for value in (mock.MagicMock(), _replacement):
        with mock.patch(".".join(part), value):
            assert _sdk.intercepted()


def test_a_recorder_is_seen() -> None:
    """It puts connections of its own in the place of botocore's."""
    kind = type("VCRConnection", (botocore.awsrequest.AWSHTTPSConnection,), {"__module__": "vcr.stubs"})
    with mock.patch("botocore.awsrequest.AWSHTTPSConnection", kind):
        assert _sdk.intercepted()


def test_handlers_of_the_sdk_are_no_strangers(session: boto3.Session, client: Any) -> None:
    """A session and a client as they come have none of somebody's own, and there are many to look at."""
    assert not _sdk.strangers(session.events)
    assert not _sdk.strangers(client.meta.events)
    assert len(list(_sdk._handlers(_sdk._hierarchy(client.meta.events)._handlers._root))) > 100
    assert not any(_sdk.is_foreign(entry[1]) for entry in botocore.handlers.BUILTIN_HANDLERS)


class Handler:
    def method(self, **_: Any) -> None: ...

    def __call__(self, **_: Any) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [_replacement, Handler(), Handler().method, lambda **_: None],
    ids=["function", "object", "method", "lambda"],
)
def test_a_strangers_handler_is_seen(session: boto3.Session, handler: Any) -> None:
    """Whatever it is and wherever it is registered."""
    for event in ("before-send.s3.PutObject", "before-sign", "request-created.s3", "needs-retry.*"):
        events = copy.copy(_sdk._hierarchy(session.events))
        events.register(event, handler)
        assert _sdk.strangers(events), event
        events.unregister(event, handler)
        assert not _sdk.strangers(events)


def test_registering_is_noticed(session: boto3.Session) -> None:
    """That of somebody's handler, and of a stub, but not what the SDK itself registers, nor moto's."""
    told: list[int] = []
    client = session.client("s3")
    _sdk.watch(client.meta.events, lambda: told.append(1))
    patch_client(client)
    client.upload_fileobj
    client.meta.events.register("before-call.s3", botocore.handlers.add_expect_header)
    assert told == []
    with Stubber(client) as stub:
        stub.add_response("head_object", {"ETag": '"e"'})
        assert client.head_object(Bucket="b", Key="k")["ETag"] == '"e"'
    assert told
    for register in (client.meta.events.register, client.meta.events.register_first, client.meta.events.register_last):
        told.clear()
        register("before-send.s3", Handler().method, unique_id=None)
        assert told == [1]


def test_core_of_a_session(session: boto3.Session) -> None:
    """It has the configuration and the credentials."""
    core = _sdk.core_of(session)
    assert isinstance(core, botocore.session.Session)
    credentials = core.get_credentials()
    assert credentials is not None
    assert credentials.access_key == "AKIA"


def test_end_of_credentials() -> None:
    """Those that refresh themselves tell it."""
    end = datetime.now(timezone.utc) + timedelta(hours=2)
    fresh = {"access_key": "AKIA", "secret_key": "s", "token": "t", "expiry_time": end.isoformat()}
    assert _sdk.expiry_of(RefreshableCredentials.create_from_metadata(fresh, lambda: fresh, "test")) == end
    assert _sdk.expiry_of(Credentials("AKIA", "s")) is None
