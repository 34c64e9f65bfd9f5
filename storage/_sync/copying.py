"""Copies, verifies, compares and deletes one blob. Every call goes through the facade, which words the errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Semaphore
from typing import Final, NamedTuple, NoReturn

from storage._backend import PutOptions, Stat
from storage._facade.call import Call
from storage._facade.options import put_options
from storage._facade.routes import Route
from storage._facade.upload import Upload
from storage._stop import Stop
from storage._sync.digest import Digest, md5_of
from storage._sync.pace import Abandoned, Limiter
from storage._sync.plan import is_md5
from storage.exceptions import (
    BucketNotFoundError,
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
)

_NAME: Final = "sync_to"
_TRIES: Final = 5
_SMALL: Final = 128 * 1024  # bytes
_LARGE_AT_ONCE: Final = 4  # each of them takes a writer's parts, which may be some 8 MiB each
_LOOK_EVERY: Final = 0.2  # seconds after which a wait looks whether the sync goes on


class Pair(NamedTuple):
    """One storage type, on both sides."""

    storage_type: str
    source: Route
    target: Route

    def at_source(self, key: str) -> Call:
        """A call about the source's blob."""
        return Call(_NAME, self.source, self.source.prefix + key, key, self.storage_type)

    def at_target(self, key: str) -> Call:
        """A call about the copy."""
        return Call(_NAME, self.target, self.target.prefix + key, key, self.storage_type)


class _Changed(Exception):  # noqa: N818 (caught at once: the blob is copied again)
    """Somebody changed the source's blob, or its copy, while it was copied."""


