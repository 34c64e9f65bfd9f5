"""``Storage.check``: tests with real requests whether a server does what the contract needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from storage._backend import Backend, Changes, PutOptions, SignOptions, kind_of, servable
from storage._facade.concurrent import batched
from storage._facade.errors import translate
from storage._facade.signers import sign
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
_CREATE = _PLAIN._replace(overwrite=False)
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
    lines: list[str] = []
    try:
        check.put("plain")
        for what, probe in check.probes():
            lines += check.tried(what, probe)
    except BaseException:
        check.clean()
        raise
    return list(dict.fromkeys(lines + check.clean()))  # two probes may find the same


class _Check:
    def __init__(self, backend: Backend, home: str) -> None:
        self._backend = backend
        self._home = home
        self._written: set[str] = set()

    def probes(self) -> list[tuple[str, Callable[[], Iterator[str]]]]:
        """The subject of each probe, and the function that gives its findings."""
        return [
            ("create-only writes", self._create_only),
            ("create-only writes", self._create_absent),
            ("conditional writes", self._stale_write),
            ("conditional writes", self._write_to_absent),
            ("conditional writes", self._true_write),
            ("conditional deletes", self._stale_delete),
            ("conditional deletes", self._true_delete),
            ("create-only copies", self._create_only_copy),
            ("create-only copies", self._copy_to_absent),
            ("conditional copies", self._stale_copy),
            ("conditional copies", self._true_copy),
            ("metadata", self._metadata),
            ("set_metadata", self._set_metadata),
            ("ranges", self._ranges),
            ("keys", self._key_below_a_key),
            ("listing", self._listing),
            ("listing order", self._order),
            ("delete_many", self._batch),
            ("signing", self._signing),
            ("checksums", self._checksums),
        ]

    def tried(self, what: str, probe: Callable[[], Iterator[str]]) -> list[str]:
        """The findings of one probe; one that fails is itself a finding. Where no answer comes in time, that is raised."""
        lines: list[str] = []
        try:
            lines.extend(f"{what}: {line}" for line in probe())
        except Exception as exc:
            kind = kind_of(exc, self._backend)
            if kind is None or issubclass(kind, StorageTimeoutError):
                raise
            if issubclass(kind, UnsupportedOperationError):
                lines.append(f"{what}: they are refused")
            else:
                said = str(translate(exc, self._backend, what))
                lines.append(said if said.startswith(what) else f"{what}: {said}")
        return lines

    # ---- what the probes are made of ---------------------------------------------------------------------------

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

    def _false(self, harm: str, call: Callable[[], object]) -> Iterator[str]:
        """The finding, if ``call``, whose condition does not hold, goes well."""
        if not self._fails(PreconditionFailedError, call):
            yield f"the server ignores the condition, so {harm}"

    def _true(self, harm: str, call: Callable[[], object]) -> Iterator[str]:
        """The finding, if ``call``, whose condition holds, fails for it."""
        if self._fails(PreconditionFailedError, call):
            yield f"the server refuses a condition that holds, so {harm}"

    # ---- conditions --------------------------------------------------------------------------------------------

    def _create_only(self) -> Iterator[str]:
        self.put("created")
        return self._false("overwrite=False overwrites in silence", lambda: self.put("created", b"new", _CREATE))

    def _create_absent(self) -> Iterator[str]:
        return self._true("overwrite=False never writes", lambda: self.put("fresh", b"new", _CREATE))

    def _stale_write(self) -> Iterator[str]:
        options = _PLAIN._replace(if_match=self._two_versions("swapped")[0])
        return self._false("if_match overwrites any version in silence", lambda: self.put("swapped", b"new", options))

    def _write_to_absent(self) -> Iterator[str]:
        options = _PLAIN._replace(if_match=self._two_versions("swapped")[1])
        return self._false("if_match stores a blob where there was none", lambda: self.put("absent", b"new", options))

    def _true_write(self) -> Iterator[str]:
        options = _PLAIN._replace(if_match=self._two_versions("swapped")[1])
        return self._true("if_match never writes", lambda: self.put("swapped", b"new", options))

    def _stale_delete(self) -> Iterator[str]:
        etag, path = self._two_versions("deleted")[0], self._path("deleted")
        harm = "if_match may delete a version that it does not name"
        return self._false(harm, lambda: self._backend.delete_unseen(path, etag))

    def _true_delete(self) -> Iterator[str]:
        etag, path = self._two_versions("deleted")[1], self._path("deleted")
        yield from self._true("if_match never deletes", lambda: self._backend.delete(path, if_match=etag))
        if self._is_there(path):
            yield "the server says that a blob is deleted, and it is still there"

    # ---- copies, metadata --------------------------------------------------------------------------------------

    def _copy(self, target: str, *, overwrite: bool = True, if_match: str | None = None) -> Callable[[], object]:
        source, new = self._path("source"), self._path(target)
        return lambda: self._backend.copy(source, new, overwrite=overwrite, if_match=if_match)

    def _create_only_copy(self) -> Iterator[str]:
        self.put("source")
        self.put("target")
        yield from self._false("copy with overwrite=False overwrites in silence", self._copy("target", overwrite=False))

    def _copy_to_absent(self) -> Iterator[str]:
        self.put("source")
        yield from self._true("copy with overwrite=False never copies", self._copy("copied", overwrite=False))

    def _stale_copy(self) -> Iterator[str]:
        etag = self._two_versions("source")[0]
        return self._false("copy with if_match copies any version", self._copy("target", if_match=etag))

    def _true_copy(self) -> Iterator[str]:
        etag = self._two_versions("source")[1]
        return self._true("copy with if_match never copies", self._copy("target", if_match=etag))

    def _metadata(self) -> Iterator[str]:
        self.put("described", b"1", _PLAIN._replace(metadata=_METADATA))
        found = self._backend.stat(self._path("described"))
        if found.metadata != _METADATA:
            yield "names of 128 characters, or values in any script, are not kept"

    def _set_metadata(self) -> Iterator[str]:
        self.put("described", b"1", _PLAIN._replace(metadata={"a": "1", "b": "2"}))
        self._backend.update(self._path("described"), Changes(metadata={"a": "3"}))
        if self._backend.stat(self._path("described")).metadata != {"a": "3"}:
            yield "what was there is not replaced"

    # ---- ranges, keys, listings --------------------------------------------------------------------------------

    def _ranges(self) -> Iterator[str]:
        self.put("digits", _DIGITS)
        path = self._path("digits")
        for start, end in ((2, 5), (7, None), (-3, None), (20, 30)):
            if self._backend.get(path, start, end) != _DIGITS[start:end]:
                yield "other bytes come than were asked for"
                return

    def _key_below_a_key(self) -> Iterator[str]:
        self.put("order/a")
        try:
            self.put(_BELOW)
        except Exception as exc:
            if kind_of(exc, self._backend) is None:
                raise
            yield f"`a/b` cannot be stored beside `a` ({translate(exc, self._backend, 'a/b')})"
        else:
            if not (self._is_there(self._path("order/a")) and self._is_there(self._path(_BELOW))):
                yield "of `a` and `a/b` only one is kept"

    def _listed(self) -> tuple[list[str], list[str]]:
        """The paths that are listed, and those that should be."""
        names = [*_ORDER, _BELOW] if self._is_there(self._path(_BELOW)) else _ORDER
        found = [path for page in self._backend.scan(self._home + "order/") for path, _ in page]
        return found, sorted(self._home + name for name in names)

    def _listing(self) -> Iterator[str]:
        for name in _ORDER:
            self.put(name)
        found, wanted = self._listed()
        if sorted(found) != wanted:
            yield f"{len(wanted)} blobs were written, {len(found)} are listed, not all of them the same"

    def _order(self) -> Iterator[str]:
        found, wanted = self._listed()
        if found != wanted and sorted(found) == wanted:
            yield "keys do not come in the order of their UTF-8 bytes"

    def _batch(self) -> Iterator[str]:
        self.put("many/1")
        self.put("many/2")
        paths = [self._path(f"many/{n}") for n in (1, 2, 3)]
        for exc in self._backend.delete_batch(paths).values():
            raise exc
        if any(map(self._is_there, paths)):
            yield "the server says that blobs are deleted, and they are still there"

    # ---- signatures, checksums ---------------------------------------------------------------------------------

    def _would_make_keys(self) -> bool:
        """Whether a signature would make the first keys of a local store: a check is to leave nothing."""
        served = servable(self._backend)
        return served is not None and served.signing_keys() is None

    def _signing(self) -> Iterator[str]:
        if self._would_make_keys():
            return
        self.put("signed", b"signed")
        try:
            url, other = (
                sign(self._backend, self._path(name), SignOptions("GET", _SECONDS)).url for name in ("signed", "plain")
            )
        except (SigningError, UnsupportedOperationError) as exc:
            yield exc.message or type(exc).__name__
            return
        status, data = _ask("GET", url)
        if status != 200 or data != b"signed":
            yield f"a signed URL answers {status}; look at the credentials, the clock and the endpoint"
            return
        forged = url.partition("?")[0] + "?" + other.partition("?")[2]
        if _ask("GET", forged)[0] < 400:
            yield "the server does not check signatures, so anyone can read and write everything"

    def _checksums(self) -> Iterator[str]:
        if self._would_make_keys():
            return
        try:
            request = sign(self._backend, self._path("summed"), SignOptions("PUT", _SECONDS, content_md5=_MD5_OF_RIGHT))
            status, _ = _ask("PUT", request.url, b"wrong", request.headers)
        except (SigningError, UnsupportedOperationError, UnavailableError):
            return  # said already
        if status < 400:
            yield "the server stores bytes that do not match the checksum that comes with them"

    # ---- the end -----------------------------------------------------------------------------------------------

    def clean(self) -> list[str]:
        """Deletes what was written, one blob after the other where that cannot be done at once; a finding if some are left."""
        left: set[str] = set()
        for some in batched(sorted(self._written), self._backend.batch_size):
            with self._forgiving():
                left.update(some)
                left.difference_update(set(some) - set(self._backend.delete_batch(some)))
        with self._forgiving():  # a server may say that it has deleted what it has not
            left.update(path for page in self._backend.scan(self._home) for path, _ in page)
        said = [exc for path in sorted(left) if (exc := self._fault(path)) is not None]
        if not said:
            return []
        return [
            f"cleaning up: {len(said)} blobs are left below {self._home!r} ({translate(said[0], self._backend, 'delete')})"
        ]

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except Exception as exc:
            if kind_of(exc, self._backend) is None:
                raise

    def _fault(self, path: str) -> Exception | None:
        """Why a blob cannot be deleted."""
        try:
            self._backend.delete(path)
        except Exception as exc:
            kind = kind_of(exc, self._backend)
            if kind is None:
                raise
            return None if issubclass(kind, NotFoundError) else exc
        return None


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
