"""The example of the documentation is a backend: the suite runs on it, from the very files that the pages show."""

from __future__ import annotations

import subprocess
import sys

from tests.conformance.inner import environment
from tests.test_docs import ROOT, blocks


def test_the_suite_passes_on_the_documented_backend(tmp_path):
    """A third party's backend is tested by what the page says, and lacks nothing: its signed URLs come from the facade."""
    backend, *_ = blocks((ROOT / "docs/writing-a-backend.md").read_text(encoding="utf-8"))
    page = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
    tests, conftest = blocks(page)
    assert tests.code.count("\n") < 35
    (tmp_path / "sqlite_backend.py").write_text(backend.code, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(f"import sqlite_backend\n{conftest.code}", encoding="utf-8")
    (tmp_path / "test_sqlite.py").write_text(tests.code, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT} .\nfilterwarnings = error\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=short"]
    done = subprocess.run(
        [*command, "test_sqlite.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout
    assert "declared lacks" not in done.stdout
