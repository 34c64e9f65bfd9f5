"""URLs: parsing, query parameters, the registry, and messages that repeat no secret."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Storage, _urls
from storage._urls import DRIVERS, StorageURL, endpoint, factory_for, register
from storage.backends.memory import MemoryBackend
from storage.exceptions import ConfigurationError, MissingDependencyError

parse = StorageURL.parse


@pytest.fixture(autouse=True)
def _registry(monkeypatch):
    monkeypatch.setattr(_urls, "_registered", {})


@pytest.mark.parametrize(
    "text, expected",
    [
        ("memory://", ("memory", "", "", {})),
        ("memory://NAME", ("memory", "NAME", "", {})),
        ("file:///abs/dir", ("file", "", "abs/dir", {})),
        ("file:///abs/dir/", ("file", "", "abs/dir/", {})),
        ("S3://Bucket/Pre/Fix", ("s3", "Bucket", "Pre/Fix", {})),
        ("s3+boto3://b", ("s3+boto3", "b", "", {})),
        ("gs://b/p?project=x&anonymous=true", ("gs", "b", "p", {"project": "x", "anonymous": "true"})),
        ("s3://b/a%20b%2Fc%25", ("s3", "b", "a b/c%", {})),
        ("s3://b/%C3%A9", ("s3", "b", "é", {})),
        ("s3://b/a+b", ("s3", "b", "a+b", {})),
        ("s3://b?endpoint_url=http%3A%2F%2Fh%3A1", ("s3", "b", "", {"endpoint_url": "http://h:1"})),
        ("s3://b?endpoint_url=http://h:1/x?", ("s3", "b", "", {"endpoint_url": "http://h:1/x?"})),
        ("s3://b?", ("s3", "b", "", {})),
        ("s3://b/p?types=data:main/,tmp:t/", ("s3", "b", "p", {"types": "data:main/,tmp:t/"})),
    ],
)
def test_parse(text, expected):
    """Scheme in lower case, bucket, path decoded once, query decoded."""
    url = parse(text)
    assert (url.scheme, url.bucket, url.path, url.query) == expected


@pytest.mark.parametrize(
    "text, fault",
    [
        ("/abs/dir", "file:///absolute/dir"),
        ("dir", "no scheme"),
        ("", "no scheme"),
        ("C:\\data", "no scheme"),
        ("://x", "no scheme"),
        ("1s3://b", "no scheme"),
        ("s3:/b", "no scheme"),
        ("s3://b/a#b", "%23"),
        ("s3://user@b", "auth="),
        ("s3://AKIA:hunter2@b/p", "auth="),
        ("s3://b?region", "has no value"),
        ("s3://b?region=a&region=b", "given twice"),
        ("s3://b?r%65gion=a&region=b", "given twice"),
        ("s3://b/%ff", "not UTF-8"),
        ("s3://b\ud800", "lone surrogate"),
        ("file:///a/\udcff", "lone surrogate"),
        ("s3://b?region=%ff", "not UTF-8"),
    ],
)
def test_parse_refuses(text, fault):
    """Each fault is a ConfigurationError that says what to write, and repeats no secret."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    assert fault in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


segments = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=10)


@given(segments, segments, st.dictionaries(segments.filter(bool), segments, max_size=3))
def test_full_comes_back(bucket, path, query):
    """The full URL parses to an equal one, whatever stands in its parts."""
    url = StorageURL("s3", bucket, path, query)
    assert parse(url.full()) == url


def test_str_has_no_query():
    """What is shown leaves out the query, which may hold what should not be shown."""
    assert str(parse("s3://b/a%20b?secret=x")) == "s3://b/a%20b"


def test_without():
    """A parameter can be taken away."""
    assert parse("s3://b?a=1&b=2").without("a", "c").query == {"b": "2"}


@pytest.mark.parametrize("name", ["/plain/dir", "/with space/%41#?/é", "relative/dir"])
def test_paths_are_literal(name):
    """A PathLike is taken as it is: no percent-decoding, no query; a relative one from here."""
    url = StorageURL.from_path(Path(name))
    assert "/" + url.path == str(Path.cwd() / name)
    assert url.query == {}
    assert parse(url.full()) == url


def test_options():
    """Every kind of parameter is parsed; what is not given is None."""
    url = parse("s3://b?region=eu&anonymous=true&n=3&style=path&e=http://h/")
    kinds = {"region": str, "anonymous": bool, "n": int, "style": ("path", "auto"), "e": endpoint, "profile": str}
    assert url.options(**kinds) == {
        "region": "eu",
        "anonymous": True,
        "n": 3,
        "style": "path",
        "e": "http://h",
        "profile": None,
    }
    assert parse("s3://b?anonymous=false").options(anonymous=bool) == {"anonymous": False}


