"""``Storage``: the object that programs use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from storage._backend import Backend, Setup
from storage._facade.call import Call
from storage._facade.core import Core, core_of
from storage._facade.directories import Directories
from storage._facade.listing import Scan
from storage._facade.many import Many
from storage._facade.options import check_count
from storage._facade.server_check import check_backend
from storage._facade.signing import Signing
from storage.exceptions import ConfigurationError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from typing_extensions import Self  # 8 ms
    from urllib3.util.retry import Retry

    from storage._sync_types import SyncEvent, SyncResult
    from storage._types import KeyRange

T = TypeVar("T")


class Storage(Many, Directories, Signing):
    """Blobs under keys, behind one URL.

    Args:
        url: where the blobs live: ``memory://``, ``file:///dir``, ``s3://BUCKET/PREFIX``, ``gs://BUCKET/PREFIX`` …, or a path
            (a directory). ``None``: the environment variable ``STORAGE_URL``, else a directory in the user's data directory.
        auth: credentials to use instead of those that the SDK finds by itself: for S3 a ``boto3.Session``, botocore
            credentials, or a mapping with ``access_key_id``, ``secret_access_key``, ``session_token``; for GCS google-auth
            credentials, a service account's mapping, or the path of its file. Local stores take it and do not use it.
        retries: tries after the first: an ``int``, a ``urllib3.util.retry.Retry``, or ``None`` for 3 with backoff and jitter.
        timeout: seconds, one number or ``(connect, read)``; ``None``: :attr:`TIMEOUT`.
        storage_types: a mapping from storage type to a prefix below ``url``, a URL, or a backend. ``None``: ``data``, ``tmp``
            and ``result``, each under a prefix of its name.
        backend: a ready backend instead of ``url``, ``auth``, ``retries`` and ``timeout``.

    Raises:
        ConfigurationError: a URL, parameter or argument is not valid; nothing was opened.
        MissingDependencyError: the driver's package is not installed.
        TypeError: ``url`` together with ``backend``.

    Every method may be called from many threads. A failure of the store is an exception of :mod:`storage.exceptions`; a wrong
    argument is a ``TypeError`` or ``ValueError``; exceptions of the caller's own files, iterables and callbacks come out
    unchanged.
    """

    TIMEOUT: ClassVar[float | tuple[float, float]] = (9.5, 120)
    """Seconds to connect, and between two received packets, where ``timeout`` is not given; a subclass may set its own."""

    def __init__(
        self,
        url: str | os.PathLike[Any] | None = None,
        auth: Any = None,
        retries: int | Retry | None = None,
        *,
        timeout: float | tuple[float, float] | None = None,
        storage_types: Mapping[str, str | Backend] | None = None,
        backend: Backend | None = None,
    ) -> None:
        seconds = self.TIMEOUT if timeout is None else timeout
        self._core = Core(url, auth, retries, seconds, storage_types, backend)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives back connections and threads; a later call opens new ones. A ready ``backend`` stays its owner's."""
        self._core.close()

    def mapping(self, storage_type: str = "data") -> MutableMapping[str, bytes]:
        """The blobs of one storage type as a ``MutableMapping``, for code that takes one.

        Args:
            storage_type: one of the store's types.

        Returns:
            A mapping from keys to bytes, each of whose operations is a call of this store. An absent key is a ``KeyError``.

        Raises:
            InvalidStorageTypeError: the store has no such type.
        """
        from storage._facade.mapping import BlobMapping

        return BlobMapping(self, storage_type)

    # ---- whole stores ------------------------------------------------------------------------------------------

    def sync_to(
        self,
        other: Storage | os.PathLike[Any],
        storage_type: str | None = None,
        *,
        prefix: str = "",
        delete: bool = False,
        dry_run: bool = False,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        checksum: bool = False,
        concurrency: int | None = None,
        bwlimit: float | None = None,
        executor: Executor | None = None,
        progress: Callable[[int], object] | None = None,
        report: Callable[[SyncEvent], object] | None = None,
    ) -> SyncResult:
        """Copies to another store blobs that are missing or different there, with headers and metadata, and verifies each copy.

        Both listings are compared before anything is changed. A blob of another size is copied. Blobs of equal size are
        compared by checksum if both services give the same kind (the MD5 that is the etag of most S3 blobs), else by time: a
        newer source is copied, and if the times are too close, both are read. A sync that was interrupted can be run again and
        goes on where it stopped. Memory does not grow with the number of blobs; long lists are kept in temporary files.

        A copy is verified by the etag that the destination gives it, if that is the MD5 of the bytes or of their parts' MD5s;
        else it is read back.

        Args:
            other: the destination. A path is a plain folder, in which every file is a blob of type ``data``: that type alone is
                synced.
            storage_type: one type, which both stores have; ``None``: all types of this store.
            prefix: sync only keys that start with it, on both sides; ``""``: all.
            delete: delete blobs at the destination that this store does not have. This comes last; each key is looked up here
                once more before its delete, and nothing is deleted if a listing or a blob failed.
            dry_run: change nothing; ``report`` and the result say what would be done.
            include: patterns of keys to look at (``*``, ``?``, ``[…]`` within a segment, ``**`` across; one without a slash is
                matched against the last segment); none: all.
            exclude: patterns of keys to leave alone on both sides.
            checksum: ignore times; read both blobs unless both sides have a checksum of the same kind.
            concurrency: how many blobs at once; ``None``: what suits the backends.
            bwlimit: bytes a second that are read at most; ``None``: no limit. Workers of an ``executor`` share it.
            executor: does the work, on key ranges, for stores that are too large for one process: any
                ``concurrent.futures.Executor`` whose workers can import this library and see both stores (a process pool, Dask's
                ``client.get_executor()``, :class:`storage.integrations.ray.RayExecutor`). Ranges that are done are written down
                at the destination, in the type ``tmp``: a run that was killed is taken up within a day by the next one, from any
                machine. ``report`` then gets events of ranges, and of blobs only where they failed; ``concurrency`` is that of a
                worker. ``None``: this process.
            progress: called with the number of bytes copied since the last call.
            report: called with a :class:`storage.SyncEvent` for each thing found out or done; one call at a time.

        Returns:
            The counts.

        Raises:
            SyncError: some blobs failed, all others were done; its ``result`` says which and why.
            BucketNotFoundError: the source, or the destination, is not there; nothing was deleted.
            ConfigurationError: both are the same place, or one is inside the other; or a store cannot be sent to the workers of
                ``executor``: it has an explicit ``auth``, or is private to this process.
            UnavailableError: the ``executor`` is broken; call again with a new one.
            InvalidKeyError: a prefix that starts no portable key.
            InvalidStorageTypeError: ``other`` has no such type.

        An exception of ``progress`` or ``report`` ends the sync, and comes out bare.
        """
        from storage._globs import Filter
        from storage._sync.engine import Options  # not paid for by programs that sync nothing
        from storage._sync.run import sync

        if concurrency is not None:
            check_count("concurrency", concurrency)
        if bwlimit is not None and not bwlimit > 0:
            raise ValueError(f"bwlimit={bwlimit!r}: use a number of bytes a second above 0, or None for no limit")
        options = Options(prefix, delete, dry_run, Filter(include, exclude), checksum, concurrency, bwlimit)
        if isinstance(other, os.PathLike):
            with Storage(other, storage_types={"data": ""}) as folder:
                return sync(self._core, core_of(folder), storage_type or "data", options, executor, progress, report)
        if not isinstance(other, Storage):
            raise TypeError(f"other must be a Storage or a path, not {type(other).__name__}")
        return sync(self._core, core_of(other), storage_type, options, executor, progress, report)

    def split_keys(self, prefix: str, parts: int, storage_type: str = "data") -> Sequence[KeyRange]:
        """Splits the keys into ranges of about equal size, for work in parallel.

        It samples the keys with short listings, and does not list them all.

        Each listing between the bounds of a range (``iter_list(prefix, start_after=…, end_before=…)``) gives its keys; together
        the ranges hold every key once. It takes some 5 to 20 short listings for each part, several at once.

        Args:
            prefix: what the keys start with; ``""``: all.
            parts: how many ranges, at least 1.
            storage_type: one of the store's types.

        Returns:
            Ranges in order, at most ``parts`` of them: fewer where there are few keys.

        Raises:
            InvalidKeyError: a prefix that starts no portable key.
            ValueError: ``parts`` is below 1.
        """
        from storage._sync.splitting import split_keys

        check_count("parts", parts)
        return split_keys(Call.about_prefix(self._core, "split_keys", prefix, storage_type), prefix, parts)

    def map_keys(
        self,
        function: Callable[[Storage, str], T],
        prefix: str = "",
        storage_type: str = "data",
        *,
        executor: Executor,
    ) -> Iterator[tuple[str, T]]:
        """Calls ``function(storage, key)`` for every key, on the workers of an executor.

        A worker whose process dies has its keys done again, so ``function`` may be called more than once for a key; its result
        is given once.

        Args:
            function: gets this store, as the worker opened it, and the key. It and its results are pickled.
            prefix: what the keys start with; ``""``: all.
            storage_type: one of the store's types.
            executor: as for :meth:`sync_to`.

        Yields:
            ``(key, result)``, in no particular order.

        Raises:
            ConfigurationError: the store cannot be sent to the workers, as for :meth:`sync_to`.
            InvalidKeyError: a prefix that starts no portable key.
            UnavailableError: the ``executor`` is broken.

        An exception of ``function`` ends the iteration, and comes out bare.
        """
        from storage._sync.bulk import spread_map

        Call.about_prefix(self._core, "map_keys", prefix, storage_type)  # a mistake is an error at once
        return spread_map(self, function, prefix, storage_type, executor)

    def delete_prefix(
        self,
        prefix: str,
        storage_type: str = "data",
        *,
        concurrency: int | None = None,
        executor: Executor | None = None,
    ) -> int:
        """Deletes every blob whose key starts with ``prefix``, in batches where the backend can.

        Args:
            prefix: a string that is not empty; not a folder: ``"a/b"`` takes ``a/bc`` too.
            storage_type: one of the store's types.
            concurrency: how many requests at once, of each worker; ``None``: what suits the backend.
            executor: does the work, on key ranges, as for :meth:`sync_to`; ``None``: this process.

        Returns:
            The number of blobs that were deleted; a lower bound if a worker died and its work was repeated.

        Raises:
            ConfigurationError: the store cannot be sent to the workers, as for :meth:`sync_to`.
            InvalidKeyError: a prefix that starts no portable key.
            StorageError: as for :meth:`set_many`.
            ValueError: an empty prefix.
        """
        if prefix == "":
            raise ValueError("prefix='': an empty prefix would delete everything; delete_many(iter_list()) does that")
        call = Call.about_prefix(self._core, "delete_prefix", prefix, storage_type)
        if executor is None:
            with closing(Scan(call).keys()) as keys:  # ends the listing, and its event, with the call
                return self._delete(call.name, keys, storage_type, concurrency)
        if concurrency is not None:
            check_count("concurrency", concurrency)
        from storage._sync.bulk import spread_delete

        return spread_delete(self._core, prefix, storage_type, concurrency, executor)

    # ---- the bucket itself -------------------------------------------------------------------------------------

    def setup(
        self,
        *,
        create_bucket: bool = False,
        cors_origins: Iterable[str] | None = None,
        tmp_days: int | None = None,
    ) -> Sequence[str]:
        """Prepares the bucket or directory for a deployment. Idempotent; touches no rule but its own.

        Args:
            create_bucket: make the bucket or directory if it is missing.
            cors_origins: let browsers on these origins use signed URLs and forms, and read ``ETag``.
            tmp_days: expire blobs of type ``tmp`` after so many days.

        Returns:
            A line for each thing that it changed.

        Raises:
            UnsupportedOperationError: the backend cannot do that; nothing has been changed.
        """
        origins = None if cors_origins is None else _origins(cors_origins)
        if tmp_days is not None:
            check_count("tmp_days", tmp_days)
            if "tmp" not in self._core.routes:
                raise ConfigurationError(
                    f"tmp_days={tmp_days}: this store has no storage type 'tmp'", url=self._core.url
                )
        tmp = self._core.routes.get("tmp")
        lines: list[str] = []
        for backend in self._core.backends():
            mine = tmp if tmp is not None and tmp.backend is backend else None
            prefixes = self._core.prefixes(backend)
            wanted = Setup(create_bucket, origins, mine and mine.prefix, tmp_days if mine else None, prefixes)
            lines += Call.about_backend("setup", backend).run(backend.setup, wanted)
        return lines

    def check(self) -> Sequence[str]:
        """Tests with real requests whether the server does what this library needs. The test blobs are deleted at the end.

        Returns:
            A line for each thing that the server lacks; empty when nothing.
        """
        lines: list[str] = []
        for name, route in {id(r.backend): (n, r) for n, r in self._core.routes.items()}.values():
            lines += Call.about_route("check", route, name).run(check_backend, route.backend, route.prefix)
        return lines


def _origins(origins: Iterable[str]) -> tuple[str, ...]:
    if isinstance(origins, str) or not isinstance(origins, Iterable):
        raise TypeError(f"cors_origins={origins!r}: use a list of origins, as in ['https://app.example']")
    found = tuple(origins)
    for origin in found:
        if not isinstance(origin, str):
            raise TypeError(f"cors_origins: an origin must be a str, not {type(origin).__name__}")
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise ValueError(f"cors_origins: {origin!r} is no origin; write https://HOST[:PORT], or '*' for every page")
    return found
