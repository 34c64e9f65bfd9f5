"""What a store holds, for assertions: one blob, or all of them at a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from storage import NotFoundError, Storage

_SHOWN = 40


class StoredBlob(NamedTuple):
    """A blob at the moment of a snapshot."""

    data: bytes
    content_type: str | None
    cache_control: str | None
    content_encoding: str | None
    metadata: Mapping[str, str] | None


class Snapshot(Mapping[tuple[str, str], StoredBlob]):
    """All blobs of a store, by ``(storage type, key)``. Two of them compare, and pytest then shows :meth:`diff`."""

    def __init__(self, blobs: Mapping[tuple[str, str], StoredBlob]) -> None:
        self._blobs = dict(sorted(blobs.items()))

    def __getitem__(self, place: tuple[str, str]) -> StoredBlob:
        return self._blobs[place]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._blobs)

    def __len__(self) -> int:
        return len(self._blobs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self._blobs == other._blobs

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self)} blobs>"

    def diff(self, later: Snapshot) -> str:
        """What happened from this one to ``later``, a line a blob: ``+`` came, ``-`` went, ``~`` changed, and in what."""
        lines = []
        for place in sorted({*self, *later}):
            storage_type, key = place
            before, after = self._blobs.get(place), later._blobs.get(place)
            if before is None and after is not None:
                lines.append(f"+ {storage_type} {key!r}: {len(after.data)} bytes, {after.content_type}")
            elif after is None:
                lines.append(f"- {storage_type} {key!r}")
            elif before is not None and before != after:
                lines.append(f"~ {storage_type} {key!r}: {'; '.join(_changes(before, after))}")
        return "\n".join(lines)


def _changes(before: StoredBlob, after: StoredBlob) -> Iterator[str]:
    if before.data != after.data:
        yield _bytes_differ(before.data, after.data)
    for name in StoredBlob._fields[1:]:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield f"{name} {old!r} became {new!r}"


def _bytes_differ(before: bytes, after: bytes) -> str:
    place = next(
        (n for n, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]),
        min(len(before), len(after)),
    )
    was, now = before[place : place + _SHOWN], after[place : place + _SHOWN]
    return f"{len(before)} bytes became {len(after)}; at {place} {was!r} became {now!r}"


def snapshot(storage: Storage, *storage_types: str) -> Snapshot:
    """What ``storage`` holds now, whole: for a store of a test, not for one of many gigabytes.

    Args:
        storage: the store.
        storage_types: only these; none: all that it has.
    """
    found: dict[tuple[str, str], StoredBlob] = {}
    for storage_type in storage_types or storage.storage_types:
        for key in storage.iter_list(storage_type=storage_type):
            data, info = storage.get_bytes(key, storage_type), storage.info(key, storage_type)
            found[storage_type, key] = StoredBlob(
                data, info.content_type, info.cache_control, info.content_encoding, info.metadata
            )
    return Snapshot(found)


def assert_stored(
    storage: Storage,
    key: str,
    value: str | bytes,
    storage_type: str = "data",
    *,
    content_type: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Fails with an ``AssertionError`` that says in what the blob under ``key`` is not as it should be.

    Args:
        storage: the store.
        key: of the blob.
        value: what its bytes must be; text is compared as UTF-8.
        storage_type: one of the store's types.
        content_type: what it must be; ``None``: any.
        metadata: what it must be; ``None``: any.
    """
    __tracebackhide__ = True
    where = f"{storage_type} {key!r}"
    wanted = value.encode() if isinstance(value, str) else bytes(value)
    try:
        data, info = storage.get_bytes(key, storage_type), storage.info(key, storage_type)
    except NotFoundError:
        keys = storage.list(storage_type=storage_type, limit=10)
        raise AssertionError(f"{where} is not there; of type {storage_type} there is {keys or 'nothing'}") from None
    problems: list[str] = []
    if data != wanted:
        problems.append(f"expected {_bytes_differ(wanted, data).replace('became', 'but got')}")
    expected: dict[str, Any] = {"content_type": content_type, "metadata": metadata}
    for name, want in expected.items():
        if want is not None and getattr(info, name) != want:
            problems.append(f"{name} is {getattr(info, name)!r}, not {want!r}")
    if problems:
        raise AssertionError(f"{where}: {'; '.join(problems)}")
