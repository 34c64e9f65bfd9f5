"""``Storage.check``: tries for real what the contract needs of a server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from storage._backend import Backend, PutOptions, SignOptions, kind_of
from storage._facade.served import sign
from storage.exceptions import PreconditionFailedError, SigningError, StorageError, UnsupportedOperationError

__all__ = ["check_backend"]

_PLAIN = PutOptions("application/octet-stream")
_SECONDS = 60
# Orders that servers are known to confuse: a slash among its neighbours, upper case, more than ASCII.
_ORDER = ("order/A", "order/a", "order/a-b", "order/a/b", "order/a0", "order/b", "order/é", "order/\U0001f600")


def check_backend(backend: Backend, prefix: str) -> list[str]:
    """A line for each thing that ``backend`` lacks below ``prefix``. What it writes there it removes again."""
    import secrets  # 8 ms, which most programs never need

    check = _Check(backend, f"{prefix}storage-check-{secrets.token_hex(8)}/")
    try:
        return [line for test in (check.conditions, check.copies, check.order, check.signing) for line in test()]
    finally:
        check.clean()


class _Check:
    def __init__(self, backend: Backend, home: str) -> None:
        self._backend = backend
        self._home = home
        self._written: set[str] = set()

    def _put(self, name: str, data: bytes = b"old", options: PutOptions = _PLAIN) -> str:
        self._written.add(self._home + name)
        return self._backend.put(self._home + name, data, options).etag

    def _raises(self, call: Callable[[], object], kind: type[StorageError]) -> bool:
        """Whether ``call`` fails as it must; another failure is raised, success is ``False``."""
        try:
            call()
        except Exception as exc:
            found = kind_of(exc, self._backend)
            if found is None or not issubclass(found, kind):
                raise
            return True
        return False

    def conditions(self) -> list[str]:
        # An etag that was true once: a driver may know by itself that no blob can have one that is made up.
        old = self._put("condition", b"older")
        self._put("condition")
        create, swap = _PLAIN._replace(overwrite=False), _PLAIN._replace(if_match=old)
        tests = (
            ("condition", create, "create-only writes", "overwrite=False overwrites in silence"),
            ("condition", swap, "conditional writes", "if_match overwrites any version in silence"),
            ("absent", swap, "conditional writes", "if_match stores a blob where there was none"),
        )
        lines = []
        for name, options, what, harm in tests:
            try:
                if not self._raises(partial(self._put, name, b"new", options), PreconditionFailedError):
                    lines.append(f"{what}: the server ignores the condition, so {harm}")
            except UnsupportedOperationError:
                lines.append(f"{what}: they are refused")
        return list(dict.fromkeys(lines))  # two tests may find the same

    def copies(self) -> list[str]:
        self._put("source")
        self._put("target")
        copy = partial(self._backend.copy, self._home + "source", self._home + "target", overwrite=False)
        try:
            if self._raises(copy, PreconditionFailedError):
                return []
        except UnsupportedOperationError:
            return ["create-only copies: copy and move with overwrite=False are refused"]
        return [
            "create-only copies: the server ignores the condition, so copy with overwrite=False overwrites in silence"
        ]

    def order(self) -> list[str]:
        for name in _ORDER:
            self._put(name)
        found = [path for page in self._backend.scan(self._home + "order/") for path, _ in page]
        wanted = [self._home + name for name in _ORDER]
        if found == wanted:
            return []
        if sorted(found) == wanted:
            return ["listing order: keys do not come in the order of their UTF-8 bytes"]
        return [f"listing: {len(wanted)} blobs were written, {len(found)} are listed, not all of them the same"]

    def signing(self) -> list[str]:
        import urllib3  # only here: 40 ms, and not needed to work with blobs

        self._put("signed", b"signed")
        try:
            url = sign(self._backend, self._home + "signed", SignOptions("GET", _SECONDS)).url
            other = sign(self._backend, self._home + "condition", SignOptions("GET", _SECONDS)).url
        except (SigningError, UnsupportedOperationError) as exc:
            return [f"signing: {exc.message or type(exc).__name__}"]
        with urllib3.PoolManager(retries=False, timeout=_SECONDS) as http:
            try:
                answer = http.request("GET", url)
            except urllib3.exceptions.HTTPError as exc:
                return [f"signing: a signed URL cannot be reached ({type(exc).__name__}); look at the endpoint"]
            if answer.status != 200 or answer.data != b"signed":
                return [
                    f"signing: a signed URL answers {answer.status}; look at the credentials, the clock and the endpoint"
                ]
            forged = url.partition("?")[0] + "?" + other.partition("?")[2]
            if http.request("GET", forged).status < 400:
                return ["signing: the server does not check signatures, so anyone can read and write everything"]
        return []

    def clean(self) -> None:
        paths = sorted(self._written)
        for start in range(0, len(paths), self._backend.batch_size):
            self._backend.delete_batch(paths[start : start + self._backend.batch_size])
