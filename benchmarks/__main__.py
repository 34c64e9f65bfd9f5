"""``python -m benchmarks [--quick] [GROUP …]``: measures, and writes ``docs/benchmarks.md`` from all that was measured."""

from __future__ import annotations

import argparse
import time
import traceback
from importlib import import_module

from benchmarks import measure

GROUPS = ("imports", "local", "durable", "stairs", "s3", "gs", "batches", "clients", "large", "opening", "serving")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="what to measure; everything by default")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and few rounds; nothing is written into docs/"
    )
    parser.add_argument("--report", action="store_true", help="only write the report of what was measured before")
    args = parser.parse_args()
    began = time.monotonic()
    if args.quick:
        measure.RESULTS = measure.QUICK_RESULTS
    failed: list[str] = []
    if not args.report:
        for group in args.groups or GROUPS:
            print(f"\n==== {group} ({time.monotonic() - began:.0f} s)", flush=True)
            try:
                import_module(f"benchmarks.{group}").run(measure.Plan(args.quick))
            except Exception:  # the others do not depend on it
                traceback.print_exc()
                failed.append(group)
    print(f"\n{time.monotonic() - began:.0f} s")
    if not args.quick:
        from benchmarks.report import write

        write()
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; what they had measured before is in the page")


if __name__ == "__main__":
    main()
