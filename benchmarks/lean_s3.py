"""``python -m benchmarks.lean_s3``: what a call of ``s3://`` would cost without botocore's layers. Prints a table in Markdown.

Each contestant gets, puts and heads 1 KiB on SeaweedFS, without latency, in turns; what counts is the client's CPU. ``mock_aws``
works for a contestant if the request is seen by botocore's event ``before-send``, where moto answers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import urllib3

from benchmarks.measure import Plan, Row, in_turn
from benchmarks.peers.s3 import Boto3, Obstore, Ours, OursObstore, boto3_client
from benchmarks.servers import seaweedfs
from storage.backends.s3._sigv4 import Keys, presign
from tests.servers.s3 import S3Server

KIB = os.urandom(1024)
_OPERATIONS = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject"}


class Lean:
    """Signs and sends by itself, with the client's credentials, endpoint, region and events.

    Args:
        sign: ``sign(lean, method, path, headers, body)``: the URL and the headers to send.
        events: whether to ask the client's ``before-send`` first, as botocore does, so that moto can answer.
    """

    def __init__(self, server: S3Server, sign: Callable[..., tuple[str, dict[str, str]]], *, events: bool) -> None:
        self.client = boto3_client(server, server.endpoint_url)
        self.credentials = self.client._request_signer._credentials  # noqa: SLF001 (boto3 has no other way to them)
        self.base = f"{server.endpoint_url}/{server.bucket}"
        self.region = server.region
        self._sign, self._events = sign, events
        self._http = urllib3.PoolManager(retries=False, timeout=30)

    def call(self, method: str, key: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/octet-stream"} if body is not None else {}
        url, headers = self._sign(self, method, key, headers, body)
        if self._events:
            from botocore.awsrequest import AWSPreparedRequest, HeadersDict

            request = AWSPreparedRequest(method, url, HeadersDict(headers), body, False)
            event = f"before-send.s3.{_OPERATIONS[method]}"
            answer = self.client.meta.events.emit_until_response(event, request=request)[1]
            if answer is not None:
                return answer.content
        answer = self._http.request(method, url, body=body, headers=headers, redirect=False)
        if answer.status != 200:
            raise RuntimeError(f"{method}: {answer.status} {answer.data[:200]!r}")
        # What a driver reads of an answer.
        _ = (answer.headers.get("etag"), answer.headers.get("last-modified"), answer.headers.get("x-amz-request-id"))
        return answer.data


def by_botocore(
    lean: Lean, method: str, key: str, headers: dict[str, str], body: bytes | None
) -> tuple[str, dict[str, str]]:
    """Botocore's signer, in headers."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    request = AWSRequest(method, f"{lean.base}/{quote(key)}", headers, body)
    S3SigV4Auth(lean.credentials.get_frozen_credentials(), "s3", lean.region).add_auth(request)
    return request.url, dict(request.headers.items())


def by_query(
    lean: Lean, method: str, key: str, headers: dict[str, str], body: bytes | None
) -> tuple[str, dict[str, str]]:
    """This library's signer of URLs; the body is not signed."""
    del body
    frozen = lean.credentials.get_frozen_credentials()
    keys = Keys(frozen.access_key, frozen.secret_key, frozen.token)
    now = datetime.now(timezone.utc)
    url = presign(method, lean.base, key, keys=keys, region=lean.region, now=now, expires_in=900, headers=headers)
    return url, headers


def by_query_with_sum(
    lean: Lean, method: str, key: str, headers: dict[str, str], body: bytes | None
) -> tuple[str, dict[str, str]]:
    """The same, and the body's SHA-256, which the service checks."""
    if body is not None:
        import base64

        headers = {**headers, "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(body).digest()).decode()}
    return by_query(lean, method, key, headers, body)


def main() -> None:
    plan = Plan()
    with seaweedfs() as server:
        shipped: list[Any] = [kind(server, server.endpoint_url) for kind in (Boto3, Ours, OursObstore, Obstore)]
        leans = {
            "botocore's signer + urllib3": Lean(server, by_botocore, events=False),
            "botocore's signer + urllib3, mock_aws sees it": Lean(server, by_botocore, events=True),
            "own signer + urllib3": Lean(server, by_query, events=False),
            "own signer + urllib3, SHA-256": Lean(server, by_query_with_sum, events=False),
            "own signer + urllib3, SHA-256, mock_aws sees it": Lean(server, by_query_with_sum, events=True),
        }
        rows = []
        for what, method in (("get", "GET"), ("put", "PUT"), ("exists", "HEAD")):
            row = Row(f"lean.{what}", f"s3: {what}, 1 KiB", ours=["storage s3://"])
            calls: list[tuple[str, Any]] = []
            for peer in shipped:
                peer.put("lean", KIB)
                calls.append((peer.name, _shipped(peer, what)))
            for name, lean in leans.items():
                body = KIB if method == "PUT" else None
                calls.append(
                    (name, lambda _, lean=lean, method=method, body=body: lean.call(method, "bench/lean", body))
                )
            rows.append(in_turn(row, calls, rounds=plan.rounds(15), calls=40))
    print("\n| | " + " | ".join(f"{row.name[5:]}: CPU | ÷ boto3 (quartiles)" for row in rows) + " |")
    print("| --- |" + " ---: | ---: |" * len(rows))
    for who in rows[0].samples:
        cells = []
        for row in rows:
            ratio = row.ratio(who, "boto3", 1) or (0, 0, 0)
            cells.append(
                f"{(row.median(who, 1) or 0) * 1e6:.0f} µs | {ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"
            )
        print(f"| {who} | {' | '.join(cells)} |")
    print(f"\nload average {os.getloadavg()[0]:.1f}")


def _shipped(peer: Any, what: str) -> Any:
    if what == "put":
        return lambda _: peer.put("lean", KIB)
    if what == "get":
        return lambda _: peer.get("lean")
    return lambda _: peer.exists("lean")


if __name__ == "__main__":
    main()
