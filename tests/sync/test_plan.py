"""What is to be done, without any store: merging, comparing, filtering, sorting on disk."""

from __future__ import annotations

import os
import random
import tempfile
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage._globs import Filter
from storage._sync import spool
from storage._sync.plan import Entry, OutOfOrder, checked_order, compare, entry_of, merge
from storage._sync.spool import Spool, sorted_on_disk

MD5_A, MD5_B = "a" * 32, "b" * 32
NOON = 12 * 3600 * 1_000_000 + 123_456  # microseconds; a time that a clock of microseconds made
LATER = NOON + 60 * 1_000_000


def entry(key: str = "k", size: int = 1, etag: str = "e", modified: int = NOON) -> Entry:
    return Entry(key, size, etag, modified)


# ---- merging -------------------------------------------------------------------------------------------------------

KEYS = st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=3), max_size=20)


@given(KEYS, KEYS)
def test_merge_pairs_what_both_have(ours, theirs):
    """Each key comes once, in order, with the side or sides that have it."""
    pairs = list(merge((entry(key) for key in sorted(ours)), (entry(key) for key in sorted(theirs))))
    keys = [(a or b).key for a, b in pairs]
    assert keys == sorted(ours | theirs)
    assert {a.key for a, _ in pairs if a} == ours
    assert {b.key for _, b in pairs if b} == theirs
    assert all(a.key == b.key for a, b in pairs if a and b)


@given(KEYS)
def test_order_is_that_of_utf8_bytes(keys):
    """A listing in the order of the keys' UTF-8 bytes is in order."""
    listing = [entry(key) for key in sorted(keys, key=str.encode)]
    assert list(checked_order(listing)) == listing


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a/b", "a-b"], ["x", "y", "z", "a"]])
def test_disorder_is_found_while_streaming(keys):
    """A listing out of order is noticed at the first key that comes too late."""
    with pytest.raises(OutOfOrder):
        list(checked_order(map(entry, keys)))


def test_a_key_that_is_listed_twice_counts_once():
    """A server that repeats a key between two pages makes no second blob of it."""
    assert [e.key for e in checked_order(map(entry, ["a", "a", "b"]))] == ["a", "b"]


# ---- comparing -----------------------------------------------------------------------------------------------------

COMPARED = [
    # source, target, checksum, verdict
    (entry(size=1), entry(size=2, modified=LATER), False, ("differs", "size")),
    (entry(etag=MD5_A), entry(etag=MD5_A, modified=LATER), False, ("same", "checksum")),
    (entry(etag=MD5_A), entry(etag=MD5_A, modified=NOON + 1), False, ("headers", "checksum")),
    (entry(etag=MD5_A, modified=LATER), entry(etag=MD5_A), False, ("headers", "checksum")),
    (entry(etag=MD5_A + "-4"), entry(etag=MD5_A + "-4", modified=LATER), False, ("same", "etag")),
    (entry(etag=MD5_A + "-4"), entry(etag=MD5_B + "-2", modified=LATER), False, ("same", "size and time")),
    (entry(etag=MD5_A, modified=LATER), entry(etag=MD5_B), False, ("differs", "checksum")),
    (entry(etag=MD5_A), entry(etag=MD5_B, modified=LATER), False, ("unlike", "checksum")),
    (entry(etag=MD5_A), entry(etag=MD5_B, modified=NOON + 1), False, ("read", "checksum")),
    (entry(etag="7"), entry(etag="7", modified=LATER), False, ("same", "size and time")),
    (entry(etag="7"), entry(etag=MD5_A, modified=LATER), False, ("same", "size and time")),
    (entry(modified=LATER), entry(), False, ("differs", "size and time")),
    (entry(), entry(), False, ("read", "content")),
    (entry(etag="7"), entry(etag="7", modified=LATER), True, ("read", "content")),
    (entry(etag="7", modified=LATER), entry(etag="7"), True, ("read", "content")),
    (entry(etag=MD5_A), entry(etag=MD5_A, modified=LATER), True, ("same", "checksum")),
    (entry(size=1), entry(size=2), True, ("differs", "size")),
]


@pytest.mark.parametrize("source, target, checksum, verdict", COMPARED)
def test_compare(source, target, checksum, verdict):
    """Size first, then a checksum of the same kind, then time."""
    assert compare(source, target, checksum=checksum) == verdict


SECOND = 1_000_000
TIMES = [
    # source, target, outcome
    (5 * SECOND, 15 * SECOND, "same"),
    (5 * SECOND, 15 * SECOND - 1, "read"),  # maybe published late
    (5 * SECOND, 5 * SECOND, "read"),
    (5_999_999, 5 * SECOND, "read"),  # maybe the destination tells whole seconds
    (6 * SECOND, 5 * SECOND, "read"),
    (6_000_001, 5 * SECOND, "differs"),
]


