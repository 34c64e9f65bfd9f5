"""``python -m benchmarks.scale [--most 1000000] [--minutes 20] [--nice 0]``: from a thousand blobs to a million.

Fills a directory and a SeaweedFS bucket step by step; at each step a fresh process lists everything and asks for one blob. Writes
the last section of ``docs/scale.md``. A step that the minutes do not reach is left out, and the page says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from benchmarks.measure import TMPFS
from benchmarks.servers import ROOT, seaweedfs
from storage import Storage

STEPS = (1_000, 10_000, 100_000, 1_000_000)
FOLDER = 1_000
_RESULTS = Path("build/bench-scale.json")

_PROBE = """
import json, sys, time
url, auth, key = json.loads(sys.argv[1])
from storage import Storage
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
def median(call, times=31):
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2]
store = Storage(url, auth)
store.exists("absent")
store.list("warm", limit=1)
before = peak()
began, cpu = time.perf_counter(), time.process_time()
first, count = None, 0
for _ in store.iter_list():
    count += 1
    if first is None:
        first = time.perf_counter() - began
total, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps({
    "count": count, "first": first, "total": total, "cpu": cpu, "memory": peak() - before,
    "page": median(lambda: store.list(limit=10, start_after=key)), "exists": median(lambda: store.exists(key)),
}))
"""


def keys(start: int, end: int) -> Iterator[str]:
    """A thousand to a folder."""
    return (f"{number // FOLDER:04}/{number:07}" for number in range(start, end))


def probe(url: str, auth: Any, count: int) -> dict[str, Any]:
    """What a fresh process sees of the store."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps([url, auth, next(keys(count // 2, count))])],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["count"] == count, f"{found['count']} keys of {count}"
    found["load"] = os.getloadavg()[0]
    return found


def run(stores: dict[str, tuple[str, Any]], fill: Callable[[int, int, float], int], most: int, until: float) -> Any:
    """Each step of each store that shares what ``fill`` writes."""
    steps: list[dict[str, Any]] = []
    filled = 0
    for step in (step for step in STEPS if step <= most):
        began = time.monotonic()
        reached = fill(filled, step, until)
        seconds, added, filled = time.monotonic() - began, reached - filled, reached
        row: dict[str, Any] = {"count": reached, "fill": seconds / added if added else 0}
        for name, (url, auth) in stores.items():
            row[name] = probe(url, auth, reached)
        steps.append(row)
        print(json.dumps(row), flush=True)
        if reached < step:
            break
    return steps


def files(most: int, until: float) -> Any:
    """Plain files, made by system calls: what the library lists is the same."""
    with tempfile.TemporaryDirectory(prefix="storage-scale-", dir=TMPFS) as root:
        made: set[str] = set()

        def fill(start: int, end: int, until: float) -> int:
            del until
            for key in keys(start, end):
                folder = f"{root}/data/{key[:4]}"
                if folder not in made:
                    os.makedirs(folder)
                    made.add(folder)
                os.close(os.open(f"{root}/data/{key}", os.O_CREAT | os.O_WRONLY))
            return end

        return run({"file://": (f"file://{root}", None)}, fill, most, until)


def bucket(most: int, until: float) -> Any:
    """Blobs of one byte, put by ``set_many``."""
    with seaweedfs() as server:
        url = server.url("scale", query="&types=data:")
        with Storage(url, server.auth) as store:

            def fill(start: int, end: int, until: float) -> int:
                reached = start
                while reached < end and time.monotonic() < until:
                    piece = min(end, reached + 20_000)
                    store.set_many(dict.fromkeys(keys(reached, piece), b"1"))
                    reached = piece
                return reached

            return run({"s3://": (url, server.auth)}, fill, most, until)


