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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path("build/bench")
QUICK_RESULTS = Path("build/bench-quick")

TMPFS = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files are in memory, if there is such a place."""

_SLICE = 0.06
"""Seconds of a contestant's turn, as far as its calls are shorter."""

_PATIENCE = 20.0
"""Seconds of a first call after which there is no turn any more: it is the one sample."""


@dataclass
class Plan:
    """How much is measured: ``--quick`` is a smoke test, the full run is what the docs show."""

    quick: bool = False

    def rounds(self, full: int) -> int:
        return min(3, full) if self.quick else full

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass
class Bar:
    """What the library asks of itself: a contestant, or a fact, is at most ``most`` times another, or ``most`` itself.

    Attributes:
        who: the contestant (``by`` is ``CPU`` or ``wall``) or the fact.
        most: the factor; without ``to`` seconds, or the fact's unit.
        to: what it is compared with.
        by: ``CPU``, ``wall``, or ``fact``.
        over: a contestant whose time is taken off both first.
        unit: of the fact.
    """

    who: str
    most: float
    to: str = ""
    by: str = "CPU"
    over: str = ""
    unit: str = ""

    @property
    def in_times(self) -> bool:
        """Whether "4 × as fast" says more than "a quarter of the time"."""
        return self.by == "wall" and bool(self.to) and self.most <= 0.25

    def __str__(self) -> str:
        over = f" over {self.over}" if self.over else ""
        by = "" if self.by == "fact" else f" ({self.by}{over})"
        if not self.to:
            return f"≤ {amount(self.most, self.unit)}{by}"
        if self.in_times:
            return f"{1 / self.most:.3g} × as fast as {self.to}{by}"
        return f"≤ {self.most:.3g} × {self.to}{by}"


@dataclass
class Row:
    """One thing measured.

    Attributes:
        name: ``GROUP.NAME``, what the report sorts by.
        what: what one call is.
        limit: what physics or the server sets as a bound.
        samples: for each contestant, a pair of seconds (wall, client CPU) a call for each round.
        ours: the contestants that are this library; the first is what the others are divided by.
        bars: what the library asks of itself here.
        failed: contestants that could not, and why.
        facts: further numbers.
    """

    name: str
    what: str
    limit: str = ""
    ours: list[str] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    load: tuple[float, ...] = ()
    when: str = ""

    def median(self, who: str, what: int = 0) -> float | None:
        """Seconds a call: the median of the rounds; ``what``: 0 wall, 1 CPU."""
        found = self.samples.get(who)
        return statistics.median(sample[what] for sample in found) if found else None

    def ratio(self, who: str, to: str, what: int = 0, over: str = "") -> tuple[float, float, float] | None:
        """``who`` divided by ``to``, round by round: median, and the quartiles around it."""
        a, b = self.samples.get(who), self.samples.get(to)
        if not a or not b:
            return None
        less = self.samples[over] if over else [(0.0, 0.0)] * len(a)
        pairs = [(x[what] - z[what], y[what] - z[what]) for x, y, z in zip(a, b, less, strict=False)]
        return _spread([x / y for x, y in pairs if y > 0])

    def judge(self, bar: Bar) -> tuple[str, bool] | None:
        """What was measured of ``bar``, and whether it is met; ``None``: it was not measured."""
        found = self._fact(bar) if bar.by == "fact" else self._compared(bar) if bar.to else self._alone(bar)
        return None if found is None else (found[1], found[0] <= bar.most)

    def _fact(self, bar: Bar) -> tuple[float, str] | None:
        value, to = self.facts.get(bar.who), self.facts.get(bar.to)
        if value is None or (to is None and bar.to):
            return None
        return (value, amount(value, bar.unit)) if to is None else (value / to, f"{value / to:.2f}")

    def _compared(self, bar: Bar) -> tuple[float, str] | None:
        ratio = self.ratio(bar.who, bar.to, bar.by == "CPU", bar.over)
        if ratio is None:
            return None
        return ratio[0], f"{1 / ratio[0]:.1f} ×" if bar.in_times else spread(ratio)

    def _alone(self, bar: Bar) -> tuple[float, str] | None:
        samples, what = self.samples.get(bar.who), bar.by == "CPU"
        if not samples:
            return None
        less = self.samples[bar.over] if bar.over else [(0.0, 0.0)] * len(samples)
        value = statistics.median(x[what] - z[what] for x, z in zip(samples, less, strict=False))
        return value, amount(value)

    def per(self, counts: dict[str, int]) -> None:
        """Divides each contestant's samples: a call did that many things."""
        for who, count in counts.items():
            if who in self.samples:
                self.samples[who] = [(wall / count, cpu / count) for wall, cpu in self.samples[who]]

    def save(self) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        self.load = os.getloadavg()
        self.when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        (RESULTS / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1))
        show(self)

    @classmethod
    def all(cls) -> list[Row]:
        """What was saved, in the order of the names."""
        rows = [cls(**json.loads(path.read_text())) for path in sorted(RESULTS.glob("*.json"))]
        for row in rows:
            row.samples = {who: [(s[0], s[1]) for s in samples] for who, samples in row.samples.items()}
            row.bars = [Bar(**bar) for bar in row.bars]  # type: ignore[arg-type]
        return rows


