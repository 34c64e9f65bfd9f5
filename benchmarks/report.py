"""``docs/benchmarks.md``: what was measured, as tables of ratios, and plots drawn by hand."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.measure import Row
from benchmarks.peers import versions

DOCS = Path("docs")
PLOTS = DOCS / "benchmarks"

_HEAD = """# Benchmarks

```console
$ make bench
```

starts the servers, lets this library and its peers take turns, and writes this page. {machine}
Peers are called as their users call them ({versions}).

How to read it: *wall* is what a call took on the clock, *CPU* what the client's process spent on it, servers and proxies not
counted. Both are medians of the rounds. A ratio is a contestant divided by this library (the first row of each table), round by
round, with the quartiles of the rounds behind it: above 1 the contestant is slower. In each round the contestants come in an
order drawn anew, so that noise hits all alike; trust CPU before wall, and ratios before either: while these rows were
measured the machine had a load average of {load}. Rows in which this library loses are here as well.
"""

Bar = tuple[str, str, str, bool | None]


def write() -> None:
    """Writes the page and its plots from what was saved."""
    rows = {row.name: row for row in Row.all()}
    PLOTS.mkdir(parents=True, exist_ok=True)
    loads = [row.load[0] for row in rows.values() if row.load]
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    machine = f"{os.cpu_count()} cores ({models[0] if models else '?'}), Python {platform.python_version()}"
    text = _HEAD.format(
        machine=f"The numbers here are from {machine}.",
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
        load=f"{min(loads):.1f} to {max(loads):.1f}" if loads else "unknown",
    )
    missing = [f"`{name}`" for name in _EXPECTED if name not in rows]
    if missing:
        text += f"\nNot measured in this run, so not shown: {', '.join(missing)}.\n"
    text += _bars(rows)
    for title, prefix, note in _SECTIONS:
        found = [row for name, row in rows.items() if name.startswith(prefix)]
        if found:
            text += f"\n## {title}\n\n{note}\n" + "".join(map(_table, found)) + _plot(prefix, title, found)
    text += _memory(rows.get("large.memory"))
    (DOCS / "benchmarks.md").write_text(text)


_CALLS = ("set", "get", "exists", "delete")
_EXPECTED = (
    *(f"{group}.{call}" for group in ("local.memory", "local.file", "s3.small", "gs.small") for call in _CALLS),
    *(
        "import",
        "local.stairs",
        "s3.stairs.set",
        "s3.stairs.exists",
        "local.fsync.set",
        "local.list.wide",
        "local.list.deep",
        "s3.list",
        "s3.loop.set",
        "s3.loop.get",
    ),
    *(
        "s3.batch.set",
        "s3.batch.get",
        "s3.clients.set",
        "s3.clients.get",
        "large.down",
        "large.up",
        "large.memory",
        "serve.large",
    ),
)
_SECTIONS = (
    ("Import", "import", "`python -m benchmarks imports`: a fresh interpreter, the time of the process."),
    ("Memory", "local.memory", "`python -m benchmarks local`: 1 KiB in this process."),
    (
        "Directories",
        "local.file",
        (
            "`python -m benchmarks local`: 1 KiB under a path of four parts on tmpfs, `fsync=false`. The bare calls are open, "
            "write and rename, or open and read: no containment, no lock, no metadata, no content type, no etag."
        ),
    ),
    (
        "Where the time of a set goes",
        "local.stairs",
        (
            "`python -m benchmarks stairs`: each row does what the row before does, and one thing more: the profile of the "
            "bar for `file://` set with `fsync=false`: the bare calls, then what keeps links and half-written blobs out."
        ),
    ),
    (
        "Directories, durable",
        "local.fsync",
        "`python -m benchmarks local`: the default, which survives a power failure.",
    ),
    (
        "Listing directories",
        "local.list",
        "`python -m benchmarks local`: all keys in order. Who has no order sorts. This library alone looks at each name's rules.",
    ),
    (
        "S3, one small blob",
        "s3.small",
        (
            "`python -m benchmarks network`: 1 KiB on SeaweedFS, no latency. Wall is mostly the server's; a network adds the "
            "same for all who need one round trip. `delete` here is two requests: it tells whether there was a blob."
        ),
    ),
    (
        "Where the time on the Rust driver goes",
        "s3.stairs",
        (
            "`python -m benchmarks stairs`: as above, for the bars of `s3+obstore://`. All rows use one client, so that the only "
            "difference is what is done besides."
        ),
    ),
    ("S3, listing", "s3.list", "`python -m benchmarks network`: pages of 1,000 keys."),
    (
        "S3, one by one through 30 ms",
        "s3.loop",
        (
            "`python -m benchmarks network`: a proxy adds 30 ms to each round trip. boto3 takes two for a put: it asks first "
            "(`Expect: 100-continue`)."
        ),
    ),
    (
        "S3, many at once through 30 ms",
        "s3.batch",
        (
            "`python -m benchmarks network`: `set_many` and `get_many` beside `gather` on obstore and s3fs's own batches. "
            "Time is for one blob of the batch. Client, proxy and server share the cores, which bounds every batch."
        ),
    ),
    (
        "S3, 64 clients at once",
        "s3.clients",
        (
            "`python -m benchmarks clients`: 64 tasks of one event loop, or 64 threads, each with one call after the other. The "
            "server shares the cores, and its part of them bounds every contestant's rate."
        ),
    ),
    (
        "Cloud Storage, one small blob",
        "gs.small",
        "`python -m benchmarks network`: 1 KiB on fake-gcs-server, no latency.",
    ),
    (
        "Large blobs",
        "large.",
        (
            "`python -m benchmarks large`: files on disk, SeaweedFS behind a proxy that caps each connection. Server, "
            "proxy and client share this machine's cores, which bounds what parallel connections can gain."
        ),
    ),
    (
        "Serving files",
        "serve.",
        "`python -m benchmarks serving`: a plain socket reads, and keeps nothing. CPU is the reader's.",
    ),
)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _table(row: Row) -> str:
    if not row.samples:
        return ""
    ours = row.ours[0]
    text = f"\n**{row.what}**"
    text += f" (physical limit: {row.limit})" if row.limit else ""
    text += f" · {len(next(iter(row.samples.values())))} rounds, {row.when}\n\n"
    text += "| | wall | CPU | wall ratio | CPU ratio |\n| --- | ---: | ---: | ---: | ---: |\n"
    names = [
        *row.ours,
        *sorted((who for who in row.samples if who not in row.ours), key=lambda who: row.median(who, 1) or 0),
    ]
    for who in names:
        if who not in row.samples:
            continue
        shown = f"**{who}**" if who in row.ours else who
        cells = [
            _time(row.median(who)),
            _time(row.median(who, 1)),
            _ratio(row.ratio(who, ours)),
            _ratio(row.ratio(who, ours, 1)),
        ]
        text += f"| {shown} | {' | '.join(cells)} |\n"
    for who, why in row.failed.items():
        text += f"| {who} | {escape(why)} | | | |\n"
    return text


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            value = seconds * factor
            return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
    return ""


def _ratio(ratio: tuple[float, float, float] | None) -> str:
    return "" if ratio is None else f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"


# ---- the bars ----------------------------------------------------------------------------------------------------------


def _bars(rows: dict[str, Row]) -> str:
    """The bars that the project sets itself, and whether they are met."""
    text = "\n## The bars\n\nWhat the project asks of itself, beside what was measured.\n\n"
    text += "| | bar | measured | |\n| --- | --- | --- | --- |\n"
    missed: list[str] = []
    for check in _CHECKS:
        for what, bar, measured, met in check(rows):
            text += f"| {what} | {bar} | {measured} | {'met' if met else '**missed**'} |\n"
            if not met:
                missed += [f"- {what}: {why}.\n" for begin, why in _REASONS.items() if what.startswith(begin)]
    if missed:
        text += "\nWhat is missed, and why:\n\n" + "".join(dict.fromkeys(missed))
    return text


_PROFILE = "[step by step](#where-the-time-on-the-rust-driver-goes)"
_COLD = (
    "what the facade does for a whole `memory://` set takes under 10 µs in a loop, and several times as long after each wait "
    "for a server that uses the same two cores and their caches"
)
_REASONS = {
    "`file://` set, `fsync=false`": (
        "containment, locks and metadata come first, and leave next to nothing of the bar: "
        "[step by step](#where-the-time-of-a-set-goes)"
    ),
    "`s3+obstore://` set": f"{_COLD}: {_PROFILE}",
    "`s3+obstore://` exists": f"{_COLD}: {_PROFILE}",
    "`set_many` on s3+obstore": (
        "the CPU column is this library's part of the time; the rest is the server's and the proxy's, on the same cores "
        "([table](#s3-many-at-once-through-30-ms))"
    ),
    "`get_many` on s3://": (
        "boto3's own work for a call, which Python's lock lets one thread do at a time, is nearly all of it: "
        "compare the CPU column ([table](#s3-many-at-once-through-30-ms))"
    ),
    "s3+obstore://, large, up": (
        "eight parts at once are what fits into 64 MiB beside the Rust library's own buffers; boto3's manager has ten, of 8 MiB"
    ),
    "s3+obstore://, large, down": "both wait for the proxy's cap; the quartiles overlap",
}


def _at_most(rows: dict[str, Row], name: str, who: str, to: str, most: float, what: int, label: str) -> list[Bar]:
    row = rows.get(name)
    ratio = row.ratio(who, to, what) if row else None
    if ratio is None:
        return []
    kind = ("wall", "CPU")[what]
    return [(label, f"≤ {most:.3g} × {to} ({kind})", f"{_ratio(ratio)}", ratio[0] <= most)]


def _memory_bars(rows: dict[str, Row]) -> list[Bar]:
    found: list[Bar] = []
    ours, peer = "storage memory://", "obstore MemoryStore"
    for call, most in (("get", 1.0), ("exists", 1.0), ("set", 2.5), ("delete", 2.5)):
        found += _at_most(rows, f"local.memory.{call}", ours, peer, most, 1, f"`memory://` {call}")
    return found


def _file_bars(rows: dict[str, Row]) -> list[Bar]:
    ours, bare, peer = "storage file://", "bare system calls", "obstore LocalStore"
    found = _at_most(rows, "local.file.get", ours, bare, 2.5, 1, "`file://` get")
    found += _at_most(rows, "local.file.set", ours, bare, 2.0, 1, "`file://` set, `fsync=false`")
    found += _at_most(rows, "local.file.get", ours, peer, 1.0, 1, "`file://` get")
    found += _at_most(rows, "local.file.set", ours, peer, 1.0, 1, "`file://` set, `fsync=false`")
    found += _at_most(
        rows, "local.fsync.set", f"{ours} with fsync", f"{bare} with fsync", 1.2, 0, "`file://` set with fsync"
    )
    for shape in ("wide", "deep"):
        found += _at_most(rows, f"local.list.{shape}", ours, peer, 0.5, 1, f"`file://` listing ({shape})")
        row = rows.get(f"local.list.{shape}")
        for other in ("opendal fs", "fsspec file"):
            if row and other in row.samples:
                found += _at_most(rows, row.name, ours, other, 1.0, 1, f"`file://` listing ({shape})")
    return found


def _network_bars(rows: dict[str, Row]) -> list[Bar]:
    found: list[Bar] = []
    for call in ("set", "get", "exists"):
        found += _at_most(rows, f"s3.small.{call}", "storage s3://", "boto3", 1.10, 1, f"`s3://` {call}")
        found += _at_most(rows, f"gs.small.{call}", "storage gs://", "google-cloud-storage", 1.10, 1, f"`gs://` {call}")
    for call in ("set", "get", "exists"):
        found += _at_most(
            rows, f"s3.small.{call}", "storage s3+obstore://", "obstore", 1.15, 1, f"`s3+obstore://` {call}"
        )
        found += _at_most(rows, f"s3.small.{call}", "storage s3+obstore://", "boto3", 0.2, 1, f"`s3+obstore://` {call}")
    found += _at_most(rows, "s3.list", "storage s3://", "boto3", 1 / 3, 1, "`s3://` listing, CPU a key")
    loop = rows.get("s3.loop.set")
    wall = loop.median("storage s3://") if loop else None
    if wall is not None:
        found.append(("`s3://` put through 30 ms", "one round trip", _time(wall), wall < 0.06))
    return found


def _batch_bars(rows: dict[str, Row]) -> list[Bar]:
    found: list[Bar] = []
    for call in ("set", "get"):
        batch, loop = rows.get(f"s3.batch.{call}"), rows.get(f"s3.loop.{call}")
        if not batch or not loop:
            continue
        for ours, alone, times in (
            ("storage s3://", "boto3", 10),
            ("storage s3+obstore://", "storage s3+obstore://", 35),
        ):
            one, many = loop.median(alone), batch.median(ours)
            if one and many:
                label = f"`{call}_many` on {ours.removeprefix('storage ')}"
                found.append((label, f"≥ {times} × the loop on {alone}", f"{one / many:.1f} ×", one / many >= times))
        found += _at_most(
            rows,
            batch.name,
            "storage s3+obstore://",
            "obstore",
            1.0,
            0,
            f"`{call}_many` on s3+obstore:// beside gather",
        )
    return found


def _client_bars(rows: dict[str, Row]) -> list[Bar]:
    row, found = rows.get("s3.clients.get"), []
    ratio = row.ratio("obstore, async", "AsyncStorage s3+obstore://") if row else None
    if ratio:
        label = "64 clients, `AsyncStorage` get on s3+obstore://"
        found.append((label, "≥ 0.9 × the rate of obstore, async", f"{_ratio(ratio)}", ratio[0] >= 0.9))
    return found


def _large_bars(rows: dict[str, Row]) -> list[Bar]:
    found: list[Bar] = []
    for way in ("down", "up"):
        row = rows.get(f"large.{way}")
        for ours in ("storage s3://", "storage s3+obstore://"):
            ratio = row.ratio("boto3, one connection", ours) if row else None
            label = f"{ours.removeprefix('storage ')}, large, {way}"
            if ratio:
                found.append((label, "≥ 4 × one connection", f"{ratio[0]:.1f} ×", ratio[0] >= 4))
                found += _at_most(rows, f"large.{way}", ours, "boto3", 1.0, 0, label)
    row = rows.get("large.memory")
    for name, fact in (row.facts if row else {}).items():
        found.append(
            (f"peak memory, {name} of {fact['of']} MiB", "≤ 64 MiB", f"{fact['mib']:.0f} MiB", fact["mib"] <= 64)
        )
    return found


def _serving_bars(rows: dict[str, Row]) -> list[Bar]:
    return _at_most(rows, "serve.large", "storage serve", "http.server", 2.0, 0, "`storage serve`, a large blob")


def _import_bars(rows: dict[str, Row]) -> list[Bar]:
    row = rows.get("import")
    if not row or "nothing" not in row.samples:
        return []
    found = row.samples["import storage"]
    extra = sorted(a[1] - b[1] for a, b in zip(found, row.samples["nothing"], strict=True))[len(found) // 2]
    loaded = row.facts.get("SDKs loaded")
    return [
        (
            "`import storage`",
            "< 50 ms (CPU) over bare Python, no SDK",
            f"{_time(extra)}, SDKs: {loaded}",
            extra < 0.05 and loaded == "[]",
        )
    ]


_CHECKS: tuple[Callable[[dict[str, Row]], list[Bar]], ...] = (
    _memory_bars, _file_bars, _network_bars, _batch_bars, _client_bars, _large_bars, _serving_bars, _import_bars,
)  # fmt: skip


def _memory(row: Row | None) -> str:
    if row is None:
        return ""
    text = "\n## Memory of large blobs\n\n"
    text += (
        f"`python -m benchmarks large`: {row.what}, over what a fresh process has after small calls ({row.when}).\n\n"
    )
    text += "| | grows by | of a blob of |\n| --- | ---: | ---: |\n"
    for name, fact in row.facts.items():
        text += f"| {name} | {fact['mib']:.1f} MiB | {fact['of']} MiB |\n"
    for name, why in row.failed.items():
        text += f"| {name} | {escape(why)} | |\n"
    return text


# ---- plots -------------------------------------------------------------------------------------------------------------

_WIDTH, _BAR, _LEFT = 720, 16, 190


def _plot(prefix: str, title: str, rows: list[Row]) -> str:
    """Client CPU of each contestant, a group of bars for each row; wall where that is what the section is about."""
    what = 0 if prefix in ("large.", "serve.", "s3.batch", "s3.clients", "s3.loop", "local.fsync") else 1
    name = prefix.strip(".").replace(".", "-")
    bars: list[tuple[str, str, float, bool]] = []
    for row in rows:
        for who in sorted(row.samples, key=lambda who: row.median(who, what) or 0):
            bars += [(row.name.rpartition(".")[2], who, row.median(who, what) or 0.0, who in row.ours)]
    if not bars:
        return ""
    most = max(value for *_, value, _ in bars)
    (PLOTS / f"{name}.svg").write_text(_svg(bars, most, ("wall", "client CPU")[what]))
    return f"\n![{title}: {('wall', 'client CPU')[what]} of one call](benchmarks/{name}.svg)\n"


def _svg(bars: list[tuple[str, str, float, bool]], most: float, what: str) -> str:
    lines: list[Any] = []
    y, group = 24, ""
    for row, who, value, ours in bars:
        if row != group:
            y += 10
            lines.append(f'<text x="4" y="{y + 11}" font-weight="bold">{escape(row)}</text>')
            y += _BAR
            group = row
        # The root spreads small values that a straight scale would hide.
        length = (_WIDTH - _LEFT - 90) * (value / most) ** 0.5 if most else 0
        colour = "#1f6feb" if ours else "#9aa4b2"
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 11}" text-anchor="end">{escape(who)}</text>')
        lines.append(
            f'<rect x="{_LEFT}" y="{y + 1}" width="{max(length, 1):.1f}" height="{_BAR - 3}" fill="{colour}"/>'
        )
        lines.append(f'<text x="{_LEFT + length + 5:.1f}" y="{y + 11}">{_time(value)}</text>')
        y += _BAR
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 10}" font-family="sans-serif" font-size="11">'
    note = f'<text x="4" y="16" fill="#57606a">{what} of one call, square-root scale; blue: this library</text>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', note, *lines, "</svg>\n"])