@pytest.mark.parametrize(
    "query, kinds, fault",
    [
        ("regoin=eu", {"region": str}, "unknown query parameter 'regoin'; allowed are region, types"),
        ("anonymous=1", {"anonymous": bool}, "'anonymous': use 'true' or 'false'"),
        ("anonymous=True", {"anonymous": bool}, "use 'true' or 'false'"),
        ("n=x", {"n": int}, "whole number"),
        ("style=x", {"style": ("path", "auto")}, "use 'path' or 'auto'"),
        ("region=", {"region": str}, "empty"),
        ("e=ftp://h", {"e": endpoint}, "use http://HOST[:PORT]"),
        ("e=http://u:hunter2@h", {"e": endpoint}, "auth="),
    ],
)
def test_options_refuse(query, kinds, fault):
    """Unknown or unparsable parameters name the parameter and what is allowed, and not the value."""
    with pytest.raises(ConfigurationError) as caught:
        parse(f"s3://b?{query}").options(**kinds)
    assert fault in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["http://h", "https://h:1", "http://127.0.0.1:9000/", "http://[::1]:1/base", "http://my_host:1"]
)
def test_endpoints(text):
    """An endpoint loses its last slash and nothing else."""
    assert endpoint(text) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "h",
        "h:1",
        "ftp://h",
        "http://",
        "http://h:x",
        "http://h?a",
        "http://h#a",
        "http://[",
        "http://u@h",
        "http://h h",
        "http://h/a b",
        "http://é",
        "http://a..b",
        "http://" + "a" * 64,
        "http://h/\n",
    ],
)
def test_bad_endpoints(text):
    """What is no http(s) URL of a host is a ValueError."""
    with pytest.raises(ValueError):
        endpoint(text)


def test_built_in_schemes():
    """memory:// and file:// need nothing that is not installed with the library."""
    assert isinstance(factory_for("memory")(parse("memory://"), auth=None, retries=None, timeout=None), MemoryBackend)
    assert DRIVERS["file"].extra is None
    assert callable(factory_for("file"))


def test_unknown_scheme():
    """The error lists what there is, registered ones too."""
    register("mine", MemoryBackend)
    with pytest.raises(ConfigurationError, match="unknown scheme 'ftp'") as caught:
        factory_for("ftp")
    for scheme in ("file://", "gs://", "memory://", "mine://", "s3://"):
        assert scheme in str(caught.value)


@pytest.mark.parametrize("scheme", sorted(scheme for scheme, driver in DRIVERS.items() if driver.extra))
def test_missing_package(scheme, monkeypatch):
    """A driver whose package is not installed: the pip line that installs it."""
    driver = DRIVERS[scheme]
    package = {"s3": "boto3", "gcs": "google"}[driver.extra]
    monkeypatch.delitem(sys.modules, driver.module, raising=False)

    def missing(name):
        assert name == driver.module
        raise ModuleNotFoundError(f"No module named {package!r}", name=f"{package}.x")

    monkeypatch.setattr(_urls.importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=package) as caught:
        factory_for(scheme)
    assert f"pip install 'storage-facade[{driver.extra}]'" in str(caught.value)
    assert isinstance(caught.value, ImportError)


def test_a_bug_is_no_missing_package(monkeypatch):
    """An import that fails inside this library is not blamed on the user's installation."""

    def missing(name):
        raise ModuleNotFoundError("No module named 'storage.x'", name="storage.x")

    monkeypatch.setattr(_urls.importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError) as caught:
        factory_for("s3")
    assert not isinstance(caught.value, MissingDependencyError)


def test_register():
    """A registered factory serves its scheme, and may be replaced."""
    register("mine", len)
    register("mine", MemoryBackend)
    assert factory_for("mine") is MemoryBackend


@pytest.mark.parametrize("scheme", ["", "Mine", "1x", "a b", "a_b", "x://", None, b"x"])
def test_register_refuses_bad_schemes(scheme):
    """What cannot stand in a URL is refused."""
    with pytest.raises(ConfigurationError, match="scheme"):
        register(scheme, MemoryBackend)


def test_register_refuses():
    """A built-in scheme is not taken over, and a factory must be callable."""
    with pytest.raises(ConfigurationError, match="built in"):
        register("s3", MemoryBackend)
    with pytest.raises(ConfigurationError, match="cannot be called"):
        register("mine", "module:factory")


def test_a_factory_must_return_a_backend():
    """Else the first call would fail, with an error of Python's."""
    register("mine", lambda url, **options: {})
    with pytest.raises(
        ConfigurationError, match=r"mine://: its factory returned a dict, not a storage\.backends\.Backend"
    ):
        Storage("mine://bucket")


def test_entry_points(monkeypatch):
    """An installed package adds a scheme by an entry point, which is loaded only when its scheme is used."""
    point = importlib.metadata.EntryPoint("theirs", "storage.backends.memory:MemoryBackend", _urls.ENTRY_POINTS)
    broken = importlib.metadata.EntryPoint("broken", "no.such.module:x", _urls.ENTRY_POINTS)
    found = importlib.metadata.EntryPoints([point, broken])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: found.select(group=group))
    assert factory_for("theirs") is MemoryBackend
    with pytest.raises(ConfigurationError, match="theirs://"):
        factory_for("nobodys")
