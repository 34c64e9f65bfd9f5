"""The mistakes that people make in their first hour, and the message that each of them gets."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import pytest

from storage import ConfigurationError, InvalidKeyError, InvalidStorageTypeError, Storage
from storage.backends.memory import MemoryBackend


@pytest.fixture
def store():
    with Storage("memory://") as opened:
        opened.set("k", "value")
        yield opened


@pytest.mark.parametrize("url", ["./dir", "dir", "/abs/dir", "s3:bucket"])
def test_a_url_without_a_scheme(monkeypatch, url):
    """The value is quoted, and a message about the environment variable names it."""
    with pytest.raises(ConfigurationError, match=rf"^the URL '{url}' has no scheme; write file:///"):
        Storage(url)
    monkeypatch.setenv("STORAGE_URL", url)
    with pytest.raises(
        ConfigurationError, match=rf"^the environment variable STORAGE_URL: the URL '{url}' has no scheme"
    ):
        Storage()


@pytest.mark.parametrize("url", ["s3:bucket?profile=hunter2", "user:hunter2@host/x", ""])
def test_a_secret_in_what_is_no_url(url):
    """What may be a secret is not repeated."""
    with pytest.raises(ConfigurationError, match="has no scheme") as caught:
        Storage(url or "?hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("types", [["data"], "data", [], 5, {}])
def test_types_that_are_no_mapping(types):
    with pytest.raises(ConfigurationError, match="storage_types must be a mapping"):
        Storage("memory://", storage_types=types)


def test_a_type_with_a_lone_surrogate():
    with pytest.raises(ConfigurationError, match="lone surrogate"):
        Storage("memory://", storage_types={"d": "a\ud800"})


def test_a_keyword_that_is_none():
    with pytest.raises(TypeError, match=r"^(?!.*Core).*'bucket'"):
        Storage(bucket="b")


def test_a_default_for_get(store):
    with pytest.raises(InvalidStorageTypeError, match="there is no default for an absent blob: catch NotFoundError"):
        store.get("absent", None)


def test_a_limit_over_a_thousand(store):
    with pytest.raises(ValueError, match=r"limit=5000: use 1 to 1,000; iter_list gives all"):
        store.list(limit=5000)


def test_a_path_as_key(store):
    with pytest.raises(InvalidKeyError, match=r"as_posix\(\)"):
        store.set(Path("a/b"), "x")


@pytest.mark.parametrize("method", ["delete", "get", "exists"])
def test_a_folder_as_key(store, method):
    with pytest.raises(InvalidKeyError, match=r"^key 'a/': it has an empty segment.*delete_prefix"):
        getattr(store, method)("a/")


def test_a_file_in_a_folder_that_is_not_there(store, tmp_path):
    """The message names the folder, and no temporary file."""
    with pytest.raises(FileNotFoundError) as caught:
        store.get_file("k", tmp_path / "new/k")
    assert str(caught.value) == f"[Errno 2] the folder is not there: {str(tmp_path / 'new')!r}"
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError) as caught:
        store.get_file("k", tmp_path / "file/k")
    assert caught.value.filename == str(tmp_path / "file/k")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_with_an_umlaut_in_a_header(store):
    with pytest.raises(ValueError, match="download_name"):
        store.get_signed_url("k", content_disposition='attachment; filename="ü.txt"')


def test_origins_that_are_no_list(store):
    with pytest.raises(TypeError, match="use a list of origins"):
        store.setup(cors_origins=5)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc")
def test_a_store_where_none_can_be():
    """A directory that cannot be made is no absent blob."""
    with Storage("file:///proc/nowhere") as store, pytest.raises(Exception, match="cannot be a directory") as caught:
        store.set("a", "x")
    assert "no such blob" not in str(caught.value)


def test_an_exception_that_a_backend_does_not_know():
    """It comes bare, with a note for the author of the backend (notes exist from Python 3.11 on)."""

    class Unfinished(MemoryBackend):
        def put(self, *_):
            raise ZeroDivisionError("boom")

    with pytest.raises(ZeroDivisionError) as caught:
        Storage(backend=Unfinished()).set("a", "x")
    shown = "".join(traceback.format_exception(caught.value))
    assert ("Unfinished.classify() gave None" in shown) == (sys.version_info >= (3, 11))
