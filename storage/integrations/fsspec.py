"""fsspec: a ``Storage`` as a file system, for pandas, polars, pyarrow, dask, DuckDB, UPath and whatever else takes one.

Two ways in. ``StorageFileSystem(storage)`` shows the blobs of one storage type; a path is a key. A URL such as
``storage+s3://BUCKET/KEY`` shows everything in the bucket; it needs no object, so other processes can open it too.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import IO, Any, ClassVar, cast
from urllib.parse import quote, urlencode

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.spec import AbstractFileSystem

from storage import NotFoundError, ObjectInfo, Storage
from storage._facade.concurrent import ordered_map
from storage.integrations._fsspec_files import CompressedFile, TranslatedFile, WrittenText, translated

__all__ = ["StorageFileSystem"]

_PREFIX = "storage+"
# What fsspec gives to any file system; all else are parameters of the URL.
_FSSPEC_OPTIONS = {"asynchronous", "listings_expiry_time", "loop", "max_paths", "use_listings_cache"}
# One store a URL in this process: fsspec makes a file system for each path that it is given.
_opened = functools.lru_cache(64)(Storage)


class StorageFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The blobs of a store as fsspec's files. A folder is there as long as a blob is below it; making one does nothing.

    Args:
        storage: the store; paths are the keys of one of its types. ``None``: the URL says where, and paths are below it.
        storage_type: which of the store's types is shown.
        url: ``file:///DIR``, ``s3://BUCKET``, ``gs://BUCKET`` or ``memory://NAME``, in place of ``storage``: everything below it
            is shown. fsspec makes it from a path such as ``storage+s3://BUCKET/KEY``.
        auth: as for ``Storage``, with ``url``.
        root: with ``storage+file://``: the directory that the store begins in.
        options: query parameters of ``url``, as in ``endpoint_url="http://localhost:9000"``.

    Errors come as users of fsspec catch them: ``FileNotFoundError``, ``FileExistsError``, ``PermissionError``, each with the
    library's own as ``__cause__``. All others are the library's.
    """

    protocol: ClassVar[tuple[str, ...]] = tuple(_PREFIX + scheme for scheme in ("memory", "file", "s3", "gs"))
    root_marker = ""
    # Private stores look alike, so fsspec's cache of instances would give one for another.
    cachable = False

    def __init__(
        self,
        storage: Storage | None = None,
        storage_type: str = "data",
        *,
        url: str | None = None,
        auth: Any = None,
        root: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        own = {name: options.pop(name) for name in _FSSPEC_OPTIONS & options.keys()}
        super().__init__(**own)
        if (storage is None) == (url is None):
            raise ValueError(
                "give either a Storage or a URL; paths begin with storage+s3://, storage+gs://, storage+file:// …"
            )
        self._has_auth = auth is not None
        # With storage+file:// a path is the file's own; what is before the key is put before every name.
        self._base = ""
        if storage is None:
            if url == "file:///":
                if root is None:
                    raise ValueError(
                        "storage+file:// does not say in which directory the store begins: pass root=, "
                        'as in storage_options={"root": "/data/store"}'
                    )
                url = "file://" + quote(os.path.abspath(root))
                self._base = os.path.abspath(root).strip("/") + "/"
            texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in options.items()}
            full = f"{url}?{urlencode({'types': 'data:', **texts})}"
            storage = _opened(full) if auth is None else Storage(full, auth)
        self.storage = storage
        self.storage_type = storage_type
        self._url = url

    def __reduce__(self) -> Any:
        if self._has_auth:
            raise TypeError(
                "this file system has an explicit auth, which pickling would write out; let workers find their own"
            )
        return super().__reduce__()

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """As fsspec's, refused where it would write out an explicit auth."""
        self.__reduce__()
        return cast("dict[str, Any]", super().to_dict(include_password=include_password))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StorageFileSystem):
            return NotImplemented
        if self.storage is not other.storage and any(fs.storage.backend.private for fs in (self, other)):
            return False
        return (repr(self.storage), self.storage_type) == (repr(other.storage), other.storage_type)

    def __hash__(self) -> int:
        return hash((repr(self.storage), self.storage_type))

    # ---- paths -------------------------------------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        path = os.fspath(path)
        if path.startswith(_PREFIX):
            scheme, _, path = path.partition("://")
            if scheme != _PREFIX + "file":
                path = path.partition("/")[2]
        return path.strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        if not path.startswith(_PREFIX):
            return {}
        scheme, _, rest = path.removeprefix(_PREFIX).partition("://")
        return {"url": "file:///" if scheme == "file" else f"{scheme}://{rest.partition('/')[0]}"}

    def unstrip_protocol(self, name: str) -> str:
        """The path as a URL that ``fsspec.open`` takes."""
        location = self._url or self.storage.backend.location
        return f"{_PREFIX}{location.rstrip('/')}/{self._key(name)}"

    def _key(self, path: str) -> str:
        key: str = self._strip_protocol(path)
        if not self._base:
            return key
        if not f"{key}/".startswith(self._base):
            raise ValueError(f"{path!r} is not below the root of the store, {'/' + self._base!r}")
        return key[len(self._base) :]

    def _file(self, info: ObjectInfo) -> dict[str, Any]:
        entry = {
            "name": self._base + info.key,
            "size": info.size,
            "type": "file",
            "ETag": info.etag,
            "LastModified": info.last_modified,
            "mtime": info.last_modified.timestamp(),
        }
        if info.content_type is not None:
            entry["ContentType"] = info.content_type
        return entry

    def _folder(self, key: str) -> dict[str, Any]:
        return {"name": self._base.rstrip("/") if not key else self._base + key, "size": 0, "type": "directory"}

    # ---- asking ------------------------------------------------------------------------------------------------

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and type of a file (one request) or a folder (two); of a file also etag and time."""
        key = self._key(path)
        if not key:
            return self._folder("")
        with translated(path):
            try:
                return self._file(self.storage.info(key, self.storage_type))
            except NotFoundError:
                if self.storage.list(key + "/", self.storage_type, limit=1):
                    return self._folder(key)
                raise

    def exists(self, path: str, **_: Any) -> bool:
        """Whether there is a file or folder. Only absence is ``False``: no permission and no network raise."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """The entries of a folder, or the file itself."""
        key = self._key(path)
        with translated(path):
            level = self.storage.iter_dir(key + "/" if key else "", self.storage_type)
            entries = [self._folder(one.rstrip("/")) if isinstance(one, str) else self._file(one) for one in level]
        if not entries and key:
            entries = [self.info(path)]
        return entries if detail else [entry["name"] for entry in entries]

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        prefix: str = "",
        **_: Any,
    ) -> Any:
        """Every file below a folder, by one listing of its prefix."""
        key = self._key(path)
        if maxdepth is not None or withdirs:
            if prefix:
                raise ValueError("prefix goes with neither maxdepth nor withdirs")
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail)
        with translated(path):
            start = (key + "/" if key else "") + prefix
            found = [self._file(info) for info in self.storage.iter_info(start, self.storage_type)]
            if not found and key and not prefix and self.isfile(path):
                found = [self.info(path)]
        return {entry["name"]: entry for entry in found} if detail else [entry["name"] for entry in found]

    def modified(self, path: str) -> datetime:
        """When the file was written, as a whole: aware, UTC."""
        return cast("datetime", self._file_info(path)["LastModified"])

    created = modified

    def checksum(self, path: str) -> str:
        """The file's etag, which changes when its bytes do."""
        return cast("str", self._file_info(path)["ETag"])

    ukey = checksum

    def _file_info(self, path: str) -> dict[str, Any]:
        info = self.info(path)
        if info["type"] != "file":
            raise IsADirectoryError(path)
        return info

    def sign(self, path: str, expiration: int = 3600, **options: Any) -> str:
        """A URL that anyone can GET for ``expiration`` seconds."""
        return self.storage.get_signed_url(self._key(path), self.storage_type, expires_in=expiration, **options)

    # ---- reading -----------------------------------------------------------------------------------------------

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """The file's bytes from ``start`` to ``end``; negative ones count from its end, as in a slice."""
        key = self._key(path)
        with translated(path):
            if (end is not None and end < 0) or (start is not None and start < 0 and end is not None):
                start, end, _step = slice(start, end).indices(self.storage.info(key, self.storage_type).size)
            return self.storage.get_bytes(key, self.storage_type, start=start or 0, end=end)

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **_: Any) -> Any:
        """The bytes of one file, or of several by their paths, read in parallel."""
        paths = self.expand_path(path, recursive=recursive)
        if len(paths) == 1 and not recursive and isinstance(path, str) and "*" not in path:
            return self.cat_file(paths[0])
        if recursive:
            paths = [one for one in paths if self.isfile(one)]
        read = self.cat_ranges(paths, None, None, on_error="raise" if on_error == "raise" else "return")
        return {
            one: data
            for one, data in zip(paths, read, strict=True)
            if on_error != "omit" or not isinstance(data, Exception)
        }

    def cat_ranges(
        self,
        paths: Sequence[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """A range of each of many files, read in parallel, in order; with ``on_error="return"`` exceptions stand among them."""
        del max_gap
        count = len(paths)
        starts = starts if isinstance(starts, Iterable) else [starts] * count
        ends = ends if isinstance(ends, Iterable) else [ends] * count

        def read(one: tuple[str, int | None, int | None]) -> Any:
            try:
                return self.cat_file(*one)
            except Exception as exc:
                if on_error == "raise":
                    raise
                return exc

        return list(ordered_map(read, zip(paths, starts, ends, strict=True), self.storage.backend.concurrency))

    def get_file(self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **_: Any) -> None:
        """Downloads a file, which appears whole or not at all."""
        if isinstance(lpath, (str, os.PathLike)):
            info = self.info(rpath)
            if info["type"] == "directory":
                os.makedirs(lpath, exist_ok=True)
                return
            os.makedirs(os.path.dirname(os.path.abspath(lpath)), exist_ok=True)
            callback.set_size(info["size"])
        with translated(rpath):
            self.storage.get_file(self._key(rpath), lpath, self.storage_type, progress=callback.relative_update)

    # ---- writing -----------------------------------------------------------------------------------------------

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: Any = None,
        cache_options: Any = None,
        compression: str | None = None,
        **options: Any,
    ) -> Any:
        """A file. One that is written appears at ``close``, as a whole; an exception inside ``with`` stores nothing."""
        if "r" in mode:
            return super().open(path, mode, block_size, cache_options, compression, **options)
        if "b" not in mode:
            text = {name: options.pop(name) for name in ("encoding", "errors", "newline") if name in options}
            binary = self.open(path, mode.replace("t", "") + "b", compression=compression, **options)
            return WrittenText(binary, **text)
        file = super().open(path, mode, **options)
        method = None if compression is None else get_compression(path, compression)
        return file if method is None else CompressedFile(compr[method](file, mode=mode[0]), file)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: Any = None,
        autocommit: bool = True,
        cache_options: Any = None,
        **options: Any,
    ) -> IO[bytes]:
        del block_size, cache_options
        if not autocommit:
            raise NotImplementedError("transactions: a blob appears whole at close; write to another key and move it")
        if mode not in ("rb", "wb", "xb"):
            raise NotImplementedError(f"mode {mode!r}: a blob is written as a whole; use 'rb', 'wb' or 'xb'")
        key = self._key(path)
        if mode == "xb" and self.exists(path):
            raise FileExistsError(path)
        with translated(path):
            file = self.storage.open(key, mode, self.storage_type, **options)
        return cast("IO[bytes]", TranslatedFile(file, path))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Stores bytes; ``mode="create"``: ``FileExistsError`` if there is a file."""
        with translated(path):
            self.storage.set(self._key(path), value, self.storage_type, overwrite=mode != "create", **options)

    def put_file(
        self, lpath: Any, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **options: Any
    ) -> None:
        """Uploads a file; a directory makes nothing."""
        if os.path.isdir(lpath):
            return
        callback.set_size(os.path.getsize(lpath))
        options |= {"progress": callback.relative_update, "overwrite": mode != "create"}
        with translated(rpath):
            self.storage.set_file(self._key(rpath), lpath, self.storage_type, **options)

    def touch(self, path: str, truncate: bool = True, **options: Any) -> None:
        """Makes an empty file; with ``truncate=False`` only where there is none."""
        try:
            self.pipe_file(path, b"", mode="overwrite" if truncate else "create", **options)
        except FileExistsError:
            raise NotImplementedError("touch(truncate=False): a blob's time changes only when it is written") from None

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copies a file inside the store; a folder makes nothing."""
        with translated(path1):
            try:
                self.storage.copy(self._key(path1), self._key(path2), self.storage_type)
            except NotFoundError:
                if not self.isdir(path1):
                    raise

    def _rm(self, path: str) -> None:
        with translated(path):
            self.storage.delete(self._key(path), self.storage_type)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Deletes files, and with ``recursive`` what is below folders."""
        paths = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        for one in [] if recursive else paths:
            self._file_info(one)
        with translated(str(path)):
            self.storage.delete_many([key for key in map(self._key, paths) if key], self.storage_type)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Does nothing, as folders come with their files; ``FileExistsError`` where there is a file or folder."""
        del create_parents
        if self.exists(path):
            raise FileExistsError(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """As ``mkdir``."""
        if not exist_ok:
            self.mkdir(path)

    def rmdir(self, path: str) -> None:
        """Does nothing where the folder is empty, and so is gone; ``OSError`` where it is not."""
        if self.ls(path):
            raise OSError(f"{path!r} is not empty; use rm(recursive=True)")
