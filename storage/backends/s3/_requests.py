"""Sends a request about the bucket, with this library's retries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from storage._backend import trace
from storage._retry import Attempts, Retries
from storage.backends._http import Answer
from storage.backends.s3._calls import Call
from storage.backends.s3._errors import is_transient, response_of, status_of, was_sent
from storage.backends.s3._gate import Gate
from storage.backends.s3._headers import quoted
from storage.backends.s3._settings import Settings
from storage.backends.s3._wire import ElsewhereError
from storage.exceptions import UnavailableError

T = TypeVar("T")

# How Ceph's gateway numbers requests. It compares `If-Match` on a write with the bare etag.
_CEPH: Final = re.compile(r"tx[0-9a-f]{17,}-")


class Requests:
    """Sends requests about one bucket.

    Attributes:
        gate: which way they go.
        bucket: its name.
        compare: whether bytes that come are compared with the service's checksums.
        bare_etags: whether the server compares ``If-Match`` of a change with the etag without quotes, as Ceph does.
    """

    def __init__(self, settings: Settings, retries: Retries) -> None:
        self.gate = Gate(settings)
        self.bucket = settings.bucket
        self.compare = settings.checksums
        self.bare_etags = False
        self._retries = retries

    def attempts(self) -> Attempts:
        """The tries of a new operation. What is asked most often makes them at the first failure."""
        return Attempts(self._retries)

    def once(self, call: Call, *, stream: bool = False) -> Answer:
        """One try; its answer, or what the transport or the SDK raises. ``stream``: the body is left to ``read``."""
        gate = self.gate
        try:
            return gate.wire().send(call, stream=stream)
        except ElsewhereError as exc:
            answer = gate.sdk.send(call, stream=stream)
            gate.elsewhere(exc.region)
            return answer

    def send(self, call: Call) -> Answer:
        """As ``once``, tried as often as the caller allows."""
        return self.read(call, lambda answer: answer)

    def read(self, call: Call, parse: Callable[[Answer], T], attempts: Attempts | None = None) -> T:
        """As ``send``: what ``parse`` makes of the answer. One that is not the service's, as it finds, is asked for again."""
        return self._tried(lambda: parse(self.once(call)), attempts)

    def rare(self, name: str, **parameters: Any) -> Any:
        """The result of a method of boto3's client, for what happens seldom; tried as often as the caller allows."""
        return self._tried(lambda: self._rare_once(name, parameters))

    def _tried(self, once: Callable[[], T], attempts: Attempts | None = None) -> T:
        attempts = attempts or self.attempts()
        while True:
            try:
                return once()
            except Exception as exc:
                self.failed(attempts, exc)

    def _rare_once(self, name: str, parameters: Mapping[str, Any]) -> Any:
        try:
            result = getattr(self.gate.shared.get(), name)(Bucket=self.bucket, **parameters)
        except (TypeError, KeyError, AttributeError) as exc:
            # The SDK was given an answer that is not the service's.
            raise UnavailableError(f"the answer is not the service's ({type(exc).__name__}: {exc})") from exc
        trace.request_id = result["ResponseMetadata"].get("RequestId")
        if not trace.request_id and name.startswith(("create_", "head_", "put_")):
            # What has no body worth reading tells by this alone whose it is.
            raise UnavailableError(
                "the answer has no request id, so it is not the service's; check proxies and gateways on the way"
            )
        return result

    def if_match(self, etag: str) -> dict[str, str]:
        """The condition of a write or a delete, as the server reads it."""
        return {"if-match": etag if self.bare_etags else quoted(etag)}

    def misread(self, exc: Exception) -> bool:
        """Whether the server may only have misread ``if_match``, and is asked otherwise from now on: once for a store."""
        if self.bare_etags or status_of(exc) != 412:
            return False
        headers = response_of(exc).get("ResponseMetadata", {}).get("HTTPHeaders", {})
        self.bare_etags = headers.get("server", "").startswith("Ceph") or bool(
            _CEPH.match(headers.get("x-amz-request-id", ""))
        )
        return self.bare_etags

    def mendable(self, exc: Exception) -> bool:
        """Whether another try may help."""
        return bool(is_transient(exc)) or self._retries.retryable(status_of(exc))

    def failed(self, attempts: Attempts, exc: Exception) -> None:
        """Waits before the next try, or raises ``exc`` again."""
        metadata: Mapping[str, Any] = response_of(exc).get("ResponseMetadata") or {}
        if metadata.get("RequestId"):
            trace.request_id = metadata["RequestId"]
        text = metadata.get("HTTPHeaders", {}).get("retry-after", "")
        attempts.failed(
            exc,
            status=status_of(exc),
            retryable=is_transient(exc),
            wait=float(text) if text.isdigit() else None,
            sent=was_sent(exc),
        )
