"""Stores the standard library of this Python in a Storage, lists it, reads it back, compares it, and loses two races.

    python examples/demo.py [URL]

Without a URL the store is the embedded default. Nothing below knows which backend it talks to. The store stays behind.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from typing_extensions import Self

from storage import AlreadyExistsError, PreconditionFailedError, Storage, StorageError

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ROOT = Path(sysconfig.get_path("stdlib"))
KEYS = f"python{VERSION}/"  # what every key of the demo begins with
MANIFEST = f"{KEYS}sha256.txt"
# Sources and what belongs to them are data; compiled files can be made again, so they are tmp.
TYPES = ("data", "tmp")
WIDTH = 96


def main(url: str | None = None) -> int:
    """Runs the demo against ``url``; the process's exit status."""
    with Storage(url) as storage:
        title(f"storage demo · {storage!r}")
        files = source_files()
        sums = store(storage, files)
        keep_manifest(storage, sums)
        list_by_prefix(storage)
        missing = list_everything(storage, sums)
        different = read_back(storage, sums)
        lose_two_races(storage)
        read_a_piece(storage)
        say_where(storage, sums)
        return 1 if missing or different else 0


def source_files() -> dict[str, list[Path]]:
    """The files of the standard library, by the storage type that they go under."""
    files: dict[str, list[Path]] = {kind: [] for kind in TYPES}
    for path in sorted(ROOT.rglob("*")):
        if path.is_file() and not {"site-packages", "dist-packages"} & set(path.parts):
            files["tmp" if path.suffix == ".pyc" else "data"].append(path)
    return files


def key_of(path: Path) -> str:
    """``python3.12/asyncio/events.py``: the path below the library, as a key."""
    return KEYS + path.relative_to(ROOT).as_posix()


def store(storage: Storage, files: dict[str, list[Path]]) -> dict[tuple[str, str], str]:
    """Stores all files; the SHA-256 of each, by (storage type, key)."""
    title(f"1 · Store the standard library of Python {VERSION}")
    line("from", str(ROOT))
    sums: dict[tuple[str, str], str] = {}
    for kind, paths in files.items():
        with Meter(f"set_many  → {kind}", len(paths)) as meter:
            storage.set_many(read_files(paths, kind, sums, meter), kind)
    return sums


