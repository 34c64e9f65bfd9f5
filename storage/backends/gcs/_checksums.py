"""Combines the CRC32Cs of pieces into that of the whole. No I/O."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Final

from storage.backends.gcs._headers import checksum, encoded_crc
from storage.exceptions import IntegrityError

_POLYNOMIAL: Final = 0x82F63B78  # Castagnoli's, lowest bit first
_BITS: Final = 32

# A linear map of 32 bits, as what it makes of each single bit.
_Map = tuple[int, ...]


def combined(first: int, second: int, length: int) -> int:
    """The CRC32C of two pieces one after the other, by the CRC32C of each; ``length``: bytes of the second piece."""
    return _apply(_zeros(length), first) ^ second


def _apply(what: _Map, value: int) -> int:
    total, bit = 0, 0
    while value:
        if value & 1:
            total ^= what[bit]
        value >>= 1
        bit += 1
    return total


@lru_cache(maxsize=64)
def _zeros(length: int) -> _Map:
    """The map from a CRC to that of the same bytes with ``length`` zeros behind them: one zero bit's map, squared repeatedly."""
    power: _Map = (_POLYNOMIAL, *(1 << bit for bit in range(_BITS - 1)))
    result: _Map = tuple(1 << bit for bit in range(_BITS))
    bits = length * 8
    while bits:
        if bits & 1:
            result = tuple(_apply(power, column) for column in result)
        power = tuple(_apply(power, column) for column in power)
        bits >>= 1
    return result


class CRCVerifier:
    """As :class:`storage._backend.ChecksumVerifier`: ``expected`` is the CRC32C of the blob, as the service writes it."""

    def __init__(self, expected: str) -> None:
        self._expected = expected
        # Where a run of bytes that have come ends: where it begins, and its CRC.
        self._runs: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def add(self, position: int, data: bytes) -> None:
        with self._lock:
            start, crc = self._runs.pop(position, (position, 0))
        crc = checksum(data, crc)
        with self._lock:
            self._runs[position + len(data)] = (start, crc)

    def check(self) -> None:
        whole = 0
        for end, (start, crc) in sorted(self._runs.items()):
            whole = combined(whole, crc, end - start)
        if encoded_crc(whole) != self._expected:
            raise IntegrityError(
                f"the bytes that came have the CRC32C {encoded_crc(whole)}, the blob has {self._expected}; read it again"
            )
