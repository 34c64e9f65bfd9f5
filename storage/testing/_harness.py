"""What the conformance suite must know of a store: where fresh ones are made, and what their server cannot do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from storage import Storage


class Lack(Enum):
    """What a store may lack. The value says what the suite asserts instead.

    Declaring a lack never skips a test: it asks for another behaviour, so a lack that is no longer one fails.
    """

    # What the driver refuses. Asserted: UnsupportedOperationError, and nothing was done.
    CREATE_ONLY = "overwrite=False is refused"
    IF_MATCH = "if_match is refused"
    CREATE_ONLY_COPY = "copy and move with overwrite=False are refused"
    DELETE_IF_MATCH = "delete and move with if_match are refused"
    SET_METADATA = "set_metadata is refused"
    SIGNING = "signing is refused (UnsupportedOperationError or SigningError)"
    FORK = "a forked child that uses the parent's Storage is refused"
    CASE = "of two keys that the file system folds into one name the second is refused"

    # What the server ignores, so that the driver cannot honour it. Asserted: Storage.check() says so.
    DELETE_IF_MATCH_IGNORED = "delete with if_match deletes any version; Storage.check() reports it"
    CREATE_ONLY_COPY_IGNORED = "copy with overwrite=False overwrites; Storage.check() reports it"

    # What the server does otherwise. Asserted: all the rest of the same tests.
    LISTING_ORDER = "each key is listed once and start_after continues, in the server's order"
    CREATE_ONLY_BESIDE_FOLDER = "overwrite=False on `a` where only `a/b` exists may be AlreadyExistsError"
    RACES = "calls at the same moment may fail or mix; run one after the other they hold"
    EMPTY_FOLDERS = "iter_dir may go on showing a prefix whose last blob is gone"
    OCTET_STREAM = "the type application/octet-stream is replaced by the server's own guess"
    LARGE_CREATE_ONLY_IGNORED = "overwrite=False is honoured by small writes; a large one (in parts) overwrites"
    LARGE_IF_MATCH_IGNORED = "if_match is honoured by small writes; a large one (in parts) overwrites"

    # What the server does not check of signed URLs. Asserted: exactly what was signed works.
    HTTP = "nothing listens at signed URLs; their form is checked"
    SIGNATURES = "altered signed URLs, other methods, other or missing headers are not refused"
    EXPIRY = "expired signed URLs are not refused"
    SIGNED_CREATE_ONLY = "an upload URL with overwrite=False overwrites"
    SIGNED_HEAD_HEADERS = "a URL signed for HEAD does not set the answer's headers"
    SIGNED_TWICE = "a URL with a false signature behind the true one is not refused"
    SIGNED_MD5 = "a body that does not match the signed MD5 is taken"


class Harness:
    """Makes stores for the suite. Subclass it, give :meth:`url`, and declare what is lacking.

    ::

        class MyHarness(Harness):
            lacks = {Lack.LISTING_ORDER: "this server lists depth first"}

            def url(self, name: str) -> str:
                return f"mine://bucket/{name}"
    """

    lacks: ClassVar[Mapping[Lack, str]] = {}
    """What these stores cannot do, each with the reason, which is printed at the end of the test run."""

    large_size: int = 20 * 1024 * 1024
    """Bytes of a large blob: enough that the driver writes it in parts and reads it in parallel ranges."""

    many: int = 2_500
    """How many keys the long listings have: more than two pages."""

    page_size: int = 1_000
    """Entries to a page of the long listings: fewer show the same where each write takes its time, with fewer keys."""

    test_seconds: float = 300
    """Seconds after which a test fails, so that a store that never answers, or never ends a listing, does not hang the run."""

    exact_statuses: bool = False
    """Whether signed URLs are served by this library, whose statuses are exact; elsewhere any 4xx refuses."""

    secrets: Sequence[str] = ()
    """What must never be seen in a ``repr``, a message or the log: keys, tokens, passwords."""

    def start(self) -> None:
        """Called before the first test of a class: start a server, make a bucket."""

    def stop(self) -> None:
        """Called after the last test of a class."""

    def url(self, name: str) -> str:
        """The URL of a store that is empty for a new ``name``, and the same one whenever the same name comes again.

        Args:
            name: ``[a-z0-9-]``, at most 40 characters, made by the suite and never used for two tests, also not in two runs.
        """
        raise NotImplementedError

    def kwargs(self) -> dict[str, Any]:
        """What to pass to ``Storage`` besides the URL (``auth``, ``retries``, ``timeout``)."""
        return {}

    def missing_url(self) -> str | None:
        """A URL whose bucket or directory is not there, and is not made by a write; ``None`` if there is no such thing."""
        return None

    def storage(self, name: str, **options: Any) -> Storage:
        """A ``Storage`` on the store ``name``; ``options`` (``storage_types``, ``retries`` …) win over :meth:`kwargs`."""
        from storage import Storage

        return Storage(self.url(name), **{**self.kwargs(), **options})

    def expire(self, moment: datetime) -> None:
        """Returns once ``moment`` (when some URL, signed for one second, expires) is past: by waiting, or by a clock."""
        time.sleep(max(0.0, (moment - datetime.now(timezone.utc)).total_seconds()) + 1.1)

    def drop(self, name: str) -> None:
        """Called after a test with each name that it used: delete what is there, where the server lives on."""
