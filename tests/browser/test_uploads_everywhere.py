"""One page of somebody's application, one test, every backend: upload from the browser, download with a signed URL."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from storage import Storage
from tests.emulators.gcs import gcs  # noqa: F401
from tests.emulators.s3 import seaweedfs  # noqa: F401

pytestmark = pytest.mark.browser

# What an application would ship: a file goes up by the signed request, and comes back by the signed URL.
PAGE = b"""<!doctype html><meta charset="utf-8"><title>An application</title><input type="file" id="file"><script>
async function upload(request, file) {
  const headers = {...request.headers};
  for (const name of Object.keys(headers)) if (name.toLowerCase() === "content-length") delete headers[name];
  const answer = await fetch(request.url, {method: request.method, headers, body: file});
  return answer.status;
}
async function download(url) {
  const answer = await fetch(url);
  const data = new Uint8Array(await crypto.subtle.digest("SHA-256", await answer.clone().arrayBuffer()));
  return [answer.status, [...data].map(byte => byte.toString(16).padStart(2, "0")).join(""), answer.headers.get("etag") !== null];
}
</script>"""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def app_page() -> Iterator[str]:
    """The application's page, on an origin of its own."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["memory", "file", "s3", "gs"])
def store(request: pytest.FixtureRequest, tmp_path) -> Iterator[Storage]:
    """A store: all that differs between backends is the URL."""
    if request.param == "memory":
        where: dict[str, Any] = {"url": f"memory://{uuid.uuid4().hex}"}
    elif request.param == "file":
        where = {"url": f"file://{tmp_path}/store"}
    else:
        server = request.getfixturevalue({"s3": "seaweedfs", "gs": "gcs"}[request.param])
        where = {"url": server.url(), "auth": server.auth if request.param == "s3" else server.account()}
    with Storage(**where) as storage:
        yield storage


def test_upload_and_download(open_page, store, tmp_path):
    """A page that ``setup(cors_origins=…)`` allows uploads a file and reads it back; what is bound holds for it, too."""
    import hashlib

    data = os.urandom(300_000)
    (tmp_path / "photo.jpg").write_bytes(data)
    with app_page() as origin:
        store.setup(cors_origins=[origin])
        page = open_page(origin)
        page.set_input_files("#file", tmp_path / "photo.jpg")
        signed = store.sign_upload(
            "photos/p 1.jpg", content_type="image/jpeg", content_length=len(data), overwrite=False
        )
        send = "([request]) => upload(request, document.querySelector('#file').files[0])"
        request = {"method": signed.method, "url": signed.url, "headers": dict(signed.headers)}
        assert page.evaluate(send, [request]) in (200, 201, 204)
        info = store.info("photos/p 1.jpg")
        assert (info.size, info.content_type) == (len(data), "image/jpeg")
        status, digest, etag = page.evaluate("url => download(url)", store.get_signed_url("photos/p 1.jpg"))
        assert (status, digest) == (200, hashlib.sha256(data).hexdigest())
        assert etag


@pytest.fixture(params=["memory", "file", "s3", "gs"])
def example(request, tmp_path):
    """``examples/browser_upload.py`` on each backend: the address of its page."""
    env = {}
    if request.param == "memory":
        url = "memory://"
    elif request.param == "file":
        url = f"file://{tmp_path}/store"
    elif request.param == "s3":
        server = request.getfixturevalue("seaweedfs")
        url, auth = server.url(), server.auth
        env = {"AWS_ACCESS_KEY_ID": auth["access_key_id"], "AWS_SECRET_ACCESS_KEY": auth["secret_access_key"]}
    else:
        server = request.getfixturevalue("gcs")
        url = server.url()
        (tmp_path / "account.json").write_text(json.dumps(server.account()))
        env = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "account.json")}
    command = [sys.executable, "examples/browser_upload.py", url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **env}
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(20)


def test_the_example(open_page, example, tmp_path):
    """``examples/browser_upload.py`` does what the docs say: a file goes up, is listed, comes down, and is not replaced."""
    data = os.urandom(1_000_000)
    (tmp_path / "photo 1.jpg").write_bytes(data)
    page = open_page(example)
    page.set_input_files("#file", tmp_path / "photo 1.jpg")
    page.wait_for_selector("#list a")
    assert page.locator("#said").inner_text() == "photo 1.jpg is stored"
    with page.expect_download() as download:
        page.click("text=photo 1.jpg >> nth=-1")
    assert download.value.path().read_bytes() == data
    page.set_input_files("#file", [])
    page.set_input_files("#file", tmp_path / "photo 1.jpg")
    page.wait_for_selector("text=there is a file of this name already")


def test_the_form_of_the_example(open_page, example, tmp_path):
    """Its form takes a picture of just the limit, and none that is larger by a byte: the store itself refuses it."""
    data = os.urandom(1_000_000)
    (tmp_path / "small.png").write_bytes(data)
    (tmp_path / "large.png").write_bytes(data + b"x")
    page = open_page(example)
    page.set_input_files("#picture", tmp_path / "large.png")
    page.wait_for_selector("#said:text-matches('refused it|Failed to fetch')")
    assert page.locator("#list a").count() == 0
    page.set_input_files("#picture", tmp_path / "small.png")
    page.wait_for_selector("#list a")
    assert page.locator("#list a").all_inner_texts() == ["small.png"]
    with page.expect_download() as download:
        page.click("#list a")
    assert download.value.path().read_bytes() == data
