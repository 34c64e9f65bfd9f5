"""CRC32C of what is put together from pieces, from the CRC32Cs of the pieces. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["combined"]

_POLYNOMIAL: Final = 0x82F63B78  # Castagnoli's, lowest bit first
_BITS: Final = 32

# A linear map of 32 bits, as what it makes of each single bit.
_Map = tuple[int, ...]


def combined(first: int, second: int, length: int) -> int:
    """The CRC32C of two pieces one after the other.

    Args:
        first: of the first piece.
        second: of the second piece.
        length: bytes of the second piece.
    """
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
    """What ``length`` bytes of zeros after it make of a CRC: repeated squaring of what one zero bit does."""
    power: _Map = (_POLYNOMIAL, *(1 << bit for bit in range(_BITS - 1)))
    result: _Map = tuple(1 << bit for bit in range(_BITS))
    bits = length * 8
    while bits:
        if bits & 1:
            result = tuple(_apply(power, column) for column in result)
        power = tuple(_apply(power, column) for column in power)
        bits >>= 1
    return result
