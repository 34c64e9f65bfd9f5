"""Large blobs: whole, in bounded memory, and no slower for it."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Storage
from storage.backends._http import iso_time
from storage.backends.gcs._checksums import combined
from tests.gcs.conftest import Proxied

MIB = 1024 * 1024


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_checksums_of_pieces_combine(first: bytes, second: bytes) -> None:
    """The CRC32C of the whole comes from those of its pieces and the length of the second."""
    crc = combined(google_crc32c.value(first), google_crc32c.value(second), len(second))
    assert crc == google_crc32c.value(first + second)


def test_checksums_of_large_pieces_combine() -> None:
    """Also where the second piece is a part of an upload."""
    second = random.Random(1).randbytes(5 * MIB)
    assert combined(google_crc32c.value(b"x"), google_crc32c.value(second), len(second)) == google_crc32c.value(
        b"x" + second
    )


@pytest.mark.parametrize("text", ["2026-11-22T18:56:30Z", "2026-11-22T18:56:30.3Z", "2026-11-22T18:56:30.341025123Z"])
def test_times_with_any_number_of_digits(text: str) -> None:
    """The service writes as many digits as it likes, and Python 3.10 reads three or six."""
    found = iso_time(text)
    assert found.isoformat().startswith("2026-11-22T18:56:30")
    assert found.utcoffset() is not None
    assert abs(found.microsecond - int((text[20:-1] or "0").ljust(6, "0")[:6])) == 0


@pytest.mark.parametrize("size", [5 * MIB, 5 * MIB + 1, 8 * MIB, 16 * MIB, 16 * MIB + 1, 10 * MIB])
@pytest.mark.parametrize("parallel", [False, True])
def test_sizes_at_the_borders(store: Storage, size: int, parallel: bool) -> None:
    """A blob that ends with a chunk or part, or a byte after it, is whole."""
    store.backend.parallel_uploads = parallel  # type: ignore[attr-defined]
    data = random.Random(size).randbytes(size)
    assert store.set("a", io.BytesIO(data)).size == size
    assert store.get_bytes("a") == data


def test_chunks_that_go_up_are_whole_multiples(proxied: Proxied) -> None:
    """The service takes multiples of 256 KiB until the last chunk, whatever pieces the caller writes."""
    pieces = [b"x" * size for size in (1, 7 * MIB, 3, 9 * MIB + 5, 262_144, 4 * MIB)]
    with proxied.store.open("a", "wb") as file:
        for piece in pieces:
            file.write(piece)
    assert proxied.honest.get_bytes("a") == b"".join(pieces)
    sent = [r.headers["content-range"] for r in proxied.proxy.requests if r.method == "PUT"]
    *chunks, last = sent
    assert chunks
    assert all(text.endswith("/*") for text in chunks)
    assert last.endswith(f"/{sum(map(len, pieces))}")


MEMORY = """
    import io, resource, sys, tempfile
    from urllib3.util.retry import Retry
    from storage import Storage

    class Source(io.RawIOBase):
        # One GiB that is nowhere.
        def __init__(self): self.left = 1024 * 1024 * 1024
        def readable(self): return True
        def read(self, size=-1):
            size = self.left if size < 0 else min(size, self.left)
            self.left -= size
            return bytes(size)

    url, way, parallel = sys.argv[1:]
    store = Storage(url)
    store.backend.parallel_uploads = parallel == "True"
    store.set("warm", b"x" * 1000)
    store.get_bytes("warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if way == "up":
        store.set_file("a", Source(), overwrite=parallel == "True")
    else:
        with open("/dev/null", "wb") as file:
            assert store.get_file("a", file).size == 1024 * 1024 * 1024
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    store.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("way,parallel", [("up", False), ("up", True), ("down", True)])
def test_one_gibibyte_in_bounded_memory(way: str, parallel: bool) -> None:
    """1 GiB through ``set_file`` or ``get_file`` takes at most 64 MiB more than a small blob does.

    Against a server that keeps nothing: the emulator would keep it in memory several times over.
    """
    from tests.gcs.sink import Sink

    with Sink() as sink:
        env = {"STORAGE_EMULATOR_HOST": sink.url, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(MEMORY), "gs://bucket/x", way, str(parallel)],
            env=env, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) <= 64
        if way == "up":
            assert sink.received >= 1024 * MIB
