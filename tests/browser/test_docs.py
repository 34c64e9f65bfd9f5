"""The built documentation in real Chromium: on a desk and on a telephone no page scrolls sideways, and nothing is cut off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]

# What is wider than the window without a box around it that scrolls, and text that its box hides.
_FIND = """() => {
  const found = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth} wide`);
  const describe = (node) => `<${node.tagName.toLowerCase()} class="${node.className}"> ${node.textContent.trim().slice(0, 50)}`;
  const scrolls = (node) => ["auto", "scroll"].includes(getComputedStyle(node).overflowX);
  for (const node of document.querySelectorAll("article *, .toc-drawer *")) {
    if (node.closest("svg") || !node.getClientRects().length || node.classList.contains("headerlink")) continue;
    const drawer = node.closest(".toc-drawer");  // out of the window until its button is pressed
    if (drawer && getComputedStyle(drawer).position === "fixed") continue;
    const style = getComputedStyle(node);
    if (style.position === "absolute" || style.position === "fixed") continue;
    if (node.scrollWidth > node.clientWidth + 1 && style.overflowX === "hidden" && node.textContent.trim())
      found.push(`cut off: ${describe(node)}`);
    if (node.getBoundingClientRect().right <= root.clientWidth + 1) continue;
    let box = node;
    while (box && !scrolls(box)) box = box.parentElement;
    if (!box || box === root || box === document.body) found.push(`sticks out: ${describe(node)}`);
  }
  return found;
}"""

# What has to be scrolled to be read.
_SCROLLS = """() => [...document.querySelectorAll("article pre, article .table-wrapper")]
  .filter((node) => node.scrollWidth > node.clientWidth + 1)
  .map((node) => `scrolls: ${node.textContent.trim().slice(0, 50)}`)"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages, as ``make docs`` builds them."""
    directory = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-E", "-b", "html", "-d", str(directory / "trees")]
    subprocess.run([*command, str(ROOT / "docs"), str(directory / "html")], check=True, timeout=240)
    return directory / "html"


@pytest.fixture
def page_of(browser):
    """``page_of(width)``: a window of that many pixels."""
    contexts = []

    def make(width):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        return contexts[-1].new_page()

    yield make
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1920, 1440, 1280, 390])
def test_every_page_fits(built, page_of, width):
    """No page is wider than its window. At 1,280 pixels code and tables need no scrolling; elsewhere they scroll in a box."""
    page = page_of(width)
    found = {}
    pages = sorted(path for path in built.rglob("*.html") if "_static" not in path.parts)
    assert len(pages) > 40
    for path in pages:
        page.goto(path.as_uri())
        if problems := page.evaluate(_FIND) + (page.evaluate(_SCROLLS) if width == 1280 else []):
            found[path.relative_to(built).as_posix()] = problems[:5]
    assert found == {}


def test_a_page_that_does_not_fit_is_found(tmp_path, page_of):
    """The look at the pages sees what sticks out, and what is cut off."""
    wide = '<div style="width: 2000px">wide</div>'
    wide += '<div style="width: 50px; overflow: hidden"><pre>a long line of code here</pre></div>'
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><article>{wide}</article>")
    page = page_of(390)
    page.goto(path.as_uri())
    problems = page.evaluate(_FIND)
    assert [problem.partition(":")[0] for problem in problems] == [
        "the page is 2008 wide",
        "sticks out",
        "cut off",
    ]


@pytest.mark.parametrize("word", ["pandas", "tqdm", "MinIO", "logging", "boto3"])
def test_the_search_leads_newcomers_somewhere(built, page_of, word):
    """A newcomer's word is found by the search of the pages, and the landing page leads to it."""
    page = page_of(1280)
    page.goto(f"{(built / 'search.html').as_uri()}?q={word}")
    page.wait_for_selector("#search-results ul.search li a")
    assert word.lower() in (built / "index.html").read_text(encoding="utf-8").lower()
