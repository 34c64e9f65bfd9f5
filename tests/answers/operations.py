"""Every operation of a store whose backend is on a network, on blobs that are known."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from storage import Storage, StorageError

__all__ = ["BIG", "FOLDER", "OPERATIONS", "PROBE", "SMALL", "Operation"]

SMALL = b"0123456789" * 10
BIG = bytes(range(250)) * 20  # in several parts and ranges, where those are of 1,000 bytes
NEW = bytes(range(249, -1, -1)) * 20
PROBE = b"the probe's own bytes"
FOLDER = {f"dir/k{n}": b"value of %d" % n for n in range(7)}


class Operation(NamedTuple):
    """One call.

    Attributes:
        run: makes it, in a directory of its own, and returns what is to be compared.
        free: the result may differ from the truth (it is a report).
        bucket: whether there is one before.
        listed: it changes what a listing tells of, which may be less than there is.
    """

    name: str
    run: Callable[[Storage, Path], Any]
    free: bool = False
    bucket: bool = True
    listed: bool = False


def to_file(store: Storage, directory: Path, key: str) -> Any:
    target = directory / "target"
    target.unlink(missing_ok=True)
    try:
        info = store.get_file(key, target)
    except StorageError:
        assert not target.exists(), "a named file appeared although the call failed"
        raise
    return info, target.read_bytes()


def to_object(store: Storage, key: str) -> Any:
    buffer = io.BytesIO()
    return store.get_file(key, buffer), buffer.getvalue()


def read_in_places(store: Storage) -> bytes:
    with store.open("big") as file:
        file.seek(-100, 2)
        tail = file.read()
        file.seek(10)
        return tail + file.read(50) + file.read()


def written(store: Storage, data: bytes, **options: Any) -> Any:
    with store.open("big", "wb", **options) as file:
        for start in range(0, len(data), 700):
            file.write(data[start : start + 700])
    return None


def from_file(store: Storage, directory: Path) -> Any:
    source = directory / "source"
    source.write_bytes(NEW)
    return store.set_file("big", source, metadata={"a": "1"})


def to_directory(store: Storage, directory: Path) -> Any:
    target = directory / "folder"
    shutil.rmtree(target, ignore_errors=True)
    count = 0
    try:
        count = store.get_dir("dir/", target)
    finally:
        found = {path.name: path.read_bytes() for path in target.glob("*")} if target.exists() else {}
        wrong = {name for name, data in found.items() if data != FOLDER.get(f"dir/{name}")}
        assert not wrong, "files that are not whole, or nobody's"
    assert count >= len(found), "more files than it says"  # a listing may name a blob twice
    return found


def from_directory(store: Storage, directory: Path) -> Any:
    source = directory / "sources"
    source.mkdir(exist_ok=True)
    for n in range(3):
        (source / f"{n}").write_bytes(b"%d" % n)
    return store.set_dir("up/", source)


def to_memory(store: Storage) -> dict[str, bytes]:
    with Storage("memory://") as other:
        store.sync_to(other, "data")
        return dict(other.get_many(other.iter_list()))


def at_if_match(store: Storage, call: Callable[[str], Any]) -> Any:
    return call(store.info("small").etag)


OPERATIONS = [
    Operation("get", lambda s, _: s.get("small")),
    Operation("get_bytes", lambda s, _: s.get_bytes("small")),
    Operation("get_bytes of a range", lambda s, _: s.get_bytes("small", start=10, end=20)),
    Operation("get_bytes from a place on", lambda s, _: s.get_bytes("small", start=90)),
    Operation("get_bytes past the end", lambda s, _: s.get_bytes("small", start=1_000)),
    Operation("get_bytes of a large blob", lambda s, _: s.get_bytes("big")),
    Operation("iter_bytes", lambda s, _: b"".join(s.iter_bytes("big", chunk_size=900))),
    Operation("iter_bytes of a range", lambda s, _: b"".join(s.iter_bytes("big", start=7, end=3_000))),
    Operation("open to read", lambda s, _: s.open("big").read()),
    Operation("open to read text", lambda s, _: s.open("small", "r").read()),
    Operation("open to read in places", lambda s, _: read_in_places(s)),
    Operation("get_file to a small file", lambda s, d: to_file(s, d, "small")),
    Operation("get_file to a large file", lambda s, d: to_file(s, d, "big")),
    Operation("get_file to an object", lambda s, _: to_object(s, "big")),
    Operation("get_many", lambda s, _: dict(s.get_many(["small", "probe", "dir/k1"]))),
    Operation("info", lambda s, _: s.info("small")),
    Operation("exists", lambda s, _: s.exists("small")),
    Operation("exists of an absent blob", lambda s, _: s.exists("absent")),
    Operation("set", lambda s, _: s.set("small", b"new", metadata={"a": "1"})),
    Operation("set of nothing", lambda s, _: s.set("small", b"")),
    Operation("set create-only", lambda s, _: s.set("made", b"new", overwrite=False)),
    Operation("set if it matches", lambda s, _: at_if_match(s, lambda etag: s.set("small", b"new", if_match=etag))),
    Operation("set of an iterator", lambda s, _: s.set("small", iter([b"n", b"ew"]))),
    Operation("set of a large iterator", lambda s, _: s.set("big", iter([NEW[:1700], NEW[1700:]]))),
    Operation("set of a large iterator, create-only", lambda s, _: s.set("made", iter([NEW[:99], NEW[99:]]), overwrite=False)),
    Operation("set_file", from_file),
    Operation("open to write", lambda s, _: written(s, NEW)),
    Operation("open to write a little", lambda s, _: written(s, b"new")),
    Operation("set_many", lambda s, _: s.set_many({f"many/{n}": b"%d" % n for n in range(4)})),
    Operation("delete", lambda s, _: s.delete("small")),
    Operation("delete of an absent blob", lambda s, _: s.delete("absent", missing_ok=True)),
    Operation("delete_many", lambda s, _: s.delete_many(["small", "dir/k1", "absent"])),
    Operation("copy", lambda s, _: s.copy("small", "copied")),
    Operation("copy create-only", lambda s, _: s.copy("small", "copied", overwrite=False)),
    Operation("move", lambda s, _: s.move("small", "moved")),
    Operation("list", lambda s, _: s.list("dir/")),
    Operation("list of two", lambda s, _: s.list("dir/", limit=2, start_after="dir/k1")),
    Operation("iter_list", lambda s, _: list(s.iter_list("dir/"))),
    Operation("iter_info", lambda s, _: list(s.iter_info("dir/"))),
    Operation("iter_dir", lambda s, _: list(s.iter_dir())),
    Operation("sync_to", lambda s, _: to_memory(s)),
    Operation("get_bytes of the last bytes", lambda s, _: s.get_bytes("small", start=-10)),
    Operation("iter_bytes of the last bytes", lambda s, _: b"".join(s.iter_bytes("big", start=-3_000))),
    Operation("delete of one version", lambda s, _: at_if_match(s, lambda etag: s.delete("small", if_match=etag))),
    Operation("copy of one version", lambda s, _: at_if_match(s, lambda etag: s.copy("small", "copied", if_match=etag))),
    Operation("move of one version", lambda s, _: at_if_match(s, lambda etag: s.move("small", "moved", if_match=etag))),
    Operation("set_metadata", lambda s, _: s.set_metadata("small", metadata={"a": "1"})),
    Operation("set_metadata of one version", lambda s, _: at_if_match(
        s, lambda etag: s.set_metadata("small", content_type="a/b", if_match=etag))),
    Operation("delete_prefix", lambda s, _: s.delete_prefix("dir/") >= 0, listed=True),
    Operation("list between bounds", lambda s, _: s.list("dir/", start_after="dir/k1", end_before="dir/k5")),
    Operation("iter_info between bounds", lambda s, _: list(s.iter_info(start_after="dir/k0", end_before="probe"))),
    Operation("get_dir", to_directory),
    Operation("set_dir", from_directory),
    Operation("setup that makes the bucket", lambda s, _: s.setup(create_bucket=True), free=True, bucket=False),
    Operation("setup of CORS", lambda s, _: s.setup(cors_origins=["https://a.example"]), free=True),
    Operation("setup of expiry", lambda s, _: s.setup(tmp_days=3), free=True),
    Operation("check", lambda s, _: s.check(), free=True),
]  # fmt: skip
