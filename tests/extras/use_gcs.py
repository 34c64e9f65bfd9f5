"""The GCS driver: one argument, the URL of an empty store; a service account's file is named in the environment."""

import sys
import urllib.request

import google_crc32c

from storage import AlreadyExistsError, NotFoundError, Storage

with Storage(sys.argv[1]) as store:
    info = store.set("a/é.txt", "text", metadata={"x": "é"}, content_type="text/plain")
    assert store.info("a/é.txt").etag == info.etag
    assert store.get("a/é.txt") == "text"
    assert store.get_bytes("a/é.txt", start=-2) == b"xt"
    try:
        store.set("a/é.txt", "", overwrite=False)
        raise AssertionError
    except AlreadyExistsError:
        pass
    try:
        store.get("absent")
        raise AssertionError
    except NotFoundError:
        pass
    store.set("big", iter([bytes(6_000_000)] * 2))
    assert store.info("big").size == 12_000_000
    store.copy("a/é.txt", "b")
    assert store.list() == ["a/é.txt", "b", "big"]
    with urllib.request.urlopen(store.get_signed_url("b")) as answer:
        assert answer.read() == b"text"
    assert store.delete_prefix("b") == 2
    store.delete("a/é.txt")
    assert store.list() == []
    assert [bucket.name for bucket in store.backend.client.list_buckets()]
assert google_crc32c.implementation == "c"  # the one in Python takes a second for 10 MB
