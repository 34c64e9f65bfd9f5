"""Signing and verifying: what was signed is accepted, and nothing else."""

from __future__ import annotations

import random
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import UnsupportedOperationError
from storage._backend import SigningKeys
from storage._url_signing import Grant, RefusedError, sign, verify
from storage.backends import SignOptions

NOW = 1_800_000_000.25
KEYS = SigningKeys("0123456789abcdef0123456789abcdef", (b"s" * 64,))
BASE = "http://127.0.0.1:8900"
UPLOAD = SignOptions(
    "PUT", 60, content_type="text/csv; a=b", content_length=12, content_md5="CY9rzUYh03PK3k6DJie09g==", overwrite=False
)


def take_apart(url, base=BASE):
    """Store, path and query of a URL as a server sees them; ``None``: no such path."""
    assert url.startswith(base)
    target, _, query = url[len(base) :].partition("?")
    store, _, path = unquote(target, errors="strict").removeprefix("/").partition("/")
    return store, path, query


def check(url, method="GET", headers=None, *, keys=KEYS, now=NOW):
    """The grant of a request."""
    store, path, query = take_apart(url)
    assert store == keys.store_id
    return verify(keys, method, path, query, {name.lower(): [value] for name, value in (headers or {}).items()}, now)


def refused(url, method="GET", headers=None, **given):
    """The status with which a request is refused."""
    with pytest.raises(RefusedError) as caught:
        check(url, method, headers, **given)
    return caught.value.status


def test_everything_signed_comes_back():
    """``verify`` returns all that was bound, so that no server has to compare anything itself."""
    options = SignOptions(
        "GET", 60, content_disposition='attachment; filename="a&b=c +é%41"', content_type="text/x; q=1"
    )
    request = sign(KEYS, BASE, "data/a b/ü?#%.txt", options, NOW)
    assert (request.method, request.headers) == ("GET", {})
    assert check(request.url) == Grant("GET", "data/a b/ü?#%.txt", options.content_disposition, options.content_type)
    request = sign(KEYS, BASE, "data/a", UPLOAD, NOW)
    assert check(request.url, "PUT", request.headers) == Grant(
        "PUT", "data/a", None, "text/csv; a=b", 12, UPLOAD.content_md5, overwrite=False
    )
    assert request.headers == {
        "Content-Type": "text/csv; a=b",
        "Content-Length": "12",
        "Content-MD5": UPLOAD.content_md5,
        "If-None-Match": "*",
    }


def test_expiry_is_exact():
    """A URL works for just as long as was asked for."""
    request = sign(KEYS, BASE, "a", SignOptions("GET", 1), NOW)
    assert request.expires_at.timestamp() == NOW + 1
    assert check(request.url, now=NOW + 0.999)
    assert refused(request.url, now=NOW + 1) == 403
    assert refused(request.url, now=NOW + 1e9) == 403


def test_one_sentence_for_forged_and_expired():
    """Who tries URLs learns nothing from the refusal."""
    request = sign(KEYS, BASE, "a", SignOptions("GET", 60), NOW)
    reasons = set()
    for url, method, now in (
        (request.url, "GET", NOW + 60),
        (request.url, "HEAD", NOW),
        (request.url[:-1] + "g", "GET", NOW),
        (request.url + "&signature=1", "GET", NOW),
        (request.url.partition("?")[0], "GET", NOW),
        (request.url.replace("/a?", "/b?"), "GET", NOW),
    ):
        with pytest.raises(RefusedError) as caught:
            check(url, method, now=now)
        reasons.add((caught.value.status, caught.value.reason))
    assert len(reasons) == 1


def test_other_methods():
    """A URL serves one method, also not HEAD for GET."""
    for signed in ("GET", "HEAD", "PUT"):
        request = sign(KEYS, BASE, "a", SignOptions(signed, 60), NOW)
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "get", ""):
            if method == signed:
                assert check(request.url, method).method == method
            else:
                assert refused(request.url, method) == 403


def test_a_method_that_is_never_served():
    """Even a valid signature opens nothing but GET, HEAD and PUT."""
    request = sign(KEYS, BASE, "a", SignOptions("DELETE", 60), NOW)
    assert refused(request.url, "DELETE") == 403


