"""The plug-in prints what stores lack, and brings a store for tests of programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.inner import environment

ROOT = Path(__file__).parent.parent.parent
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
PLUGIN = 'pytest_plugins = ["storage.testing.plugin"]\n'


@pytest.fixture
def run(tmp_path):
    """Runs pytest on the files of an empty directory; what it printed."""
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\nfilterwarnings = error\n")

    def run(conftest: str, tests: str, *options: str) -> str:
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "test_it.py").write_text(tests)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        ).stdout

    return run


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_lacks_are_counted_and_printed(run, options):
    """Each declared lack that a test met is printed once with the number of tests, also where they ran in workers."""
    output = run(PLUGIN, SUITE, *options)
    assert "2 passed" in output
    assert "declared lacks of stores" in output
    assert "TestMine LISTING_ORDER (2 tests): lists backwards\n" in output
    assert "SIGNING" not in output


def test_nothing_is_printed_where_nothing_lacks(run):
    """Without a lack there is no section."""
    output = run(
        PLUGIN, SUITE.replace("lacks = {", "lacks = {} and {").replace("assert self.lacks", "assert not self.lacks")
    )
    assert "2 passed" in output
    assert "declared lacks" not in output


def test_lacks_are_never_silent(run):
    """Without the plug-in a store that lacks something fails, and the message says how to switch it on."""
    output = run("", SUITE)
    assert "2 failed" in output or "2 errors" in output
    assert "write pytest_plugins = ['storage.testing.plugin'] in conftest.py" in output


def test_a_test_that_does_not_end_fails(run):
    """A conformance test ends after ``Harness.test_seconds``, also where pytest-timeout is not installed."""
    endless = SUITE.replace("lacks = {", "test_seconds = 0.2\n    lacks = {} and {")
    endless = endless.replace("def test_one(self, storage):", "def test_one(self, storage):\n        while True: pass")
    output = run(PLUGIN, endless.replace("assert self.lacks", "assert not self.lacks"), "-p", "no:timeout")
    assert "1 failed, 1 passed" in output
    assert "the test did not end within 0.2 s (Harness.test_seconds)" in output


def test_the_fixture_is_a_private_store(run):
    """``storage`` is a new and empty store for each test."""
    tests = """
import pytest
@pytest.mark.parametrize("n", [1, 2])
def test_it(storage, n):
    assert storage.list() == []
    storage.set("a", b"1", overwrite=False)
    assert storage.get_signed_url("a").startswith("http://127.0.0.1:")
"""
    assert "2 passed" in run(PLUGIN, tests)
