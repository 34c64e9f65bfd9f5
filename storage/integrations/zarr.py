"""zarr (version 3): an ``AsyncStorage`` as the store of arrays and groups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, suppress
from typing import Any, cast

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from storage import AlreadyExistsError, AsyncStorage, NotFoundError

__all__ = ["StorageStore"]


class StorageStore(Store):
    """The blobs of one storage type as zarr's keys. Reads of a part, also of the last bytes, are one request.

    Args:
        storage: where the blobs are; it stays open when zarr closes the store.
        storage_type: one of its types.
        read_only: refuse every change.
    """

    supports_writes = supports_deletes = supports_listing = True

    def __init__(self, storage: AsyncStorage, storage_type: str = "data", *, read_only: bool = False) -> None:
        super().__init__(read_only=read_only)
        if not isinstance(storage, AsyncStorage):
            raise TypeError(f"storage must be a storage.AsyncStorage, not {type(storage).__name__}")
        self.storage = storage
        self.storage_type = storage_type

    def with_read_only(self, read_only: bool = False) -> StorageStore:
        """The same blobs, opened for reading alone or for both."""
        return StorageStore(self.storage, self.storage_type, read_only=read_only)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StorageStore):
            return NotImplemented
        if self.storage is not other.storage and any(one.storage.backend.private for one in (self, other)):
            return False
        ours, theirs = ((repr(s.storage), s.storage_type, s.read_only) for s in (self, other))
        return ours == theirs

    def __hash__(self) -> int:
        return hash((repr(self.storage), self.storage_type))

    def __repr__(self) -> str:
        return f"StorageStore({self.storage!r}, {self.storage_type!r})"

    # ---- reading -----------------------------------------------------------------------------------------------

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The value, or a part of it; ``None`` where there is none."""
        start, end = _bounds(byte_range)
        try:
            if (start == 0 and end == 0) or (isinstance(byte_range, SuffixByteRequest) and byte_range.suffix == 0):
                await self.storage.info(key, self.storage_type)
                data = b""
            else:
                data = await self.storage.get_bytes(key, self.storage_type, start=start, end=end)
        except NotFoundError:
            return None
        return cast("Buffer", prototype.buffer.from_bytes(data))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Several of them, at once."""
        return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))

    async def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        return bool(key) and await self.storage.exists(key, self.storage_type)

    async def getsize(self, key: str) -> int:
        """Bytes of the value."""
        try:
            return (await self.storage.info(key, self.storage_type)).size
        except NotFoundError as exc:
            raise FileNotFoundError(key) from exc

    async def getsize_prefix(self, prefix: str) -> int:
        """Bytes of all values below a folder, by one listing."""
        listing: Any = self.storage.iter_info(_folder(prefix), self.storage_type)
        async with aclosing(listing) as infos:
            return sum([info.size async for info in infos])

    # ---- writing -----------------------------------------------------------------------------------------------

    async def set(self, key: str, value: Buffer) -> None:
        """Stores a value, whole or not at all."""
        self._check_writable()
        if not isinstance(value, Buffer):
            raise TypeError(
                f"StorageStore.set(): `value` must be a Buffer instance. Got an instance of {type(value)} instead."
            )
        await self.storage.set(key, value.to_bytes(), self.storage_type)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Stores a value unless there is one; of many writers one wins."""
        self._check_writable()
        with suppress(AlreadyExistsError):
            await self.storage.set(key, value.to_bytes(), self.storage_type, overwrite=False)

    async def delete(self, key: str) -> None:
        """Deletes a value, if there is one."""
        self._check_writable()
        await self.storage.delete(key, self.storage_type, missing_ok=True)

    async def delete_dir(self, prefix: str) -> None:
        """Deletes everything below a folder, in batches."""
        self._check_writable()
        folder = _folder(prefix)
        keys = [key async for key in self.list_prefix(folder)]
        await self.storage.delete_many(keys, self.storage_type)

    # ---- listing -----------------------------------------------------------------------------------------------

    async def list(self) -> AsyncIterator[str]:
        """Every key."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The keys that begin with ``prefix``, from the root of the store."""
        async for key in self.storage.iter_list(prefix, self.storage_type):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names of what is in a folder."""
        folder = _folder(prefix)
        async for entry in self.storage.iter_dir(folder, self.storage_type):
            key = entry if isinstance(entry, str) else entry.key
            yield key[len(folder) :].rstrip("/")


def _folder(prefix: str) -> str:
    return prefix.rstrip("/") + "/" if prefix else ""


def _bounds(byte_range: ByteRequest | None) -> tuple[int, int | None]:
    if byte_range is None:
        return 0, None
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start, byte_range.end
    if isinstance(byte_range, OffsetByteRequest):
        return byte_range.offset, None
    if isinstance(byte_range, SuffixByteRequest):
        return -byte_range.suffix, None
    raise ValueError(f"Unexpected byte_range, got {byte_range}.")
