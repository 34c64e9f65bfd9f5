"""Forms signed by this library: what was signed is accepted, and nothing else."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from storage._backend import FormOptions, SigningKeys, SignOptions
from storage._url_signing import Grant, RefusedError, sign, sign_form, verify, verify_form

NOW = 1_800_000_000.0
KEYS = SigningKeys("0" * 32, (b"s" * 64,))
BASE = "http://127.0.0.1:8900"
PATH = "data/ä b/%.txt"


def signed(max_length=None, content_type=None, path=PATH):
    return sign_form(KEYS, BASE, path, FormOptions(60, max_length, content_type), NOW)


def accepted(form, *, path=PATH, now=NOW, keys=KEYS, fields=None):
    return verify_form(keys, path, list(form.fields.items()) if fields is None else fields, now)


def refused(form, status=403, **other):
    with pytest.raises(RefusedError) as caught:
        accepted(form, **other)
    assert caught.value.status == status


def test_what_was_signed_is_accepted():
    """The form names its path, and its grant says what was bound."""
    form = signed(1000, "text/plain")
    assert unquote(form.url) == f"{BASE}/{KEYS.store_id}/{PATH}"
    assert form.expires_at.timestamp() == NOW + 60
    assert accepted(form) == Grant("POST", PATH, content_type="text/plain", max_length=1000)
    assert accepted(form, now=NOW + 59.9).max_length == 1000


def test_the_order_and_case_of_fields_do_not_matter():
    form = signed(5, "text/plain")
    fields = [(name.upper(), value) for name, value in reversed(form.fields.items())]
    assert accepted(form, fields=fields).content_type == "text/plain"


def test_an_unbound_type_is_the_clients_to_choose():
    form = signed()
    assert accepted(form).content_type is None
    assert accepted(form, fields=[*form.fields.items(), ("Content-Type", "")]).content_type is None
    assert accepted(form, fields=[*form.fields.items(), ("Content-Type", "a/b")]).content_type == "a/b"
    refused(form, 400, fields=[*form.fields.items(), ("Content-Type", "a\nb")])


def test_another_request_is_refused():
    """Another path, another store, another time, another secret."""
    form = signed(1000, "text/plain")
    refused(form, path="data/other")
    refused(form, now=NOW + 60)
    refused(form, keys=KEYS._replace(store_id="1" * 32))
    refused(form, keys=KEYS._replace(secrets=(b"t" * 64,)))
    assert accepted(form, keys=KEYS._replace(secrets=(b"t" * 64, *KEYS.secrets)))


@pytest.mark.parametrize("name", ["policy", "signature", "Content-Type"])
def test_each_field_is_bound(name):
    """None may be altered, left out, doubled or emptied."""
    form = signed(1000, "text/plain")
    rest = [pair for pair in form.fields.items() if pair[0] != name]
    value = form.fields[name]
    for other in (value + "0", value[:-1], "", "x&y=z", "\ud800"):
        refused(form, fields=[*rest, (name, other)])
    refused(form, fields=rest)
    refused(form, fields=[*form.fields.items(), (name, value)])
    refused(form, fields=[*form.fields.items(), ("key", "data/other")])


def test_more_bytes_cannot_be_had():
    form = signed(1000)
    policy = form.fields["policy"]
    for other in (policy.replace("max=1000", "max=9000"), policy.replace("&max=1000", ""), policy + "&max=9000"):
        assert other != policy
        refused(form, fields=[("policy", other), ("signature", form.fields["signature"])])


def test_a_form_is_no_url_and_a_url_is_no_form():
    """What was signed for one method is refused for another, in both directions."""
    form = signed()
    query = f"{form.fields['policy']}&signature={form.fields['signature']}"
    for method in ("POST", "PUT", "GET"):
        with pytest.raises(RefusedError):
            verify(KEYS, method, PATH, query, {}, NOW)
    url = sign(KEYS, BASE, PATH, SignOptions("PUT", 60), NOW).url
    policy, _, signature = url.partition("?")[2].rpartition("&signature=")
    refused(form, fields=[("policy", policy), ("signature", signature)])