def test_stores_that_share_a_secret():
    """The id of the store is signed: one store's URL is not another's, whatever the secret."""
    other = KEYS._replace(store_id="f" * 32)
    request = sign(KEYS, BASE, "a", SignOptions("GET", 60), NOW)
    moved = request.url.replace(KEYS.store_id, other.store_id)
    assert refused(moved, keys=other) == 403
    assert check(request.url)


def test_secrets_rotate():
    """The newest secret signs, older ones verify until they are removed, and others never do."""
    old = sign(KEYS, BASE, "a", SignOptions("GET", 60), NOW)
    both = KEYS._replace(secrets=(b"n" * 64, *KEYS.secrets))
    new = sign(both, BASE, "a", SignOptions("GET", 60), NOW)
    assert check(old.url, keys=both)
    assert check(new.url, keys=both)
    assert refused(new.url) == 403
    only_new = KEYS._replace(secrets=(b"n" * 64,))
    assert check(new.url, keys=only_new)
    assert refused(old.url, keys=only_new) == 403


@pytest.mark.parametrize(
    "name", ["v", "expires", "type", "length", "md5", "create", "disposition", "signature", "x", ""]
)
def test_repeated_parameters(name):
    """A parameter that is given twice, with one value or with two, is refused."""
    options = UPLOAD._replace(content_disposition="inline")
    url = sign(KEYS, BASE, "a", options, NOW).url
    headers = sign(KEYS, BASE, "a", options, NOW).headers
    assert check(url, "PUT", headers)
    for value in ("", "1", dict(p.split("=") for p in urlsplit(url).query.split("&")).get(name, "")):
        assert refused(f"{url}&{name}={value}", "PUT", headers) == 403
        assert refused(url.replace("?", f"?{name}={value}&"), "PUT", headers) == 403


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Content-Type": None}, 403),
        ({"Content-Type": "text/csv"}, 403),
        ({"Content-Type": "Text/csv; a=b"}, 403),
        ({"Content-MD5": None}, 403),
        ({"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, 403),
        ({"If-None-Match": None}, 403),
        ({"If-None-Match": '"x"'}, 403),
        ({"Content-Length": "11"}, 403),
        ({"Content-Length": "012"}, 403),
        ({"Content-Length": None}, 411),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_bound_headers(headers, status):
    """What is bound has to be sent, exactly; a missing length has a status of its own."""
    request = sign(KEYS, BASE, "a", UPLOAD, NOW)
    sent = {name: value for name, value in {**request.headers, **headers}.items() if value is not None}
    assert refused(request.url, "PUT", sent) == status


def test_a_bound_header_sent_twice():
    """Two values are not the one that was signed."""
    request = sign(KEYS, BASE, "a", UPLOAD, NOW)
    store, path, query = take_apart(request.url)
    headers = {name.lower(): [value] for name, value in request.headers.items()}
    for name, values in headers.items():
        twice = {**headers, name: values * 2}
        with pytest.raises(RefusedError) as caught:
            verify(KEYS, "PUT", path, query, twice, NOW)
        assert caught.value.status == 403, name
    assert store == KEYS.store_id


def decoded(url):
    """What a URL says, whatever its spelling; ``None``: it names no store of ours or is no URL."""
    target, _, query = url.removeprefix(BASE).partition("?")
    return (
        unquote_to_bytes(target),
        [tuple(unquote_to_bytes(part.replace("+", " ")) for part in item.partition("=")) for item in query.split("&")],
    )


def mutate(url, rng):
    """One to three random edits of the path or the query."""
    text = url[len(BASE) + 1 :]
    alphabet = "0123456789abcdefABCDEF%&=+?/.;#-_~ \té\u0661\u202e"
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            text = text[:at] + text[at + 1 :]
        elif kind == 1:
            text = text[:at] + rng.choice(alphabet) + text[at:]
        elif kind == 2:
            text = text[:at] + rng.choice(alphabet) + text[at + 1 :]
        elif kind == 3:
            to = rng.randrange(len(text) + 1)
            text = text[:at] + text[min(at, to) : max(at, to)] + text[at:]
        elif kind == 4:
            text = text[:at] + f"%{rng.randrange(256):02X}" + text[at:]
        elif kind == 5:
            pairs = text.split("&")
            rng.shuffle(pairs)
            text = "&".join(pairs)
        else:
            pairs = text.split("&")
            pairs.append(rng.choice(pairs))
            text = "&".join(pairs)
    return f"{BASE}/{text}"


@pytest.mark.parametrize("seed", range(4))
def test_random_mutations(seed):
    """Of 10,000 mutations that change the decoded path or query of a valid URL (2,500 a seed), none is accepted."""
    rng = random.Random(seed)
    options = [
        SignOptions("GET", 60),
        SignOptions("GET", 60, content_disposition="a&b=c%41 +", content_type="text/x"),
        UPLOAD,
    ]
    requests = [sign(KEYS, BASE, path, option, NOW) for option in options for path in ("data/a", "data/a b/ü%.txt")]
    count = same = 0
    while count < 2500:
        request = rng.choice(requests)
        url = mutate(request.url, rng)
        if decoded(url) == decoded(request.url):
            same += 1
            continue
        count += 1
        try:
            store, path, query = take_apart(url)
        except UnicodeDecodeError:
            continue  # no path at all
        headers = {name.lower(): [value] for name, value in request.headers.items()}
        if store != KEYS.store_id:
            continue  # another store's, or nobody's
        with pytest.raises(RefusedError):
            verify(KEYS, request.method, path, query, headers, NOW)
    for request in requests:
        assert check(request.url, request.method, request.headers)


def test_other_spellings():
    """A client may percent-encode as it likes: what counts is what it means."""
    request = sign(KEYS, BASE, "data/a b/c", SignOptions("GET", 60, content_disposition="inline; a=b c"), NOW)
    spelled = request.url.replace("data", "%64at%61").replace("%20c", "+c").replace("signature", "%73ignature")
    assert spelled != request.url
    assert check(spelled) == check(request.url)


@given(
    path=st.text(min_size=1, max_size=40),
    disposition=st.none() | st.text(max_size=30),
    kind=st.none() | st.text(max_size=30),
)
def test_any_text_survives(path, disposition, kind):
    """Whatever is signed is verified as it was, or refused before a URL is made."""
    options = SignOptions("GET", 60, content_disposition=disposition, content_type=kind)
    try:
        request = sign(KEYS, BASE, path, options, NOW)
    except UnsupportedOperationError:
        assert any("\ud800" <= char <= "\udfff" for char in path + (disposition or "") + (kind or ""))
        return
    assert check(request.url) == Grant("GET", path, disposition, kind)


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4), st.text(max_size=5))
def test_texts_are_not_glued(pairs, path):
    """Two requests that differ have two signatures, also where one's text reads like the other's."""
    from storage._url_signing import _signature

    def one(path, pairs):
        try:
            return _signature(b"s", "id", "GET", path, pairs)
        except UnicodeEncodeError:
            return None

    joined = [(name + value, "") for name, value in pairs]
    if joined != pairs:
        assert one(path, pairs) is None or one(path, pairs) != one(path, joined)
    if pairs:
        assert one(path, pairs) is None or one(path, pairs) != one(path + pairs[0][0], pairs[1:])


