"""The filesystem backend: one call of the protocol, one sequence of system calls."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

from storage._backend import Backend, Download, PutOptions, Servable, Setup, SigningKeys, Stat
from storage._keys import is_portable
from storage._retry import Retries, Timeout
from storage._urls import StorageURL, endpoint
from storage.backends.filesystem import (
    _details,
    _fast_put,
    _listing,
    _publishing,
    _records,
    _settings,
    _sidecars,
    _staging,
    _system,
)
from storage.backends.filesystem._records import Record
from storage.backends.filesystem._signing_keys import KeyFiles
from storage.backends.filesystem._staging import Staged, Swept
from storage.backends.filesystem._tree import HOME, Tree, checked
from storage.exceptions import (
    BucketNotFoundError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
    UnsupportedOperationError,
)

__all__ = ["FilesystemBackend", "create"]


_PIECE: Final = 1024 * 1024
_SWEPT_AT_OPEN: Final = 256  # so many leftovers at most make a first write wait
_KINDS: Final[dict[int, type[StorageError]]] = {
    errno.ENOENT: NotFoundError,
    errno.EACCES: PermissionDeniedError,
    errno.EPERM: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.ENAMETOOLONG: UnsupportedOperationError,
    errno.EFBIG: UnsupportedOperationError,
    errno.EOPNOTSUPP: UnsupportedOperationError,
    errno.ENOTDIR: BucketNotFoundError,
    errno.ELOOP: BucketNotFoundError,
}


def create(
    url: StorageURL, *, auth: Any = None, retries: Retries | None = None, timeout: Timeout | None = None
) -> FilesystemBackend:
    """``file:///absolute/dir``: the directory need not be there yet. ``auth``, ``retries`` and ``timeout`` are not used."""
    del auth, retries, timeout
    options = url.options(create=bool, fsync=bool, serve_url=endpoint, secret_file=_absolute)
    if sys.platform == "win32":
        raise ConfigurationError(f"{url}: file:// works on Linux and macOS only; use memory://, s3:// or gs://")
    if url.bucket:
        raise ConfigurationError(f"{url}: {url.bucket!r} is in the place of a host; write file:///absolute/dir")
    root = os.path.normpath(f"/{url.path}")
    if "\0" in root or root == "/":
        raise ConfigurationError(f"{url}: it names no directory for a store; write file:///absolute/dir")
    return FilesystemBackend(
        root,
        create=options["create"] is not False,
        fsync=options["fsync"] is not False,
        serve_url=options["serve_url"],
        secret_file=options["secret_file"],
    )


