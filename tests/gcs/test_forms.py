"""Browser forms: V4 POST policies, checked by code that shares nothing with what signs, and posted to the strict proxy."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.cloud.storage import _helpers as sdk_helpers
from google.cloud.storage import _signing as sdk_signing
from google.cloud.storage import client as sdk_client
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import SignedForm, SigningError, Storage, UnsupportedOperationError
from storage._urls import StorageURL
from storage.backends import FormOptions, SignOptions
from storage.backends.gcs import GCSBackend, _signing, create
from storage.testing._http import send
from tests.emulators.gcs import BUCKET, GCSServer
from tests.emulators.gcs_forms import Form, refusal_of

VECTORS = json.loads((Path(__file__).parent / "data" / "v4_vectors.json").read_text(encoding="utf-8"))
NAMED = pytest.mark.parametrize("vector", VECTORS["policies"], ids=[v["description"] for v in VECTORS["policies"]])
OURS = [
    v
    for v in VECTORS["policies"]
    if not {"urlStyle", "fields"} & set(v["policyInput"]) and "startsWith" not in v["policyInput"].get("conditions", {})
]


@NAMED
def test_the_checker_agrees_with_the_published_policies(vector: dict[str, Any]) -> None:
    """Each published form passes the check until it expires, and no other does."""
    fields = vector["policyOutput"]["fields"]
    given_, conditions = vector["policyInput"], vector["policyInput"].get("conditions", {})
    size = conditions.get("contentLengthRange", [3])[0]
    filled = {**fields, "acl": "public-read"} if "startsWith" in conditions else fields
    keys: Any = {VECTORS["account"]: load_pem_public_key(VECTORS["publicKey"].encode())}
    began = datetime.fromisoformat(given_["timestamp"].replace("Z", "+00:00"))
    last = began + timedelta(seconds=given_["expiration"] - 1)

    def refused(
        changes: Mapping[str, str], size: int = size, bucket: str = given_["bucket"], now: datetime = last
    ) -> bool:
        return refusal_of(Form({**filled, **changes}, b"x" * size), bucket, keys, now) is not None

    assert not refused({})
    assert refused({"key": "other"})
    assert refused({"more": "x"})
    assert refused({"policy": fields["policy"][:-4] + "AAA="})
    assert refused({}, bucket="other")
    assert refused({}, now=last + timedelta(seconds=1))
    assert refused({}, size=300) == ("contentLengthRange" in conditions)


@pytest.mark.parametrize("vector", OURS, ids=[v["description"] for v in OURS])
def test_the_driver_makes_the_published_policies(
    vector: dict[str, Any], gcs: GCSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the same moment, account and blob: the same fields and policy, up to the bounds that ours do not have."""
    assert len(OURS) == 2
    wanted, asked = vector["policyOutput"], vector["policyInput"]
    began = datetime.fromisoformat(asked["timestamp"].replace("Z", "+00:00"))
    monkeypatch.setattr(_signing, "now", lambda: began)
    auth = {**gcs.account(), "client_email": VECTORS["account"]}
    backend = create(StorageURL.parse(f"gs://{asked['bucket']}"), auth=auth)
    least, most = asked.get("conditions", {}).get("contentLengthRange", (0, None))
    form = backend.sign_form(asked["object"], FormOptions(asked["expiration"], max_length=most))
    backend.close()
    assert form.url == wanted["url"]
    assert form.expires_at == began + timedelta(seconds=asked["expiration"])
    own = {"x-goog-signature", "policy"}
    assert {name: form.fields[name] for name in form.fields.keys() - own} == {
        name: wanted["fields"][name] for name in wanted["fields"].keys() - own
    }
    policy = base64.b64decode(form.fields["policy"]).decode()
    assert policy.replace('range",0,', f'range",{least},') == wanted["expectedDecodedPolicy"]


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@pytest.mark.parametrize("examples", [15, pytest.param(50, marks=pytest.mark.slow)])
def test_signatures_are_the_sdks(gcs: GCSServer, examples: int) -> None:
    """URLs and forms are, byte for byte, those of google-cloud-storage at the same moment."""

    @settings(deadline=None, max_examples=examples)
    @given(
        path=TEXTS.filter(lambda text: text not in (".", "..") and "${filename}" not in text),
        seconds=st.integers(1, 604_800),
        began=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001 (hypothesis adds the zone)
        content_type=st.none() | st.sampled_from(["text/plain", "a/b; charset=utf-8"]),
        disposition=st.none() | TEXTS,
        most=st.none() | st.integers(0, 2**50),
    )
    def compare(
        path: str, seconds: int, began: datetime, content_type: str | None, disposition: str | None, most: int | None
    ) -> None:
        moment = began.replace(microsecond=0, tzinfo=timezone.utc)
        with pytest.MonkeyPatch.context() as patch, _signer(gcs) as backend:
            patch.setattr(_signing, "now", lambda: moment)
            for module in (sdk_signing, sdk_client, sdk_helpers):
                patch.setattr(module, "_NOW", lambda _: moment)
            blob = backend.client.bucket(BUCKET).blob(path)
            for method in ("GET", "HEAD"):
                options = SignOptions(method, seconds, content_disposition=disposition, content_type=content_type)
                ours = backend.sign(path, options).url
                assert ours == blob.generate_signed_url(
                    version="v4", expiration=timedelta(seconds=seconds), method=method, response_type=content_type,
                    response_disposition=disposition, api_access_endpoint=backend.client.api_endpoint,
                )  # fmt: skip
            put = backend.sign(
                path, SignOptions("PUT", seconds, content_type=content_type, content_length=5, overwrite=False)
            )
            assert put.url == blob.generate_signed_url(
                version="v4", expiration=timedelta(seconds=seconds), method="PUT", headers=dict(put.headers),
                api_access_endpoint=backend.client.api_endpoint,
            )  # fmt: skip
            form = backend.sign_form(path, FormOptions(seconds, most, content_type))
            theirs = backend.client.generate_signed_post_policy_v4(
                BUCKET, path, timedelta(seconds=seconds),
                conditions=[] if most is None else [["content-length-range", 0, most]],
                fields=None if content_type is None else {"content-type": content_type},
            )  # fmt: skip
            policies = [json.loads(base64.b64decode(each["policy"])) for each in (form.fields, theirs["fields"])]
            for policy in policies:
                policy["conditions"].sort(key=json.dumps)
            assert policies[0] == policies[1]
            assert form.url == theirs["url"]
            assert form.fields.keys() == theirs["fields"].keys()

    compare()


