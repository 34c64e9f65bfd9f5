"""Headers and metadata: what is allowed, and how text that is not ASCII travels."""

from __future__ import annotations

import email.header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage._metadata import check_header, check_metadata, decode_value, encode_value

values = st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), max_size=200)


@given(values)
def test_values_come_back(value):
    """Whatever is encoded decodes to itself, is printable ASCII, and loses nothing to a header that strips blanks."""
    encoded = encode_value(value)
    assert decode_value(encoded) == value
    assert encoded
    assert encoded.isascii()
    assert encoded == encoded.strip()


@given(values)
def test_words_are_rfc_2047(value):
    """Another reader of RFC 2047 (the standard library's) reads the same text, and no word is too long."""
    encoded = encode_value(value)
    if encoded != value:
        assert str(email.header.make_header(email.header.decode_header(encoded))) == value
        assert all(len(word) <= 75 for word in encoded.split(" "))


@pytest.mark.parametrize("value", ["plain", "two words", "a=b; c", "x" * 500])
def test_ascii_is_left_alone(value):
    """What a service takes as it is, other tools read as it is."""
    assert encode_value(value) == value


@pytest.mark.parametrize("value", ["", " a", "a ", "=?utf-8?b?eA==?=", "tab\u00a0"])
def test_what_a_header_would_change_is_encoded(value):
    """Empty, padded, or already like a word: encoded, so that it comes back unchanged."""
    assert encode_value(value) != value
    assert decode_value(encode_value(value)) == value


@pytest.mark.parametrize(
    "value", ["=?utf-8?b?!!!?=", "=?utf-8?b?/w==?=", "=?utf-8?b?eA==?= and more", "=?latin1?q?a?="]
)
def test_foreign_values_are_returned_as_they_are(value):
    """What others stored and what only looks like our words is not damaged."""
    assert decode_value(value) == value


def test_metadata_is_copied():
    """Later changes of the caller's mapping change nothing."""
    mine = {"a-1": "x"}
    checked = check_metadata(mine)
    mine["b"] = "y"
    assert checked == {"a-1": "x"}
    assert check_metadata(None) == {}


@pytest.mark.parametrize("name", ["", "A", "a_b", "a b", "ä", "a.b", "x" * 129, "a\n"])
def test_bad_names(name):
    """A name that not every service keeps is a ValueError that repeats it."""
    with pytest.raises(ValueError, match="metadata name") as caught:
        check_metadata({name: "x"})
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("value", ["a\nb", "\x00", "\x7f", "\r\nSet-Cookie: x", "\ud800"])
def test_bad_values(value):
    """A control character, which could end a header, is a ValueError."""
    with pytest.raises(ValueError, match="control character"):
        check_metadata({"a": value})


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"a": None}, {"a": b"x"}, [("a", "b")], "a"])
def test_bad_kinds(metadata):
    """What is no mapping from str to str is a TypeError."""
    with pytest.raises(TypeError):
        check_metadata(metadata)


def test_total_size():
    """2,048 bytes as written fit, one more does not; text that is encoded counts as encoded."""
    check_metadata({"a": "x" * 2047})
    check_metadata({"a": "x" * 1023, "b": "x" * 1023})
    with pytest.raises(ValueError, match="2,049 bytes"):
        check_metadata({"a": "x" * 2048})
    with pytest.raises(ValueError, match="at most 2,048"):
        check_metadata({"a": "é" * 1000})


@pytest.mark.parametrize("value", ["text/plain", "text/html; charset=utf-8", "x" * 1024, None])
def test_headers_pass(value):
    """Printable ASCII of at most 1,024 bytes, or none."""
    assert check_header("content_type", value) == value


@pytest.mark.parametrize("value", ["", " a", "a ", "é", "a\nb", "a\tb", "\x7f", "x" * 1025])
def test_bad_headers(value):
    """Anything else is a ValueError that names the argument."""
    with pytest.raises(ValueError, match="cache_control"):
        check_header("cache_control", value)


@pytest.mark.parametrize("value", [1, b"text/plain"])
def test_headers_of_another_type(value):
    """What is no str is a TypeError that names the argument."""
    with pytest.raises(TypeError, match="content_type"):
        check_header("content_type", value)
