"""Swapping the URL changes nothing else: the demo on Cloud Storage."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.emulators.gcs import GCSServer

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_the_demo(gcs: GCSServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It stores, lists, compares and loses both of its races, as on every backend."""
    main = runpy.run_path(str(DEMO))["main"]
    root = tmp_path / "lib"
    root.mkdir()
    (root / "this.py").write_text("one\ntwo\n")
    (root / "x.pyc").write_bytes(b"\x00\xff")
    main.__globals__["ROOT"] = root
    assert main(gcs.url(endpoint_url=gcs.emulator_url, query="&anonymous=true")) == 0
    text = capsys.readouterr().out
    assert "2 checksums, 0 different" in text
    assert "✗ AlreadyExistsError" in text
    assert "✗ PreconditionFailedError" in text
