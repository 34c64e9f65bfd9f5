"""The examples of README.md and docs/ run as they stand, top to bottom, each page in a directory of its own.

A block of ``python`` is executed, one that begins with ``>>>`` is a doctest, and the blocks of a page share their names. One that
begins with ``# a program of its own`` runs in a process of its own.
What cannot run here (a real cloud, a web framework) stands under a comment that says why: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import doctest
import gc
import logging
import re
import runpy
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import storage
import storage.backends
from tests.emulators.s3 import S3Server, moto_s3

__all__ = ["moto_s3"]

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)]
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
    if block.code.startswith("# a program of its own"):
        program = Path("program.py")
        program.write_text(block.code, encoding="utf-8")
        subprocess.run([sys.executable, str(program)], check=True, timeout=60)
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


@pytest.fixture
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a page sets for its reader's program, logging and observers, is no other test's."""
    root, own = logging.getLogger(), logging.getLogger("storage")
    before = [*root.handlers], root.level, own.level
    monkeypatch.setattr("storage._log._observers", {})
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix().removeprefix("docs/"))
def test_examples_run(page, tmp_path, monkeypatch, request, nothing_stays):
    """Every example of a page does what it says."""
    if page.name == "s3.md":
        request.getfixturevalue("aws")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    found = blocks(page.read_text(encoding="utf-8"))
    for block in found:
        run(block, page, names)
    if found:
        # Functions of a page hold its names, and so each other: their stores and threads end here, not in another test.
        names.clear()
        gc.collect()


def test_blocks_are_found_and_exempted():
    """The reader of pages finds what is to run, with its line, and leaves out only what gives a reason."""
    text = "a\n```python\nx = 1\n```\n<!-- not run: a real cloud -->\n```python\ny\n```\n<!-- other -->\n```python\nz\n```\n"
    assert blocks(text) == [Block(2, "x = 1\n"), Block(10, "z\n")]


def test_no_block_is_passed_over():
    """No page has a block of Python that is indented, as in a list, where the reader of pages would not find it."""
    hidden = [
        page.name for page in PAGES if re.search(r"^[ >]+```python", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert hidden == []


def test_failing_examples_fail():
    """An example that is wrong is not passed over."""
    with pytest.raises(doctest.DocTestFailure):
        run(Block(0, ">>> 1 + 1\n3\n"), Path("page"), {})
    with pytest.raises(ZeroDivisionError):
        run(Block(0, "1 / 0\n"), Path("page"), {})


def test_guarantees_name_tests_that_exist():
    """The page of promises names real tests: functions of the conformance suite, and files."""
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    suite = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "storage" / "testing").glob("*.py"))
    functions = re.findall(r"`(test_\w+)`", text)
    files = re.findall(r"`(tests/[^`]+)`", text)
    assert len(functions) > 20
    assert len(files) > 8
    assert [name for name in functions if f"def {name}(" not in suite] == []
    assert [name for name in files if not (ROOT / name).exists()] == []


_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")


def anchors(page: Path) -> set[str]:
    """The names that headings of a page have in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).strip().replace(" ", "-") for heading in headings
    }


def test_attacks_name_tests_that_exist():
    """Each attack of SECURITY.md has a test, and each test that it names is there."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("## Attacks")[2]
    rows = [line.strip("| ").rpartition(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 25
    for attack, _, tests in rows:
        named = re.findall(r"`([^`]+)`", tests)
        assert named, attack
        for name in named:
            file, _, function = name.partition("::")
            source = (ROOT / file).read_text(encoding="utf-8")
            assert "def test_" in source or "class " in source, name
            assert f"def {function}(" in source or not function, name


def test_links_lead_somewhere():
    """Every relative link of a page leads to a file, and to a heading that is there."""
    broken = []
    for page in PAGES[1:]:
        for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            path = page.parent / target if target else page
            if not path.exists() or (anchor and anchor not in anchors(path)):
                broken.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")
    assert broken == []


def test_links_of_the_readme_lead_somewhere():
    """The README, which the package index shows too, has absolute links alone, to pages and files that are there."""
    site, repository = (
        "https://storage-facade.readthedocs.io/en/latest/",
        "https://github.com/storage-facade/storage/blob/main/",
    )
    raw = "https://raw.githubusercontent.com/storage-facade/storage/main/"
    for target, _ in _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        if target.startswith(site):
            assert (ROOT / "docs" / target.removeprefix(site).replace(".html", ".md")).is_file(), target
        else:
            assert target.startswith((repository, raw)), target
            assert (ROOT / target.removeprefix(repository).removeprefix(raw)).is_file(), target


def test_calls_on_the_pages_exist():
    """The calls that tables and sentences name, such as those beside boto3's, are in the library."""
    found = {
        name
        for page in PAGES
        for code in re.findall(r"`[^`\n]+`", page.read_text(encoding="utf-8"))
        for name in re.findall(r"\b[sS]torage\.([a-z_]+)\(", code)
    }
    assert len(found) > 20
    assert [name for name in sorted(found) if not hasattr(storage.Storage, name) and not hasattr(storage, name)] == []


def test_recipes_are_short():
    """A recipe is read at one glance: fewer than thirty lines."""
    found = blocks((ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"))
    assert len(found) > 15
    assert [block.line for block in found if block.code.count("\n") >= 30] == []


def test_public_names_are_on_the_pages_of_the_api():
    """Every public name is described: the exceptions by their module, all others by name."""
    text = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("api.md", "backend-api.md"))
    named = set(re.findall(r"^\.\. auto\w+:: (?:\w+\.)+(\w+)$", text, re.MULTILINE)) | {"trace"}
    wanted = {*storage.__all__, *storage.backends.__all__} - set(storage.exceptions.__all__)
    assert wanted - named == set()


def test_environment_variables_are_listed():
    """The page of environment variables has every one that the source reads."""
    text = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "storage").rglob("*.py") if "testing" not in path.parts
    )
    read = set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z][A-Z0-9_]+)\"", source)) - {"BOTOCORE_EXPERIMENTAL__PLUGINS"}
    assert len(read) > 10
    assert [name for name in sorted(read) if f"`{name}`" not in text] == []


def test_capabilities_are_those_of_the_suite():
    """The page of capabilities is what the harnesses declare: a lack that comes or goes is written into it."""
    module = runpy.run_path(str(ROOT / "docs" / "generate_capabilities.py"))
    assert (ROOT / "docs" / "capabilities.md").read_text(encoding="utf-8") == module["page"]()


def test_every_message_is_explained():
    """The page of messages is what the source gives: a new message needs its advice, and the page is written again."""
    module = runpy.run_path(str(ROOT / "docs" / "generate_troubleshooting.py"))
    assert (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8") == module["page"]()
