"""What ``import storage`` and the first call of a fresh process cost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from benchmarks.measure import Bar, Call, Plan, Row, children_cpu, in_turn
from benchmarks.peers import gcs, s3
from benchmarks.servers import ROOT, fake_gcs, seaweedfs

NOTHING = "nothing"


def run(plan: Plan) -> None:
    row = Row(
        "import",
        "a fresh interpreter that imports, and ends",
        "bare Python",
        ["import storage"],
        [Bar("import storage", 0.05, over=NOTHING), Bar("SDKs loaded", 0, by="fact", unit="SDKs")],
    )
    imports = ["storage", "obstore", "fsspec", "boto3", "google.cloud.storage"]
    _fresh(plan, row, {NOTHING: ""} | {f"import {name}": f"import {name}" for name in imports}, {})
    sdks = "{'boto3', 'botocore', 'google', 'requests', 'httptools'}"
    code = f"import sys, storage; print(len({{n.partition('.')[0] for n in sys.modules}} & {sdks}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    row.facts["SDKs loaded"] = int(done.stdout)
    row.save()
    first(plan)


def first(plan: Plan) -> None:
    """A process that imports what it needs, gets one small blob, and ends."""
    with seaweedfs() as server:
        s3.Ours(server, server.endpoint_url).put("one", b"1" * 1024)
        env = {
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "AWS_DEFAULT_REGION": server.region,
            "AWS_ENDPOINT_URL": server.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        endpoint = server.endpoint_url
        row = Row(
            "first.s3",
            "a fresh process that gets one blob of 1 KiB from S3",
            "bare Python",
            ["storage s3://"],
            [Bar("storage s3://", 0.4, "boto3", over=NOTHING)],
        )
        programs = {
            "storage s3://": (
                "from storage import Storage\n"
                f"assert len(Storage('s3://{server.bucket}/bench?types=data:').get_bytes('one')) == 1024"
            ),
            NOTHING: "",
            "boto3": (
                f"import boto3\nboto3.client('s3').get_object(Bucket='{server.bucket}', Key='bench/one')['Body'].read()"
            ),
            "obstore": (
                "from obstore.store import S3Store\n"
                f"store = S3Store('{server.bucket}', endpoint='{endpoint}', client_options={{'allow_http': True}})\n"
                "bytes(store.get('bench/one').bytes())"
            ),
        }
        _fresh(plan, row, programs, env)
    with fake_gcs() as (endpoint, bucket):
        gcs.Ours(endpoint, bucket).put("one", b"1" * 1024)
        row = Row(
            "first.gs",
            "a fresh process that gets one blob of 1 KiB from Cloud Storage",
            "bare Python",
            ["storage gs://"],
            [Bar("storage gs://", 0.5, "google-cloud-storage", over=NOTHING)],
        )
        url = f"gs://{bucket}/bench?endpoint_url={endpoint}&anonymous=true&types=data:"
        programs = {
            "storage gs://": f"from storage import Storage\nassert len(Storage('{url}').get_bytes('one')) == 1024",
            NOTHING: "",
            "google-cloud-storage": (
                "from google.auth.credentials import AnonymousCredentials\n"
                "from google.cloud import storage\n"
                f"options = {{'api_endpoint': '{endpoint}'}}\n"
                "client = storage.Client('project', AnonymousCredentials(), client_options=options)\n"
                f"client.bucket('{bucket}').blob('bench/one').download_as_bytes()"
            ),
        }
        _fresh(plan, row, programs, {})


def _fresh(plan: Plan, row: Row, programs: Mapping[str, str], env: Mapping[str, str]) -> None:
    """Runs each program in an interpreter of its own."""
    full = {**os.environ, **env}
    full.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is not compiled anew at each start

    def call(program: str) -> Call:
        command = [sys.executable, "-c", program]
        return lambda _: subprocess.run(command, check=True, cwd=ROOT, env=full)

    contestants = [(who, call(program)) for who, program in programs.items()]
    in_turn(row, contestants, rounds=plan.rounds(11), calls=1, warm=1, cpu_clock=children_cpu)
