"""Listings between two bounds, and pages that no service gives."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator

import pytest
from urllib3.util.retry import Retry

from storage import InvalidKeyError, Storage, UnavailableError
from storage.backends.gcs import GCSBackend
from storage.testing.faults import Fault, FaultProxy, Request
from tests.emulators.gcs import BUCKET
from tests.gcs.conftest import Proxied, answer

KEYS = ["a", "a-b", "a/b", "a/c", "a/c/d", "a0", "b", "é", "ü/1", "\U0001f600"]


def listed(backend: GCSBackend, prefix: str, **bounds: str | bool | None) -> list[str]:
    return [path for page in backend.scan(prefix, **bounds) for path, _ in page]  # type: ignore[arg-type]


@pytest.fixture
def filled(proxied: Proxied) -> tuple[GCSBackend, str]:
    proxied.honest.set_many(dict.fromkeys(KEYS, "1"))
    backend = proxied.store.backend
    assert isinstance(backend, GCSBackend)
    return backend, proxied.store._core.routes["data"].prefix


BOUNDS = [
    None,
    "",
    "\x00",
    "a",
    "a/",
    "a/b",
    "a/b\x00",
    "a/c/",
    "a0",
    "b\U0010ffff",
    "é",
    "ü",
    "z",
    "\U0001f600",
    "x" * 2000,
]


def test_any_text_is_a_bound(filled: tuple[GCSBackend, str]) -> None:
    """What lies after the one and before the other is given, whatever both are, with and without a prefix."""
    backend, root = filled
    for after, before in itertools.product(BOUNDS, BOUNDS):
        for prefix in ("", "a", "a/"):
            wanted = [
                root + key
                for key in KEYS
                if key.startswith(prefix) and (after is None or key > after) and (before is None or key < before)
            ]
            bounds = {
                "start_after": None if after is None else root + after,
                "end_before": None if before is None else root + before,
            }
            assert listed(backend, root + prefix, **bounds) == wanted, (prefix, after, before)


def test_bounds_of_one_level(filled: tuple[GCSBackend, str]) -> None:
    """A folder lies where its path does; one in which a bound lies has been given before, and is given before."""
    backend, root = filled

    def level(after: str | None, before: str | None) -> list[str]:
        found = listed(
            backend, root, delimiter=True,
            start_after=None if after is None else root + after, end_before=None if before is None else root + before,
        )  # fmt: skip
        return [path.removeprefix(root) for path in found]

    assert level(None, None) == ["a", "a-b", "a/", "a0", "b", "é", "ü/", "\U0001f600"]
    assert level("a", "b") == ["a-b", "a/", "a0"]
    assert level("a/b", None) == ["a0", "b", "é", "ü/", "\U0001f600"]
    assert level("a-", "a/") == ["a-b"]
    assert level(None, "a/c") == ["a", "a-b", "a/"]


def test_no_page_is_asked_for_beyond_a_bound(proxied: Proxied) -> None:
    """The service is told both bounds; nothing is asked where nothing can lie; a bound longer than names can be is ours."""
    proxied.honest.set_many({f"k{n}": "1" for n in range(9)})
    backend, root = proxied.store.backend, proxied.store._core.routes["data"].prefix
    pages = list(backend.scan(root, start_after=root + "k1", end_before=root + "k6", page_size=2))
    assert [len(list(page)) for page in pages] == [1, 2, 1]  # the first page begins with the bound itself
    assert [line.count("endOffset=k6&") for line in proxied.seen()] == [1, 1, 1]
    assert list(backend.scan(root, end_before=root)) == []
    assert proxied.seen() == []
    far = root + "k3" + "x" * 1024
    assert [path[len(root) :] for page in backend.scan(root, end_before=far, page_size=2) for path, _ in page] == [
        "k0", "k1", "k2", "k3",
    ]  # fmt: skip
    assert len(proxied.seen()) == 3
    near = [path[len(root) :] for page in backend.scan(root, start_after=far) for path, _ in page]
    assert near == ["k4", "k5", "k6", "k7", "k8"]


def test_bounds_that_are_no_text(filled: tuple[GCSBackend, str]) -> None:
    """A lone surrogate is no text."""
    backend, root = filled
    for bounds in ({"start_after": root + "\ud800"}, {"end_before": root + "\ud800"}):
        with pytest.raises(InvalidKeyError):
            listed(backend, root, **bounds)


# ---- pages that no service gives ---------------------------------------------------------------------------------------


@pytest.fixture
def store(proxy: FaultProxy) -> Iterator[Storage]:
    url = f"gs://{BUCKET}?anonymous=true&endpoint_url={proxy.url}"
    with Storage(url, retries=Retry(1, backoff_factor=0), timeout=5) as store:
        yield store


def page(names: list[str], token: str | None = None) -> Fault:
    body = {"kind": "storage#objects", "items": [{"name": f"data/{name}"} for name in names], "nextPageToken": token}
    return answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


CIRCLES: dict[str, Callable[[int], Fault]] = {
    "one token": lambda n: page([f"k{n}"], "t"),
    "the same page with new tokens": lambda n: page(["a", "b"], f"t{n}"),
    "tokens in a circle": lambda n: page([f"k{n}"], f"t{n % 7}"),
    "empty pages in a circle": lambda n: page([], f"t{n % 3}"),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_a_listing_without_end(store: Storage, proxy: FaultProxy, name: str) -> None:
    """Pages that repeat, in a circle of any length, are no listing."""
    turns = itertools.count()
    proxy.plan = lambda _: CIRCLES[name](next(turns))
    with pytest.raises(UnavailableError, match="page"):
        list(store.iter_list())
    assert next(turns) < 30


def test_empty_pages_on_the_way(store: Storage, proxy: FaultProxy) -> None:
    """The service may give a page without anything, and more after it."""
    proxy.script(page(["a"], "t1"), page([], "t2"), page([], "t3"), page(["b"]))
    assert store.list() == ["a", "b"]


def test_names_that_were_not_asked_for(store: Storage, proxy: FaultProxy) -> None:
    """A listing of another prefix is an answer to something else."""
    proxy.plan = lambda _: answer(200, b'{"kind": "storage#objects", "items": [{"name": "other/a"}]}')
    with pytest.raises(UnavailableError, match="not asked for"):
        store.list()


def test_a_page_that_is_asked_for_again(store: Storage, proxy: FaultProxy) -> None:
    """A page that is malformed is asked for once more, and what has been given is not given again."""

    def nth(request: Request) -> Fault:
        number = len(proxy.requests)
        return {1: page(["a"], "t1"), 2: answer(200, b"<html>"), 3: page(["b"])}[number]

    proxy.plan = nth
    assert store.list() == ["a", "b"]
