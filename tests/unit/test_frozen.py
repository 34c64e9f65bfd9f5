"""The frozen values: what a user may expect of ``ObjectInfo`` and ``SignedRequest``."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime, timezone
from typing import Any

import pytest

from storage import ObjectInfo, SignedRequest, StorageURL

_THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
_VALUES = [
    ObjectInfo("a/b", "data", 3, "e", _THEN, "text/plain", metadata={"n": "v"}),
    SignedRequest("GET", "http://x/y?secret", {"a": "b"}, _THEN),
    StorageURL("s3", "bucket", "prefix", {"region": "eu-west-1"}),
]


@pytest.mark.parametrize("value", _VALUES, ids=lambda value: type(value).__name__)
class TestFrozen:
    def test_nothing_can_be_set(self, value: Any) -> None:
        name = value.__match_args__[0]
        before = getattr(value, name)
        with pytest.raises(AttributeError, match=f"{type(value).__name__} is frozen: '{name}' cannot be set"):
            setattr(value, name, "other")
        with pytest.raises(AttributeError, match="'colour' cannot be set"):
            value.colour = "red"
        with pytest.raises(AttributeError, match="cannot be deleted"):
            delattr(value, name)
        assert getattr(value, name) == before

    def test_copies_are_equal(self, value: Any) -> None:
        for other in (
            copy.copy(value),
            copy.deepcopy(value),
            pickle.loads(pickle.dumps(value)),
            type(value)(**vars(value)),
        ):
            assert other == value
            assert vars(other) == vars(value)
        assert value != tuple(vars(value).values())

    def test_a_changed_copy(self, value: Any) -> None:
        name = value.__match_args__[0]
        other = value.__replace__(**{name: "x"})  # what copy.replace of Python 3.13 calls
        assert getattr(other, name) == "x"
        assert other != value
        assert {**vars(other), name: getattr(value, name)} == vars(value)


def test_shown_by_its_fields_but_for_secrets() -> None:
    info, request, _ = _VALUES
    assert repr(info).startswith("ObjectInfo(key='a/b', storage_type='data', size=3, etag='e', last_modified=datetime")
    assert "secret" not in repr(request)


def test_hashed_where_its_fields_are() -> None:
    bare = ObjectInfo("a", "data", 3, "e", _THEN)
    assert {bare: 1}[ObjectInfo("a", "data", 3, "e", _THEN)] == 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(_VALUES[0])


def test_matched_by_position() -> None:
    match _VALUES[0]:
        case ObjectInfo(key, "data", size):
            assert (key, size) == ("a/b", 3)
        case other:
            pytest.fail(f"not matched: {other}")
