"""Directories and memory: this library, the bare system calls, and what others offer there."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from benchmarks.peers import Peer
from storage import Storage
from storage.backends import PutOptions
from storage.backends.filesystem import _records, _system

_OPTIONS = PutOptions("application/octet-stream")


class OursFile(Peer):
    name = "storage file://"
    package = "storage-facade"
    query = "?fsync=false&types=data:"

    def __init__(self, root: str) -> None:
        self.store = Storage(f"file://{root}/ours{self.query}")

    def put(self, key: str, data: bytes) -> object:
        return self.store.set(key, data)

    def get(self, key: str) -> bytes:
        return self.store.get_bytes(key)

    def exists(self, key: str) -> bool:
        return self.store.exists(key)

    def delete(self, key: str) -> object:
        return self.store.delete(key)

    def count(self, prefix: str) -> int:
        return sum(1 for _ in self.store.iter_list(prefix))


class OursFileSync(OursFile):
    name = "storage file://"
    query = "?types=data:"

    def set_many(self, items: dict[str, bytes]) -> object:
        return self.store.set_many(items)


class OursMemory(OursFile):
    name = "storage memory://"

    def __init__(self, root: str) -> None:
        del root
        self.store = Storage("memory://?types=data:")


class Bare(Peer):
    """open, write, rename; no lock, no metadata, no containment."""

    name = "bare system calls"
    sync = False

    def __init__(self, root: str) -> None:
        self.root = f"{root}/bare/"
        os.makedirs(self.root)

    def put(self, key: str, data: bytes) -> object:
        path = self.root + key
        temporary = f"{path}.{secrets.token_hex(4)}"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(handle, data)
        if self.sync:
            os.fsync(handle)
        os.close(handle)
        os.rename(temporary, path)
        if self.sync:
            directory = os.open(os.path.dirname(path), os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)
        return None

    def get(self, key: str) -> bytes:
        handle = os.open(self.root + key, os.O_RDONLY)
        data = os.read(handle, os.fstat(handle).st_size)
        os.close(handle)
        return data

    def exists(self, key: str) -> bool:
        return os.path.exists(self.root + key)

    def delete(self, key: str) -> object:
        return os.unlink(self.root + key)

    def count(self, prefix: str) -> int:
        return len(
            sorted(os.path.join(place, name) for place, _, names in os.walk(self.root + prefix) for name in names)
        )


class BareSync(Bare):
    """Open, write, fsync, rename, and fsync of the directory."""

    sync = True

    def set_many(self, items: dict[str, bytes]) -> object:
        for key, data in items.items():
            self.put(key, data)
        return None


class EightThreads(Peer):
    """The system calls of a durable ``set``, in eight threads: containment, locks and metadata too, and nothing else."""

    name = "the same system calls, 8 threads"

    def __init__(self, root: str) -> None:
        self.root = f"{root}/threads/"
        os.makedirs(f"{self.root}new")
        self.top = os.fsencode(self.root)
        self.staging = os.open(f"{self.root}new", os.O_RDONLY)

    def put(self, key: str, data: bytes) -> object:
        folder_name, _, name = key.rpartition("/")
        temporary = secrets.token_hex(20)
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=self.staging)
        flock(file, LOCK_EX | LOCK_NB)
        os.write(file, data)
        _records.attach(file, _records.encode(b"12345678", os.fstat(file), _OPTIONS))
        os.fsync(file)
        self.look(file, data)
        try:
            folder = _system.open_inside(self.top, folder_name, _system.DIRECTORY)
        except FileNotFoundError:
            os.makedirs(self.root + folder_name, exist_ok=True)
            folder = _system.open_inside(self.top, folder_name, _system.DIRECTORY)
        flock(folder, LOCK_EX)
        os.rename(temporary, name, src_dir_fd=self.staging, dst_dir_fd=folder)
        os.fsync(folder)
        os.close(folder)
        os.close(file)
        return None

    def look(self, file: int, data: bytes) -> None:
        """Called before the file gets its name."""

    def set_many(self, items: dict[str, bytes]) -> object:
        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(self.put, items, items.values()))


class EightThreadsReadBack(EightThreads):
    """Those, and each file is read back, and its bytes compared, before it gets its name."""

    name = "the same system calls and a read-back, 8 threads"

    def __init__(self, root: str) -> None:
        super().__init__(f"{root}/read-back")

    def look(self, file: int, data: bytes) -> None:
        assert os.pread(file, len(data), 0) == data


class ObstoreLocal(Peer):
    name = "obstore LocalStore"
    package = "obstore"

    def __init__(self, root: str) -> None:
        from obstore.store import LocalStore

        self.store = LocalStore(f"{root}/obstore", mkdir=True)

    def put(self, key: str, data: bytes) -> object:
        return self.store.put(key, data)

    def get(self, key: str) -> bytes:
        return bytes(self.store.get(key).bytes())

    def exists(self, key: str) -> bool:
        return bool(self.store.head(key))

    def delete(self, key: str) -> object:
        return self.store.delete(key)

    def count(self, prefix: str) -> int:
        # It promises no order, so a caller sorts.
        return len(sorted(meta["path"] for page in self.store.list(prefix, chunk_size=1000) for meta in page))


class ObstoreMemory(ObstoreLocal):
    name = "obstore MemoryStore"

    def __init__(self, root: str) -> None:
        from obstore.store import MemoryStore

        del root
        self.store = MemoryStore()  # type: ignore[assignment]


class OpenDALFile(Peer):
    name = "opendal fs"
    package = "opendal"

    def __init__(self, root: str) -> None:
        import opendal

        self.operator = opendal.Operator("fs", root=f"{root}/opendal", atomic_write_dir=f"{root}/opendal-staged")

    def put(self, key: str, data: bytes) -> object:
        return self.operator.write(key, data)

    def get(self, key: str) -> bytes:
        return bytes(self.operator.read(key))

    def exists(self, key: str) -> bool:
        return bool(self.operator.exists(key))

    def delete(self, key: str) -> object:
        return self.operator.delete(key)

    def count(self, prefix: str) -> int:
        return len(sorted(entry.path for entry in self.operator.scan(prefix) if not entry.path.endswith("/")))


class OpenDALMemory(OpenDALFile):
    name = "opendal memory"

    def __init__(self, root: str) -> None:
        import opendal

        del root
        self.operator = opendal.Operator("memory")


class FsspecFile(Peer):
    name = "fsspec file"
    package = "fsspec"

    def __init__(self, root: str) -> None:
        import fsspec

        self.fs = fsspec.filesystem("file", auto_mkdir=True, skip_instance_cache=True)
        self.root = f"{root}/fsspec/"

    def put(self, key: str, data: bytes) -> object:
        return self.fs.pipe_file(self.root + key, data)

    def get(self, key: str) -> bytes:
        return self.fs.cat_file(self.root + key)

    def exists(self, key: str) -> bool:
        return self.fs.exists(self.root + key)

    def delete(self, key: str) -> object:
        return self.fs.rm_file(self.root + key)

    def count(self, prefix: str) -> int:
        return len(self.fs.find(self.root + prefix))


class FsspecMemory(FsspecFile):
    name = "fsspec memory"

    def __init__(self, root: str) -> None:
        import fsspec

        self.fs = fsspec.filesystem("memory", skip_instance_cache=True)
        self.root = f"{root}/fsspec/"


class Minimalkv(Peer):
    name = "minimalkv FilesystemStore"
    package = "minimalkv"

    def __init__(self, root: str) -> None:
        from minimalkv.fs import FilesystemStore

        os.makedirs(f"{root}/minimalkv")
        self.store = FilesystemStore(f"{root}/minimalkv")

    def _key(self, key: str) -> str:
        return key.replace("/", "-")  # a slash is no part of its keys

    def put(self, key: str, data: bytes) -> object:
        return self.store.put(self._key(key), data)

    def get(self, key: str) -> bytes:
        return self.store.get(self._key(key))

    def exists(self, key: str) -> bool:
        return self._key(key) in self.store

    def delete(self, key: str) -> object:
        return self.store.delete(self._key(key))


class Diskcache(Peer):
    name = package = "diskcache"

    def __init__(self, root: str) -> None:
        import diskcache

        self.cache = diskcache.Cache(f"{root}/diskcache", eviction_policy="none")

    def put(self, key: str, data: bytes) -> object:
        return self.cache.set(key, data)

    def get(self, key: str) -> bytes:
        return self.cache[key]

    def exists(self, key: str) -> bool:
        return key in self.cache

    def delete(self, key: str) -> object:
        return self.cache.delete(key)


class Cloudpathlib(Peer):
    name = "cloudpathlib local"
    package = "cloudpathlib"

    def __init__(self, root: str) -> None:
        from cloudpathlib.local import LocalS3Client

        self.root = LocalS3Client(local_storage_dir=f"{root}/cloudpathlib").CloudPath("s3://bench")
        Path(f"{root}/cloudpathlib/bench").mkdir(parents=True)

    def put(self, key: str, data: bytes) -> object:
        return (self.root / key).write_bytes(data)

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def exists(self, key: str) -> bool:
        return (self.root / key).exists()

    def delete(self, key: str) -> object:
        return (self.root / key).unlink()


class SmartOpen(Peer):
    name = "smart_open file"
    package = "smart-open"

    def __init__(self, root: str) -> None:
        import smart_open

        self.opener = smart_open.open
        self.root = f"{root}/smart/"
        self.made: set[str] = set()

    def put(self, key: str, data: bytes) -> object:
        folder = self.root + key.rpartition("/")[0]
        if folder not in self.made:  # it makes none
            os.makedirs(folder)
            self.made.add(folder)
        with self.opener(self.root + key, "wb") as file:
            return file.write(data)

    def get(self, key: str) -> bytes:
        with self.opener(self.root + key, "rb") as file:
            return file.read()


FILE = [
    OursFile, Bare, ObstoreLocal, OpenDALFile, FsspecFile, Minimalkv, Diskcache, Cloudpathlib, SmartOpen,
]  # fmt: skip
MEMORY = [OursMemory, ObstoreMemory, OpenDALMemory, FsspecMemory]
