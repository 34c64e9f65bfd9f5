"""``docs/benchmarks.md``: what was measured, as tables of ratios, and charts."""

from __future__ import annotations

import os
import platform
from html import escape
from pathlib import Path
from typing import NamedTuple

from benchmarks.charts import Stroke, chart
from benchmarks.measure import Row, amount, spread
from benchmarks.peers import versions
from benchmarks.peers.s3 import Pyreqwest

DOCS = Path("docs")
CHARTS = DOCS / "benchmarks"

_HEAD = """# Benchmarks

{first}```console
$ make bench
```

starts the servers, lets this library and its peers take turns, and writes this page. {machine}
Peers are called as their users call them ({versions}). s3fs is not among them: it holds botocore to an older version.

How to read it: *wall* is what a call took on the clock, *CPU* what the client's process spent on it, servers and proxies not
counted. Both are medians of the rounds. A ratio is a contestant divided by this library (the first row of each table), round by
round, with the quartiles of the rounds behind it: above 1 the contestant is slower. In each round the contestants come in an
order drawn anew, so that noise hits all alike; trust CPU before wall, and ratios before either: while these rows were
measured the machine had a load average of {load}. Rows in which this library loses are here as well.
"""

_FIRST = """![What a small call costs: client CPU of one get of 1 KiB from S3](benchmarks/small-call.svg)

What a small call costs, by library: the CPU that a client spends on one `get` of 1 KiB from S3
([all calls](#s3-one-small-blob)).

"""


class Section(NamedTuple):
    """Rows under one heading.

    Attributes:
        title: the heading.
        prefix: what the names of its rows begin with.
        group: what measures them.
        note: what is measured.
        by: what the chart shows: ``CPU`` or ``wall``.
        why: what stands in the way where a bar is missed.
    """

    title: str
    prefix: str
    group: str
    note: str
    by: str = "CPU"
    why: str = "the spread of the rounds reaches over the bar: measure again on a machine that does nothing else"


_CORES = "client, proxy and server share the cores, and what the others leave bounds the rate: the CPU column is the client's"
_COLD = (
    "after each wait for the server the caches are the server's, and what a call does in Python takes three to four times "
    "what it takes in a loop. Of the 230 µs of a set (on a busy machine), 45 are its three system calls (25 to send, 13 to wait "
    "and receive, 7 to look whether the connection was closed), 40 the signature with two SHA-256, 40 the check and the "
    "splitting of the answer's head, 18 the MD5 that is sent and compared with the etag, which obstore does not do, and 90 the "
    "key, the options, the headers and the results in some sixty functions"
)
_COLD_TLS = "the same, and TLS adds 45 µs, 10 to send and 35 to receive: a MemoryBIO takes as much (0.95 to 1.02)"