class _Endless(BaseHTTPRequestHandler):
    """Answers listings of a bucket with ``count`` keys that nobody stored: what remains is the client's part."""

    protocol_version = "HTTP/1.1"
    count = 0

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        prefix = query["prefix"]
        after = query.get("continuation-token") or query.get("start-after", "")
        start = int(after.rpartition("/")[2]) + 1 if after else 0
        end = min(self.count, start + int(query["max-keys"]))
        rows = "".join(
            f"<Contents><Key>{prefix}{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            "<ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag><Size>1</Size></Contents>"
            for key in keys(start, end)
        )
        more = end < self.count
        token = f"<NextContinuationToken>{prefix}{next(keys(end - 1, end))}</NextContinuationToken>" if more else ""
        self._answer(
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
        )

    def do_HEAD(self) -> None:
        self.send_response(404 if urlsplit(self.path).path.endswith("/absent") else 200)
        self.send_header("ETag", '"9dd4e461268c8034f5c8564e155c67a6"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", "1")
        self.end_headers()

    def _answer(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def simulated(most: int) -> Any:
    """A server that makes pages up, so that a million keys cost no time to store."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    auth = {"access_key_id": "key", "secret_access_key": "secret"}
    stores = {"s3://": (f"s3://bucket/p?endpoint_url={endpoint}&region=us-east-1", auth)}

    def fill(start: int, end: int, until: float) -> int:
        del start, until
        _Endless.count = end
        return end

    try:
        return run(stores, fill, most, 0.0)
    finally:
        server.shutdown()


_SECTION = "## Listings as a store grows\n"

_TEXT = """
```console
$ python -m benchmarks.scale
```

This section shows what a store costs as it grows. Each step is a fresh process that lists every key with `iter_list`, then asks
for a page of ten in the middle (`list(limit=10, start_after=…)`) and for one blob (`exists`), 31 times each, medians. *Memory*
is how far the peak of the process grows while it lists. A thousand blobs to a folder; files are on tmpfs, blobs in the bucket
have one byte. Measured on {machine}, {when}, while other work ran on them (the load average is beside each row): look at how a
column grows, not at its height. The CPU of a key is the client's alone, and does not grow; the time of one on SeaweedFS is the
server's, which shares the cores with everything else. The fake server runs on the same cores: of its rows only CPU and memory
are about the library.

"""


def report(found: dict[str, Any], most: int) -> None:
    """Writes the last section of ``docs/scale.md``."""
    page = Path("docs/scale.md")
    text = page.read_text().partition(_SECTION)[0] + _SECTION
    text += _TEXT.format(machine=f"{os.cpu_count()} cores", when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))
    for title, steps in found.items():
        text += f"### {title}\n\n"
        text += "| | blobs | listing | a key | CPU a key | first key | memory | page of ten | exists | load |\n"
        text += "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        for name in (name for name in steps[0] if name.endswith("://")):
            for step in steps:
                row, count = step[name], step["count"]
                text += (
                    f"| `{name}` | {count:,} | {row['total']:.3g} s | {row['total'] / count * 1e6:.1f} µs "
                    f"| {row['cpu'] / count * 1e6:.1f} µs | {row['first'] * 1e3:.1f} ms | {row['memory'] / 1024:.1f} MiB "
                    f"| {row['page'] * 1e3:.2f} ms | {row['exists'] * 1e3:.2f} ms | {row['load']:.1f} |\n"
                )
        reached = steps[-1]["count"]
        if reached < most:
            text += f"\nThe time given for storing was over at {reached:,} blobs; the steps beyond were not measured.\n"
        text += "\n"
    page.write_text(f"{text.rstrip()}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--most", type=int, default=STEPS[-1])
    parser.add_argument("--minutes", type=float, default=20, help="after which no more is put into the bucket")
    parser.add_argument("--only", choices=["files", "simulated", "bucket"], help="measure this, and keep the rest")
    parser.add_argument("--nice", type=int, default=0, help="how far to stand back behind other programs")
    args = parser.parse_args()
    os.nice(args.nice)
    found = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}
    parts: dict[str, tuple[str, Callable[[], Any]]] = {
        "files": ("Files", lambda: files(args.most, 0.0)),
        "simulated": ("A fake S3 server", lambda: simulated(args.most)),
        "bucket": ("One SeaweedFS bucket", lambda: bucket(args.most, time.monotonic() + args.minutes * 60)),
    }
    for name, (title, measure) in parts.items():
        if args.only in (None, name):
            found[title] = measure()
    _RESULTS.parent.mkdir(parents=True, exist_ok=True)
    _RESULTS.write_text(json.dumps(found))
    report(found, args.most)


if __name__ == "__main__":
    main()
