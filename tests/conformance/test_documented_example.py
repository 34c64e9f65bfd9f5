"""The examples of the documentation run: the backend under the suite, from the very files that the pages show, and the tests."""

from __future__ import annotations

import pytest

from tests.test_docs import ROOT, blocks
from tests.testing.inner import run_pytest


@pytest.mark.parametrize(
    "some",
    ["not (large or many or while or fork or readers or Machine)", pytest.param("", marks=pytest.mark.slow)],
    ids=["what is quick", "everything"],
)
def test_the_suite_passes_on_the_documented_backend(tmp_path, some):
    """A third party's backend is tested by what the page says, and lacks nothing: its signed URLs come from the facade."""
    backend, *_ = blocks((ROOT / "docs/writing-a-backend.md").read_text(encoding="utf-8"))
    (tests,) = blocks((ROOT / "docs/conformance.md").read_text(encoding="utf-8"))
    assert tests.code.count("\n") < 35
    (tmp_path / "sqlite_backend.py").write_text(backend.code, encoding="utf-8")
    (tmp_path / "conftest.py").write_text("import sqlite_backend\n", encoding="utf-8")
    (tmp_path / "test_sqlite.py").write_text(tests.code, encoding="utf-8")
    done = run_pytest(tmp_path, "-q", "--tb=short", "-k", some, "test_sqlite.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout
    assert "declared lacks" not in done.stdout


def test_the_documented_tests_pass(tmp_path):
    """The page on testing one's program is a test file: each of its examples passes, over every backend that it names."""
    page = ROOT / "docs/testing.md"
    code = "\n\n".join(block.code for block in blocks(page.read_text(encoding="utf-8")))
    (tmp_path / "test_page.py").write_text(code, encoding="utf-8")
    done = run_pytest(tmp_path, "-q", "test_page.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{code.count('def test_') + 3} passed" in done.stdout  # one of them runs over four backends
