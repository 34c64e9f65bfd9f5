"""``split_keys``: ranges that hold every key once, of about equal size, found with few listings."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import InvalidKeyError, InvalidStorageTypeError, KeyRange, Storage, UnavailableError
from storage._sync.splitting import _Surveyor, split
from tests.sync.key_spaces import SPACES
from tests.sync.stores import Faulty, filled, store_of

KEYS = st.sets(st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1, max_size=5), max_size=300)


def listing(keys):
    """A ``look`` over sorted keys that counts its calls."""
    asked = []

    def look(start_after, end_before, limit):
        asked.append((start_after, end_before, limit))
        first = 0 if start_after is None else bisect_right(keys, start_after)
        last = len(keys) if end_before is None else bisect_left(keys, end_before)
        return keys[first : min(last, first + limit)]

    return look, asked


def held(ranges, keys):
    """The keys in each range, as a listing between its bounds gives them."""
    look, _ = listing(keys)
    return [look(one.start_after, one.end_before, len(keys)) for one in ranges]


@given(KEYS, st.integers(1, 40))
def test_every_key_is_in_one_range(keys, parts):
    """Whatever the keys are, the ranges hold each of them once, in order, and are no more than was asked for."""
    keys = sorted(keys)
    ranges = split(listing(keys)[0], parts)
    assert list(chain(*held(ranges, keys))) == keys
    assert 1 <= len(ranges) <= parts
    assert ranges[0].start_after is None
    assert ranges[-1].end_before is None
    assert all(a.end_before == b.start_after for a, b in pairwise(ranges))


@pytest.mark.parametrize("parts", [1, 2, 7, 50])
def test_few_keys_are_split_exactly(parts):
    """Keys that one page holds are shared out evenly, without another request."""
    keys = [f"{number:02}" for number in range(50)]
    look, asked = listing(keys)
    sizes = [len(part) for part in held(split(look, parts), keys)]
    assert len(sizes) == parts
    assert max(sizes) <= 2 * 50 / parts
    assert len(asked) == 1


def test_the_example_of_the_module():
    """A year's months and a hundred keys in each: estimated as the module explains it, with few questions."""
    keys = [f"{year}/{month:02}/{n:02}" for year in range(2023, 2027) for month in range(1, 13) for n in range(100)]
    look, asked = listing(keys)
    cell = _Surveyor(look, "").cell(None, None)
    assert cell.size == 7_200
    assert [cell.first[: level.depth] for level in cell.levels] == ["2023/01/", "2023/0", "2023/", "202"]
    assert len(asked) < 20


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("parts", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_large_stores_are_split_evenly(name, parts):
    """A hundred million keys: fewer than 20 listings to a part, and no part of more than three times the mean."""
    if name == "one hot tenant" and parts < 1000:
        parts = 250  # with fewer listings than tenants nobody can find it
    space = SPACES[name]()
    asked = 0

    def look(start_after, end_before, limit):
        nonlocal asked
        asked += 1
        return space.keys(start_after, end_before, limit)

    ranges = split(look, parts)
    ranks = [0, *(space.rank(one.start_after) for one in ranges[1:]), len(space)]
    assert len(space) >= 99_000_000
    assert max(b - a for a, b in pairwise(ranks)) <= 3 * len(space) / parts
    assert asked < 20 * parts + (100 if parts < 1000 else 0)


def test_of_a_store():
    """``split_keys`` splits one storage type, below a prefix; the ranges go into the listings."""
    store = store_of()
    filled(store, {f"a/{number:04}": "1" for number in range(2_000)})
    filled(store, {f"b/{number:04}": "1" for number in range(9)})
    store.set("t", "1", "tmp")
    ranges = store.split_keys("a/", 10)
    parts = [list(store.iter_list("a/", start_after=one.start_after, end_before=one.end_before)) for one in ranges]
    assert list(chain(*parts)) == list(store.iter_list("a/"))
    assert len(parts) == 10
    assert max(map(len, parts)) <= 600
    assert store.split_keys("", 4, "tmp") == [KeyRange()]
    assert store.split_keys("absent/", 4) == [KeyRange()]


def test_wrong_arguments():
    """A mistake is an error before anything is asked, and a failing listing is one of the library's errors."""
    backend = Faulty()
    store = filled(store_of(backend), {"a": "1"})
    with pytest.raises(InvalidKeyError):
        store.split_keys("/", 2)
    with pytest.raises(InvalidStorageTypeError):
        store.split_keys("", 2, "other")
    with pytest.raises(ValueError, match="parts"):
        store.split_keys("", 0)
    assert backend.scans == 0
    backend.cut_after = 0
    with pytest.raises(UnavailableError):
        store.split_keys("", 2)


def test_raw_keys():
    """A store with ``keys=raw`` may have keys of any characters."""
    store = Storage("memory://?keys=raw&types=data:")
    keys = sorted(["\x00", "\x01/\x02", "a//b", "/", "\\", "\U0010ffff", "\U0010ffff\U0010ffff", "é\x7f", "~", " "] * 1)
    filled(store, dict.fromkeys(keys, "1"))
    ranges = store.split_keys("", 20)
    found = [list(store.iter_list(start_after=one.start_after, end_before=one.end_before)) for one in ranges]
    assert list(chain(*found)) == keys
