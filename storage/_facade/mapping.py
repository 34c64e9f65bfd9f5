"""``Storage.mapping``: the blobs of a storage type as a ``MutableMapping``."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from storage._facade.core import Core
from storage._facade.listing import Listing
from storage._facade.many import Many
from storage.exceptions import InvalidKeyError, NotFoundError


class _Blobs(Many, Listing):
    """The methods that a mapping stands on."""

    def __init__(self, core: Core) -> None:
        self._core = core


class BlobMapping(MutableMapping[str, bytes]):
    """The blobs of one storage type as a ``MutableMapping[str, bytes]``. An absent key is a ``KeyError``."""

    def __init__(self, core: Core, storage_type: str) -> None:
        core.route(storage_type)
        self._blobs, self._storage_type = _Blobs(core), storage_type
        self._shown = f"<blobs of type {storage_type!r} in {core.url} as a mapping>"

    def __getitem__(self, key: str) -> bytes:
        try:
            return self._blobs.get_bytes(key, self._storage_type)
        except NotFoundError as exc:
            raise KeyError(key) from exc

    def __setitem__(self, key: str, value: bytes) -> None:
        self._blobs.set(key, value, self._storage_type)

    def __delitem__(self, key: str) -> None:
        try:
            self._blobs.delete(key, self._storage_type)
        except NotFoundError as exc:
            raise KeyError(key) from exc

    def __contains__(self, key: object) -> bool:
        try:
            return isinstance(key, str) and self._blobs.exists(key, self._storage_type)
        except InvalidKeyError:
            return False

    def __iter__(self) -> Iterator[str]:
        return self._blobs.iter_list(None, self._storage_type)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Deletes every blob, in batches."""
        self._blobs.delete_many(self, self._storage_type)

    def __repr__(self) -> str:
        return self._shown
