"""What ``import storage`` costs."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measure import Call, Plan, Row, children_cpu, in_turn
from benchmarks.servers import ROOT


def run(plan: Plan) -> None:
    row = Row("import", "a fresh interpreter that imports, and ends", "bare Python", ["import storage"])
    statements = {
        "import storage": "import storage",
        "nothing": "",
        "import obstore": "import obstore",
        "import fsspec": "import fsspec",
        "import boto3": "import boto3",
        "import google.cloud.storage": "import google.cloud.storage",
    }

    def call(statement: str) -> Call:
        return lambda _: subprocess.run([sys.executable, "-c", statement], check=True, cwd=ROOT)

    in_turn(
        row,
        [(who, call(what)) for who, what in statements.items()],
        rounds=plan.rounds(9),
        calls=1,
        warm=1,
        cpu_clock=children_cpu,
    )
    sdks = "{'boto3', 'botocore', 'google', 'obstore'}"
    code = f"import sys, storage; print(sorted({{n.partition('.')[0] for n in sys.modules}} & {sdks}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    row.facts["SDKs loaded"] = loaded
    row.save()
