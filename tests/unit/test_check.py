"""``Storage.check``: what it says of servers that do otherwise than the contract needs."""

from __future__ import annotations

import re

import pytest

from storage import (
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    Storage,
    StorageError,
    StorageTimeoutError,
    UnavailableError,
    UnsupportedOperationError,
)
from storage.backends.memory import MemoryBackend


class Refuses(MemoryBackend):
    def put(self, path, data, options):
        if options.if_match or not options.overwrite:
            raise UnsupportedOperationError("no")
        return super().put(path, data, options)

    def copy(self, source, target, *, overwrite, if_match=None):
        raise UnsupportedOperationError("no")


class Ignores(MemoryBackend):
    def put(self, path, data, options):
        return super().put(path, data, options._replace(overwrite=True, if_match=None))

    def copy(self, source, target, *, overwrite, if_match=None):
        return super().copy(source, target, overwrite=True)

    def delete(self, path, *, if_match=None):
        super().delete(path)


class Hides(MemoryBackend):
    """Lists all but one."""

    def scan(self, prefix, **options):
        for page in super().scan(prefix, **options):
            yield [entry for entry in page if not entry[0].endswith("order/b")]


class Reverses(MemoryBackend):
    def scan(self, prefix, **options):
        for page in super().scan(prefix, **options):
            yield page[::-1]


class Elsewhere(MemoryBackend):
    """Its server finds no blob."""

    def stream(self, path, start=0, end=None, if_match=None):
        raise NotFoundError


class Refusing(MemoryBackend):
    """Refuses what it should take: every condition fails."""

    def put(self, path, data, options):
        if options.if_match or not options.overwrite:
            raise PreconditionFailedError
        return super().put(path, data, options)

    def copy(self, source, target, *, overwrite, if_match=None):
        if if_match or not overwrite:
            raise PreconditionFailedError
        return super().copy(source, target, overwrite=overwrite)

    def delete(self, path, *, if_match=None):
        if if_match:
            raise PreconditionFailedError
        super().delete(path)


class Shifted(MemoryBackend):
    """Gives other bytes than it is asked for."""

    def get(self, path, start=0, end=None, if_match=None):
        return super().get(path, start + 1 if start > 0 else start, end, if_match)


class ShortNames(MemoryBackend):
    """Keeps no metadata with long names, and forgets none that are replaced."""

    def put(self, path, data, options):
        kept = {name: value for name, value in options.metadata.items() if len(name) <= 80}
        return super().put(path, data, options._replace(metadata=kept))

    def update(self, path, changes, *, if_match=None):
        old = self.stat(path).metadata or {}
        return super().update(path, changes._replace(metadata={**old, **changes.metadata}), if_match=if_match)


class Flat(MemoryBackend):
    """Takes no key below a key."""

    def put(self, path, data, options):
        if path.endswith("a/b"):
            raise UnavailableError("500")
        return super().put(path, data, options)


class OneOfTwo(MemoryBackend):
    """Replaces a key by one below it."""

    def put(self, path, data, options):
        if path.endswith("a/b"):
            self.delete(path.removesuffix("/b"))
        return super().put(path, data, options)


class NoBatches(MemoryBackend):
    batch_size = 1000

    def delete_batch(self, paths):
        raise UnavailableError("no such request")


class LyingBatches(MemoryBackend):
    def delete_batch(self, paths):
        return {}


class Undeletable(MemoryBackend):
    def delete(self, path, *, if_match=None):
        raise PermissionDeniedError

    def delete_batch(self, paths):
        return dict.fromkeys(paths, PermissionDeniedError())


SILENT = "the server ignores the condition, so"
REFUSES = "the server refuses a condition that holds, so"


