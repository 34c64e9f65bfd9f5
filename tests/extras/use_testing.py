"""The test kit: the fixtures are there, and a faulty store gives its errors."""

import subprocess
import sys
from pathlib import Path

Path("test_it.py").write_text("""
import urllib.request

import pytest

from storage import Storage, UnavailableError
from storage.testing import Conformance, FaultyBackend, assert_stored


@pytest.mark.storage("memory", "file")
def test_fixtures(storage, async_storage):
    storage.set("a", "text")
    assert_stored(storage, "a", "text")
    with urllib.request.urlopen(storage.get_signed_url("a")) as answer:
        assert answer.read() == b"text"


def test_lost_answer():
    faulty = FaultyBackend()
    faulty.lose("set")
    store = Storage(backend=faulty)
    with pytest.raises(UnavailableError):
        store.set("a", "text")
    assert store.get("a") == "text"
""")
done = subprocess.run(
    [sys.executable, "-I", "-m", "pytest", "-q", "test_it.py"], capture_output=True, text=True, check=False
)
assert "3 passed" in done.stdout, done.stdout + done.stderr
