"""What a copy makes of its source where the answers about it are wrong."""

from __future__ import annotations

import pytest

from storage import Storage
from storage.testing.faults import FaultProxy, answer


@pytest.mark.parametrize("call", ["set_metadata", "copy"])
def test_a_head_that_says_that_there_is_nothing(store: Storage, proxy: FaultProxy, call: str) -> None:
    """Some proxies give every answer to a HEAD a length of 0: no bytes are lost to that, in what is written from them."""
    etag = store.set("a", b"bytes that must stay").etag
    told = answer(200, b"", {"ETag": f'"{etag}"', "Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"})
    proxy.plan = lambda request: told if request.method == "HEAD" else None
    if call == "copy":
        store.copy("a", "b", overwrite=False)
    else:
        store.set_metadata("a", metadata={"m": "1"})
    proxy.plan = None
    assert store.get("a") == "bytes that must stay"
    assert call != "copy" or store.get("b") == "bytes that must stay"