def _absolute(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError("use the absolute path of a file")
    return text


class FilesystemBackend(Backend, Servable):
    """A directory. Safe for threads, processes and forks: between calls it holds no more than a directory open.

    Args:
        root: its absolute path.
        create: whether the first write makes it; else a missing one is a ``BucketNotFoundError``.
        fsync: whether a change is on the medium when a call returns.
        serve_url: where ``storage serve`` serves this store.
        secret_file: where the secret for signing is, instead of below the root.

    Attributes:
        clock: seconds since the epoch; what expiry counts by.
    """

    scheme: ClassVar[str] = "file"
    owns_path: ClassVar[bool] = True
    chunk_size: int = _PIECE

    def __init__(
        self,
        root: str,
        *,
        create: bool = True,
        fsync: bool = True,
        serve_url: str | None = None,
        secret_file: str | None = None,
    ) -> None:
        self.root = root
        self.serve_url: str | None = serve_url
        self.secret_file = secret_file
        self.clock: Callable[[], float] = time.time
        self._tree = Tree(root, create=create, fsync=fsync)
        self._key_files = KeyFiles(f"{root}/{HOME}", secret_file)
        self._has_swept = False

    @property
    def client(self) -> None:
        """There is no SDK under this backend."""
        return

    @property
    def location(self) -> str:
        return f"file://{quote(os.fsencode(os.path.realpath(self.root)))}"

    # ---- writing -----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        if not (self._has_swept and is_portable(path)):
            self._prepare(path)
        stat = _fast_put.put(self._tree, path, data, options)
        if stat is not None:
            return stat
        while True:
            staged = Staged(self._tree)
            try:
                staged.write(data)
                staged.finish(options)
                return _publishing.publish(self._tree, path, staged)
            except Swept:
                staged.discard()
            except BaseException:
                staged.discard()
                raise

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> _FileWriter:
        del size
        self._prepare(path)
        return _FileWriter(self._tree, path, options)

    def _prepare(self, path: str) -> None:
        """What comes before every write."""
        checked(path)
        if not self._has_swept:
            self._has_swept = True
            _staging.sweep_staging(self._tree, _SWEPT_AT_OPEN)

    def delete(self, path: str) -> None:
        _publishing.delete(self._tree, checked(path))

    def copy(self, source: str, target: str, *, overwrite: bool) -> Stat:
        fd, st, record = self._open(source)
        try:
            self._prepare(target)
            staged = Staged.held(self._tree)
            try:
                _system.clone(fd, staged.fd, st.st_size)
                known = _records.to_stat(source, st, record)
                staged.finish(
                    PutOptions(
                        known.content_type or "",
                        known.cache_control,
                        known.content_encoding,
                        known.metadata or {},
                        overwrite=overwrite,
                    )
                )
                return _publishing.publish(self._tree, target, staged)
            except BaseException:
                staged.discard()
                raise
        finally:
            os.close(fd)

    def move(self, source: str, target: str, *, overwrite: bool) -> Stat:
        stat = _publishing.move(self._tree, checked(source), checked(target), overwrite=overwrite)
        if stat is None:
            before = self._tree.file(source)
            stat = self.copy(source, target, overwrite=overwrite)
            # What somebody wrote to the source since stays.
            _publishing.delete(self._tree, source, lambda st: os.path.samestat(st, before))
        return stat

    # ---- reading -----------------------------------------------------------------------------------------------

    def _open(self, path: str) -> tuple[int, os.stat_result, Record | None]:
        """The open file of the blob at ``path``, its state, and what is kept with it."""
        while True:
            fd, st = self._tree.open_blob(checked(path))
            try:
                record = _records.fetch(fd)
                if record is not None:
                    return fd, st, record
                if not _sidecars.exist(self._tree):
                    return fd, st, None
                record = _sidecars.read(self._tree, path, st)
                # A sidecar goes when its body is replaced: what was found, or not, counts if the body still stands.
                if os.path.samestat(st, self._tree.file(path)):
                    return fd, st, record
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        if if_match is not None:
            fd, st, record = self._open(path)
            if _records.to_stat(path, st, record).etag != if_match:
                os.close(fd)
                raise PreconditionFailedError
        else:
            fd, st = self._tree.open_blob(checked(path))
        try:
            size = st.st_size
            want = (size if end is None else min(end, size)) - start
            if want <= 0:
                return b""
            data = os.pread(fd, want, start)
            if len(data) == want:
                return data
            pieces = [data]  # the system reads at most 2 GiB at once
            while data:
                want -= len(data)
                start += len(data)
                data = os.pread(fd, want, start)
                pieces.append(data)
            return b"".join(pieces)
        finally:
            os.close(fd)

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        fd, st, record = self._open(path)
        known = _records.to_stat(path, st, record)
        pieces = _Pieces(fd, st, start, known.size if end is None else min(end, known.size))
        if if_match is not None and known.etag != if_match:
            pieces.close()
            raise PreconditionFailedError
        return Download(known, pieces)

    def stat(self, path: str) -> Stat:
        fd, st, record = self._open(path)
        os.close(fd)
        return _records.to_stat(path, st, record)

    def scan(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        detail: bool = False,
        delimiter: bool = False,
        page_size: int = 1000,
    ) -> Iterator[Iterable[tuple[str, Stat | None]]]:
        for page in _listing.pages(self._tree, prefix, start_after, page_size, delimiter=delimiter):
            if detail:
                yield list(_details.detailed(self._tree, page, self.stat))
            else:
                yield [(path, None) for path in page]

    # ---- signing -----------------------------------------------------------------------------------------------

    def signing_keys(self, *, create: bool = False) -> SigningKeys | None:
        """What is in the files now."""
        return self._key_files.ensure(self._tree.make_staging) if create else self._key_files.load()

    # ---- errors and the root itself ----------------------------------------------------------------------------

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        if isinstance(exc, StorageError):
            return type(exc)
        if isinstance(exc, OSError):
            return _KINDS.get(exc.errno or 0, UnavailableError)
        return None

    def bucket_exists(self) -> bool:
        return self._tree.create or self._tree.exists()

    def is_there(self) -> bool:
        return self._tree.exists()

    def setup(self, wanted: Setup) -> Sequence[str]:
        return _settings.setup(self._tree, wanted)

    def sweep(self) -> Sequence[str]:
        return _settings.sweep(self._tree, self.clock())

    def lint(self, prefix: str) -> Sequence[str]:
        return _listing.lint(self._tree, prefix)

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """What ``setup`` was told last: the origins that a server of this store answers to."""
        return _settings.read_settings(self._tree).cors_origins

    def close(self) -> None:
        self._tree.staging = None

    def __repr__(self) -> str:
        return f"FilesystemBackend({self.root!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        tree = self._tree
        return _rebuild, (self.root, tree.create, tree.fsync, self.serve_url, self.secret_file)


def _rebuild(root: str, create: bool, fsync: bool, serve_url: str | None, secret_file: str | None) -> FilesystemBackend:
    return FilesystemBackend(root, create=create, fsync=fsync, serve_url=serve_url, secret_file=secret_file)


class _Pieces:
    """The bytes of an open file, which stays the version that it is, in pieces."""

    _fd = -1  # until it is made: an interrupt may come before

    def __init__(self, fd: int, st: os.stat_result, start: int, end: int) -> None:
        self._fd, self._stat, self._position, self._end = fd, st, start, end

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> bytes:
        if self._fd < 0:
            raise StopIteration
        data = os.pread(self._fd, max(0, min(_PIECE, self._end - self._position)), self._position)
        if data:
            self._position += len(data)
            return data
        st = os.fstat(self._fd)
        self.close()
        # Our own bodies never change; what somebody edits in place meanwhile is no version at all.
        if (st.st_mtime_ns, st.st_size) != (self._stat.st_mtime_ns, self._stat.st_size):
            raise PreconditionFailedError("the file was edited in place while it was being read; read it again")
        raise StopIteration

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class _FileWriter:
    """A blob that is written in pieces."""

    def __init__(self, tree: Tree, path: str, options: PutOptions) -> None:
        self._tree, self._path, self._options = tree, path, options
        self._staged = Staged.held(tree)

    def write(self, data: bytes | memoryview) -> None:
        self._staged.write(data)

    def commit(self) -> Stat:
        self._staged.finish(self._options)
        return _publishing.publish(self._tree, self._path, self._staged)

    def abort(self) -> None:
        self._staged.discard()