class Copier:
    """Copies blobs, from many threads at once, until ``stop`` is set.

    ``moved`` is called with the number of bytes that were copied. ``bwlimit``: bytes a second. ``large_at_once``: how many blobs
    that are written in parts may be on the way; ``None``: a number that bounds the memory.
    """

    def __init__(
        self, moved: Callable[[int], None], stop: Stop, bwlimit: float | None = None, large_at_once: int | None = None
    ) -> None:
        self._moved, self._stop = moved, stop
        self._limiter = Limiter(bwlimit, stop.wait)
        self._large = Semaphore(large_at_once or _LARGE_AT_ONCE)

    # ---- copying -----------------------------------------------------------------------------------------------

    def copy(self, pair: Pair, key: str) -> int:
        """Copies a blob with its headers and metadata, verifies the copy, and returns its size.

        Raises:
            NotFoundError: the source's blob is gone.
            IntegrityError: the copy is not what was read, twice; it has been removed again.
            PreconditionFailedError: the source's blob changed each time while it was copied.
        """
        corrupt = 0
        for attempt in range(_TRIES):
            try:
                stat = self._transfer(pair, key, check_before_publishing=attempt > 0)
            except _Changed:
                continue
            except IntegrityError:
                corrupt += 1
                if corrupt > 1:
                    raise
                continue
            except PreconditionFailedError:
                # The source's blob was replaced while it was read, or the copy while it was read back.
                if attempt + 1 == _TRIES:
                    raise
                continue
            if _unchanged(pair, key, stat):
                return stat.size
        raise PreconditionFailedError(
            f"sync_to({key!r}) of type {pair.storage_type!r} from {pair.source.url}: the blob changed each of "
            f"{_TRIES} times while it was copied; run again when nobody writes to it",
            key=key,
            storage_type=pair.storage_type,
            url=pair.source.url,
        )

    def _transfer(self, pair: Pair, key: str, *, check_before_publishing: bool) -> Stat:
        """Copies a blob once, and verifies the copy. Returns what the source's blob was."""
        source = pair.at_source(key)
        stat, chunks = source.run(source.route.backend.stream, source.path)
        with closing(chunks):
            if stat.metadata is None:
                stat = _with_metadata(pair, key, stat)
            options = put_options(
                key, stat.content_type or None, stat.cache_control, stat.content_encoding, stat.metadata or None
            )

            def pieces() -> Iterator[bytes]:
                size = 0
                for chunk in self._pieces(source, chunks):
                    size += len(chunk)
                    yield chunk
                    self._moved(len(chunk))
                if size != stat.size:
                    raise _corrupt(pair, key, f"{size:,} bytes came of a blob of {stat.size:,}")
                # A blob that changes all the time must not be published as it was between two changes.
                if check_before_publishing and not _unchanged(pair, key, stat):
                    raise _Changed

            # Held in memory, a blob of some KiB takes a third of the time.
            if stat.size <= min(_SMALL, pair.target.backend.chunk_size):
                self._put(pair, key, b"".join(pieces()), options)
            else:
                self._upload(pair, key, pieces(), options, stat.size)
        return stat

    # An etag that is the MD5 of the bytes, or of the MD5s of their parts, proves a copy: the service computed it. Else the copy
    # is read back, if possible before anybody can see it.

    def _put(self, pair: Pair, key: str, data: bytes, options: PutOptions) -> None:
        target, backend = pair.at_target(key), pair.target.backend
        if backend.put_verified is not None:
            target.run(backend.put_verified, target.path, data, options)
            return
        etag = target.run(backend.put, target.path, data, options).etag
        if is_md5(etag) and etag == md5_of(data):
            return
        try:
            found = target.run(backend.get, target.path, 0, None, etag)
        except NotFoundError:
            raise _Changed from None  # somebody deleted the copy
        self._limiter.take(len(found))
        if found != data:
            self._remove_corrupt(pair, key)

    def _upload(self, pair: Pair, key: str, pieces: Iterator[bytes], options: PutOptions, size: int) -> None:
        target, part = pair.at_target(key), pair.target.backend.chunk_size
        digest = Digest(part)
        with self._turn(large=size > part):
            etag = Upload(target, options, size).run(digest.each(pieces)).etag
        if etag == digest.result():
            return
        try:
            found = self._digest(target, etag, part)
        except NotFoundError:
            raise _Changed from None
        if found != digest.result():
            self._remove_corrupt(pair, key)

    def _remove_corrupt(self, pair: Pair, key: str) -> NoReturn:
        """Removes a copy that has other bytes than were sent: the next run would take one of the right size for the blob."""
        target = pair.at_target(key)
        target.run(target.route.backend.delete, target.path)
        raise _corrupt(pair, key, "the copy had other bytes than were sent, and was removed")

    # ---- comparing and deleting --------------------------------------------------------------------------------

    def same_headers(self, pair: Pair, key: str) -> bool:
        """Whether content type, the other headers and metadata of both sides are the same."""
        return _headers(_stat(pair.at_source(key))) == _headers(_stat(pair.at_target(key)))

    def compare_bytes(self, pair: Pair, key: str) -> str | None:
        """Reads both sides. Returns the MD5 of the bytes, or ``None`` where they are not the same."""
        ours, theirs = self._digest(pair.at_source(key)), self._digest(pair.at_target(key))
        return ours if ours == theirs else None

    def source_has(self, pair: Pair, key: str) -> bool:
        """Asks the source for this key, now.

        Raises:
            BucketNotFoundError: the bucket or directory is gone, which says nothing about the blob.
        """
        try:
            _stat(pair.at_source(key))
        except NotFoundError:
            check_there(pair)
            return False
        return True

    def delete(self, pair: Pair, key: str) -> None:
        """Deletes a blob at the target; a blob that is gone already is fine."""
        target = pair.at_target(key)
        try:
            target.run(target.route.backend.delete, target.path)
        except NotFoundError:
            return

    # ---- reading -----------------------------------------------------------------------------------------------

    def _digest(self, call: Call, etag: str | None = None, part: int | None = None) -> str:
        """The :class:`Digest` of a blob, all of one version; of the version ``etag`` if that is given."""
        _, chunks = call.run(call.route.backend.stream, call.path, 0, None, etag)
        digest = Digest(part)
        with closing(chunks):
            for _ in digest.each(self._pieces(call, chunks)):
                pass
        return digest.result()

    def _pieces(self, call: Call, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in call.each(chunks):
            self._limiter.take(len(chunk))
            if self._stop.is_set():
                raise Abandoned
            yield chunk

    @contextmanager
    def _turn(self, *, large: bool) -> Iterator[None]:
        """Waits for a turn where a blob is large, so that memory stays bounded."""
        if not large:
            yield
            return
        while not self._large.acquire(timeout=_LOOK_EVERY):
            if self._stop.is_set():
                raise Abandoned
        try:
            yield
        finally:
            self._large.release()


def check_there(pair: Pair) -> None:
    """Raises ``BucketNotFoundError`` if the source's bucket or directory itself is missing."""
    route = pair.source
    try:
        there = Call.about_route(_NAME, route, pair.storage_type).run(route.backend.bucket_exists_now)
    except PermissionDeniedError:
        return  # something is there that can refuse
    if not there:
        raise BucketNotFoundError(
            f"sync_to() from {route.url}: the source's bucket or directory does not exist; check its URL (nothing was deleted)",
            storage_type=pair.storage_type,
            url=route.url,
        )


def _stat(call: Call) -> Stat:
    return call.run(call.route.backend.stat, call.path)


def _with_metadata(pair: Pair, key: str, stat: Stat) -> Stat:
    """``stat`` with the metadata that a stream does not tell."""
    full = _stat(pair.at_source(key))
    if full.etag != stat.etag:
        raise _Changed
    return full


def _unchanged(pair: Pair, key: str, stat: Stat) -> bool:
    """Whether the source's blob is still the one that was read, or is gone, which the next run sees."""
    try:
        now = _stat(pair.at_source(key))
    except NotFoundError:
        return True
    return now.etag == stat.etag


def _headers(stat: Stat) -> tuple[object, ...]:
    return stat.content_type, stat.cache_control, stat.content_encoding, dict(stat.metadata or {})


def _corrupt(pair: Pair, key: str, words: str) -> IntegrityError:
    return IntegrityError(
        f"sync_to({key!r}) of type {pair.storage_type!r} from {pair.source.url} to {pair.target.url}: {words}",
        key=key,
        storage_type=pair.storage_type,
        url=pair.target.url,
    )
