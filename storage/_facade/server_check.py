"""``Storage.check``: tests with real requests whether a server does what the contract needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from storage._backend import Backend, Changes, PutOptions, SignOptions, kind_of, servable
from storage._facade.concurrent import batched
from storage._facade.errors import translate
from storage._facade.signing import sign
from storage.exceptions import (
    NotFoundError,
    PreconditionFailedError,
    SigningError,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
    UnsupportedOperationError,
)

_PLAIN = PutOptions("application/octet-stream")
_SECONDS = 60
# Orders that servers are known to confuse: a slash among its neighbours, upper case, more than ASCII.
_ORDER = ("order/A", "order/a", "order/a-b", "order/a0", "order/b", "order/é", "order/\U0001f600")
_BELOW = "order/a/b"  # below another key, which not every server takes
_DIGITS = b"0123456789"
_MD5_OF_RIGHT = "fE8pQHiTwzSmy3qHvwRcDQ=="
_METADATA = {"n" * 128: "1", "name": "Zoë, 中文"}


def check_backend(backend: Backend, prefix: str) -> list[str]:
    """A line for each thing that ``backend`` lacks below ``prefix``. What it writes there it removes again.

    Where not even a plain blob can be written, there is nothing to find out: the error is raised.
    """
    check = _Check(backend, f"{prefix}storage-check-{os.urandom(8).hex()}/")
    try:
        check.put("plain")
        check.conditional_writes()
        check.conditional_deletes()
        check.conditional_copies()
        check.metadata()
        check.keys_and_listings()
        check.signatures()
    except BaseException:
        check.clean()
        raise
    check.clean()
    return list(dict.fromkeys(check.lines))  # two probes may find the same


class _Check:
    def __init__(self, backend: Backend, home: str) -> None:
        self._backend = backend
        self._home = home
        self._written: set[str] = set()
        self._what = ""  # the subject of this probe
        self.lines: list[str] = []

    # ---- what the probes are made of ---------------------------------------------------------------------------

    @contextmanager
    def _probe(self, what: str) -> Iterator[None]:
        """A block that fails is itself a finding, and the next one goes on. Where no answer comes in time, that is raised."""
        self._what = what
        try:
            yield
        except Exception as exc:
            kind = kind_of(exc, self._backend)
            if kind is None or issubclass(kind, StorageTimeoutError):
                raise
            if issubclass(kind, UnsupportedOperationError):
                self._say("they are refused")
            else:
                said = str(translate(exc, self._backend, what))
                self.lines.append(said if said.startswith(what) else f"{what}: {said}")

    def _say(self, line: str) -> None:
        self.lines.append(f"{self._what}: {line}")

    def put(self, name: str, data: bytes = b"old", options: PutOptions = _PLAIN) -> str:
        """The etag of a new blob."""
        return self._backend.put(self._path(name), data, options).etag

    def _path(self, name: str) -> str:
        """Where a blob is written, and removed in the end."""
        path = self._home + name
        self._written.add(path)
        return path

    def _two_versions(self, name: str) -> tuple[str, str]:
        """An etag that was true once (a driver may know by itself that no blob has one that is made up), and the present one."""
        return self.put(name, b"older"), self.put(name)

    def _fails(self, kind: type[StorageError], call: Callable[[], object]) -> bool:
        """Whether ``call`` fails with this class; another failure is raised."""
        try:
            call()
        except Exception as exc:
            if not issubclass(kind_of(exc, self._backend) or Exception, kind):
                raise
            return True
        return False

    def _is_there(self, path: str) -> bool:
        return not self._fails(NotFoundError, lambda: self._backend.stat(path))

    def _false(self, harm: str, call: Callable[[], object]) -> None:
        """Says so if ``call``, whose condition does not hold, goes well."""
        if not self._fails(PreconditionFailedError, call):
            self._say(f"the server ignores the condition, so {harm}")

    def _true(self, harm: str, call: Callable[[], object]) -> None:
        """Says so if ``call``, whose condition holds, fails for it."""
        if self._fails(PreconditionFailedError, call):
            self._say(f"the server refuses a condition that holds, so {harm}")

    # ---- conditions --------------------------------------------------------------------------------------------

    def _write(self, name: str, **condition: Any) -> Callable[[], object]:
        return lambda: self.put(name, b"new", _PLAIN._replace(**condition))

    def conditional_writes(self) -> None:
        with self._probe("create-only writes"):
            self.put("created")
            self._false("overwrite=False overwrites in silence", self._write("created", overwrite=False))
        with self._probe("create-only writes"):
            self._true("overwrite=False never writes", self._write("fresh", overwrite=False))
        with self._probe("conditional writes"):
            stale, _ = self._two_versions("swapped")
            self._false("if_match overwrites any version in silence", self._write("swapped", if_match=stale))
        with self._probe("conditional writes"):
            _, etag = self._two_versions("swapped")
            self._false("if_match stores a blob where there was none", self._write("absent", if_match=etag))
        with self._probe("conditional writes"):
            _, etag = self._two_versions("swapped")
            self._true("if_match never writes", self._write("swapped", if_match=etag))

    def conditional_deletes(self) -> None:
        path = self._path("deleted")
        with self._probe("conditional deletes"):
            stale, _ = self._two_versions("deleted")
            harm = "if_match may delete a version that it does not name"
            self._false(harm, lambda: self._backend.delete_unseen(path, stale))
        with self._probe("conditional deletes"):
            _, etag = self._two_versions("deleted")
            self._true("if_match never deletes", lambda: self._backend.delete(path, if_match=etag))
            if self._is_there(path):
                self._say("the server says that a blob is deleted, and it is still there")

    def _copy(self, target: str, *, overwrite: bool = True, if_match: str | None = None) -> Callable[[], object]:
        source, new = self._path("source"), self._path(target)
        return lambda: self._backend.copy(source, new, overwrite=overwrite, if_match=if_match)

    def conditional_copies(self) -> None:
        with self._probe("create-only copies"):
            self.put("source")
            self.put("target")
            self._false("copy with overwrite=False overwrites in silence", self._copy("target", overwrite=False))
        with self._probe("create-only copies"):
            self.put("source")
            self._true("copy with overwrite=False never copies", self._copy("copied", overwrite=False))
        with self._probe("conditional copies"):
            stale, _ = self._two_versions("source")
            self._false("copy with if_match copies any version", self._copy("target", if_match=stale))
        with self._probe("conditional copies"):
            _, etag = self._two_versions("source")
            self._true("copy with if_match never copies", self._copy("target", if_match=etag))

    # ---- metadata, ranges, keys, listings ----------------------------------------------------------------------

    def metadata(self) -> None:
        path = self._path("described")
        with self._probe("metadata"):
            self.put("described", b"1", _PLAIN._replace(metadata=_METADATA))
            if self._backend.stat(path).metadata != _METADATA:
                self._say("names of 128 characters, or values in any script, are not kept")
        with self._probe("set_metadata"):
            self.put("described", b"1", _PLAIN._replace(metadata={"a": "1", "b": "2"}))
            self._backend.update(path, Changes(metadata={"a": "3"}))
            if self._backend.stat(path).metadata != {"a": "3"}:
                self._say("what was there is not replaced")

    def keys_and_listings(self) -> None:
        with self._probe("ranges"):
            self.put("digits", _DIGITS)
            path = self._path("digits")
            ranges = ((2, 5), (7, None), (-3, None), (20, 30))
            if any(self._backend.get(path, start, end) != _DIGITS[start:end] for start, end in ranges):
                self._say("other bytes come than were asked for")
        with self._probe("keys"):
            self._key_below_a_key()
        with self._probe("listing"):
            for name in _ORDER:
                self.put(name)
            found, wanted = self._listed()
            if sorted(found) != wanted:
                self._say(f"{len(wanted)} blobs were written, {len(found)} are listed, not all of them the same")
        with self._probe("listing order"):
            found, wanted = self._listed()
            if found != wanted and sorted(found) == wanted:
                self._say("keys do not come in the order of their UTF-8 bytes")
        with self._probe("delete_many"):
            self.put("many/1")
            self.put("many/2")
            paths = [self._path(f"many/{n}") for n in (1, 2, 3)]
            for exc in self._backend.delete_batch(paths).values():
                raise exc
            if any(map(self._is_there, paths)):
                self._say("the server says that blobs are deleted, and they are still there")

    def _key_below_a_key(self) -> None:
        self.put("order/a")
        try:
            self.put(_BELOW)
        except Exception as exc:
            if kind_of(exc, self._backend) is None:
                raise
            self._say(f"`a/b` cannot be stored beside `a` ({translate(exc, self._backend, 'a/b')})")
        else:
            if not (self._is_there(self._path("order/a")) and self._is_there(self._path(_BELOW))):
                self._say("of `a` and `a/b` only one is kept")

    def _listed(self) -> tuple[list[str], list[str]]:
        """The paths that are listed, and those that should be."""
        names = [*_ORDER, _BELOW] if self._is_there(self._path(_BELOW)) else _ORDER
        found = [path for page in self._backend.scan(self._home + "order/") for path, _ in page]
        return found, sorted(self._home + name for name in names)

    # ---- signatures, checksums ---------------------------------------------------------------------------------

    def signatures(self) -> None:
        with self._probe("signing"):
            if not self._would_make_keys():
                self._signing()
        with self._probe("checksums"):
            if not self._would_make_keys():
                self._checksums()

    def _would_make_keys(self) -> bool:
        """Whether a signature would make the first keys of a local store: a check is to leave nothing."""
        served = servable(self._backend)
        return served is not None and served.signing_keys() is None

    def _signing(self) -> None:
        self.put("signed", b"signed")
        try:
            url, other = (
                sign(self._backend, self._path(name), SignOptions("GET", _SECONDS)).url for name in ("signed", "plain")
            )
        except (SigningError, UnsupportedOperationError) as exc:
            self._say(exc.message or type(exc).__name__)
            return
        status, data = _ask("GET", url)
        if status != 200 or data != b"signed":
            self._say(f"a signed URL answers {status}; look at the credentials, the clock and the endpoint")
            return
        forged = url.partition("?")[0] + "?" + other.partition("?")[2]
        if _ask("GET", forged)[0] < 400:
            self._say("the server does not check signatures, so anyone can read and write everything")

    def _checksums(self) -> None:
        try:
            request = sign(self._backend, self._path("summed"), SignOptions("PUT", _SECONDS, content_md5=_MD5_OF_RIGHT))
            status, _ = _ask("PUT", request.url, b"wrong", request.headers)
        except (SigningError, UnsupportedOperationError, UnavailableError):
            return  # said already
        if status < 400:
            self._say("the server stores bytes that do not match the checksum that comes with them")

    # ---- the end -----------------------------------------------------------------------------------------------

    def clean(self) -> None:
        """Deletes what was written, one blob after the other where that cannot be done at once; says so if some are left."""
        left: set[str] = set()
        for some in batched(sorted(self._written), self._backend.batch_size):
            with self._forgiving():
                left.update(some)
                left.difference_update(set(some) - set(self._backend.delete_batch(some)))
        with self._forgiving():  # a server may say that it has deleted what it has not
            left.update(path for page in self._backend.scan(self._home) for path, _ in page)
        faults = Backend.delete_batch(self._backend, sorted(left))  # one by one
        if faults:
            why = translate(next(iter(faults.values())), self._backend, "delete")
            self.lines.append(f"cleaning up: {len(faults)} blobs are left below {self._home!r} ({why})")

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except Exception as exc:
            if kind_of(exc, self._backend) is None:
                raise


def _ask(
    method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body of the answer to a signed request, sent without any help of the backend's."""
    import urllib3  # only here: 40 ms, and not needed to work with blobs

    with urllib3.PoolManager(retries=False, timeout=_SECONDS) as http:
        try:
            answer = http.request(method, url, body, headers=headers)
        except (urllib3.exceptions.HTTPError, ValueError, ArithmeticError) as exc:  # its parsers raise all of these
            raise UnavailableError(
                f"a signed URL cannot be reached ({type(exc).__name__}); look at the endpoint"
            ) from exc
        return answer.status, answer.data