@pytest.mark.parametrize("source, target, outcome", TIMES)
def test_times_are_trusted_as_far_as_they_are_exact(source, target, outcome):
    """Where times are too close for clocks and services, only the bytes decide."""
    assert compare(entry(modified=source), entry(modified=target), checksum=False).outcome == outcome


def test_times_are_exact_to_the_microsecond():
    """An entry's time loses nothing of a blob's."""
    when = datetime(2026, 11, 22, 19, 2, 3, 999_999, tzinfo=timezone.utc)
    assert entry_of("k", 1, "e", when).modified % 1_000_000 == 999_999
    assert entry_of("k", 1, "e", when).modified // 1_000_000 == int(when.timestamp())


# ---- filters -------------------------------------------------------------------------------------------------------

MATCHES = [
    ("*.csv", "a.csv", True),
    ("*.csv", "deep/er/a.csv", True),
    ("*.csv", "a.csv.gz", False),
    ("a", "a", True),
    ("a", "x/a", True),
    ("a", "a/x", False),
    ("cache/", "cache/x", True),
    ("cache/", "cache/x/y", True),
    ("cache/", "a/cache/x", True),
    ("cache/", "cached", False),
    ("/cache/", "a/cache/x", False),
    ("/cache/", "cache/x", True),
    ("a/*.csv", "a/b.csv", True),
    ("a/*.csv", "a/b/c.csv", False),
    ("a/*.csv", "x/a/b.csv", False),
    ("a/**", "a/b/c.csv", True),
    ("**/c.csv", "c.csv", True),
    ("**/c.csv", "a/b/c.csv", True),
    ("a/**/z", "a/z", True),
    ("a/**/z", "a/b/c/z", True),
    ("?.txt", "a.txt", True),
    ("?.txt", "ab.txt", False),
    ("[ab].txt", "b.txt", True),
    ("[!ab].txt", "b.txt", False),
    ("[!ab].txt", "c.txt", True),
    ("x[!a]y/z", "x/y/z", False),
    ("[]]", "]", True),
    ("[[]", "[", True),
    ("[a-c]", "b", True),
    ("\\*", "*", True),
    ("\\*", "a", False),
    ("a.b", "axb", False),
    ("ü*", "über/übel", True),
    ("*", "line\nbreak", True),
]


@pytest.mark.parametrize("pattern, key, matches", MATCHES)
def test_patterns(pattern, key, matches):
    """Patterns mean what the help says."""
    assert Filter([pattern])(key) is matches
    assert Filter((), [pattern])(key) is not matches


def test_exclude_wins():
    """A key is taken if it is included and not excluded."""
    taken = Filter(["*.csv", "keep/"], ["tmp*"])
    assert taken("a.csv")
    assert taken("keep/x")
    assert not taken("a.txt")
    assert not taken("tmp1.csv")
    assert not taken("keep/tmp")


@pytest.mark.parametrize(
    "patterns, error", [("*.csv", TypeError), ([""], ValueError), (["[a"], ValueError), (["[z-a]"], ValueError)]
)
def test_wrong_patterns(patterns, error):
    """A mistake in a pattern is an error, and not a sync of something else."""
    with pytest.raises(error):
        Filter(patterns)
    with pytest.raises(error):
        Filter((), patterns)


# ---- on disk -------------------------------------------------------------------------------------------------------


def test_sorted_on_disk(monkeypatch):
    """More entries than fit into memory, and more files than are merged at once, come out in order, every one of them."""
    monkeypatch.setattr(spool, "_CHUNK", 7)
    monkeypatch.setattr(spool, "_FAN_IN", 4)
    keys = [f"{number:x}\ud800é" for number in range(1000)]
    shuffled = keys[:]
    random.Random(1).shuffle(shuffled)
    with sorted_on_disk(entry(key, size=n) for n, key in enumerate(shuffled)) as entries:
        found = list(entries)
    assert [e.key for e in found] == sorted(keys)
    assert {(e.key, e.size) for e in found} == {(key, n) for n, key in enumerate(shuffled)}


def test_nothing_to_sort():
    """An empty listing is sorted too."""
    with sorted_on_disk([]) as entries:
        assert list(entries) == []


def test_spools_leave_no_file(monkeypatch, tmp_path):
    """The files have no name, so that not even a killed sync leaves one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spool() as rows:
        for number in range(1000):
            rows.append((number, "x"))
        assert os.listdir(tmp_path) == []
        assert list(rows) == [[number, "x"] for number in range(1000)] == list(rows)


def test_spools_forget():
    """What came after a mark can be taken back."""
    with Spool() as rows:
        for number in range(150):
            rows.append([number])
        mark = rows.mark()
        for number in range(333):
            rows.append([-number])
        rows.back_to(mark)
        rows.append(["new"])
        assert rows.count == 151
        assert list(rows) == [*([number] for number in range(150)), ["new"]]
