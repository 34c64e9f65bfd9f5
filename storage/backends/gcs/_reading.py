"""Reads a blob or a range of it, of one generation; resumes a body that was cut, and verifies a whole blob."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from typing import Final

from storage._fork import check_owner, forks
from storage.backends.gcs import _answers
from storage.backends.gcs._answers import Media
from storage.backends.gcs._errors import native, status_of
from storage.backends.gcs._headers import checksum, encoded_crc
from storage.backends.gcs._looking import look
from storage.backends.gcs._requests import Session
from storage.exceptions import IntegrityError, NotFoundError

# Large enough to cost little CPU, small enough that a connection which is cut again and again still gets somewhere.
_PIECE: Final = 256 * 1024
_BODY: Final = frozenset({200, 206})


class Reading:
    """The bytes of a blob from ``start`` to ``end``, as for ``Backend.stream``. The first answer has come once it is made.

    ``generation``: the only one to read; ``None``: the one that is there, and then no other.

    Raises:
        GoogleAPICallError: 404: no blob; 412: another generation; and the others of a request.
        IntegrityError: the service gives another range than was asked for.
        PreconditionFailedError: it gives another generation.
    """

    def __init__(
        self, session: Session, path: str, start: int = 0, end: int | None = None, generation: str | None = None
    ) -> None:
        self._session = session
        self._path = path
        self._target = f"{session.connection.media}{session.object(path)}?alt=media"
        self._end, self._generation = end, generation
        self._attempts = session.attempts()
        self.media: Media | None = self._open(start)  # None: the range is past the end of the blob

    def _open(self, position: int) -> Media | None:
        """The answer from ``position`` on; ``None``: there is nothing there."""
        end, generation = self._end, self._generation
        target = self._target if generation is None else f"{self._target}&ifGenerationMatch={generation}"
        headers = {}
        if position < 0:
            headers["Range"] = f"bytes={position}"
        elif position or end is not None:
            headers["Range"] = f"bytes={position}-{'' if end is None else end - 1}"

        def begin() -> Media:
            answer = self._session.send("GET", target, b"", headers, ok=_BODY, stream=True)
            try:
                return _answers.media(answer, position, end, generation)
            except BaseException:
                answer.close()
                raise

        try:
            media = self._session.tried(begin, self._attempts)
        except native() as exc:
            if status_of(exc) != 416:
                raise
            self._check_end(exc, position)
            return None
        # What follows has to be the same version, and ends where this one does.
        self._generation, self._end = media.generation, media.after
        return media

    def _check_end(self, refusal: BaseException, position: int) -> None:
        """Holds an answer that there is nothing from ``position`` on against the blob."""
        size = _answers.size_past(refusal)
        if size is None:
            found = look(self._session, self._path)
            if found is None:
                raise NotFoundError from refusal
            size = _answers.stat_of(found.resource).size
        if position < size and (position >= 0 or size):
            raise IntegrityError(
                f"the service says that the range begins past the end, at byte {position:,}, but the blob has {size:,} bytes"
            ) from refusal

    def check_size(self, size: int) -> None:
        """Raises ``IntegrityError`` unless the blob has ``size`` bytes, as far as its answer tells."""
        if self.media is not None and self.media.total not in (None, size):
            self.media.answer.close()
            raise IntegrityError(
                f"the service describes a blob of {size:,} bytes, and gives one of {self.media.total:,}"
            )

    def whole(self) -> bytes:
        """The bytes at once."""
        # Unlike a list that is joined, this never holds the bytes twice.
        whole = io.BytesIO()
        whole.writelines(self._pieces(self.media))
        return whole.getvalue()

    def chunks(self) -> Chunks:
        """The bytes in pieces; to be iterated once, and closed if not to the end.

        Raises:
            IntegrityError: they do not match the checksum that the service keeps.
        """
        return Chunks(self._pieces(self.media), self.media)

    def _pieces(self, media: Media | None) -> Generator[bytes, None, None]:
        if media is None:
            return
        expected = media.crc if media.is_whole else None
        crc, position = 0, media.first
        begun = forks.count
        try:
            while True:
                try:
                    for piece in _body(media):
                        if expected is not None:
                            crc = checksum(piece, crc)
                        position += len(piece)
                        yield piece
                        # A long body may be cut more often, as long as more bytes come each time.
                        if self._attempts.tries > 1:
                            self._attempts = self._session.attempts()
                    break
                except native() as exc:
                    media.answer.close()
                    self._session.failed(self._attempts, exc)
                again = self._open(position)
                if again is None:
                    raise IntegrityError(
                        f"the blob ended after {position:,} bytes, before the range that was being read"
                    )
                media = again
        finally:
            if begun == forks.count:
                media.answer.close()
        if expected is not None and encoded_crc(crc) != expected:
            came = encoded_crc(crc)
            raise IntegrityError(f"the bytes that came have the CRC32C {came}, the blob has {expected}; read it again")


class Chunks:
    """An iterator over a body that gives its connection back when it is closed, begun or not."""

    def __init__(self, pieces: Generator[bytes, None, None], media: Media | None) -> None:
        self._pieces, self._media = pieces, media
        self._begun = forks.count

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> bytes:
        check_owner(self._begun, "this download")
        return next(self._pieces)

    def close(self) -> None:
        """Ends the iteration. Idempotent."""
        self._pieces.close()
        if self._media is not None and self._begun == forks.count:
            self._media.answer.close()


def nothing() -> Chunks:
    """The bytes of a range past the end of a blob."""
    empty: tuple[bytes, ...] = ()
    return Chunks((piece for piece in empty), None)


def _body(media: Media) -> Iterator[bytes]:
    """The bytes of one answer that were asked for."""
    position, after, skip = media.first, media.after, media.skip
    while position != after:
        piece = media.answer.read(_PIECE)
        if not piece:
            if after is None:
                return
            raise IntegrityError(f"the body ended at byte {position:,} of {after:,}")
        if skip:
            piece, skip = piece[skip:], max(0, skip - len(piece))
        if after is not None and len(piece) > after - position:
            piece = piece[: after - position]
        if piece:
            position += len(piece)
            yield piece
