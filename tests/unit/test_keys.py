"""The rules of keys and prefixes: what is portable passes, what is not is refused by name of the rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage._keys import MAX_KEY, MAX_PREFIX, check_key, check_prefix, is_portable, reason
from storage.exceptions import InvalidKeyError

LONGEST = "/".join(["x" * 224, *["x" * 223] * 3])

GOOD = [
    "a",
    "a/b",
    "a.b",
    ".hidden",
    "..x",
    "...",
    "a/.b/..c",
    ".storage",
    "x.storage~",
    " ",
    "a b",
    " leading and trailing ",
    "100%",
    "%2e%2e/%2f",
    "#?&=+;:@!$',()*\"<>|^`{}[]~",
    "é",
    "e\u0301",
    "日本語/ключ/🗝️",
    "\u0080",
    "\u200b",
    "\ufffd",
    "\U0010ffff",
    "con",
    "NUL.txt",
    "a:b",
    "x" * 255,
    "é" * 127,
    LONGEST,
]

BAD = {
    "": "empty",
    "/": "empty segment",
    "/a": "empty segment",
    "a/": "empty segment",
    "a//b": "empty segment",
    ".": "'.'",
    "..": "'..'",
    "a/.": "'.'",
    "a/../b": "'..'",
    "../../etc/passwd": "'..'",
    "./a": "'.'",
    ".storage~": "'.storage~'",
    ".storage~x": "'.storage~'",
    "a/.storage~/b": "'.storage~'",
    "a\\b": "backslash",
    "..\\..\\windows": "backslash",
    "a\x00": "control character (U+0000)",
    "a\nb": "control character (U+000A)",
    "\x1f": "control character (U+001F)",
    "\x7f": "control character (U+007F)",
    "a\ufffe": "U+FFFE",
    "\uffffb": "U+FFFF",
    "a\ud800": "lone surrogate (U+D800)",
    "\udfff": "lone surrogate (U+DFFF)",
    "x" * 256: "segment of 256 bytes",
    "é" * 128: "segment of 256 bytes",
    LONGEST + "y": "897 bytes of UTF-8, at most 896",
}


def shown(key):
    return f"{key[:40]!a}-{len(key)}"


@pytest.mark.parametrize("key", GOOD, ids=shown)
def test_portable_keys_pass(key):
    """Every portable key is accepted, and each of its beginnings is a prefix."""
    check_key(key)
    assert is_portable(key)
    assert reason(key) is None
    for end in range(len(key) + 1):
        check_prefix(key[:end])


@pytest.mark.parametrize("key, rule", BAD.items(), ids=[shown(key) for key in BAD])
def test_other_keys_are_refused(key, rule):
    """Each fault raises InvalidKeyError, whose message names the rule and which carries the key."""
    assert not is_portable(key)
    with pytest.raises(InvalidKeyError) as caught:
        check_key(key)
    assert rule in str(caught.value)
    assert caught.value.key == key


@pytest.mark.parametrize("key", [None, b"a", 1, ["a"], object()])
def test_other_types_are_refused(key):
    """What is no str is an InvalidKeyError that says so, for keys and prefixes."""
    for check in (check_key, check_prefix):
        with pytest.raises(InvalidKeyError, match=f"must be a str.*not {type(key).__name__}"):
            check(key)


@pytest.mark.parametrize(
    "prefix", ["/", "a//b", "//", "/a", "../", "./", "a/../", "a/./b", ".storage~", ".storage~/", "a\\", "\x00"]
)
def test_prefixes_that_start_no_key_are_refused(prefix):
    """A prefix that no portable key starts with is an InvalidKeyError, since it can only be a mistake."""
    with pytest.raises(InvalidKeyError, match="starts no key"):
        check_prefix(prefix)


@pytest.mark.parametrize("prefix", ["", "a", "a/", ".", "..", "a/.", "a/..", ".storage", "x" * 255 + "/"])
def test_prefixes_that_start_a_key(prefix):
    """A beginning is a prefix, also one that is itself no key."""
    check_prefix(prefix)


def test_prefix_lengths():
    """A prefix as long as the longest key passes; one byte more, or a slash that nothing fits after, does not."""
    check_prefix(LONGEST)
    check_prefix(LONGEST[:-1])
    check_prefix(LONGEST[:-2] + "/")
    for prefix in (LONGEST + "x", LONGEST[:-1] + "/", LONGEST[:-2] + "/.", LONGEST[:-3] + "/.."):
        with pytest.raises(InvalidKeyError):
            check_prefix(prefix)


def test_long_keys_are_shown_short():
    """A message does not repeat a key of a kilobyte."""
    with pytest.raises(InvalidKeyError) as caught:
        check_key("x" * 2000)
    assert len(str(caught.value)) < 300
    assert "2000 bytes" in str(caught.value)


def test_key_and_prefix_fit_the_services():
    """With the longest prefix before it, the longest key still fits the 1,024 bytes of S3 and GCS."""
    assert MAX_KEY + MAX_PREFIX == 1024


def naive(key):
    """The rules of the contract, written down once more without a thought for speed."""
    try:
        data = key.encode()
    except UnicodeEncodeError:
        return False
    if not key or len(data) > MAX_KEY or any(c < " " or c in "\x7f\\\ufffe\uffff" for c in key):
        return False
    return all(
        segment not in ("", ".", "..") and len(segment.encode()) <= 255 and not segment.startswith(".storage~")
        for segment in key.split("/")
    )


nasty = st.lists(
    st.one_of(
        st.sampled_from([".", "..", "/", "//", "\\", ".storage~", "\x00", "\x7f", "\uffff", "é", "a", "x" * 250]),
        st.text(max_size=3),
    ),
    max_size=8,
).map("".join)


@given(nasty)
def test_fast_and_slow_rules_agree(key):
    """The one match that decides most keys never disagrees with the rules written out."""
    assert is_portable(key) == naive(key) == (reason(key) is None)


@given(nasty, st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=4))
def test_a_refused_prefix_starts_no_key(prefix, rest):
    """check_prefix never refuses the beginning of a portable key."""
    if naive(prefix + rest):
        check_prefix(prefix)