@pytest.mark.parametrize(
    "backend, lines",
    [
        (MemoryBackend, []),
        (
            Refuses,
            [
                "create-only writes: they are refused",
                "conditional writes: they are refused",
                "create-only copies: they are refused",
                "conditional copies: they are refused",
            ],
        ),
        (
            Ignores,
            [
                f"create-only writes: {SILENT} overwrite=False overwrites in silence",
                f"conditional writes: {SILENT} if_match overwrites any version in silence",
                f"conditional writes: {SILENT} if_match stores a blob where there was none",
                f"conditional deletes: {SILENT} if_match may delete a version that it does not name",
                f"create-only copies: {SILENT} copy with overwrite=False overwrites in silence",
                f"conditional copies: {SILENT} copy with if_match copies any version",
            ],
        ),
        (
            Refusing,
            [
                f"create-only writes: {REFUSES} overwrite=False never writes",
                f"conditional writes: {REFUSES} if_match never writes",
                f"conditional deletes: {REFUSES} if_match never deletes",
                "conditional deletes: the server says that a blob is deleted, and it is still there",
                f"create-only copies: {REFUSES} copy with overwrite=False never copies",
                f"conditional copies: {REFUSES} copy with if_match never copies",
            ],
        ),
        (Shifted, ["ranges: other bytes come than were asked for"]),
        (
            ShortNames,
            [
                "metadata: names of 128 characters, or values in any script, are not kept",
                "set_metadata: what was there is not replaced",
            ],
        ),
        (Flat, ["keys: `a/b` cannot be stored beside `a` (500)"]),
        (OneOfTwo, ["keys: of `a` and `a/b` only one is kept"]),
        (NoBatches, ["delete_many: no such request"]),
        (LyingBatches, ["delete_many: the server says that blobs are deleted, and they are still there"]),
        (Hides, ["listing: 8 blobs were written, 7 are listed, not all of them the same"]),
        (Reverses, ["listing order: keys do not come in the order of their UTF-8 bytes"]),
        (
            Elsewhere,
            ["signing: a signed URL answers 404; look at the credentials, the clock and the endpoint"],
        ),
    ],
)
def test_what_check_finds(backend, lines):
    """A line for each thing that a server does otherwise, and nothing is left of the attempt."""
    made = backend()
    assert Storage(backend=made).check() == lines
    assert made._blobs == {}


def test_each_probe_is_guarded_by_itself():
    """One that fails is a finding, and the others still say theirs."""

    class Broken(Ignores):
        def copy(self, source, target, *, overwrite, if_match=None):
            raise StorageError("broken")

        def scan(self, prefix, **options):
            raise UnavailableError

    made = Broken()
    lines = Storage(backend=made).check()
    assert [line.partition(":")[0] for line in lines] == [
        "create-only writes",
        "conditional writes",
        "conditional writes",
        "conditional deletes",
        "create-only copies",
        "conditional copies",
        "listing",
        "listing order",
    ]
    assert "conditional copies: broken" in lines
    assert any(line.startswith("listing: the service cannot be reached") for line in lines)
    assert made._blobs == {}


def test_what_cannot_be_cleared_away_is_told():
    """With the place where it is."""
    lines = Storage(backend=Undeletable()).check()
    assert any(re.match(r"cleaning up: \d+ blobs are left below '\w+/storage-check-", line) for line in lines)


def test_where_nothing_can_be_written_there_is_nothing_to_find():
    """The error is raised, and not told twenty times."""

    class Closed(MemoryBackend):
        def put(self, path, data, options):
            raise PermissionDeniedError

    with pytest.raises(PermissionDeniedError):
        Storage(backend=Closed()).check()


def test_a_server_that_does_not_answer_is_asked_once():
    """A timeout is raised: the next probes would wait as long."""

    class Slow(MemoryBackend):
        def copy(self, source, target, *, overwrite, if_match=None):
            raise StorageTimeoutError

    made = Slow()
    with pytest.raises(StorageTimeoutError):
        Storage(backend=made).check()
    assert made._blobs == {}


def test_a_bug_is_no_finding():
    """What is neither this library's nor the backend's comes out as it is, and nothing is left."""

    class Buggy(MemoryBackend):
        def copy(self, source, target, *, overwrite, if_match=None):
            raise AttributeError("a bug")

    made = Buggy()
    with pytest.raises(AttributeError, match="a bug"):
        Storage(backend=made).check()
    assert made._blobs == {}
