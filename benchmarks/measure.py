"""Measuring: contestants take turns in rounds, so that a noisy machine is equally noisy to all of them."""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path("build/bench")
QUICK_RESULTS = Path("build/bench-quick")

TMPFS = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files are in memory, if there is such a place."""

_SLICE = 0.2
"""Seconds of a contestant's turn, as far as its calls are shorter."""

_PATIENCE = 20.0
"""Seconds of the first calls after which there is no turn any more: they are the one sample."""


@dataclass
class Plan:
    """How much is measured: ``--quick`` is a smoke test, the full run is what the docs show."""

    quick: bool = False

    def rounds(self, full: int) -> int:
        return min(3, full) if self.quick else full

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass
class Row:
    """One thing measured.

    Attributes:
        name: ``GROUP.NAME``, what the report sorts by.
        what: what one call is.
        limit: what physics or the server sets as a bound.
        samples: for each contestant, a pair of seconds (wall, client CPU) a call for each round.
        ours: the contestants that are this library; the first is what the others are divided by.
        failed: contestants that could not, and why.
        facts: further numbers, for the bars.
    """

    name: str
    what: str
    limit: str = ""
    ours: list[str] = field(default_factory=list)
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    load: tuple[float, ...] = ()
    when: str = ""

    def median(self, who: str, what: int = 0) -> float | None:
        """Seconds a call: the median of the rounds; ``what``: 0 wall, 1 CPU."""
        found = self.samples.get(who)
        return statistics.median(sample[what] for sample in found) if found else None

    def ratio(self, who: str, to: str, what: int = 0) -> tuple[float, float, float] | None:
        """``who`` divided by ``to``, round by round: median, and the quartiles around it."""
        a, b = self.samples.get(who), self.samples.get(to)
        if not a or not b:
            return None
        ratios = sorted(x[what] / y[what] for x, y in zip(a, b, strict=False) if y[what] > 0)
        if not ratios:
            return None
        return statistics.median(ratios), ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]

    def save(self) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        self.load = os.getloadavg()
        self.when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        (RESULTS / f"{self.name}.json").write_text(json.dumps(self.__dict__, indent=1))
        show(self)

    @classmethod
    def all(cls) -> list[Row]:
        """What was saved, in the order of the names."""
        rows = [cls(**json.loads(path.read_text())) for path in sorted(RESULTS.glob("*.json"))]
        for row in rows:
            row.samples = {who: [(s[0], s[1]) for s in samples] for who, samples in row.samples.items()}
        return rows


def show(row: Row) -> None:
    """A row for whoever watches."""
    print(f"\n{row.name}: {row.what}")
    for who in row.samples:
        wall, cpu = row.median(who) or 0.0, row.median(who, 1) or 0.0
        print(f"  {who:32} {wall * 1e6:12.1f} us wall {cpu * 1e6:12.1f} us cpu")
    for who, why in row.failed.items():
        print(f"  {who:32} {why}")
    sys.stdout.flush()


Call = Callable[[int], object]
"""One call; the number counts the calls of a contestant, for a key of its own."""


def children_cpu() -> float:
    """Seconds of CPU of the processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def prepared(row: Row, peers: Iterable[Any], prepare: Callable[[Any], Call]) -> list[tuple[str, Call]]:
    """The contestants; who cannot even prepare has failed, and who does not offer the call is left out."""
    contestants = []
    for peer in peers:
        try:
            contestants.append((peer.name, prepare(peer)))
        except NotImplementedError:
            continue
        except Exception as exc:  # a peer that cannot is a result
            row.failed[peer.name] = short(exc)
    return contestants


def short(exc: BaseException) -> str:
    """An exception in a table's cell."""
    return f"{type(exc).__name__}: {' '.join(str(exc).split())[:120]}"


def in_turn(
    row: Row,
    contestants: Iterable[tuple[str, Call]],
    *,
    rounds: int,
    calls: int,
    warm: int = 2,
    cpu_clock: Callable[[], float] = time.process_time,
) -> Row:
    """Measures up to ``calls`` calls of each contestant, ``rounds`` times, in an order drawn anew for each round.

    ``warm``: calls before the first round, by which the number of calls in a round is chosen.
    """
    ready: list[tuple[str, Call, int]] = []
    for who, call in contestants:
        began, before = time.perf_counter(), cpu_clock()
        try:
            for number in range(warm):
                call(number)
        except NotImplementedError:
            continue
        except Exception as exc:  # a peer that cannot is a result
            row.failed[who] = short(exc)
            continue
        taken, used = time.perf_counter() - began, cpu_clock() - before
        if taken > _PATIENCE:
            row.samples[who] = [(taken / warm, used / warm)]  # once is enough to tell
            continue
        # A slow peer does fewer calls in a round; a round is as long as its slowest call.
        ready.append((who, call, max(1, min(calls, int(_SLICE * warm / max(taken, 1e-9))))))
        row.samples[who] = []
    done = dict.fromkeys(row.samples, warm)
    for _ in range(rounds):
        for who, call, times in random.sample(ready, len(ready)):
            gc.collect()
            first = done[who]
            wall, cpu = time.perf_counter(), cpu_clock()
            for number in range(first, first + times):
                call(number)
            wall, cpu = time.perf_counter() - wall, cpu_clock() - cpu
            done[who] += times
            row.samples[who].append((wall / times, cpu / times))
    row.save()
    return row
