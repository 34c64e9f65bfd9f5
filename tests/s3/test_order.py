"""Listings in the order of UTF-8, made of those of a server that lists depth first."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from storage._backend import Stat
from storage.backends.s3._listing import Bounds
from storage.backends.s3._order import Fetch, ordered

Entry = tuple[str, "Stat | None"]

# What surrounds the slash, and the slash.
_SEGMENTS = st.text("a-b. 0", min_size=1, max_size=4)
_KEYS = st.lists(st.lists(_SEGMENTS, min_size=1, max_size=3).map("/".join), min_size=1, max_size=25, unique=True)
_TEXTS = st.text("a-/b. 0~", max_size=5)


def depth_first(path: str) -> str:
    """What SeaweedFS sorts by."""
    return path.replace("/", "\0")


def level(paths: list[str], prefix: str) -> list[str]:
    """What a delimiter makes of a listing."""
    found = (
        path if (cut := path.find("/", len(prefix))) < 0 else path[: cut + 1]
        for path in paths
        if path.startswith(prefix)
    )
    return list(dict.fromkeys(found))


def server(keys: list[str], *, delimiter: bool, size: int, asked: list[int]) -> Fetch:
    """A server with ``size`` entries to a page; ``asked`` counts its pages."""

    def fetch(prefix: str, after: str | None, at_most: int | None) -> Iterator[tuple[list[Entry], bool]]:
        found = sorted((key for key in keys if key.startswith(prefix)), key=depth_first)
        if delimiter:
            found = level(found, prefix)
        # A folder is listed as a name is, and so left out after itself.
        found = [path for path in found if after is None or depth_first(path) > depth_first(after)]
        step = at_most or size
        for place in range(0, max(len(found), 1), step):
            asked[0] += 1
            yield [(path, None) for path in found[place : place + step]], place + step < len(found)

    return fetch


@given(_KEYS, st.data(), st.booleans(), st.integers(1, 7))
def test_order_and_bounds(keys: list[str], data: st.DataObject, delimiter: bool, size: int) -> None:
    """Everything between the bounds comes once, sorted, whatever the size of a page."""
    some = st.sampled_from(keys)
    text = st.one_of(st.none(), _TEXTS, some, st.tuples(some, _TEXTS).map("".join))
    prefix = data.draw(st.one_of(st.just(""), st.tuples(some, st.integers(0, 4)).map(lambda pair: pair[0][: pair[1]])))
    bounds = Bounds(prefix, data.draw(text), data.draw(text))
    fetch = server(keys, delimiter=delimiter, size=size, asked=[0])
    paths = sorted(key for key in keys if key.startswith(prefix))
    wanted = sorted(level(paths, prefix)) if delimiter else paths
    wanted = [path for path in wanted if bounds.start is None or path > bounds.start]
    wanted = [path for path in wanted if bounds.end is None or path < bounds.end]
    got: list[str] = []
    if not bounds.empty:
        after = bounds.after(depth_first=True, delimiter=delimiter)
        for page in ordered(fetch, prefix, after, bounds.start):
            got += [path for path, _ in page if bounds.start is None or path > bounds.start]
    assert [path for path in got if bounds.end is None or path < bounds.end] == wanted


def test_a_neighbour_that_is_a_folder_with_neighbours() -> None:
    """It was given before its own folder's neighbour was asked for, with all that sorts there; nothing comes twice."""
    keys = ["0..", "0./0", "0/0"]
    pages = ordered(server(keys, delimiter=False, size=1, asked=[0]), "", None, None)
    assert [path for page in pages for path, _ in page] == keys


def test_requests() -> None:
    """It takes a request or two more a page, not one for each folder."""
    keys = [f"data/{folder}/{name}" for folder in range(100) for name in range(10)]
    asked = [0]
    pages = list(ordered(server(keys, delimiter=False, size=100, asked=asked), "", None, None))
    assert [path for page in pages for path, _ in page] == sorted(keys)
    assert asked[0] <= 30
