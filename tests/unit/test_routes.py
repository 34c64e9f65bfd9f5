"""From the arguments of ``Storage`` to a backend and a prefix for each storage type."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import Storage, _urls
from storage._facade.routes import DEFAULT_TYPES, build_routes, default_url, parse_url
from storage._retry import Retries, Timeout
from storage._urls import StorageURL
from storage.backends.memory import MemoryBackend
from storage.exceptions import ConfigurationError
from storage.server import SignedURLs


def routes(url=None, types=None, *, backend=None, auth=None):
    """{type: (location, prefix)} for these arguments."""
    parsed = None if url is None else StorageURL.parse(url)
    _, found = build_routes(backend or parsed, types, auth=auth, retries=Retries(), timeout=Timeout(1, 1))
    return found


def places(*args, **kwargs):
    return {name: (route.backend.location, route.prefix) for name, route in routes(*args, **kwargs).items()}


@pytest.fixture
def opened(monkeypatch):
    """The calls of the factory of ``net://``, a scheme whose backends are told apart by their bucket."""
    calls = []

    def factory(url, **kwargs):
        calls.append((str(url), kwargs))
        return MemoryBackend(url.bucket)

    monkeypatch.setattr(_urls, "_registered", {"net": factory, "net+fast": factory, "other": factory})
    return calls


def test_default_types():
    """data, tmp and result, each below a folder of its name."""
    assert places("memory://x") == {name: ("memory://x", f"{name}/") for name in ("data", "tmp", "result")}
    assert DEFAULT_TYPES == {"data": "data/", "tmp": "tmp/", "result": "result/"}


def test_url_path_stands_before_the_type():
    """The URL's path, then the type's prefix."""
    assert places("memory://x/app/v1/")["tmp"] == ("memory://x", "app/v1/tmp/")


def test_a_missing_slash_is_added():
    """``data`` never sees ``database``."""
    assert places("memory://x", {"a": "data", "b": "database"}) == {
        "a": ("memory://x", "data/"),
        "b": ("memory://x", "database/"),
    }


def test_a_single_type_may_be_the_whole_store():
    """One type alone may have an empty prefix."""
    assert places("memory://x", {"data": ""}) == {"data": ("memory://x", "")}


def test_types_in_the_url():
    """``?types=`` gives types by URL; one without a prefix is everything."""
    assert places("memory://x?types=data:main/,tmp:scratch/") == {
        "data": ("memory://x", "main/"),
        "tmp": ("memory://x", "scratch/"),
    }
    assert places("memory://x/p?types=data:") == {"data": ("memory://x", "p/")}


@pytest.mark.parametrize(
    "url, types, fault",
    [
        ("memory://x", {}, "at least one"),
        ("memory://x", [("data", "data/")], "must be a mapping"),
        ("memory://x", {"": "a"}, "not empty"),
        ("memory://x", {1: "a"}, "must be a str"),
        ("memory://x", {"a": 1}, "a prefix, a URL or a Backend"),
        ("memory://x", {"a": "", "b": "b/"}, "overlap"),
        ("memory://x", {"a": "x/", "b": "x"}, "overlap"),
        ("memory://x", {"a": "x/", "b": "x/y/"}, "overlap"),
        ("memory://x", {"a": "../x"}, "not portable"),
        ("memory://x", {"a": "/x"}, "not portable"),
        ("memory://x", {"a": "x//"}, "not portable"),
        ("memory://x", {"a": ".storage~"}, "not portable"),
        ("memory://x/a/../b", None, "not portable"),
        ("memory://x/" + "p" * 128, None, "more than 128 bytes"),
        ("memory://x/" + "p" * 120, {"a": "q" * 10}, "more than 128 bytes"),
        ("memory://x?types=data:a/,data:b/", None, "given twice"),
        ("memory://x?types=data", None, "NAME:PREFIX"),
        ("memory://x?types=:a/", None, "NAME:PREFIX"),
        ("memory://x?types=data:a/", {"data": "a/"}, "give them once"),
        ("memory://x", {"a": "memory://y?types=data:"}, "types of its own"),
        ("memory://x", {"a": "memory://x", "b": "memory://x/b"}, "overlap"),
        ("memory://x/p", {"a": "q/", "b": "memory://x/p/q"}, "overlap"),
    ],
)
def test_refused(url, types, fault):
    """Types that could meet one another or are not portable are refused before anything is opened."""
    with pytest.raises(ConfigurationError, match=fault):
        routes(url, types)


