"""The examples of README.md and docs/ run as they stand, top to bottom, each page in a directory of its own.

A block of ``python`` is executed, one that begins with ``>>>`` is a doctest, and the blocks of a page share their names.
What cannot run here (a real cloud, a web framework) stands under a comment that says why: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import doctest
import re
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.servers.s3 import S3Server, moto_s3

__all__ = ["moto_s3"]

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


@pytest.fixture
def aws(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account that the page on S3 speaks of, with its bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_s3.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto_s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto_s3.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", moto_s3.region)
    urllib.request.urlopen(urllib.request.Request(f"{moto_s3.endpoint_url}/my-bucket", method="PUT")).close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page, tmp_path, monkeypatch, request):
    """Every example of a page does what it says."""
    if page.name == "s3.md":
        request.getfixturevalue("aws")
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