_SECTIONS = (
    Section("Import", "import", "imports", "A fresh interpreter: the time of the process."),
    Section(
        "The first call",
        "first.",
        "imports",
        "A fresh interpreter that gets one blob: what a function in the cloud or a command pays.",
    ),
    Section(
        "Memory",
        "local.memory",
        "local",
        "1 KiB in this process.",
        why="each call checks the key and finds its route in Python, and a write makes a version, a time and an info",
    ),
    Section(
        "Directories",
        "local.file",
        "local",
        "1 KiB under a path of four parts. The bare calls are open, write and rename, or open and read: no containment, no lock, "
        "no metadata, no content type, no etag.",
        why="containment, locks and the record of the metadata are system calls of their own: "
        "[step by step](#where-the-time-of-a-set-goes)",
    ),
    Section(
        "Where the time of a set goes",
        "local.stairs",
        "stairs",
        "Each row does what the row before does, and one thing more: the bare calls, then what keeps links and half-written "
        "blobs out.",
    ),
    Section(
        "Directories, durable",
        "local.fsync",
        "durable",
        "The default, which survives a power failure. The bare calls are open, write, fsync, rename, and fsync of the directory.",
        "wall",
        "the disk takes as long as it likes for an fsync: compare the quartiles; and `sync` copies in the order of the keys, so "
        "that its threads write into one directory at a time, and spends some 30 µs of Python a blob on the plan, the look at "
        "the source afterwards and the account",
    ),
    Section(
        "Listing directories",
        "local.list",
        "local",
        "All keys in order. Who has no order sorts. This library alone looks at each name's rules.",
        why="each name is checked in Python",
    ),
    Section(
        "S3, one small blob",
        "s3.small",
        "s3",
        "1 KiB on SeaweedFS, no latency. Wall is mostly the server's; a network adds the same for all who need one round trip. "
        "`delete` here is two requests: it tells whether there was a blob.",
        why=_COLD,
    ),
    Section(
        "S3 over TLS, one small blob", "s3.tls", "s3", "The same, with a certificate that is checked.", why=_COLD_TLS
    ),
    Section(
        "S3, listing", "s3.list", "s3", "Pages of 1,000 keys.", why="the rest is what a page of keys takes in Python"
    ),
    Section(
        "S3, deleting many",
        "s3.delete_many",
        "s3",
        "A thousand keys in one request.",
        why="each key is checked, and the request carries an MD5 and a signed SHA-256",
    ),
    Section("Cloud Storage, one small blob", "gs.small", "gs", "1 KiB on fake-gcs-server, no latency.", why=_COLD),
    Section(
        "S3, many at once through 30 ms",
        "s3.batch",
        "batches",
        "A proxy adds 30 ms to each round trip. Time is for one blob. `set_many` and `get_many` beside `gather` on obstore and a "
        "client that does nothing else, and beside loops of single calls. Client, proxy and server share the cores, which bounds "
        "every batch.",
        "wall",
        _CORES,
    ),
    Section("Cloud Storage, many at once through 30 ms", "gs.batch", "batches", "The same.", "wall", _CORES),
    Section(
        "S3, 64 clients at once",
        "s3.clients",
        "clients",
        "64 tasks of one event loop, or 64 threads, each with one call after the other. The server shares the cores, and its "
        "part of them bounds every contestant's rate.",
        "wall",
        "one thread at a time runs Python, and the server wants the other core",
    ),
    Section(
        "Large blobs",
        "large.",
        "large",
        "Files on disk, a server behind a proxy that caps each connection. Server, proxy and client share this machine's cores, "
        "which bounds what parallel connections can gain. The server of Cloud Storage keeps nothing.",
        "wall",
        _CORES,
    ),
    Section("Memory of large blobs", "memory", "large", "Over what a fresh process has after small calls."),
    Section(
        "A file that is open",
        "open.",
        "opening",
        "Read from front to back through a slow network, beside whole downloads; and what comes for a reader that jumps.",
        "wall",
        "reading ahead begins when the reader has shown that it goes on from front to back, and holds no more than 32 MiB",
    ),
    Section(
        "Serving files", "serve.", "serving", "A plain socket reads, and keeps nothing. CPU is the reader's.", "wall"
    ),
)


def write() -> None:
    """Writes the page and its charts from what was saved."""
    rows = {row.name: row for row in Row.all()}
    CHARTS.mkdir(parents=True, exist_ok=True)
    for old in CHARTS.glob("*.svg"):
        old.unlink()
    loads = [row.load[0] for row in rows.values() if row.load]
    text = _HEAD.format(
        first=_first(rows.get("s3.small.get")),
        machine=f"The numbers here are from {_machine()}.",
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
        load=f"{min(loads):.1f} to {max(loads):.1f}" if loads else "unknown",
    )
    found = [(section, [row for name, row in rows.items() if name.startswith(section.prefix)]) for section in _SECTIONS]
    missing = [f"`{section.group}` ({section.title})" for section, its in found if not its]
    if missing:
        text += f"\nNot measured in this run, so not shown: {', '.join(missing)}.\n"
    text += _bars(found)
    for section, its in found:
        if its:
            text += f"\n## {section.title}\n\n`python -m benchmarks {section.group}`. {section.note}\n"
            text += "".join(map(_table, its)) + _chart(section, its)
    (DOCS / "benchmarks.md").write_text(text)


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores ({models[0] if models else '?'}), Python {platform.python_version()}"


