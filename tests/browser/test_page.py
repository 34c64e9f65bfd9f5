"""The page of ``storage serve --browse``, driven in real Chromium as a person would."""

from __future__ import annotations

import os
import struct
import zlib

import pytest

from storage import Storage
from tests.browser.conftest import served

pytestmark = pytest.mark.browser


def png(width, height):
    """A picture of a gradient."""
    rows = b"".join(
        b"\0" + bytes(v for x in range(width) for v in (x * 255 // width, y * 255 // height, 160))
        for y in range(height)
    )

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
def store(tmp_path):
    """A store with a little of everything."""
    with Storage(f"file://{tmp_path}/store?fsync=false") as storage:
        storage.set("readme.md", "# Hello\n\n<script>document.title = 'owned'</script>\n", metadata={"author": "Ada"})
        storage.set("picture.png", png(64, 40))
        storage.set("big.txt", "0123456789abcde\n" * 8192)
        storage.set("empty.txt", "")
        storage.set("binary", os.urandom(100))
        storage.set("größe & <b>maß/ünï #1?.txt", "inside")
        storage.set("reports/2026/a.csv", "1,2\n")
        storage.set("a", "of another type", "tmp")
        yield storage


@pytest.fixture
def page_url(store):
    """The page of the store."""
    with served(repr(store)[9:-2], "--browse") as lines:
        yield lines[1]


def names(page):
    """The names in the listing."""
    return page.locator("#rows td:first-child").all_inner_texts()


def wait_until(page, expression):
    """Waits until a JavaScript expression is true. (The page's policy forbids the ``eval`` in ``wait_for_function``.)"""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {expression}")


def wait_for_names(page, *wanted):
    """Waits until the listing shows just these names."""
    for _ in range(400):
        if names(page) == list(wanted):
            return
        page.wait_for_timeout(50)
    assert names(page) == list(wanted)


TOP = ["größe & <b>maß/", "reports/", "big.txt", "binary", "empty.txt", "picture.png", "readme.md"]


def test_listing_and_folders(open_page, page_url):
    """Types, folders and blobs are shown with size, type and date; folders and types are links, and so is the way back."""
    page = open_page(page_url)
    wait_for_names(page, *TOP)
    assert "token" not in page.url
    assert page.locator("#types a").all_inner_texts() == ["data", "tmp", "result"]
    row = page.locator("#rows tr", has_text="big.txt")
    assert row.locator("td").all_inner_texts()[1:3] == ["128 KiB", "text/plain"]
    assert row.locator("time").get_attribute("datetime").endswith("+00:00")
    page.click("text=größe & <b>maß/")
    wait_for_names(page, "ünï #1?.txt")
    page.click("text=ünï #1?.txt")
    page.wait_for_selector("#details pre")
    assert page.locator("#details pre").inner_text() == "inside"
    page.go_back()
    page.go_back()
    wait_for_names(page, *TOP)
    page.click("#types >> text=tmp")
    wait_for_names(page, "a")
    page.click("#types >> text=result")
    page.wait_for_selector("text=Nothing here yet")
    page.reload()
    page.wait_for_selector("text=Nothing here yet")


def test_filter(open_page, page_url):
    """What is typed narrows the listing to names that begin so."""
    page = open_page(page_url)
    wait_for_names(page, *TOP)
    page.fill("#begin", "b")
    wait_for_names(page, "big.txt", "binary")
    page.fill("#begin", "zzz")
    page.wait_for_selector("text=No name here begins like that")
    page.fill("#begin", "")
    wait_for_names(page, *TOP)


def test_preview(open_page, page_url, store):
    """Text is shown as text, whatever it holds; pictures as pictures; long text in part; what is neither not at all."""
    page = open_page(page_url)
    page.click("text=readme.md")
    page.wait_for_selector("#details pre")
    assert page.locator("#details pre").inner_text() == store.get("readme.md")
    assert page.title() != "owned"
    assert page.locator("#details dl").inner_text().split("\n")[-2:] == ["author", "Ada"]
    page.click("text=picture.png")
    wait_until(page, "document.querySelector('#details img')?.naturalWidth === 64")
    page.click("text=big.txt")
    page.wait_for_selector("#details pre")
    assert len(page.locator("#details pre").inner_text()) == 65536
    assert "first 64.0 KiB of 128 KiB" in page.locator(".preview").inner_text()
    page.click("text=empty.txt")
    page.wait_for_selector("text=The blob is empty")
    page.click("#rows >> text=binary")
    page.wait_for_selector("h2:text('binary')")
    assert not page.locator(".preview").is_visible()


def test_upload_and_download(open_page, page_url, store, tmp_path):
    """A file goes from the browser to the store by a signed URL, is listed, previewed and downloaded, byte for byte."""
    data = os.urandom(5_000_000)
    (tmp_path / "new file é.bin").write_bytes(data)
    (tmp_path / "note.txt").write_text("héllo")
    page = open_page(page_url)
    page.click("text=reports/")
    wait_for_names(page, "2026/")
    requests = []
    page.on("request", lambda request: requests.append((request.method, request.url)))
    page.set_input_files("#files", [tmp_path / "new file é.bin", tmp_path / "note.txt"])
    wait_for_names(page, "2026/", "new file é.bin", "note.txt")
    assert page.locator("#queue li.done").count() == 2
    assert page.locator("#queue progress").first.evaluate("bar => bar.value") == 1
    uploads = [url for method, url in requests if method == "PUT"]
    assert len(uploads) == 2
    assert all("signature=" in url for url in uploads)
    assert store.get_bytes("reports/new file é.bin") == data
    assert store.info("reports/note.txt").content_type == "text/plain"
    page.click("#rows >> text=new file é.bin")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "new file é.bin"
    assert download.value.path().read_bytes() == data
    assert "signature=" in download.value.url


def test_drop(open_page, page_url, store):
    """Files that are dropped anywhere on the page are uploaded to the folder that is shown."""
    page = open_page(page_url)
    wait_for_names(page, *TOP)
    transfer = page.evaluate_handle(
        "() => { const carried = new DataTransfer();"
        " carried.items.add(new File(['dropped'], 'dropped.txt', {type: 'text/plain'})); return carried; }"
    )
    page.dispatch_event("#listing", "dragenter", {"dataTransfer": transfer})
    assert page.locator("#drop").is_visible()
    assert page.locator("#drop").inner_text() == "Drop to upload to data/"
    page.dispatch_event("#listing", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#queue li.done")
    assert not page.locator("#drop").is_visible()
    assert store.get("dropped.txt") == "dropped"


def test_nothing_is_overwritten_unasked(open_page, page_url, store, tmp_path):
    """A name that is taken is not replaced until somebody says so, for one file or for all."""
    (tmp_path / "readme.md").write_text("new")
    before = store.get("readme.md")
    page = open_page(page_url)
    page.set_input_files("#files", tmp_path / "readme.md")
    page.wait_for_selector("#queue li.failed >> text=exists already")
    assert store.get("readme.md") == before
    page.click("#queue >> text=Replace")
    page.wait_for_selector("#queue li.done")
    assert store.get("readme.md") == "new"
    page.check("#replace")
    (tmp_path / "readme.md").write_text("newer")
    page.set_input_files("#files", tmp_path / "readme.md")
    wait_until(page, "document.querySelectorAll('#queue li.done').length === 2")
    assert store.get("readme.md") == "newer"
    page.click("#clear")
    assert not page.locator("#uploads").is_visible()


def test_copy_a_signed_url(open_page, page_url, store):
    """The button copies a URL that anyone can fetch for as long as was chosen."""
    import time
    import urllib.request
    from urllib.parse import parse_qs, urlsplit

    page = open_page(page_url, permissions=["clipboard-read", "clipboard-write"])
    page.click("text=readme.md")
    page.select_option("#expiry", label="1 day")
    page.click("#copy")
    page.wait_for_selector("#link:not([hidden])")
    url = page.evaluate("navigator.clipboard.readText()")
    assert url == page.input_value("#link")
    with urllib.request.urlopen(url) as answer:
        assert answer.read().decode() == store.get("readme.md")
    assert int(parse_qs(urlsplit(url).query)["expires"][0]) / 1000 == pytest.approx(time.time() + 86400, abs=60)


def test_without_a_mouse(open_page, page_url, store):
    """Everything is reached and used with the keyboard, and what has the focus can be seen."""
    page = open_page(page_url)
    wait_for_names(page, *TOP)
    typed = {"name": "typed.txt", "mimeType": "text/plain", "buffer": b"typed"}
    page.on("filechooser", lambda chooser: chooser.set_files([typed]))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "listing"
    for _ in range(3 + len(TOP)):  # the heads of the columns that sort, and the rows
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "readme.md"
    assert page.evaluate("getComputedStyle(document.activeElement.closest('tr')).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector("#details pre")
    page.keyboard.press("Escape")
    page.wait_for_selector("#details", state="hidden")
    assert page.evaluate("document.activeElement.innerText") == "readme.md"
    page.keyboard.press("Enter")
    page.wait_for_selector("#details pre")
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id"))
    assert {"close", "download", "expiry", "copy", "delete"} <= set(seen)
    page.focus("#upload")
    page.keyboard.press("Enter")
    page.wait_for_selector("#queue li.done")
    assert store.get("typed.txt") == "typed"


@pytest.fixture
def many(tmp_path):
    """A page on a folder of 2,503 blobs of many sizes, between which stand two folders."""
    with Storage(f"file://{tmp_path}/many?fsync=false") as store:
        store.set_many({f"n{index:05}": b"x" * (index * 7 % 1000) for index in range(2500)})
        store.set_many({"n00500/x": "", "n02400/x": "", "zero": ""})
        os.utime(tmp_path / "many/data/n01234", (1_000_000_000, 1_000_000_000))
        os.utime(tmp_path / "many/data/n00007", (4_000_000_000, 4_000_000_000))
        with served(f"file://{tmp_path}/many", "--browse") as lines:
            yield lines[1]


def test_many_blobs(open_page, many):
    """A folder of many blobs shows the first thousand, and more on scroll, folders first, until all are there."""
    page = open_page(many)
    page.wait_for_selector("#rows tr")
    assert len(names(page)) == 1000
    assert names(page)[:3] == ["n00500/", "n00000", "n00001"]
    for count in (2000, 2503):
        page.locator("#rows tr").last.scroll_into_view_if_needed()
        wait_until(page, f"document.querySelectorAll('#rows tr').length >= {count}")
    page.wait_for_selector("text=2,503 entries")
    found = names(page)
    assert found == ["n00500/", "n02400/", *sorted(set(found) - {"n00500/", "n02400/"})]
    assert len(set(found)) == 2503
    assert not page.locator("#more").is_visible()
    page.fill("#begin", "n0100")
    wait_for_names(page, *(f"n0100{index}" for index in range(10)))


def test_order(open_page, many):
    """By size or time the whole folder is sorted, also what was not shown yet; pressed again, the other way round."""
    page = open_page(many)
    page.wait_for_selector("#rows tr")

    def press(name, first, *, sort):
        page.click(f"th >> text={name}")
        wait_until(page, f"document.querySelectorAll('#rows td.name')[2].innerText === '{first}'")
        assert names(page)[:2] in (["n00500/", "n02400/"], ["n02400/", "n00500/"])
        assert page.locator("th[data-by]", has_text=name).get_attribute("aria-sort") == sort

    press("Size", "n00857", sort="descending")
    assert page.locator("#rows td.number").nth(2).inner_text() == "999 B"
    press("Size", "n00000", sort="ascending")
    press("Modified", "n00007", sort="descending")
    press("Modified", "n01234", sort="ascending")
    press("Name", "n00000", sort="ascending")
    press("Name", "zero", sort="descending")
    assert len(names(page)) == 1000
    page.focus("#more button")
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelectorAll('#rows tr').length >= 2000")


def test_times_are_never_cut(open_page, page_url):
    """Size and time are shown whole in any language and on any screen; only names and types give way."""
    for locale in ("en-US", "de-DE", "pt-BR", "ja-JP"):
        for width in (1360, 900, 700, 390):
            page = open_page(page_url, locale=locale, viewport={"width": width, "height": 800})
            page.click("#rows >> text=readme.md")
            page.wait_for_selector("#details pre")
            cut = page.evaluate(
                "[...document.querySelectorAll('#rows td.when, #rows td.number')].filter(cell => cell.offsetParent)"
                ".filter(cell => cell.scrollWidth > cell.clientWidth).map(cell => cell.innerText)"
            )
            assert cut == [], (locale, width)
            inside = (
                "[...document.querySelectorAll('#rows time')].every(time => "
                "time.getBoundingClientRect().right <= document.querySelector('#listing').getBoundingClientRect().right)"
            )
            assert page.evaluate(inside), (locale, width)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.context.close()


def test_a_blob_that_is_missing(open_page, page_url, store):
    """A link to a blob that is not there says so; the folder around it is shown."""
    page = open_page(page_url)
    wait_for_names(page, *TOP)
    base = page_url.partition("/#")[0]
    page.goto(f"{base}/#/data/reports/2026/nope%20%3F.csv")
    page.wait_for_selector("#details .missing")
    assert "There is no blob reports/2026/nope ?.csv of type data" in page.locator("#details").inner_text()
    wait_for_names(page, "a.csv")
    assert not page.locator("#download").is_visible()
    page.click("#close")
    page.wait_for_selector("#details", state="hidden")
    page.click("text=a.csv")
    page.wait_for_selector("#download")
    store.delete("reports/2026/a.csv")
    page.reload()
    page.wait_for_selector("#details .missing")


def test_delete(open_page, page_url, store):
    """A blob is deleted after a question, and only the version that is shown."""
    page = open_page(page_url)
    page.click("#rows >> text=readme.md")
    page.click("#delete")
    assert page.locator("#ask-what").inner_text() == "Delete readme.md?"
    assert page.evaluate("document.activeElement.id") == "ask-no"
    page.keyboard.press("Escape")
    page.wait_for_selector("#ask", state="hidden")
    assert page.locator("#details").is_visible()
    page.click("#delete")
    page.click("#ask-no")
    assert store.exists("readme.md")
    store.set("readme.md", "written meanwhile")
    page.click("#delete")
    page.click("#ask-yes")
    page.wait_for_selector("#problem:not([hidden])")
    assert store.get("readme.md") == "written meanwhile"
    page.reload()
    page.click("#delete")
    page.click("#ask-yes")
    wait_for_names(page, *(name for name in TOP if name != "readme.md"))
    assert not store.exists("readme.md")
    page.wait_for_selector("#details", state="hidden")


def test_a_sheet_on_a_narrow_screen(open_page, page_url):
    """At 390 pixels one blob is a sheet over the listing, which is left with the button, Escape, or a tap beside it."""
    page = open_page(page_url, viewport={"width": 390, "height": 844}, has_touch=True)
    wait_for_names(page, *TOP)

    def open_one():
        page.click("#rows >> text=big.txt")
        page.wait_for_selector("#details pre")

    open_one()
    wait_until(
        page, "Math.round(document.getElementById('details').getBoundingClientRect().bottom) === 844"
    )  # it slides in
    box = page.locator("#details").bounding_box()
    assert (box["x"], box["width"]) == (0, 390)
    assert box["y"] > 80
    assert page.locator("#details").get_attribute("role") == "dialog"
    assert page.evaluate("document.activeElement.id") == "close"
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate(
                "document.activeElement.closest('#details') !== null || document.activeElement === document.body"
            )
        )
    assert seen == {True}
    page.click("#close")
    page.wait_for_selector("#details", state="hidden")
    open_one()
    page.keyboard.press("Escape")
    page.wait_for_selector("#details", state="hidden")
    open_one()
    page.touchscreen.tap(195, 20)
    page.wait_for_selector("#details", state="hidden")
    page.click("#upload", trial=True)  # nothing is held any more


@pytest.mark.parametrize("how", ["none", "wrong", "old"])
def test_without_the_token(open_page, page_url, how):
    """Without the token of the printed URL there is one clear message, and nothing that could be pressed."""
    base = page_url.partition("/#")[0]
    page = open_page(base + "/" if how == "none" else f"{base}/#token=wrong" if how == "wrong" else page_url)
    if how == "old":  # the server was started anew while the page was open
        wait_for_names(page, *TOP)
        page.evaluate("sessionStorage.setItem('storage-token', 'old')")
        page.reload()
    page.wait_for_selector("#gate:not([hidden])")
    assert "storage serve" in page.locator("#gate").inner_text()
    assert page.get_by_role("button").count() == 0
    assert not page.locator("#upload").is_visible()
    assert names(page) == []
    page.goto(page_url)
    wait_for_names(page, *TOP)
    assert not page.locator("#gate").is_visible()
    assert page.locator("#upload").is_visible()


def test_another_page_cannot_call(open_page, page_url):
    """A page of another origin, in the same browser and even with the token, gets no answer from the page's calls."""
    from tests.browser.test_uploads_everywhere import app_page

    token = page_url.partition("#token=")[2]
    base = page_url.partition("/#")[0]
    with app_page() as elsewhere:
        page = open_page(elsewhere)
        outcome = page.evaluate(
            "([url, token]) => fetch(url, {method: 'POST', body: '{}',"
            " headers: {'Content-Type': 'application/json', 'X-Storage-Token': token}})"
            ".then(answer => answer.status, () => 'blocked')",
            [f"{base}/-/store", token],
        )
        assert outcome == "blocked"
        simple = "url => fetch(url, {method: 'POST', mode: 'no-cors', body: '{}'}).then(answer => answer.type, () => 'blocked')"
        assert page.evaluate(simple, f"{base}/-/store") == "blocked"
        framed = page.evaluate(
            "url => new Promise(done => { const frame = document.createElement('iframe'); frame.src = url;"
            " frame.onload = () => { let seen = 'blocked';"
            " try { seen = frame.contentDocument ? frame.contentDocument.title : 'blocked'; } catch {} done(seen); };"
            " document.body.append(frame); })",
            base + "/",
        )
        assert framed in ("blocked", "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height", [(1360, 860), (390, 844)])
def test_how_it_looks(open_page, page_url, screenshots, scheme, width, height):
    """Light and dark, wide and narrow: nothing is wider than the window, text stands out, and a picture is left to look at."""
    page = open_page(page_url, color_scheme=scheme, viewport={"width": width, "height": height})
    wait_for_names(page, *TOP)
    name = f"{scheme}-{'wide' if width > 900 else 'narrow'}"
    page.screenshot(path=screenshots / f"{name}-list.png")
    page.click("text=picture.png")
    wait_until(page, "document.querySelector('#details img')?.naturalWidth === 64")
    page.set_input_files("#files", [{"name": "readme.md", "mimeType": "text/markdown", "buffer": b"x"}])
    page.wait_for_selector("#queue li.failed")
    page.screenshot(path=screenshots / f"{name}-details.png")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("#delete")
    page.wait_for_selector("#ask[open]")
    page.screenshot(path=screenshots / f"{name}-question.png")
    for selector in TEXTS:
        contrast = page.evaluate(CONTRAST, selector)
        assert contrast >= 4.5, (selector, contrast)
    page = open_page(page_url.partition("#")[0], color_scheme=scheme, viewport={"width": width, "height": height})
    page.wait_for_selector("#gate:not([hidden])")
    page.screenshot(path=screenshots / f"{name}-no-token.png")
    assert page.evaluate(CONTRAST, "#gate p") >= 4.5


TEXTS = (
    "body", "#crumbs a", "td a", "td.number", "th button", ".primary", "dt", "#queue .state", "#delete", "#ask p", "#ask-yes",
)  # fmt: skip
CONTRAST = """selector => {
  const element = document.querySelector(selector);
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  let behind = element, back = [0, 0, 0, 0];
  while (behind) {
    back = parse(getComputedStyle(behind).backgroundColor);
    if (back.length === 3 || back[3] === 1) break;
    behind = behind.parentElement;
  }
  const [a, b] = [light(parse(getComputedStyle(element).color)), light(back)].sort((x, y) => y - x);
  return (a + .05) / (b + .05);
}"""