def _signer(gcs: GCSServer) -> Any:
    class Opened:
        backend: GCSBackend

        def __enter__(self) -> GCSBackend:
            self.backend = create(StorageURL.parse(gcs.url()), auth=gcs.account())
            return self.backend

        def __exit__(self, *exc: object) -> None:
            self.backend.close()

    return Opened()


# ---- posted ------------------------------------------------------------------------------------------------------------


def post(form: SignedForm, data: bytes, *, last: Mapping[str, str] | None = None, **changes: str) -> int:
    """What a browser sends; ``changes``: fields that are put instead, or added."""
    boundary = "----boundary-of-a-form"
    fields = {**form.fields, **{name.replace("_", "-"): value for name, value in changes.items()}}
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    parts.append('Content-Disposition: form-data; name="file"; filename="photo.png"\r\nContent-Type: image/png\r\n\r\n')
    body = "\r\n".join(f"--{boundary}\r\n{part}" for part in parts).encode() + data
    for name, value in (last or {}).items():
        body += f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return send("POST", form.url, headers, body + f"\r\n--{boundary}--\r\n".encode()).status


@pytest.fixture
def signer(store: Storage) -> tuple[Any, str]:
    return store.backend, store._core.routes["data"].prefix


def test_a_form_that_is_posted(store: Storage, signer: tuple[Any, str]) -> None:
    """What was signed is stored, of any size and type that was left open; keys of any script."""
    backend, prefix = signer
    for key, options, kind in (
        ("a", FormOptions(60), "application/octet-stream"),
        ("é/ü 1.txt", FormOptions(60, 5, "text/x"), "text/x"),
        ("$x", FormOptions(60, content_type="a/b"), "a/b"),
    ):
        assert post(backend.sign_form(prefix + key, options), b"hello") == 204
        assert (store.get(key), store.info(key).content_type) == ("hello", kind)


def test_what_a_form_binds(store: Storage, signer: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes, another key, type or bucket, an altered, added or missing field, and an expired form store nothing."""
    backend, prefix = signer
    form = backend.sign_form(prefix + "a", FormOptions(60, 5, "text/plain"))
    policy = json.loads(base64.b64decode(form.fields["policy"]))
    policy["conditions"] = [each for each in policy["conditions"] if "content-length-range" not in each]
    wider = base64.b64encode(json.dumps(policy).encode()).decode()
    tries: list[tuple[bytes, dict[str, str]]] = [
        (b"123456", {}),
        (b"1", {"key": prefix + "b"}),
        (b"1", {"content_type": "text/html"}),
        (b"1", {"x_goog_meta_x": "1"}),
        (b"1", {"acl": "public-read"}),
        (b"123456", {"policy": wider}),
        (b"1", {"x_goog_signature": "00" * 256}),
        (b"1", {"x_goog_date": "20300101T000000Z"}),
        (b"1", {"x_goog_credential": form.fields["x-goog-credential"].replace("writer", "reader")}),
    ]
    for data, changes in tries:
        assert 400 <= post(form, data, last=None, **changes) < 500, changes
    for name in form.fields:
        without = SignedForm(form.url, {n: v for n, v in form.fields.items() if n != name}, form.expires_at)
        assert 400 <= post(without, b"1") < 500, name
    elsewhere = SignedForm(form.url.replace(BUCKET, "public-bucket-of-tests"), form.fields, form.expires_at)
    assert 400 <= post(elsewhere, b"1") < 500
    untyped = backend.sign_form(prefix + "a", FormOptions(60))
    assert 400 <= post(untyped, b"1", content_type="text/html") < 500
    monkeypatch.setattr(
        _signing, "now", lambda: datetime.now(timezone.utc).replace(microsecond=0) - timedelta(seconds=61)
    )
    assert 400 <= post(backend.sign_form(prefix + "a", FormOptions(60)), b"1") < 500
    assert store.list() == []
    assert post(form, b"12345", last={"key": "other"}) == 204  # what follows the file is nobody's
    assert store.list() == ["a"]


def test_a_key_that_no_form_can_store_under(signer: tuple[Any, str]) -> None:
    """The service would put the file's own name into it."""
    backend, prefix = signer
    with pytest.raises(UnsupportedOperationError, match="sign_upload"):
        backend.sign_form(f"{prefix}a/${{filename}}", FormOptions(60))


def test_who_cannot_sign_a_form(gcs: GCSServer) -> None:
    """As with URLs; and no part of a form is shown."""
    backend = create(StorageURL.parse(gcs.url(query="&anonymous=true")))
    with pytest.raises(SigningError, match="service_account_email="):
        backend.sign_form("a", FormOptions(60))
    backend = create(StorageURL.parse(gcs.url()), auth=gcs.account())
    form = backend.sign_form("a", FormOptions(60))
    assert form.fields["x-goog-signature"] not in repr(form)
    assert urlsplit(form.url).query == ""
    backend.close()