def _spread(ratios: list[float]) -> tuple[float, float, float] | None:
    ratios.sort()
    if not ratios:
        return None
    return statistics.median(ratios), ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]


def spread(ratio: tuple[float, float, float]) -> str:
    """A ratio with its quartiles."""
    return f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"


def amount(value: float, unit: str = "") -> str:
    """Seconds as a person writes them, or a number with its unit."""
    if unit:
        return f"{value:.0f} {unit}"
    for name, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        scaled = value * factor
        if scaled >= 1 or name == "µs":
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {name}"
    return ""


def show(row: Row) -> None:
    """A row for whoever watches."""
    print(f"\n{row.name}: {row.what}")
    for who in row.samples:
        wall, cpu = row.median(who) or 0.0, row.median(who, 1) or 0.0
        print(f"  {who:34} {amount(wall):>10} wall {amount(cpu):>10} CPU")
    for fact, value in row.facts.items():
        print(f"  {fact:34} {value:10.1f}")
    for who, why in row.failed.items():
        print(f"  {who:34} {why}")
    for bar in row.bars:
        judged = row.judge(bar)
        verdict = "not measured" if judged is None else f"{judged[0]}, {'met' if judged[1] else 'MISSED'}"
        print(f"  > {bar.who} {bar}: {verdict}")
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
    save: bool = True,
) -> Row:
    """Measures up to ``calls`` calls of each contestant, ``rounds`` times, in an order drawn anew for each round.

    ``warm``: calls before the first round, by which the number of calls in a round is chosen.
    """
    ready = _warmed(row, contestants, calls, warm, cpu_clock)
    for turn in range(rounds):
        for who, call, times in random.sample(ready, len(ready)):
            if who in row.failed:
                continue
            try:
                row.samples[who].append(_turn(call, warm + turn * times, times, cpu_clock))
            except Exception as exc:  # what was measured before stays
                row.failed[who] = short(exc)
    if save:
        row.save()
    return row


def _warmed(
    row: Row, contestants: Iterable[tuple[str, Call]], calls: int, warm: int, cpu_clock: Callable[[], float]
) -> list[tuple[str, Call, int]]:
    """Who takes part, after the first calls, and how many calls make a turn of theirs."""
    ready: list[tuple[str, Call, int]] = []
    for who, call in contestants:
        began, before = time.perf_counter(), cpu_clock()
        try:
            for number in range(warm):
                began, before = time.perf_counter(), cpu_clock()  # the last tells: the first opens connections
                call(number)
        except NotImplementedError:
            continue
        except Exception as exc:  # a peer that cannot is a result
            row.failed[who] = short(exc)
            continue
        taken, used = time.perf_counter() - began, cpu_clock() - before
        if taken > _PATIENCE:
            row.samples[who] = [(taken, used)]  # once is enough to tell
            continue
        # A slow peer does fewer calls in a round; a round is as long as its slowest call.
        ready.append((who, call, max(1, min(calls, int(_SLICE / max(taken, 1e-9))))))
        row.samples[who] = []
    return ready


def _turn(call: Call, first: int, times: int, cpu_clock: Callable[[], float]) -> tuple[float, float]:
    """Seconds a call, of so many calls."""
    gc.collect()
    wall, cpu = time.perf_counter(), cpu_clock()
    for number in range(first, first + times):
        call(number)
    return (time.perf_counter() - wall) / times, (cpu_clock() - cpu) / times
