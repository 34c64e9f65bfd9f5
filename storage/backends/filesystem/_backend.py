"""``FilesystemBackend``: the methods of the protocol, on a directory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final
from urllib.parse import quote

from storage._backend import Backend, Changes, Download, PutOptions, Servable, Setup, SigningKeys, Stat
from storage._descriptors import PIECE
from storage._keys import is_portable
from storage._retry import Retries, Timeout
from storage._urls import StorageURL, endpoint
from storage.backends.filesystem import (
    _deleting,
    _errors,
    _folders,
    _listing,
    _publishing,
    _reading,
    _records,
    _settings,
    _sweeping,
    _system,
)
from storage.backends.filesystem._signing_keys import KeyFiles
from storage.backends.filesystem._staging import Staged, Swept
from storage.backends.filesystem._tree import TRIES, Tree, checked
from storage.exceptions import (
    ConfigurationError,
    IntegrityError,
    PreconditionFailedError,
    StorageError,
    UnavailableError,
)

_SWEPT_AT_OPEN: Final = 256  # so many leftovers at most make a first write wait
_WRITERS: Final = 8  # changes at once that the medium takes together, where each waits for it
_BATCH: Final = 250


def create(
    url: StorageURL, *, auth: Any = None, retries: Retries | None = None, timeout: Timeout | None = None
) -> FilesystemBackend:
    """Open ``file:///absolute/dir``; the directory need not be there yet.

    ``auth``, ``retries`` and ``timeout`` are accepted, as for every scheme, and not used.
    """
    del auth, retries, timeout
    options = url.options(create=bool, fsync=bool, serve_url=endpoint, secret_file=_absolute)
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
    chunk_size: int = PIECE
    batch_size: int = _BATCH

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
        self.concurrency: int = _WRITERS if fsync else 1
        self.clock: Callable[[], float] = time.time
        self._tree = Tree(root, create=create, fsync=fsync)
        self._key_files = KeyFiles(self._tree, secret_file)
        self._has_swept = False

    @property
    def location(self) -> str:
        return f"file://{quote(os.fsencode(os.path.realpath(self.root)))}"

    # ---- writing -----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, options: PutOptions, *, verify: bool = False) -> Stat:
        self._prepare(path)
        for _ in range(TRIES):
            staged = Staged(self._tree)
            try:
                staged.write(data)
                staged.finish(options)
                if verify and _reading.read_range(staged.fd, staged.stat.st_size, 0, None) != data:
                    raise IntegrityError("the file system gave back other bytes than were written; check the disk")  # noqa: TRY301
                return _publishing.publish(self._tree, path, staged)
            except Swept:
                staged.discard()
            except BaseException:
                staged.discard()
                raise
        raise Swept

    def put_verified(self, path: str, data: bytes, options: PutOptions) -> Stat:
        return self.put(path, data, options, verify=True)

    def writer(self, path: str, options: PutOptions, size: int | None = None) -> _FileWriter:
        del size
        self._prepare(path)
        return _FileWriter(self._tree, path, options)

    def _prepare(self, path: str) -> None:
        """Checks the path; before the first write, also deletes leftovers."""
        if not is_portable(path):
            checked(path)
        if not self._has_swept:
            self._has_swept = True
            with suppress(OSError):  # what stays is swept another time
                _sweeping.sweep_staging(self._tree, _SWEPT_AT_OPEN)

    def delete(self, path: str, *, if_match: str | None = None) -> None:
        _deleting.delete(self._tree, checked(path), if_match=if_match)

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        return _deleting.delete_batch(self._tree, [checked(path) for path in paths])

    def copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        return self._copy(source, target, Changes(), overwrite=overwrite, if_match=if_match)

    def _copy(
        self, source: str, target: str, changes: Changes, *, overwrite: bool = True, if_match: str | None = None
    ) -> Stat:
        """Publishes a copy, with ``changes``, of the version ``if_match`` of the blob at ``source``, maybe in its own place."""
        fd, st, record = _reading.open_with_record(self._tree, checked(source))
        try:
            stat = _records.to_stat(source, st, record)
            if if_match is not None and stat.etag != if_match:
                raise PreconditionFailedError
            self._prepare(target)
            staged = Staged.held(self._tree)
            try:
                _system.clone(fd, staged.fd, st.st_size)
                if source == target:
                    staged.imitate(st, record)
                staged.finish(_publishing.changed(stat, changes)._replace(overwrite=overwrite))
                return _publishing.publish(self._tree, target, staged, instead_of=st if source == target else None)
            except BaseException:
                staged.discard()
                raise
        finally:
            os.close(fd)

    def move(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        tree = self._tree
        stat = _publishing.move(tree, checked(source), checked(target), overwrite=overwrite, if_match=if_match)
        if stat is None:
            before = tree.file(source)
            stat = self.copy(source, target, overwrite=overwrite, if_match=if_match)
            # What somebody wrote to the source since stays.
            if if_match is None:
                _deleting.delete(tree, source, only=lambda st: os.path.samestat(st, before))
            else:
                self.delete(source, if_match=if_match)
        return stat

    def update(self, path: str, changes: Changes, *, if_match: str | None = None) -> Stat:
        for _ in range(TRIES):
            stat = _publishing.update(self._tree, checked(path), changes, if_match=if_match)
            if stat is not None:
                return stat
            with suppress(_publishing.Overtaken):
                return self._copy(path, path, changes, if_match=if_match)
        raise UnavailableError(f"{path!r} is replaced again and again")

    # ---- reading -----------------------------------------------------------------------------------------------

    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        if if_match is None:
            fd, st = self._tree.open_blob(checked(path))
        else:
            fd, st, record = _reading.open_with_record(self._tree, checked(path))
            if _records.etag_of(st, record) != if_match:
                os.close(fd)
                raise PreconditionFailedError
        try:
            if start or end is not None:
                return _reading.read_range(fd, st.st_size, start, end)
            data = os.pread(fd, st.st_size, 0)
            return data if len(data) == st.st_size else _reading.read_range(fd, st.st_size, 0, None)
        finally:
            os.close(fd)

    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        fd, st, record = _reading.open_with_record(self._tree, checked(path))
        pieces = _reading.Pieces(fd, st, start, end)
        stat = _records.to_stat(path, st, record)
        if if_match is not None and stat.etag != if_match:
            pieces.close()
            raise PreconditionFailedError
        return Download(stat, pieces)

    def stat(self, path: str) -> Stat:
        fd, st, record = _reading.open_with_record(self._tree, checked(path))
        os.close(fd)
        return _records.to_stat(path, st, record)

    def probe(self, path: str) -> None:
        self._tree.file(checked(path))

    def scan(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        end_before: str | None = None,
        detail: bool = False,
        delimiter: bool = False,
        page_size: int = 1000,
    ) -> Iterator[Iterable[tuple[str, Stat | None]]]:
        pages = _listing.pages(
            self._tree, prefix, after=start_after, before=end_before, page_size=page_size, delimiter=delimiter
        )
        for page in pages:
            yield list(_listing.detailed(self._tree, page, self.stat)) if detail else [(path, None) for path in page]

    # ---- signing -----------------------------------------------------------------------------------------------

    def signing_keys(self, *, create: bool = False) -> SigningKeys | None:
        """The keys in the store's files, as they are now."""
        return self._key_files.ensure() if create else self._key_files.load()

    # ---- errors and the root itself ----------------------------------------------------------------------------

    def classify(self, exc: BaseException) -> type[StorageError] | None:
        return _errors.classify(exc)

    def explain(self, exc: BaseException) -> str | None:
        return _errors.explain(exc)

    def bucket_exists(self) -> bool:
        return self._tree.create or self._tree.exists()

    def bucket_exists_now(self) -> bool:
        return self._tree.exists()

    def setup(self, wanted: Setup) -> Sequence[str]:
        return _settings.setup(self._tree, wanted)

    def sweep(self, prefixes: Sequence[str] = ("",)) -> Sequence[str]:
        del prefixes  # nobody else writes below the root's `.storage~`
        return _sweeping.sweep(self._tree, self.clock())

    def find_foreign_names(self, prefix: str) -> Sequence[str]:
        return _listing.find_foreign_names(self._tree, prefix)

    def find_problems(self) -> Sequence[str]:
        return self._key_files.find_problems()

    def count_outside(self, prefixes: Sequence[str], most: int | None = None) -> int:
        return _listing.count_outside(self._tree, prefixes, most)

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """The web origins that a server of this store answers to, as ``setup`` was told last."""
        return _settings.read_settings(self._tree).cors_origins

    def close(self) -> None:
        _folders.clean_up(self._tree)

    def __repr__(self) -> str:
        return f"FilesystemBackend({self.root!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        tree = self._tree
        return _rebuild, (self.root, tree.create, tree.fsync, self.serve_url, self.secret_file)


def _rebuild(root: str, create: bool, fsync: bool, serve_url: str | None, secret_file: str | None) -> FilesystemBackend:
    return FilesystemBackend(root, create=create, fsync=fsync, serve_url=serve_url, secret_file=secret_file)


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