def read_files(
    paths: Iterable[Path], kind: str, sums: dict[tuple[str, str], str], meter: Meter
) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of each file, read when the store wants the next one."""
    for path in paths:
        data = path.read_bytes()
        sums[kind, key_of(path)] = hashlib.sha256(data).hexdigest()
        meter.count(len(data))
        yield key_of(path), data


def keep_manifest(storage: Storage, sums: dict[tuple[str, str], str]) -> None:
    """Stores the checksums as a blob of type ``result``, with metadata."""
    text = "".join(f"{digest}  {kind}/{key}\n" for (kind, key), digest in sums.items())
    info = storage.set(MANIFEST, text, "result", metadata={"python": sys.version.split()[0], "blobs": str(len(sums))})
    line("set       → result", f"{info.key}, {info.size:,} bytes, {info.content_type}, {dict(info.metadata or {})}")


def list_by_prefix(storage: Storage) -> None:
    """Shows one level, a package, and all of it."""
    title("2 · List it by prefix")
    level = list(storage.iter_dir(KEYS))
    folders = [entry for entry in level if isinstance(entry, str)]
    line(f"iter_dir({KEYS!r})", f"{len(folders):,} folders, {len(level) - len(folders):,} blobs on one level")
    for prefix in ("asyncio/", "json/", "op"):  # the last one is no folder: a prefix is a string
        keys = storage.list(KEYS + prefix)
        names = ", ".join(key.removeprefix(KEYS) for key in keys[:3])
        line(f"list({KEYS + prefix!r})", f"{len(keys):,} keys: {names}{', …' if len(keys) > 3 else ''}")


def list_everything(storage: Storage, sums: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    """Lists every blob with its size; what was stored and is not listed."""
    missing = set(sums)
    for kind in TYPES:
        with Meter(f"iter_info ← {kind}", moved=False) as meter:
            for info in storage.iter_info(KEYS, kind):
                meter.count(info.size)
                missing.discard((kind, info.key))
    line("listed", f"{len(sums) - len(missing):,} of {len(sums):,} that were stored")
    return missing


def read_back(storage: Storage, sums: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
    """Reads every blob and compares its checksum; what differs."""
    title("3 · Read everything back and compare the checksums")
    different: list[tuple[str, str]] = []
    for kind in TYPES:
        keys = [key for key_kind, key in sums if key_kind == kind]
        with Meter(f"get_many  ← {kind}", len(keys)) as meter:
            for key, data in storage.get_many(keys, kind):
                meter.count(len(data))
                if hashlib.sha256(data).hexdigest() != sums[kind, key]:
                    different.append((kind, key))
    line("compared", f"{len(sums):,} checksums, {len(different):,} different")
    return different


def lose_two_races(storage: Storage) -> None:
    """Shows what a conditional write raises when another writer was first."""
    title("4 · Two conditional writes that lose")
    key = f"{KEYS}counter.txt"
    seen = storage.set(key, "1")
    line("set", f"{key} = '1', etag {seen.etag}")
    try:
        storage.set(key, "mine", overwrite=False)
    except AlreadyExistsError as error:
        shown("set(…, overwrite=False)", error)
    storage.set(key, "2")  # somebody else was faster
    try:
        storage.set(key, "mine", if_match=seen.etag)
    except PreconditionFailedError as error:
        shown("set(…, if_match=the old etag)", error)
    line("get", f"{key} = {storage.get(key)!r}: neither write was done")


def say_where(storage: Storage, sums: dict[tuple[str, str], str]) -> None:
    """Says what stays behind, and where."""
    title("The store stays behind")
    line("where", repr(storage))
    line("blobs", ", ".join(f"{count:,} of type {kind}" for kind, count in Counter(kind for kind, _ in sums).items()))
    location = storage.backend.location
    if location.startswith("file://"):
        directory = location.removeprefix("file://")
        line("a blob is a plain file", f"{directory}/data/{KEYS}this.py")
        line("to remove it", f"rm -r {directory}")
    elif storage.backend.scheme != "memory":
        line("to remove it", f"storage rm -r {KEYS} --url URL, for each --type of data, tmp and result")


def read_a_piece(storage: Storage) -> None:
    """Reads a few bytes, and a few lines, of a blob."""
    title("5 · Read a piece")
    key = f"{KEYS}this.py"
    line("get_bytes(start=4, end=26)", repr(storage.get_bytes(key, start=4, end=26)))
    with storage.open(key, "r") as file:
        line("open(key, 'r')", repr(file.readline()))


# ---- printing ----------------------------------------------------------------------------------------------------


class Meter:
    """Counts what goes through a block, and prints how much and how fast."""

    def __init__(self, name: str, total: int | None = None, *, moved: bool = True) -> None:
        self.name, self.total, self.moved = name, total, moved
        self.blobs = self.bytes = 0

    def count(self, size: int) -> None:
        """One more blob of ``size`` bytes."""
        self.blobs += 1
        self.bytes += size
        if sys.stderr.isatty() and self.blobs % 50 == 0:
            sys.stderr.write(f"\r  {self.name:<30} {self.blobs:,} of {self.total or '…'}\033[K")

    def __enter__(self) -> Self:
        self.started = time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        seconds = time.perf_counter() - self.started
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")
        if exc[0] is None:
            rates = f"{self.blobs / seconds:>8,.0f} blobs/s"
            if self.moved:
                rates += f"  {size(self.bytes / seconds):>9}/s"
            line(self.name, f"{self.blobs:>6,} blobs  {size(self.bytes):>9}  {seconds:>6.2f} s  {rates}")


def size(count: float) -> str:
    """``count`` bytes for a reader."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def title(text: str) -> None:
    """A heading."""
    print(f"\n── {text} {'─' * (WIDTH - 4 - len(text))}", flush=True)


def line(name: str, text: str) -> None:
    """One thing that was done, and what came of it."""
    print(f"  {name:<30} {text}", flush=True)


def shown(call: str, error: StorageError) -> None:
    """An exception, as a user meets it."""
    line(call, f"✗ {type(error).__name__}")
    print(f"      {error}")


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:2]))
    except StorageError as error:
        sys.exit(f"{type(error).__name__}: {error}")
