"""Programs that use the library are checked as their authors would check them, by mypy and by pyright."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.checkers

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "tests" / "typing"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))


@pytest.fixture(scope="session")
def findings(tmp_path_factory):
    """``findings(checker)``: {file name: the lines with errors}, and the checker's whole output."""
    cache = tmp_path_factory.mktemp("typing")
    found = {}

    def check(checker):
        if checker not in found:
            found[checker] = _mypy(cache) if checker == "mypy" else _pyright()
        return found[checker]

    return check


def _run(*argv):
    # pyright looks for the package where the first Python of PATH has it.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        argv, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=250, check=False
    ).stdout


def _mypy(cache):
    command = ("-m", "mypy", "--strict", "--no-incremental", f"--cache-dir={cache}", "--config-file=", str(EXAMPLES))
    output = _run(sys.executable, *command)
    lines = {}
    for name, line in re.findall(r"^.*?([^/\n]+\.py):(\d+): error:", output, re.MULTILINE):
        lines.setdefault(name, set()).add(int(line))
    assert f"checked {len(PROGRAMS)} source files" in output or "no issues" in output, output
    return lines, output


def _pyright():
    executable = Path(sys.executable).parent / "pyright"
    output = _run(str(executable), "--outputjson", "--pythonpath", sys.executable, *map(str, PROGRAMS))
    result = json.loads(output)
    assert result["summary"]["filesAnalyzed"] == len(PROGRAMS), output
    lines = {}
    for finding in result["generalDiagnostics"]:
        if finding["severity"] == "error":
            name = os.path.basename(finding["file"])
            lines.setdefault(name, set()).add(finding["range"]["start"]["line"] + 1)
    return lines, output


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_right_programs_pass(checker, findings):
    """A program that uses the library rightly has no error, and every value has the type that it should."""
    lines, output = findings(checker)
    assert lines.keys() == {"mistakes.py"}, output


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_mistakes_are_found(checker, findings):
    """Every mistake is an error at its line, and no other line is."""
    marked = {
        number
        for number, line in enumerate((EXAMPLES / "mistakes.py").read_text(encoding="utf-8").splitlines(), 1)
        if line.endswith("# error")
    }
    lines, output = findings(checker)
    assert lines["mistakes.py"] == marked, output


def test_every_public_name_has_a_type():
    """A type checker knows the type of every public name, but for the bases of adapters whose frameworks ship no types."""
    executable = Path(sys.executable).parent / "pyright"
    output = _run(str(executable), "--verifytypes", "storage", "--ignoreexternal", "--outputjson")
    symbols = json.loads(output)["typeCompleteness"]["symbols"]
    assert len(symbols) > 500
    unknown = [symbol["name"] for symbol in symbols if symbol["isExported"] and not symbol["isTypeKnown"]]
    assert [name for name in unknown if not name.startswith("storage.integrations.")] == []
