"""Made-up stores of a hundred million keys, in order: any key is computed from its rank, and none is kept."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import accumulate

__all__ = ["SPACES", "Space"]

COUNT = 100_000_000
BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Block = tuple[str, int, Callable[[int, int], str]]
"""A prefix, how many keys begin with it, and what follows the prefix by number and count, in order."""


class Space:
    """Keys in blocks, each with a prefix of its own; the blocks must come in order."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self._starts = [0, *accumulate(count for _, count, _ in blocks)]

    def __len__(self) -> int:
        return self._starts[-1]

    def key(self, rank: int) -> str:
        """The key at ``rank``."""
        place = bisect_right(self._starts, rank) - 1
        prefix, count, rest = self._blocks[place]
        return prefix + rest(rank - self._starts[place], count)

    def rank(self, text: str | None) -> int:
        """How many keys are not after ``text``."""
        if text is None:
            return 0
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) <= text:
                low = middle + 1
            else:
                high = middle
        return low

    def keys(self, start_after: str | None, end_before: str | None, limit: int) -> list[str]:
        """The first keys between two bounds."""
        return list(self._between(self.rank(start_after), end_before, limit))

    def _between(self, rank: int, end_before: str | None, limit: int) -> Iterator[str]:
        for number in range(rank, min(len(self), rank + limit)):
            key = self.key(number)
            if end_before is not None and key >= end_before:
                return
            yield key


def _scattered(number: int) -> int:
    """A number that looks random, the same for the same ``number``."""
    value = (number * 0x9E3779B97F4A7C15 + 0x1234567) & (2**64 - 1)
    value = ((value ^ (value >> 31)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    return value ^ (value >> 29)


def hashes(alphabet: str, length: int) -> Callable[[int, int], str]:
    """Random names of so many characters, spread evenly."""

    def name(number: int, count: int) -> str:
        step = len(alphabet) ** length // count
        value, chars = number * step + _scattered(number) % step, ""
        for _ in range(length):
            value, digit = divmod(value, len(alphabet))
            chars = alphabet[digit] + chars
        return chars

    return name


def numbers(width: int, suffix: str = "") -> Callable[[int, int], str]:
    """Numbers with zeros in front."""
    return lambda number, _: f"{number:0{width}}{suffix}"


def dated() -> Space:
    """Eight years, a folder for each hour: some days have many times as many as others, and each year has twice the last."""
    dice = random.Random(1)
    days = [date(2018, 1, 1) + timedelta(day) for day in range(3_000)]
    weights = [
        1.0015**day * dice.uniform(0.7, 1.3) * (0.5 if when.weekday() > 4 else 1) for day, when in enumerate(days)
    ]
    total = sum(weights)
    blocks: list[Block] = []
    for when, weight in zip(days, weights, strict=True):
        count = int(COUNT * weight / total / 24) + 1
        blocks += [(f"{when:%Y/%m/%d}/{hour:02}/", count, numbers(7, ".json")) for hour in range(24)]
    return Space(blocks)


def one_hot() -> Space:
    """A thousand prefixes, one of them with nine tenths of all keys."""
    blocks: list[Block] = [(f"user-{user:04}/", COUNT // 10_000, numbers(8)) for user in range(1_000)]
    return Space([("hot/", COUNT * 9 // 10, numbers(9)), *blocks])


def one_hot_tenant() -> Space:
    """As ``one_hot``, the hot one in the middle of others that look like it."""
    counts = [COUNT * 9 // 10 if tenant == 613 else COUNT // 10_000 for tenant in range(1_000)]
    return Space(
        [(f"tenants/{tenant:04}/data/", count, hashes("0123456789abcdef", 16)) for tenant, count in enumerate(counts)]
    )


SPACES: dict[str, Callable[[], Space]] = {
    "uniform": lambda: Space([("", COUNT, hashes("0123456789abcdef", 24))]),
    "base 62": lambda: Space([("", COUNT, hashes(BASE_62, 12))]),
    "numbered": lambda: Space([("img_", COUNT, numbers(12, ".jpg"))]),
    "dated": dated,
    "one hot prefix": one_hot,
    "one hot tenant": one_hot_tenant,
}