def _first(row: Row | None) -> str:
    if row is None:
        return ""
    strokes = [
        Stroke("", who, row.median(who, 1) or 0.0, who in row.ours)
        for who in sorted(row.samples, key=lambda who: row.median(who, 1) or 0.0)
        if who != Pyreqwest.name  # a limit, and no library for S3
    ]
    note = "client CPU of one get of 1 KiB from S3"
    (CHARTS / "small-call.svg").write_text(chart(strokes, note, linear=True))
    return _FIRST


def _bars(found: list[tuple[Section, list[Row]]]) -> str:
    """What the project asks of itself, and whether it is met."""
    table, total, met_bars = "", 0, 0
    missed: dict[str, list[str]] = {}  # by the reason
    for section, row, bar in [(part, one, bar) for part, its in found for one in its for bar in one.bars]:
        total += 1
        what = f"{row.what}: {bar.who}"
        judged = row.judge(bar)
        if judged is None:
            table += f"| {what} | {bar} | not measured | |\n"
            missed.setdefault("it was not measured", []).append(f"{what}, {bar}")
            continue
        measured, met = judged
        table += f"| {what} | {bar} | {measured} | {'met' if met else '**missed**'} |\n"
        met_bars += met
        if not met:
            missed.setdefault(section.why, []).append(f"{what}, {bar}: {measured}")
    text = (
        "\n## The bars\n\nWhat the project asks of itself, beside what was measured: "
        f"{met_bars} of {total} bars are met.\n\n| | bar | measured | |\n| --- | --- | --- | --- |\n{table}"
    )
    if missed:
        text += "\nWhat is missed, and why:\n"
    for why, rows in missed.items():
        text += "\n" + "".join(f"- {row}\n" for row in rows) + f"\n  The reason: {why}.\n"
    return text


def _table(row: Row) -> str:
    text = f"\n**{row.what}**"
    text += f" (physical limit: {row.limit})" if row.limit else ""
    text += f" · {row.when}\n\n"
    if row.samples:
        text += _samples(row)
    if row.facts:
        text += ("\n" if row.samples else "") + "| | |\n| --- | ---: |\n"
        text += "".join(f"| {name} | {value:.1f} |\n" for name, value in row.facts.items())
        text += "".join(f"| {who} | {escape(why)} |\n" for who, why in row.failed.items() if not row.samples)
    verdicts = []
    for bar in row.bars:
        judged = row.judge(bar)
        if judged is not None:
            verdicts.append(f"{bar.who} {bar}: {judged[0]}, {'met' if judged[1] else '**missed**'}")
    return text + (f"\nBars: {'; '.join(verdicts)}.\n" if verdicts else "")


def _samples(row: Row) -> str:
    ours = row.ours[0]
    rounds = len(next(iter(row.samples.values())))
    text = f"| {rounds} rounds | wall | CPU | wall ratio | CPU ratio |\n| --- | ---: | ---: | ---: | ---: |\n"
    others = sorted((who for who in row.samples if who not in row.ours), key=lambda who: row.median(who, 1) or 0)
    for who in [*row.ours, *others]:
        if who not in row.samples:
            continue
        shown = f"**{who}**" if who in row.ours else who
        cells = [amount(row.median(who, what) or 0.0) for what in (0, 1)]
        for what in (0, 1):
            ratio = row.ratio(who, ours, what)
            cells.append("" if ratio is None else spread(ratio))
        text += f"| {shown} | {' | '.join(cells)} |\n"
    return text + "".join(f"| {who} | {escape(why)} | | | |\n" for who, why in row.failed.items())


def _chart(section: Section, rows: list[Row]) -> str:
    what = 1 if section.by == "CPU" else 0
    strokes = [
        Stroke(row.name.rpartition(".")[2], who, row.median(who, what) or 0.0, who in row.ours)
        for row in rows
        for who in sorted(row.samples, key=lambda who: row.median(who, what) or 0.0)
    ]
    if not strokes:
        return ""
    name = section.prefix.strip(".").replace(".", "-").replace("_", "-")
    by = "client CPU of one call" if what else "wall of one call"
    (CHARTS / f"{name}.svg").write_text(chart(strokes, by))
    return f"\n![{section.title}: {by}](benchmarks/{name}.svg)\n"
