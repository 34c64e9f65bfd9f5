"""The examples of README.md and docs/ run as they stand, top to bottom, each page in a directory of its own.

A block of ``python`` is executed, one that begins with ``>>>`` is a doctest, and the blocks of a page share their names.
What cannot run here (a real cloud, a web framework) stands under a comment that says why: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"(?P<not_run><!-- not run: [^>]+ -->\n+)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    line: int
    code: str


def blocks(text: str) -> list[Block]:
    """The blocks of a page that are to run."""
    return [
        Block(text.count("\n", 0, match.start("code")), match["code"])
        for match in _BLOCK.finditer(text)
        if match["not_run"] is None
    ]


def run(block: Block, page: Path, names: dict[str, Any]) -> None:
    """Runs one block, so that a traceback names the line of the page."""
    if block.code.startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(block.code, {}, page.name, str(page), block.line)
        test.globs = names  # the blocks of a page share them; DocTest would copy
        doctest.DebugRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(test, clear_globs=False)
        return
    exec(compile("\n" * block.line + block.code, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page, tmp_path, monkeypatch):
    """Every example of a page does what it says."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page.read_text(encoding="utf-8")):
        run(block, page, names)


def test_blocks_are_found_and_exempted():
    """The reader of pages finds what is to run, with its line, and leaves out only what gives a reason."""
    text = "a\n```python\nx = 1\n```\n<!-- not run: a real cloud -->\n```python\ny\n```\n<!-- other -->\n```python\nz\n```\n"
    assert blocks(text) == [Block(2, "x = 1\n"), Block(10, "z\n")]


def test_failing_examples_fail():
    """An example that is wrong is not passed over."""
    with pytest.raises(doctest.DocTestFailure):
        run(Block(0, ">>> 1 + 1\n3\n"), Path("page"), {})
    with pytest.raises(ZeroDivisionError):
        run(Block(0, "1 / 0\n"), Path("page"), {})
