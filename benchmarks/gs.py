"""Cloud Storage without latency: one small blob."""

from __future__ import annotations

from benchmarks.measure import Bar, Plan
from benchmarks.peers import gcs
from benchmarks.s3 import small
from benchmarks.servers import fake_gcs

OURS = gcs.Ours.name


def run(plan: Plan) -> None:
    bars = [Bar(OURS, 0.25, gcs.Google.name), Bar(OURS, 1.0, gcs.Gcsfs.name)]
    measured = dict.fromkeys(("set", "get", "exists"), bars)
    with fake_gcs() as (endpoint, bucket):
        small("gs.small", "gs, 1 KiB, no latency", gcs.SMALL, (endpoint, bucket), plan, measured)
