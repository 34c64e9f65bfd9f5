"""``setup()``: the bucket, its CORS rule and its lifecycle rule; nobody else's rule is touched."""

from __future__ import annotations

import json
import secrets
import urllib.request
from typing import Any

import pytest

from storage import ConfigurationError, Storage, UnavailableError
from storage.testing.faults import LOST, Request
from tests.emulators.gcs import GCSServer
from tests.gcs.conftest import Proxied


def fresh(gcs: GCSServer, query: str = "&project=p") -> Storage:
    return Storage(gcs.url("x", bucket=f"setup-{secrets.token_hex(6)}", query=query), auth=gcs.account())


def bucket_of(store: Storage) -> dict[str, Any]:
    """The bucket as the service has it."""
    connection = store.backend._session.connection  # type: ignore[attr-defined]
    found: dict[str, Any] = store.backend.client._http.get(connection.endpoint + connection.bucket).json()
    return found


def patch(store: Storage, body: dict[str, Any]) -> None:
    """What somebody else does to the bucket."""
    connection = store.backend._session.connection  # type: ignore[attr-defined]
    store.backend.client._http.patch(connection.endpoint + connection.bucket, json=body).raise_for_status()


def test_create_bucket(gcs: GCSServer) -> None:
    """The bucket is made once, and the second call has nothing to say."""
    with fresh(gcs) as store:
        (made,) = store.setup(create_bucket=True)
        assert "setup-" in made
        assert store.setup(create_bucket=True) == []
        store.set("a", "1")


def test_a_bucket_needs_a_project(gcs: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name comes from the URL, the environment or the credentials; without one it is said how to give it."""
    with fresh(gcs, query="") as store:  # the account's own
        assert store.setup(create_bucket=True)
    url = gcs.url("x", bucket="setup-no-project", endpoint_url=gcs.emulator_url, query="&anonymous=true")
    with Storage(url) as store, pytest.raises(ConfigurationError, match="project="):
        store.setup(create_bucket=True)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    with Storage(url) as store:
        assert store.setup(create_bucket=True)


def test_a_lost_answer_to_the_creation(gcs: GCSServer, proxied: Proxied) -> None:
    """A bucket that was made by the try whose answer got lost is there, and that is no error."""
    name = f"setup-{secrets.token_hex(6)}"
    url = gcs.url("x", bucket=name, endpoint_url=proxied.proxy.url, query="&project=p")
    proxied.proxy.script(LOST, when=lambda r: r.method == "POST")
    with Storage(url, auth=gcs.account()) as store:
        store.setup(create_bucket=True)
        store.set("a", "1")


def test_cors(gcs: GCSServer) -> None:
    """Our rule is written, replaced and removed; another's stays as it is, and a second call changes nothing."""
    other = {"origin": ["https://other"], "method": ["GET"], "maxAgeSeconds": 5}
    with fresh(gcs) as store:
        store.setup(create_bucket=True)
        patch(store, {"cors": [other]})
        (line,) = store.setup(cors_origins=["https://a", "https://b"])
        assert "https://a, https://b" in line
        first, ours = bucket_of(store)["cors"]
        assert first == other
        assert ours["origin"] == ["https://a", "https://b"]
        assert set(ours["method"]) == {"GET", "HEAD", "PUT", "POST"}
        needed = store.sign_upload(
            "a", content_type="a/b", content_length=1, content_md5="CY9rzUYh03PK3k6DJie09g==", overwrite=False
        ).headers
        assert {name.lower() for name in needed} | {"etag"} <= {name.lower() for name in ours["responseHeader"]}
        before = bucket_of(store)["metageneration"]
        assert store.setup(cors_origins=["https://a", "https://b"]) == []
        assert bucket_of(store)["metageneration"] == before
        store.setup(cors_origins=["https://c"])
        assert [rule["origin"] for rule in bucket_of(store)["cors"]] == [["https://other"], ["https://c"]]
        assert store.setup(cors_origins=[])
        assert bucket_of(store)["cors"] == [other]
        assert store.setup(cors_origins=[]) == []


def test_expiry(gcs: GCSServer) -> None:
    """So is the lifecycle rule of the type ``tmp``, for its prefix and no other."""
    others = [
        {"action": {"type": "Delete"}, "condition": {"age": 9}},
        {
            "action": {"type": "SetStorageClass", "storageClass": "NEARLINE"},
            "condition": {"age": 9, "matchesPrefix": ["x/tmp/"]},
        },
        {"action": {"type": "Delete"}, "condition": {"age": 9, "matchesPrefix": ["x/tmp/", "y/"]}},
        {"action": {"type": "Delete"}, "condition": {"age": 9, "isLive": False, "matchesPrefix": ["x/tmp/"]}},
    ]
    with fresh(gcs) as store:
        store.setup(create_bucket=True)
        patch(store, {"lifecycle": {"rule": others}})
        (line,) = store.setup(tmp_days=7)
        assert "7 days" in line
        rules = bucket_of(store)["lifecycle"]["rule"]
        assert rules == [*others, {"action": {"type": "Delete"}, "condition": {"age": 7, "matchesPrefix": ["x/tmp/"]}}]
        assert store.setup(tmp_days=7) == []
        store.setup(tmp_days=30)
        rules = bucket_of(store)["lifecycle"]["rule"]
        assert rules[:-1] == others
        assert rules[-1]["condition"]["age"] == 30


def test_somebody_else_changes_the_rules_meanwhile(gcs: GCSServer, proxied: Proxied) -> None:
    """A change between reading and writing is not undone: the rules are read again; if it never ends, that is said."""
    name = f"setup-{secrets.token_hex(6)}"
    with Storage(gcs.url("x", bucket=name, query="&project=p"), auth=gcs.account()) as honest:
        honest.setup(create_bucket=True)
        rounds = iter(range(2))

        def meddle(request: Request) -> None:
            if request.method == "PATCH" and next(rounds, None) is not None:
                patch(honest, {"cors": [{"origin": [f"https://{secrets.token_hex(4)}"], "method": ["GET"]}]})

        proxied.proxy.plan = meddle
        with Storage(gcs.url("x", bucket=name, endpoint_url=proxied.proxy.url), auth=gcs.account()) as store:
            store.setup(cors_origins=["https://ours"])
            rules = bucket_of(honest)["cors"]
            assert len(rules) == 2
            assert rules[1]["origin"] == ["https://ours"]
            rounds = iter(range(100))
            with pytest.raises(UnavailableError, match="keep changing"):
                store.setup(cors_origins=["https://others"])
        assert ["https://ours"] not in [rule["origin"] for rule in bucket_of(honest)["cors"]]


def test_the_gate_is_reached_as_the_service_is(gcs: GCSServer) -> None:
    """The strict proxy refuses what carries no credentials: what these tests prove, they prove of an authorised client."""
    request = urllib.request.Request(f"{gcs.endpoint_url}/storage/v1/b/{gcs.bucket}/o")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 401
    assert json.loads(caught.value.read())["error"]["errors"][0]["reason"] == "required"
    caught.value.close()
