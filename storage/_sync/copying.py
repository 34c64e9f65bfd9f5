"""One blob: copied, verified, compared by its bytes, or deleted. Every call goes through the facade, which words the errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Semaphore
from typing import Final, NamedTuple

from storage._backend import Stat
from storage._facade.call import Call
from storage._facade.core import Core
from storage._facade.options import put_options
from storage._facade.routes import Route
from storage._facade.upload import Upload
from storage._sync.digest import Digest
from storage._sync.plan import is_md5
from storage._types import ObjectInfo
from storage.exceptions import (
    BucketNotFoundError,
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
)

__all__ = ["Abandoned", "Copier", "Limiter", "Pair", "check_there"]

_NAME: Final = "sync_to"
_TRIES: Final = 5
_LARGE_AT_ONCE: Final = 4  # each of them takes a writer's parts, which may be some 8 MiB each
_SLICE: Final = 0.2  # seconds after which a wait looks whether it is still wanted


class Abandoned(BaseException):
    """The whole sync ends here: it was interrupted, or a callback of the caller's raised ``error``."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.error = error


class Pair(NamedTuple):
    """One storage type on both sides."""

    storage_type: str
    source: Route
    target: Route


class Limiter:
    """Lets so many bytes a second pass, of all threads together.

    Args:
        rate: bytes a second; ``None``: any number.
        wait: waits for so many seconds, or less where it is told to stop.
        clock: seconds.
    """

    def __init__(
        self, rate: float | None, wait: Callable[[float], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._wait, self._clock = rate, wait, clock
        self._free_at = clock()
        self._lock = Lock()

    def take(self, count: int) -> None:
        """Waits until ``count`` more bytes may pass."""
        if self._rate is None:
            return
        with self._lock:
            now = self._clock()
            begins = max(now, self._free_at)
            self._free_at = begins + count / self._rate
        if begins > now:
            self._wait(begins - now)


class Changed(Exception):  # noqa: N818 (it is caught at once)
    """Somebody changed the source's blob, or its copy, while it was copied."""


class Copier:
    """Moves blobs from one store to another, from many threads.

    Args:
        source: to read from.
        target: to write to.
        moved: called with the number of bytes that went over.
        stop: ends everything soon once it is set.
        bwlimit: bytes a second; ``None``: no limit.
        large_at_once: how many blobs that are written in parts may be on the way; ``None``: a number that bounds the memory.
    """

    def __init__(
        self,
        source: Core,
        target: Core,
        moved: Callable[[int], None],
        stop: Event,
        bwlimit: float | None = None,
        large_at_once: int | None = None,
    ) -> None:
        self._source, self._target = source, target
        self._moved, self._stop = moved, stop
        self._limiter = Limiter(bwlimit, stop.wait)
        self._large = Semaphore(large_at_once or _LARGE_AT_ONCE)
        # Whether etags that look like MD5s are those of the bytes: unknown until some blob has shown it.
        self._source_md5: bool | None = None
        self._target_md5: bool | None = None

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
                stat, digest, info = self._transfer(pair, key, careful=attempt > 0)
                self._verify(pair, key, digest, info)
            except Changed:
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
            if self._unchanged(pair, key, stat):
                return stat.size
        raise PreconditionFailedError(
            f"sync_to({key!r}) of type {pair.storage_type!r} from {pair.source.url}: the blob changed each of "
            f"{_TRIES} times while it was copied; run again when it rests",
            key=key,
            storage_type=pair.storage_type,
            url=pair.source.url,
        )

    def _transfer(self, pair: Pair, key: str, *, careful: bool) -> tuple[Stat, str, ObjectInfo]:
        """Writes the blob that is there now; returns what it was, the digest of its bytes, and what the copy is."""
        source, target = self._source_call(pair, key), self._target_call(pair, key)
        stat, chunks = source.run(source.route.backend.stream, source.path)
        try:
            if stat.metadata is None:
                stat = self._described(pair, key, stat)
            options = put_options(
                key, stat.content_type or None, stat.cache_control, stat.content_encoding, stat.metadata or None
            )
            digest = Digest(pair.target.backend.chunk_size)

            def pieces() -> Iterator[bytes]:
                size = 0
                for chunk in self._pieces(source, chunks):
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
                    self._moved(len(chunk))
                if size != stat.size:
                    raise _corrupt(pair, key, f"{size:,} bytes came of a blob of {stat.size:,}")
                # What changes again and again must not be published half way between two changes.
                if careful and not self._unchanged(pair, key, stat):
                    raise Changed

            upload = Upload(target, options, stat.size)
            with self._turn(large=stat.size > pair.target.backend.chunk_size):
                info = upload.run(pieces())
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        found = digest.result()
        if is_md5(found):
            self._learn(stat.etag, info.etag, found)
        return stat, found, info

    def _described(self, pair: Pair, key: str, stat: Stat) -> Stat:
        """``stat`` with the metadata that a stream does not tell."""
        full = self._stat(pair, key)
        if full.etag != stat.etag:
            raise Changed
        return full

    def _stat(self, pair: Pair, key: str) -> Stat:
        call = self._source_call(pair, key)
        return call.run(call.route.backend.stat, call.path)

    def _unchanged(self, pair: Pair, key: str, stat: Stat) -> bool:
        """Whether the source's blob is still the one that was read (or gone, which is for the next run to see)."""
        try:
            now = self._stat(pair, key)
        except NotFoundError:
            return True
        return now.etag == stat.etag

    def _verify(self, pair: Pair, key: str, digest: str, info: ObjectInfo) -> None:
        """Compares the copy with the bytes that were read.

        An etag that is the MD5 of the bytes, or of the MD5s of their parts, proves it, since the service computed it. Else the
        copy is read back.
        """
        if info.etag == digest:
            return
        try:
            part = pair.target.backend.chunk_size
            found, size = self._digest(self._target_call(pair, key), info.etag, part)
        except NotFoundError:
            raise Changed from None  # somebody deleted it; the source's blob is there, as far as is known
        if found == digest:
            return
        # A wrong copy of the right size would be taken for the blob by the next run, so it must go.
        call = self._target_call(pair, key)
        call.run(call.route.backend.delete, call.path)
        raise _corrupt(
            pair, key, f"its copy has {size:,} bytes and MD5 {found}, but {digest} was sent; the copy was removed"
        )

    # ---- comparing ---------------------------------------------------------------------------------------------

    def same_headers(self, pair: Pair, key: str) -> bool:
        """Whether content type, the other headers and metadata of both sides are the same."""
        call = self._target_call(pair, key)
        theirs = call.run(call.route.backend.stat, call.path)
        return _headers(self._stat(pair, key)) == _headers(theirs)

    def same_bytes(self, pair: Pair, key: str) -> bool:
        """Whether the bytes of both sides are the same: both are read."""
        ours, _ = self._digest(self._source_call(pair, key))
        theirs, _ = self._digest(self._target_call(pair, key))
        return ours == theirs

    def md5s_prove(self) -> bool | None:
        """Whether etags that look like MD5s are such on both sides; ``None``: nothing has shown it yet."""
        if self._source_md5 is False or self._target_md5 is False:
            return False
        return True if self._source_md5 and self._target_md5 else None

    def settle(self, pair: Pair, key: str, source_etag: str, target_etag: str) -> bool:
        """As :meth:`same_bytes`, and learns from it what the etags are."""
        ours, _ = self._digest(self._source_call(pair, key))
        theirs, _ = self._digest(self._target_call(pair, key))
        self._learn(source_etag, "", ours)
        self._learn("", target_etag, theirs)
        return ours == theirs

    def _learn(self, source_etag: str, target_etag: str, digest: str) -> None:
        # One that is not is enough; one that is does not undo it.
        if is_md5(source_etag) and self._source_md5 is not False:
            self._source_md5 = source_etag == digest
        if is_md5(target_etag) and self._target_md5 is not False:
            self._target_md5 = target_etag == digest

    # ---- deleting ----------------------------------------------------------------------------------------------

    def source_has(self, pair: Pair, key: str) -> bool:
        """Asks the source for this key, now.

        Raises:
            BucketNotFoundError: it is the bucket or directory that is gone, which says nothing of the blob.
        """
        try:
            self._stat(pair, key)
        except NotFoundError:
            check_there(pair)
            return False
        return True

    def delete(self, pair: Pair, key: str) -> None:
        """Deletes a blob at the destination; one that is gone already is fine."""
        call = self._target_call(pair, key)
        try:
            call.run(call.route.backend.delete, call.path)
        except NotFoundError:
            return

    # ---- reading -----------------------------------------------------------------------------------------------

    def _digest(self, call: Call, etag: str | None = None, part: int | None = None) -> tuple[str, int]:
        """The :class:`Digest` and the size of a blob, all of one version; of the version ``etag`` if that is given."""
        _, chunks = call.run(call.route.backend.stream, call.path, 0, None, etag)
        digest, size = Digest(part), 0
        try:
            for chunk in self._pieces(call, chunks):
                digest.update(chunk)
                size += len(chunk)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return digest.result(), size

    def _pieces(self, call: Call, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in call.each(chunks):
            self._limiter.take(len(chunk))
            if self._stop.is_set():
                raise Abandoned
            yield chunk

    def _source_call(self, pair: Pair, key: str) -> Call:
        return Call.about(self._source, _NAME, key, pair.storage_type)

    def _target_call(self, pair: Pair, key: str) -> Call:
        return Call.about(self._target, _NAME, key, pair.storage_type)

    @contextmanager
    def _turn(self, *, large: bool) -> Iterator[None]:
        """Waits for its turn where a blob is large, so that memory stays bounded."""
        if not large:
            yield
            return
        while not self._large.acquire(timeout=_SLICE):
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
        there = Call.about_route(_NAME, route, pair.storage_type).run(route.backend.is_there)
    except PermissionDeniedError:
        return  # there is something that can refuse
    if not there:
        raise BucketNotFoundError(
            f"sync_to() from {route.url}: the source's bucket or directory does not exist; check its URL (nothing was deleted)",
            storage_type=pair.storage_type,
            url=route.url,
        )


def _headers(stat: Stat) -> tuple[object, ...]:
    return stat.content_type, stat.cache_control, stat.content_encoding, dict(stat.metadata or {})


def _corrupt(pair: Pair, key: str, words: str) -> IntegrityError:
    return IntegrityError(
        f"sync_to({key!r}) of type {pair.storage_type!r} from {pair.source.url} to {pair.target.url}: {words}",
        key=key,
        storage_type=pair.storage_type,
        url=pair.target.url,
    )
