"""obspec: a store under its names, synchronous and asynchronous."""

import asyncio

from obspec.exceptions import NotFoundError

from storage import Storage
from storage.integrations.obspec import ObspecStore

store = ObspecStore(Storage("memory://"))
store.put("a/b", b"0123456789")
assert store.get_range("a/b", start=2, end=4) == b"23"
assert asyncio.run(store.head_async("a/b"))["size"] == 10
assert [meta["path"] for page in store.list("a") for meta in page] == ["a/b"]
try:
    store.get("absent")
    raise AssertionError
except NotFoundError:
    pass
