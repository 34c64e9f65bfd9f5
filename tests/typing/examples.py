"""What a type checker must say of programs that use the library. It is checked, never run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from typing_extensions import assert_type
from urllib3.util.retry import Retry

from storage import AsyncStorage, NotFoundError, ObjectInfo, SignedRequest, Storage, StorageError, StorageURL, register
from storage.backends import Backend
from storage.backends.memory import MemoryBackend

# Every way to make one.
Storage()
Storage("memory://")
Storage(Path("/var/blobs"))
Storage("s3://bucket", {"access_key_id": "a", "secret_access_key": "b"}, 5)
Storage("memory://", retries=Retry(total=3), timeout=3)
Storage("memory://", timeout=(1, 2.5), storage_types={"data": "data/", "cache": "memory://x"})
Storage(backend=MemoryBackend())
Storage(storage_types={"a": "a/", "b": MemoryBackend()})


class Mine(Storage):
    """A subclass keeps its type through ``with``."""

    TIMEOUT = (1.0, 2.0)


with Mine("memory://") as mine:
    assert_type(mine, Mine)

with Storage("memory://") as storage:
    assert_type(storage, Storage)
    assert_type(storage.backend, Backend)
    assert_type(storage.backend.client, Any)

    # What can be stored.
    assert_type(storage.set("k", "text"), ObjectInfo)
    storage.set("k", b"bytes")
    storage.set("k", bytearray(b"bytes"))
    storage.set("k", memoryview(b"bytes"))
    storage.set("k", io.BytesIO(b"bytes"))
    storage.set("k", io.StringIO("text"))
    storage.set("k", iter([b"a", b"b"]))
    storage.set("k", [b"a", b"b"])
    storage.set("k", "text", "tmp", content_type="text/plain", metadata={"a": "b"}, overwrite=False)
    storage.set("k", "text", if_match="etag", cache_control="no-store", content_encoding="gzip")

    # What comes back.
    assert_type(storage.get("k"), str)
    assert_type(storage.get_bytes("k", start=1, end=None), bytes)
    assert_type(storage.iter_bytes("k", chunk_size=10), Iterator[bytes])
    assert_type(storage.exists("k"), bool)
    assert_type(storage.list("p", "tmp", limit=10, start_after="a"), list[str])
    assert_type(storage.iter_list("p"), Iterator[str])
    assert_type(storage.iter_info(), Iterator[ObjectInfo])
    for entry in storage.iter_dir():
        assert_type(entry, str | ObjectInfo)
    for key, data in storage.get_many(["a", "b"], concurrency=3):
        assert_type(key, str)
        assert_type(data, bytes)
    storage.set_many({"a": "text", "b": "more"})
    storage.set_many({"a": "text", "b": b"bytes", "c": [b"pieces"]})
    storage.set_many([("a", "text"), ("b", b"bytes")])
    storage.delete_many(key for key in storage.iter_list())
    storage.delete("k", missing_ok=True)
    assert_type(storage.copy("a", "b", new_storage_type="tmp", overwrite=False), ObjectInfo)
    assert_type(storage.move("a", "b"), ObjectInfo)

    # Files.
    assert_type(storage.set_file("k", "name", progress=print), ObjectInfo)
    assert_type(storage.set_file("k", Path("name")), ObjectInfo)
    assert_type(storage.get_file("k", io.BytesIO()), ObjectInfo)
    assert_type(storage.open("k"), BinaryIO)
    assert_type(storage.open("k", "rb"), BinaryIO)
    assert_type(storage.open("k", "wb", "tmp", metadata={}), BinaryIO)
    assert_type(storage.open("k", "r", encoding="latin-1"), TextIO)
    assert_type(storage.open("k", "w", newline=""), TextIO)

    # What is known of a blob.
    info = storage.info("k")
    assert_type(info.size, int)
    assert_type(info.last_modified, datetime)
    assert_type(info.content_type, str | None)

    # Signed requests.
    assert_type(storage.get_signed_url("k", expires_in=timedelta(hours=1)), str)
    assert_type(storage.get_upload_url("k", content_type="text/plain"), str)
    assert_type(storage.sign_upload("k", expires_in=60, content_length=3, overwrite=False), SignedRequest)
    assert_type(storage.sign_download("k", method="HEAD"), SignedRequest)

try:
    Storage("memory://").get("k")
except NotFoundError as error:
    assert_type(error.key, str | None)
except StorageError as error:
    assert_type(error.url, str | None)


async def asynchronously(storage: AsyncStorage, items: dict[str, bytes] | list[tuple[str, bytes]]) -> None:
    """The same, awaited."""
    await storage.set_many({"a": "text", "b": b"bytes"})
    await storage.set_many([("a", "text"), ("b", b"bytes")])
    await storage.set_many(items, "tmp", concurrency=3)


def factory(url: StorageURL, *, auth: Any, retries: object, timeout: object) -> Backend:
    """A factory of a third party."""
    url.options(region=str, fast=bool, style=("a", "b"))
    del auth, retries, timeout
    return MemoryBackend()


register("mine", factory)
