"""Lists a bucket in pages, between two bounds, in the order of UTF-8."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from storage._backend import Stat
from storage.backends._circle import Circle
from storage.backends._http import Answer
from storage.backends.s3._calls import Call, query
from storage.backends.s3._documents import Page, listing
from storage.backends.s3._order import LAST, ordered
from storage.backends.s3._requests import Requests
from storage.exceptions import UnavailableError

Entry = tuple[str, "Stat | None"]

# What cannot stand in the XML that repeats a bound, or in a URL; the bound that a server is given ends before it.
_UNSAYABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# What comes before a slash in the order of UTF-8, and after it where a server lists depth first.
_BEFORE_SLASH: Final = re.compile("[\x20-\x2e]")
_MAX_BOUND: Final = 1024  # bytes of UTF-8: as many as a key has at most
_MAX_PAGE: Final = 1000
_GROWTH: Final = 4  # from one page of a listing to the next


class Bounds(NamedTuple):
    """The bounds of a listing: paths that start with ``prefix``, after ``start`` and before ``end``, in the order of UTF-8."""

    prefix: str
    start: str | None = None
    end: str | None = None

    @property
    def empty(self) -> bool:
        """Whether no path can be meant."""
        prefix, start, end = self
        past = start is not None and start >= prefix and not start.startswith(prefix)
        return past or (end is not None and (end <= prefix or (start is not None and end <= start)))

    def after(self, *, depth_first: bool, delimiter: bool = False) -> str | None:
        """The ``start-after`` for the server: no path within the bounds comes before it."""
        start, prefix = self.start, self.prefix
        if start is None or not start.startswith(prefix):
            return None
        unsayable = _UNSAYABLE.search(start)
        start = start if unsayable is None else start[: unsayable.start()]
        start = start.encode()[:_MAX_BOUND].decode(errors="ignore")
        if depth_first:
            # `a/b` comes before `a-b` there. (After "a" SeaweedFS goes on behind all of `a/`, but not after "a/".)
            early = _BEFORE_SLASH.search(start, len(prefix))
            start = (start if early is None else start[: early.start()]).rstrip("/")
            if delimiter:
                start = start[:-1]  # after `a/` it leaves out the folder `a/`
                return start if len(start) > len(prefix) else None
            return f"{start}/" if len(start) > len(prefix) else None
        return start or None


class Lister:
    """Lists a bucket, and remembers in which order the server does it."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests
        self.depth_first: bool | None = None  # known from the first answer on

    def pages(self, bounds: Bounds, *, detail: bool, delimiter: bool, page_size: int) -> Iterator[list[Entry]]:
        """As :meth:`storage._backend.Backend.scan`; some pages may be empty."""
        if bounds.empty:
            return
        prefix, start, end = bounds
        after = bounds.after(depth_first=bool(self.depth_first), delimiter=delimiter)
        listed = _Listed(self, detail=detail, delimiter=delimiter, page_size=min(page_size, _MAX_PAGE))
        if self.depth_first is None:
            listed.first = listed.page(prefix, after, None)
            again = bounds.after(depth_first=bool(self.depth_first), delimiter=delimiter)
            if again != after:
                after, listed.first = again, None
        pages: Iterator[list[Entry]] = (entries for entries, _ in listed.fetch(prefix, after, None))
        if self.depth_first:
            pages = ordered(listed.fetch, prefix, after, start)
        for page in pages:
            yield [entry for entry in page if (start is None or entry[0] > start) and (end is None or entry[0] < end)]
            if end is not None and page and page[-1][0] >= end:
                return


class _Listed:
    """One listing, as the server orders it."""

    def __init__(self, lister: Lister, *, detail: bool, delimiter: bool, page_size: int) -> None:
        self._lister, self._detail, self._delimiter, self._page_size = lister, detail, delimiter, page_size
        self.first: Page | None = None  # asked for already

    def page(self, prefix: str, after: str | None, token: str | None, size: int | None = None) -> Page:
        parameters = {
            "encoding_type": "url",
            "list_type": "2",
            "max_keys": str(size or self._page_size),
            "prefix": prefix,
        }
        if self._delimiter:
            parameters["delimiter"] = "/"
        if after is not None:
            parameters["start_after"] = after
        if token is not None:
            parameters["continuation_token"] = token

        def read(answer: Answer) -> Page:
            page = listing(answer.body, detail=self._detail)
            self._lister.depth_first = answer.headers.get("server", "").startswith("SeaweedFS")
            return page

        return self._lister.requests.read(Call("list_objects_v2", "GET", None, query(**parameters)), read)

    def fetch(self, prefix: str, after: str | None, at_most: int | None) -> Iterator[tuple[list[Entry], bool]]:
        """The pages that start with ``prefix`` and are listed after ``after``, each with whether there is another."""
        circle, token, before, size = Circle(), None, None, at_most or self._page_size
        page, self.first = self.first, None
        while True:
            page = page or self.page(prefix, after, token, size)
            yield page.entries, page.truncated
            # Where a small page was not enough, little in it was wanted: a bound that the server cannot be told, or odd names.
            size = min(_GROWTH * size, _MAX_PAGE)
            if not page.truncated:
                return
            token = page.token
            if token is None:  # a server that knows no tokens
                after = page.entries[-1][0]
                if self._delimiter and after.endswith("/"):
                    after += LAST  # behind all of the folder
            first = page.entries[0][0] if page.entries else None
            if circle.closes(token or after or "") or (first is not None and first == before):
                raise UnavailableError(
                    "the listing never ends: the server gave the same page again; try again, and check the server"
                )
            page, before = None, first
