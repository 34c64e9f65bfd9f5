"""``Storage.mapping``: the blobs of a storage type as a ``MutableMapping``."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

from storage._facade.core import core_of
from storage._facade.many import Many
from storage.exceptions import InvalidKeyError, NotFoundError


class BlobMapping(MutableMapping[str, bytes]):
    """The blobs of one storage type as a ``MutableMapping[str, bytes]``. An absent key is a ``KeyError``."""

    def __init__(self, blobs: Many, storage_type: str) -> None:
        core_of(blobs).route(storage_type)
        self._blobs, self._storage_type = blobs, storage_type

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
        return f"<blobs of type {self._storage_type!r} in {core_of(self._blobs).url} as a mapping>"
