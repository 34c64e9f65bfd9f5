"""``Storage.check``: what it says of servers that do otherwise than the contract needs."""

from __future__ import annotations

import pytest

from storage import NotFoundError, Storage, StorageError, UnsupportedOperationError
from storage.backends.memory import MemoryBackend


class Refuses(MemoryBackend):
    def put(self, path, data, options):
        if options.if_match or not options.overwrite:
            raise UnsupportedOperationError("no")
        return super().put(path, data, options)

    def copy(self, source, target, *, overwrite):
        raise UnsupportedOperationError("no")


class Ignores(MemoryBackend):
    def put(self, path, data, options):
        return super().put(path, data, options._replace(overwrite=True, if_match=None))

    def copy(self, source, target, *, overwrite):
        return super().copy(source, target, overwrite=True)


class Hides(MemoryBackend):
    """Lists all but one."""

    def scan(self, prefix, **options):
        for page in super().scan(prefix, **options):
            yield [entry for entry in page if not entry[0].endswith("order/b")]


class Reverses(MemoryBackend):
    def scan(self, prefix, **options):
        (page,) = super().scan(prefix, **options)
        yield page[::-1]


class Elsewhere(MemoryBackend):
    """Its server finds no blob."""

    def stream(self, path, start=0, end=None, if_match=None):
        raise NotFoundError


@pytest.mark.parametrize(
    "backend, lines",
    [
        (MemoryBackend, []),
        (
            Refuses,
            [
                "create-only writes: they are refused",
                "conditional writes: they are refused",
                "create-only copies: copy and move with overwrite=False are refused",
            ],
        ),
        (
            Ignores,
            [
                "create-only writes: the server ignores the condition, so overwrite=False overwrites in silence",
                "conditional writes: the server ignores the condition, so if_match overwrites any version in silence",
                "conditional writes: the server ignores the condition, so if_match stores a blob where there was none",
                "create-only copies: the server ignores the condition, so copy with overwrite=False overwrites in silence",
            ],
        ),
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


def test_a_check_that_fails():
    """What is no answer to the question is raised."""

    class Broken(MemoryBackend):
        def copy(self, source, target, *, overwrite):
            raise StorageError("broken")

    with pytest.raises(StorageError, match="broken"):
        Storage(backend=Broken()).check()
