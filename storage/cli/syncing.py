"""The command ``sync``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from storage import Storage, SyncError, SyncEvent, SyncResult
from storage._facade.call import Call
from storage._facade.core import core_of
from storage._facade.outside import files_outside
from storage.cli import _output
from storage.cli._app import command, is_folder, json_option, opened, usage
from storage.cli._executors import executor_of
from storage.cli._status import FAILED, Ended

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?(?:/s)?", re.IGNORECASE)
_DONE = {"copied": "copy", "deleted": "delete", "same": "same", "kept": "keep", "vanished": "gone"}


if TYPE_CHECKING:
    _Float = click.ParamType[float]  # generic for checkers alone
else:
    _Float = click.ParamType


class Rate(_Float):
    """Bytes a second: a number, with K, M, G or T for powers of 1,024."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The bytes."""
        match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
        rate = float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ") if match else 0
        if not rate:
            self.fail(f"{value!r} is no rate: write bytes a second, as in 500K or 10M.", param, ctx)
        return rate


@command(
    "sync",
    "storage sync ./photos s3://bucket/photos --dry-run",
    "storage sync file:///srv/store s3://bucket --concurrency 32",
    "storage sync s3://bucket gs://bucket --delete --exclude 'cache/'",
    "storage sync s3://bucket ./backup --type data --bwlimit 10M",
    "storage sync s3://bucket gs://bucket --dask tcp://scheduler:8786",
)
@click.argument("urls", nargs=-1, metavar="SRC_URL DST_URL")
@click.option("--type", "storage_type", metavar="TYPE", help="This storage type alone. [default: every one of SRC_URL]")
@click.option("--prefix", default="", metavar="PREFIX", help="Look at keys that start with this alone.")
@click.option("--delete", is_flag=True, help="Delete at DST_URL what is not at SRC_URL.")
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing; print what would be done.")
@click.option("--include", metavar="GLOB", multiple=True, help="Look at these keys alone; may be given more than once.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Leave these keys alone, on both sides.")
@click.option("--checksum", is_flag=True, help="Do not trust times: compare bytes where there is no common checksum.")
@click.option(
    "--concurrency", type=click.IntRange(1), metavar="N", help="How many blobs at once, in each process or worker."
)
@click.option("--bwlimit", type=Rate(), metavar="RATE", help="Bytes a second at most, as in 500K or 10M.")
@click.option(
    "--processes", type=click.IntRange(1), metavar="N", help="Work in N processes, each on key ranges of its own."
)
@click.option("--dask", metavar="ADDRESS", help="Work on the Dask cluster of this scheduler.")
@click.option("--ray", is_flag=True, help="Work on the Ray cluster of RAY_ADDRESS.")
@click.option("-v", "--verbose", is_flag=True, help="Print what is done, one line a blob.")
@json_option
@click.option("--url", metavar="URL", help="SRC_URL, where only DST_URL is given.")
def sync(
    urls: Sequence[str],
    url: str | None,
    storage_type: str | None,
    processes: int | None,
    dask: str | None,
    ray: bool,
    dry_run: bool,
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Copy to another store what is missing or different there, and verify it.

    Whole stores, every storage type, unless --type is given. Nothing is deleted without --delete. A path without a scheme, as
    in ./photos, is a plain folder: all files below it are blobs of type data, and only that type is synced. Content type,
    other headers and metadata go along. Run again after an interruption, it goes on where it stopped.

    Two blobs count as equal if their sizes are equal, and their MD5s where both services give one. Without MD5s they count as
    equal if the copy is ten seconds newer, or if the bytes are equal.

    In a GLOB, * and ? stand for anything but a slash, ** for anything; one without a slash is matched against the last part of
    a key, and one that ends in a slash takes everything below.

    With --processes, --dask or --ray, workers sync key ranges, for stores that are too large for one process. They find their
    credentials themselves. What is done is written down at DST_URL, in the type tmp: the next run within a day goes on with a
    run that was killed, from any machine. Progress is that of ranges, and only blobs that failed are named.

    A blob that fails does not stop the others; it is named on standard error, and the status is 3.
    """
    first, second = _both(urls, url)
    with opened(first) as source, opened(second) as destination, executor_of(processes, dask, ray) as executor:
        storage_type = storage_type or _common_type(first, second, source)
        printed = _printer(as_json=as_json, lines=verbose or dry_run)
        failed: SyncError | None = None
        with _progress(printed, quiet=dry_run, of_ranges=executor is not None) as (report, progress):
            try:
                options |= {"dry_run": dry_run, "executor": executor, "report": report, "progress": progress}
                result = source.sync_to(destination, storage_type, **options)
            except SyncError as exc:
                if exc.result is None:
                    raise
                failed, result = exc, exc.result
            except KeyboardInterrupt:
                _output.note("interrupted; run it again to go on")
                raise
        _summary(result, as_json=as_json)
        _say_left_out(source, storage_type)
        _hint(source, result)
    if failed is not None:
        raise Ended(FAILED)


def _both(urls: Sequence[str], url: str | None) -> tuple[str, str]:
    words = [*([url] if url is not None else []), *urls]
    if len(words) != 2:
        usage("Give SRC_URL and DST_URL (or --url URL and DST_URL).")
    return words[0], words[1]


def _common_type(first: str, second: str, source: Storage) -> str | None:
    """The type to sync where none is named: ``data`` if one side is a plain folder; ``None``: all."""
    if not (is_folder(first) or is_folder(second)):
        return None
    if not is_folder(first) and len(source.storage_types) > 1:
        others = ", ".join(repr(name) for name in source.storage_types if name != "data")
        _output.note(f"{second!r} is a plain folder, which holds type 'data' alone: left out are {others}")
    return "data"


# ---- what is printed -----------------------------------------------------------------------------------------------


def _printer(*, as_json: bool, lines: bool) -> Callable[[SyncEvent], None]:
    """A function that prints an event of the sync: failures always, the rest where it is wanted."""

    def show(event: SyncEvent) -> None:
        if event.action == "failed":
            _output.note(f"{event.storage_type} {event.key!r} failed: {event.error}")
        if event.action in ("listed", "planned"):
            return
        if event.action == "ranges":
            if as_json:
                done = {"done": event.count, "total": event.total, "blobs": event.blobs, "bytes": event.size}
                _output.emit_json({"action": "ranges", **done})
            elif lines:
                _output.note(_ranges(event))
            return
        if as_json:
            what = {"action": event.action, "storage_type": event.storage_type, "key": event.key, "size": event.size}
            detail = {"error": str(event.error)} if event.error else {"reason": event.reason}
            _output.emit_json({**what, **detail})
        elif lines and event.action in _DONE:
            _output.emit(f"{_DONE[event.action]} {event.storage_type} {event.key} ({event.size} bytes: {event.reason})")

    return show


def _ranges(event: SyncEvent) -> str:
    size = _output.human(event.size)
    return f"{event.count:,}/{event.total:,} ranges, {event.blobs:,} blobs, {size} copied"


def _summary(result: SyncResult, *, as_json: bool) -> None:
    if as_json:
        counts = {name: value for name, value in vars(result).items() if name != "failures"}  # they were printed
        _output.emit_json({"action": "summary", **counts})
    would = "would be " if result.dry_run else ""
    parts = [f"{result.copied:,} {would}copied ({_output.human(result.copied_bytes)})"]
    compared = ", ".join(f"{count:,} by {what}" for what, count in sorted(result.compared.items()))
    parts.append(f"{result.same:,} there already" + (f" (compared: {compared})" if compared else ""))
    parts += [
        f"{count:,} {words}"
        for count, words in (
            (result.deleted, f"{would}deleted"),
            (result.kept, "not deleted (the source has them again, or others failed)"),
            (result.vanished, "deleted at the source meanwhile"),
            (result.failed, "failed"),
            (result.resumed, "key ranges were done by an earlier run"),
        )
        if count
    ]
    _output.note("; ".join(parts))


def _say_left_out(source: Storage, storage_type: str | None) -> None:
    """Names the kinds of things in a directory that were not copied, such as links, which are not followed."""
    for name in source.storage_types if storage_type is None else (storage_type,):
        route = core_of(source).route(name)
        if route.backend.owns_path:
            for line in Call.about_route("sync_to", route, name).run(route.backend.find_foreign_names, route.prefix):
                _output.note(f"left out of {route.url}: {line}")


def _hint(source: Storage, result: SyncResult) -> None:
    """Tells a folder of files that was taken for a store from an empty store: it must not pass for success."""
    if result.copied or result.same or result.failed:
        return
    core = core_of(source)
    for backend in core.backends():
        outside = files_outside(core, backend, "sync_to")
        if outside is not None:
            _output.note(f"no blob was found in {backend.location}: {outside}")


@contextmanager
def _progress(
    printed: Callable[[SyncEvent], None], *, quiet: bool, of_ranges: bool
) -> Iterator[tuple[Callable[[SyncEvent], None], Callable[[int], object] | None]]:
    """Gives the functions to report to; on a terminal they also show blobs, bytes, rate and time left."""
    if quiet or not _output.on_terminal():
        yield printed, None
        return
    with _output.progress_bar(count_bytes=not of_ranges) as bar:
        task = bar.add_task("comparing", total=None, blobs="")
        done = of = 0
        began = time.monotonic()

        def report(event: SyncEvent) -> None:
            nonlocal done, of
            if event.action == "listed":
                bar.update(task, blobs=f"{event.count:,} blobs")
            elif event.action == "planned":
                of = event.count
                bar.update(task, description="copying", total=event.size, blobs=f"0/{of:,} blobs")
            elif event.action == "ranges":
                rate = f"{_output.human(int(event.size / (time.monotonic() - began)))}/s"
                text = f"{_ranges(event)}, {rate}"
                bar.update(task, description="syncing", completed=event.count, total=event.total, blobs=text)
            elif event.action in ("copied", "same", "failed", "vanished"):
                done += 1
                bar.update(task, blobs=f"{done:,}/{of:,} blobs")
            elif event.action == "deleted":
                bar.update(task, description="deleting")
            printed(event)

        yield report, None if of_ranges else lambda count: bar.advance(task, count)
