"""The demo does what it says, whatever the URL."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from storage import Storage

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"


@pytest.fixture
def demo(tmp_path):
    """The demo's ``main``, with a small library to store."""
    main = runpy.run_path(str(DEMO))["main"]
    root = tmp_path / "lib"
    (root / "json").mkdir(parents=True)
    (root / "site-packages").mkdir()
    (root / "this.py").write_text("one\ntwo\n")
    (root / "json" / "__init__.py").write_text("x = 1\n")
    (root / "json" / "x.pyc").write_bytes(b"\x00\xff")
    (root / "site-packages" / "no.py").write_text("")
    main.__globals__["ROOT"] = root
    return main


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_demo(kind, demo, tmp_path, capsys):
    """It stores, lists, compares and loses two races, and leaves the store behind."""
    url = "memory://demo-test" if kind == "memory" else f"file://{tmp_path}/store"
    assert demo(url) == 0
    text = capsys.readouterr().out
    assert "3 of 3 that were stored" in text
    assert "3 checksums, 0 different" in text
    assert "✗ AlreadyExistsError" in text
    assert "✗ PreconditionFailedError" in text
    assert "= '2': neither write was done" in text
    assert ("to remove it" in text) == (kind == "file")
    with Storage(url) as storage:
        keys = [key.partition("/")[2] for key in storage.iter_list()]
        assert keys == ["counter.txt", "json/__init__.py", "this.py"]


def test_demo_notices_a_difference(demo, monkeypatch, capsys):
    """A store that returns other bytes is found out, and the status says so."""
    monkeypatch.setattr(Storage, "get_many", lambda self, keys, kind: ((key, b"other") for key in keys))
    assert demo("memory://demo-broken") == 1
    assert "3 checksums, 3 different" in capsys.readouterr().out
