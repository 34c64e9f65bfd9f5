"""The ``Backend`` protocol: what a driver implements, and what the facade calls. See ``docs/writing-a-backend.md``.

A backend owns one SDK (or one system interface) and nothing else. It imports neither the facade nor another backend.
Paths, not keys, cross this border: the facade has already checked the key, put the prefix of the URL and of the storage
type before it, frozen the options and split the body into bytes.

**Errors.** A method does not catch the exceptions of its SDK. The facade asks :meth:`Backend.classify` for the class, adds the
message, and raises the new exception with the SDK's as ``__cause__``. Where there is no native exception (an absent path in a
dictionary) a backend raises the bare class from :mod:`storage.exceptions`; one with a message of its own keeps it.

**Retries.** A driver on a network gets the caller's ``retries`` and uses :mod:`storage._retry`; what leaves a method has
been retried as often as the caller allowed, including a body that is cut half way. A conditional write or a delete that is
retried after a lost answer must not fail because its own first try succeeded.

**Threads and forks.** Every method may be called from many threads at once, and in a child after ``fork`` without
sharing a connection with the parent.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast, runtime_checkable

from storage._backend_values import (
    BlobOrBucketMissing,
    Changes,
    ChecksumVerifier,
    Chunks,
    Download,
    FormOptions,
    PutOptions,
    Setup,
    SigningKeys,
    SignOptions,
    Stat,
    Trace,
    Writer,
    trace,
)
from storage._keys import is_portable
from storage._types import SignedForm, SignedRequest
from storage.exceptions import NotFoundError, StorageError, UnsupportedOperationError

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # 8 ms

__all__ = [
    "Backend",
    "BlobOrBucketMissing",
    "Changes",
    "ChecksumVerifier",
    "Chunks",
    "Download",
    "FormOptions",
    "HoldsBackends",
    "PutOptions",
    "Servable",
    "Setup",
    "SignOptions",
    "SigningKeys",
    "Stat",
    "Trace",
    "Writer",
    "is_backend",
    "kind_of",
    "servable",
    "trace",
]


@runtime_checkable
class Backend(Protocol):
    """One bucket or directory. Subclass it explicitly to inherit what has a default.

    Guaranteed on entry: a ``path`` is a portable key of at most 1,024 bytes of UTF-8 (docs/contract.md: no empty, ``.`` or
    ``..`` segment, no control character, no backslash, no segment that begins with ``.storage~``), or, where the URL
    says ``keys=raw``, any ``str``. A ``prefix`` is ``""`` or starts such a path. A range has ``0 <= start < end``, or
    ``end=None``; a negative ``start`` (only with ``end=None``) means the last ``-start`` bytes.

    Check every answer of the service: a range or length other than what was asked for is an ``IntegrityError``, another version
    is a ``PreconditionFailedError``, and an answer that is not the service's is an ``UnavailableError``.
    """

    scheme: ClassVar[str]
    # True: the factory consumed the path of the URL (a directory). False: the facade puts it before every path.
    owns_path: ClassVar[bool] = False
    # How many calls at once pay off (1: none; the facade then uses no threads), and paths a ``delete_batch`` takes.
    concurrency: int = 1
    batch_size: int = 1
    # Bytes: the size of piece that ``Writer.write`` likes best; a body up to this size goes to ``put``.
    chunk_size: int = 1024 * 1024
    # From how many bytes on the facade reads a blob in parallel ranges. None: never.
    parallel_from: int | None = None
    # True: a call takes microseconds and never waits, so an event loop may make it itself.
    inline: bool = False
    # True: nobody else can reach this store by its URL, so a ``Storage`` on it cannot be pickled.
    private: bool = False
    # True: its blobs live no longer than this process.
    volatile: bool = False

    @property
    def client(self) -> Any:
        """The SDK's own client, for what this library does not do."""
        return None

    @property
    @abstractmethod
    def location(self) -> str:
        """The URL of the bucket or directory, without prefix, query or secret; its last part is the name.

        Two backends have equal locations if they are at the same place, as far as URLs can tell, and else different ones.
        """

    # ---- one blob ----------------------------------------------------------------------------------------------

    @abstractmethod
    def put(self, path: str, data: bytes, options: PutOptions) -> Stat:
        """Stores ``data`` whole or not at all. One request for small data; large data may go up in parallel parts.

        On return the blob is visible and durable, and the ``Stat`` (metadata and content type included) is the new
        blob's, at the cost of no second request.
        """

    # As ``put``, but reads back what was written before anybody can see it: other bytes are an ``IntegrityError``, and nothing
    # has changed. ``None``: the backend cannot, so whoever wants to be sure gets the blob.
    put_verified: Callable[[str, bytes, PutOptions], Stat] | None = None

    @abstractmethod
    def writer(self, path: str, options: PutOptions, size: int | None = None) -> Writer:
        """A blob to be written in pieces. ``size``: how many bytes will probably come, to choose the size of parts by."""

    @abstractmethod
    def get(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> bytes:
        """The blob's bytes from ``start`` to ``end`` (not included), as far as there are any (``b""`` past the end).

        One request. Absent: ``NotFoundError``. ``if_match``: another version is a ``PreconditionFailedError``.
        """

    @abstractmethod
    def stream(self, path: str, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        """As ``get``, in pieces and with the ``Stat``, without holding the blob in memory.

        The answer's status is known on return. A replaced blob is a ``PreconditionFailedError`` while iterating, never a mix.
        """

    def checksum_verifier(self, found: Stat) -> ChecksumVerifier | None:
        """Returns a verifier of the checksum for a download of ``found`` in ranges; ``None``: the service keeps none."""
        del found
        return None

    @abstractmethod
    def stat(self, path: str) -> Stat:
        """The blob's ``Stat``, all fields. Absent: ``NotFoundError``. One request where the blob is there."""

    def probe(self, path: str) -> object:
        """Returns (anything) if there is a blob, else raises as ``stat`` does. Override it where it costs less."""
        return self.stat(path)

    @abstractmethod
    def delete(self, path: str, *, if_match: str | None = None) -> None:
        """Deletes the blob. Absent: ``NotFoundError``. At most two requests.

        ``if_match``: another version is a ``PreconditionFailedError``, atomic against every other writer; a backend that
        cannot promise that raises ``UnsupportedOperationError`` before anything is done.
        """

    def delete_unseen(self, path: str, etag: str) -> None:
        """Like ``delete`` with ``if_match``, but only the service compares the etag. ``Storage.check`` uses it."""
        self.delete(path, if_match=etag)

    def delete_batch(self, paths: Sequence[str]) -> Mapping[str, Exception]:
        """Deletes up to ``batch_size`` blobs; absent ones are fine. Returns the exception of each path that failed."""
        failed: dict[str, Exception] = {}
        for path in paths:
            try:
                self.delete(path)
            except NotFoundError:
                pass
            except Exception as exc:
                if not issubclass(kind_of(exc, self) or Exception, NotFoundError):
                    failed[path] = exc
        return failed

    @abstractmethod
    def copy(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        """Copies inside the backend, headers and metadata along. Guaranteed: ``source != target``.

        Absent source: ``NotFoundError``. ``overwrite=False``: as for ``put``, or ``UnsupportedOperationError`` before
        anything is done. ``if_match``: the source's etag, else ``PreconditionFailedError``.
        """

    def move(self, source: str, target: str, *, overwrite: bool, if_match: str | None = None) -> Stat:
        """As ``copy``, and the source is gone. A failure between copy and delete leaves both blobs.

        ``if_match``: only the version that was copied is deleted.
        """
        stat = self.copy(source, target, overwrite=overwrite, if_match=if_match)
        self.delete(source, if_match=if_match)
        return stat

    def update(self, path: str, changes: Changes, *, if_match: str | None = None) -> Stat:  # noqa: ARG002
        """Replaces headers and metadata as ``changes`` says, without the bytes passing through the client. Atomic.

        Returns the new ``Stat``. Absent: ``NotFoundError``. ``if_match``: another version is a ``PreconditionFailedError``.
        """
        raise UnsupportedOperationError(f"{self.location} cannot change the metadata of a blob; set the blob again")

    # ---- listing -----------------------------------------------------------------------------------------------

    @abstractmethod
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
        """Everything whose path starts with ``prefix`` (a string prefix, not a folder), in UTF-8 byte order, in pages.

        Args:
            prefix: what paths start with; ``""``: all.
            start_after: only paths after this text (it need not be a path, and may lie before ``prefix``).
            end_before: only paths before this text; no page is asked for beyond the one in which it lies. Both bounds mean
                UTF-8 byte order, also on a server that lists in another.
            detail: give each blob's ``Stat`` (its metadata and headers may be ``None``), without a request for each blob;
                else it may be ``None``.
            delimiter: one level: what has a further ``/`` after ``prefix`` is given once, as ``(path up to and with that
                slash, None)``, in order among the blobs.
            page_size: at most this many to a page; a hint how many will be wanted first.

        Memory does not grow with the number of blobs. A blob that is there all the time is given exactly once, whatever
        is written or deleted meanwhile.
        """

    # ---- signing, where the service does it (else see ``Servable``) -----------------------------------------------

    def sign(self, path: str, options: SignOptions) -> SignedRequest:  # noqa: ARG002
        """A request that anyone can send until it expires. Every option is bound, or ``UnsupportedOperationError``.

        ``SigningError``: these credentials cannot sign; its message says what to configure.
        """
        raise UnsupportedOperationError(f"{self.location} cannot sign URLs")

    def sign_form(self, path: str, options: FormOptions) -> SignedForm:  # noqa: ARG002
        """A browser form that anyone can post until it expires. As ``sign``."""
        raise UnsupportedOperationError(f"{self.location} cannot sign forms; use sign_upload")

    # ---- errors ------------------------------------------------------------------------------------------------

    @abstractmethod
    def classify(self, exc: BaseException) -> type[StorageError] | None:
        """The class for an exception of this backend's SDK. ``None``: it is not the SDK's but a bug, and raised unchanged. Pure.

        ``BlobOrBucketMissing`` where the answer leaves open which of the two is missing.
        """

    def explain(self, exc: BaseException) -> str | None:  # noqa: ARG002
        """The message for an exception that ``classify`` knows; ``None``: the facade's usual one for its class. Pure: no I/O.

        Fact first, remedy last, and no key or URL: the facade puts those before it, and the native exception behind it.
        """
        return None

    @abstractmethod
    def bucket_exists(self) -> bool:
        """Whether a write finds a bucket or directory: it is there, or the first write makes it. May raise like any call."""

    def bucket_exists_now(self) -> bool:
        """Whether the bucket or directory is there now; makes nothing. May raise, as any other call."""
        return self.bucket_exists()

    # ---- the bucket itself -------------------------------------------------------------------------------------

    def setup(self, wanted: Setup) -> Sequence[str]:
        """Prepares the bucket as ``wanted``; idempotent; touches no rule but its own. Returns a line for each change.

        What the backend cannot do is an ``UnsupportedOperationError`` before anything is changed.
        """
        if not wanted.create_bucket and wanted.cors_origins is None and wanted.tmp_days is None:
            return []
        raise UnsupportedOperationError(f"{self.location} has nothing to set up")

    def sweep(self, prefixes: Sequence[str] = ("",)) -> Sequence[str]:
        """Deletes what killed writers left, and what has expired. Returns a line for each kind.

        It leaves what a running writer may still need, and, in a bucket that others use too, what is not below one of
        ``prefixes``.
        """
        del prefixes
        return []

    def find_foreign_names(self, prefix: str) -> Sequence[str]:
        """Counts the entries below ``prefix`` whose names are no portable keys, a line for each kind. For ``storage doctor``."""
        counts = Counter(
            "folder markers (keys that end in a slash)"
            if path[-1:] == "/"
            else "blobs whose names are no portable keys"
            for page in self.scan(prefix)
            for path, _ in page
            if not is_portable(path[len(prefix) :])
        )
        return [f"{count:,} {what}" for what, count in sorted(counts.items(), reverse=True)]

    def find_problems(self) -> Sequence[str]:
        """A line for each thing that is wrong with the store itself, with its remedy; changes nothing. For ``doctor``."""
        return []

    def count_outside(self, prefixes: Sequence[str], most: int | None = None) -> int:  # noqa: ARG002
        """Counts the files in the directory that are no blobs, because their paths start with none of ``prefixes``.

        ``most``: counts no further. 0 where nobody can put files beside the blobs, as in a bucket.
        """
        return 0

    def close(self) -> None:
        """Gives back connections and threads. Idempotent. A later call may open them anew."""
        return


class Servable(Protocol):
    """Further members of a backend whose service cannot sign: the facade signs for it, and ``storage.server`` answers.

    A backend that has ``signing_keys`` needs no ``sign`` and no ``sign_form``. Its URLs are answered by a server in this
    process, which starts with the first of them, or by the one that ``serve_url`` names. A backend around another one has all
    three from that; its ``signing_keys`` is ``None`` where the other one has none.
    """

    serve_url: str | None
    """Where a server of the user's answers these URLs, without a slash at its end; ``None``: this process does."""

    @property
    def cors_origins(self) -> Sequence[str]:
        """The web origins whose pages may use signed URLs, as ``setup`` was told; ``"*"``: all."""

    def signing_keys(self, *, create: bool = False) -> SigningKeys | None:
        """The keys as they are now; ``None``: there are none yet, unless ``create`` says to make them.

        ``SigningError``: they can be neither read nor made.
        """


if TYPE_CHECKING:

    class ServableBackend(Backend, Servable, Protocol):
        """A backend whose signed URLs are made and answered by this library."""


def servable(backend: Backend) -> ServableBackend | None:
    """``backend`` where its signed URLs are made and answered by this library; else ``None``."""
    # `isinstance` would get `cors_origins`, which may be in a file.
    return cast("ServableBackend", backend) if getattr(backend, "signing_keys", None) is not None else None


class HoldsBackends(Protocol):
    """The part of a ``Storage`` or ``AsyncStorage`` that modules below the facade use."""

    def __backends__(self) -> Sequence[Backend]:
        """The main backend and those of the storage types, each once."""


def kind_of(exc: BaseException, backend: Backend) -> type[StorageError] | None:
    """The class of this library for an exception that ``backend`` raised, without a request.

    ``None``: it is neither this library's nor the backend's own, so a bug or an exception of the caller's.
    """
    return type(exc) if isinstance(exc, StorageError) else backend.classify(exc)


def is_backend(value: object) -> TypeIs[Backend]:
    """Whether ``value`` is a backend, told by its class where that names ``Backend``.

    Up to Python 3.11 ``isinstance`` gets every attribute of a protocol, and so would open the client.
    """
    return Backend in type(value).__mro__ or isinstance(value, Backend)


Factory = Callable[..., Backend]
"""``factory(url, *, auth, retries, timeout)``: what ``storage.register`` and the entry points of ``storage.backends`` take."""
