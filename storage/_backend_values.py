"""The values and objects that pass between the facade and a backend."""

# Without `from __future__ import annotations`: NamedTuple would compile each annotation from its text, 2 ms of an import.

import os
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from storage.exceptions import NotFoundError


class Stat(NamedTuple):
    """A blob as a backend describes it: an ``ObjectInfo`` without key and storage type."""

    size: int
    etag: str  # opaque, unquoted; another one whenever the bytes change
    last_modified: datetime  # aware, UTC
    content_type: str | None = None
    cache_control: str | None = None
    content_encoding: str | None = None
    # Decoded; {} where the blob has none, None where a listing does not tell. Never mutated by anyone.
    metadata: Mapping[str, str] | None = None


class PutOptions(NamedTuple):
    """The options of a write. Guaranteed: checked, never ``overwrite=False`` together with ``if_match``."""

    content_type: str
    cache_control: str | None = None
    content_encoding: str | None = None
    metadata: Mapping[str, str] = {}  # names [a-z0-9-]{1,128}; values any text without control characters
    overwrite: bool = True  # False: AlreadyExistsError if there is a blob, atomic against every other writer
    if_match: str | None = None  # PreconditionFailedError unless there is a blob with this etag


class Changes(NamedTuple):
    """The changes that ``update`` makes: each field that is not ``None``. Guaranteed: checked, and at least one is given."""

    content_type: str | None = None
    cache_control: str | None = None
    content_encoding: str | None = None
    metadata: Mapping[str, str] | None = None  # all of it; {}: none


class SignOptions(NamedTuple):
    """The options of a signed request. Guaranteed: checked, and only options that go with ``method`` are set."""

    method: str  # "GET", "HEAD" or "PUT"
    expires_in: int  # seconds, 1 to 604,800
    content_disposition: str | None = None  # GET, HEAD: the response's header
    content_type: str | None = None  # GET, HEAD: the response's header; PUT: the request's, bound
    content_length: int | None = None  # PUT: bytes, bound
    content_md5: str | None = None  # PUT: base64, bound
    overwrite: bool = True  # PUT: False is bound


class FormOptions(NamedTuple):
    """The options of a signed form. Guaranteed: checked."""

    expires_in: int  # seconds, 1 to 604,800
    max_length: int | None = None  # bytes; None: no limit
    content_type: str | None = None  # None: any


class SigningKeys(NamedTuple):
    """The keys that sign and verify the URLs of one store. The ``repr`` shows no secret.

    Attributes:
        store_id: random, not secret; it stands in each URL, so that stores that share a secret do not share URLs.
        secrets: the first one signs, each one verifies. At least one.
    """

    store_id: str
    secrets: tuple[bytes, ...]

    @classmethod
    def new(cls) -> "SigningKeys":
        """A new random id and one new random secret."""
        return cls(os.urandom(16).hex(), (os.urandom(32).hex().encode(),))

    def __repr__(self) -> str:
        return f"SigningKeys(store_id={self.store_id!r}, secrets=<{len(self.secrets)}>)"


class Setup(NamedTuple):
    """The arguments of ``Storage.setup``, for a backend."""

    create_bucket: bool = False
    cors_origins: tuple[str, ...] | None = None  # None: leave as it is; (): remove our rule
    tmp_prefix: str | None = None  # the path prefix of the blobs that expire
    tmp_days: int | None = None  # days after which they do; None: leave as it is
    prefixes: tuple[str, ...] = ("",)  # the path prefixes of the store's blobs


class Chunks(Iterator[bytes], Protocol):
    """An iterator over pieces of a blob, of at most some MiB each."""

    def close(self) -> None:
        """Ends the iteration early and frees the connection or file. Idempotent."""


class Download(NamedTuple):
    """A blob being read: its ``Stat`` (``size`` is the whole blob's), and the bytes of the range.

    ``chunks`` yields every byte of the range, all of the version that ``stat`` names, or raises.
    """

    stat: Stat
    chunks: Chunks


class ChecksumVerifier(Protocol):
    """Compares a blob that comes in pieces, in any order and from many threads, with the checksum that the service keeps."""

    def add(self, position: int, data: bytes) -> None:
        """Counts ``data``, which stands at ``position`` of the blob. Each byte of the blob is given once."""

    def check(self) -> None:
        """Called once all bytes have come. Raises ``IntegrityError`` unless they are the blob's."""


class Trace(threading.local):
    """Tries and request id of this thread's last call, for the log: a network driver sets both after each request."""

    tries: int = 1
    request_id: str | None = None


trace: Trace = Trace()


class BlobOrBucketMissing(NotFoundError):  # noqa: N818 (an answer of ``classify``, which users never meet)
    """``classify``'s answer for "404, which may mean blob or bucket". The facade asks ``bucket_exists``."""


class Writer(Protocol):
    """A blob being written. Nothing can be seen of it until ``commit`` returns.

    One thread at a time. After ``commit`` or ``abort`` no other method is called; ``abort`` also after a ``write`` or
    ``commit`` that raised. A writer that is dropped without either must leave nothing that can be seen.
    """

    def write(self, data: bytes | memoryview) -> None:
        """Takes the next bytes, and is done with the buffer on return. May upload in the background, in bounded memory."""

    def commit(self) -> Stat:
        """Publishes all that was written, at once and durably, under the writer's options; or raises and changes nothing."""

    def abort(self) -> None:
        """Forgets what was written, and leaves no parts, temporary files or threads. Does not raise."""