def test_prefixes_may_take_all_their_room():
    """128 bytes of URL and type together, slashes counted, pass."""
    assert len(places("memory://x/" + "p" * 99, {"a": "q" * 27})["a"][1]) == 128
    with pytest.raises(ConfigurationError, match="128"):
        places("memory://x/" + "p" * 99, {"a": "q" * 28})


def test_types_on_other_urls(opened):
    """A type may have a URL of its own; one bucket is opened once."""
    found = routes("net://one/app", {"a": "a/", "b": "net://two/x", "c": "net://one/c", "d": "net://two/y"})
    assert {name: (route.backend.location, route.prefix, route.url) for name, route in found.items()} == {
        "a": ("memory://one", "app/a/", "net://one/app"),
        "b": ("memory://two", "x/", "net://two/x"),
        "c": ("memory://one", "c/", "net://one/c"),
        "d": ("memory://two", "y/", "net://two/y"),
    }
    assert found["a"].backend is found["c"].backend
    assert [url for url, _ in opened] == ["net://one/app", "net://two/x"]


def test_auth_stays_with_its_own_family(opened):
    """A URL of another scheme gets no ``auth``; another driver of the same one does."""
    routes("net://one", {"a": "a/", "b": "other://two", "c": "net+fast://three"}, auth="secret")
    assert [(url, options["auth"]) for url, options in opened] == [
        ("net://one", "secret"),
        ("other://two", None),
        ("net+fast://three", "secret"),
    ]


def test_private_memory_is_another_one_each_time():
    """Two types on memory:// do not share a store, and so cannot overlap."""
    found = routes("memory://", {"a": "memory://", "b": "memory://", "c": ""})
    assert len({id(route.backend) for route in found.values()}) == 3


def test_ready_backends():
    """A ready backend serves instead of a URL, or for one type."""
    mine, other = MemoryBackend("mine"), MemoryBackend("other")
    found = routes(backend=mine, types={"a": "a/", "b": other})
    assert (found["a"].backend, found["a"].prefix) == (mine, "a/")
    assert (found["b"].backend, found["b"].prefix) == (other, "")


def test_ready_backends_are_not_opened():
    """Who hands over a backend opens no client by it: that is for the first operation."""

    class Unopened(MemoryBackend):
        @property
        def client(self):
            raise AssertionError("it was opened")

    store = Storage(backend=Unopened(), storage_types={"a": "a/", "b": Unopened()})
    assert store.storage_types == ("a", "b")
    assert SignedURLs(store.backend)


def test_raw_keys_are_a_matter_of_the_url():
    """keys=raw holds for the types below the URL that says it."""
    found = routes("memory://x?keys=raw", {"a": "a/", "b": "memory://y"})
    assert found["a"].raw
    assert not found["b"].raw


def test_url_from_the_environment(monkeypatch):
    """STORAGE_URL where no URL is given."""
    monkeypatch.setenv("STORAGE_URL", "memory://env")
    assert parse_url(None) == StorageURL("memory", "env", "", {})


@pytest.mark.parametrize("value", [None, ""])
def test_embedded_default(value, monkeypatch, tmp_path):
    """Without STORAGE_URL, or with an empty one: a directory in the user's data directory, which is not made yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if value is not None:
        monkeypatch.setenv("STORAGE_URL", value)
    assert default_url() == f"{tmp_path.as_uri()}/data/storage-facade"
    assert not (tmp_path / "data").exists()


def test_paths():
    """A PathLike is a directory."""
    assert parse_url(Path("/a b/c%20")) == StorageURL("file", "", "a b/c%20", {})


@pytest.mark.parametrize("url", [1, b"memory://", object()])
def test_other_urls_are_refused(url):
    """Anything else is a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="must be a str"):
        parse_url(url)
