"""The page on a bucket: the same page, and the browser talks to the bucket itself."""

from __future__ import annotations

import json
import os

import pytest

from storage import Storage
from tests.browser.conftest import served
from tests.browser.test_page import wait_for_names
from tests.emulators.gcs import gcs  # noqa: F401
from tests.emulators.s3 import seaweedfs  # noqa: F401

pytestmark = pytest.mark.browser


@pytest.fixture(params=["s3", "gs"])
def bucket(request, tmp_path):
    """A store in a bucket, its URL, and the environment in which another process finds the credentials."""
    server = request.getfixturevalue({"s3": "seaweedfs", "gs": "gcs"}[request.param])
    url = server.url()
    if request.param == "s3":
        auth = server.auth
        env = {"AWS_ACCESS_KEY_ID": auth["access_key_id"], "AWS_SECRET_ACCESS_KEY": auth["secret_access_key"]}
    else:
        auth = server.account()
        (tmp_path / "account.json").write_text(json.dumps(auth))
        env = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "account.json")}
    with Storage(url, auth) as store:
        yield store, url, env


def test_the_page_on_a_bucket(open_page, bucket, tmp_path):
    """List, preview, upload and download; before ``setup`` allowed the page, it says what to do."""
    store, url, env = bucket
    store.set("folder/note.txt", "héllo")
    data = os.urandom(2_000_000)
    (tmp_path / "up.bin").write_bytes(data)
    with served(url, "--browse", env=env) as (base, page_url):
        page = open_page(page_url)
        wait_for_names(page, "folder/")
        if url.startswith("gs:"):  # SeaweedFS lets every page in until a bucket has rules
            page.set_input_files("#files", tmp_path / "up.bin")
            page.wait_for_selector("#queue li.failed")
            assert f'setup(cors_origins=["{base}"])' in page.locator("#queue .state").inner_text()
            store.setup(cors_origins=[base])
            page.click("#queue >> text=Try again")
        else:
            store.setup(cors_origins=[base])
            page.set_input_files("#files", tmp_path / "up.bin")
        page.wait_for_selector("#queue li.done")
        assert store.get_bytes("up.bin") == data
        wait_for_names(page, "folder/", "up.bin")
        page.click("#rows >> text=up.bin")
        with page.expect_download() as download:
            page.click("#download")
        assert download.value.path().read_bytes() == data
        assert not download.value.url.startswith(base)
        page.goto(f"{base}/#/data/folder/note.txt")
        page.wait_for_selector("#details pre")
        assert page.locator("#details pre").inner_text() == "héllo"
