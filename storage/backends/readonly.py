"""``readonly+SCHEME://…``: a store that refuses every change, whatever its credentials allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from storage._backend import Backend, SignOptions
from storage._retry import Retries, Timeout
from storage._types import SignedRequest
from storage._urls import StorageURL
from storage.backends._wrapper import Wrapper, open_inner
from storage.exceptions import PermissionDeniedError

__all__ = ["ReadOnlyBackend", "create"]

T = TypeVar("T")

_CHANGES: Final = frozenset({
    "put", "writer", "delete", "delete_batch", "delete_unseen", "copy", "move", "update", "setup", "sweep", "sign_form",
})  # fmt: skip


def create(
    url: StorageURL, *, auth: Any = None, retries: Retries | None = None, timeout: Timeout | None = None
) -> ReadOnlyBackend:
    """The backend of the URL behind ``readonly+``, closed to writing."""
    return ReadOnlyBackend(open_inner(url, (), auth=auth, retries=retries, timeout=timeout))


class ReadOnlyBackend(Wrapper):
    """Reads, lists and signs downloads. A change is a ``PermissionDeniedError`` before anything is sent."""

    scheme: ClassVar[str] = "readonly"

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        if hasattr(self, "signing_keys"):
            # Keys would sign uploads too; a store that has signed already goes on being served.
            del self.signing_keys

    def _run(self, method: str, path: str | None, function: Callable[[], T]) -> T:
        if method in _CHANGES:
            raise PermissionDeniedError(f"{self.location} is opened read-only; open it without readonly+ to change it")
        return super()._run(method, path, function)

    def sign(self, path: str, options: SignOptions) -> SignedRequest:
        if options.method == "PUT":
            raise PermissionDeniedError(f"{self.location} is opened read-only: it signs no uploads")
        return super().sign(path, options)

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadOnlyBackend, (self._backend,)