def test_keys_are_random_and_their_repr_is_silent():
    """Each store has an id and a secret of its own, and no secret is ever shown."""
    first, second = SigningKeys.new(), SigningKeys.new()
    assert first.store_id != second.store_id
    assert first.secrets != second.secrets
    assert len(first.secrets[0]) == 64
    assert first.secrets[0].decode() not in repr(first) + str(first) + f"{first}"


def test_comparison_takes_constant_time(monkeypatch):
    """Signatures are compared by ``hmac.compare_digest``, for every secret, also after one matched."""
    from storage import _url_signing

    calls = []
    monkeypatch.setattr(_url_signing.hmac, "compare_digest", lambda a, b: calls.append((a, b)) or a == b)
    keys = KEYS._replace(secrets=(*KEYS.secrets, b"x" * 64, b"y" * 64))
    request = sign(keys, BASE, "a", SignOptions("GET", 60), NOW)
    assert check(request.url, keys=keys)
    assert len(calls) == 3
    assert [given == made for made, given in calls] == [True, False, False]


def test_paths_are_quoted():
    """A path is percent-encoded whole, so that no character of a key means something in a URL."""
    request = sign(KEYS, BASE, "data/a?b#c%41 +&=.txt", SignOptions("GET", 60), NOW)
    assert f"/data/{quote('a?b#c%41 +&=.txt')}?v=1&" in request.url
