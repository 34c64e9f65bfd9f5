"""One request of boto3's client, with this library's retries around it."""

from __future__ import annotations

from typing import Any

from storage._backend import trace
from storage._retry import Attempts, Retries
from storage.backends.s3._body import Body
from storage.backends.s3._client import SharedClient
from storage.backends.s3._errors import is_transient, status_of, was_sent

__all__ = ["Requests"]


class Requests:
    """Sends requests about one bucket.

    Attributes:
        shared: where the client comes from.
        bucket: its name.
    """

    def __init__(self, shared: SharedClient, bucket: str, retries: Retries) -> None:
        self.shared, self.bucket = shared, bucket
        self._retries = retries

    def attempts(self) -> Attempts:
        """The tries of a new operation."""
        return Attempts(self._retries)

    def once(self, name: str, **params: Any) -> Any:
        """One try of the client's method ``name``; its answer, or what the SDK raises."""
        if name == "upload_part":
            params["Body"] = Body(params["Body"])  # here, so that each try reads from the start
        response = getattr(self.shared.get(), name)(Bucket=self.bucket, **params)
        trace.request_id = response["ResponseMetadata"].get("RequestId")
        return response

    def send(self, name: str, **params: Any) -> Any:
        """As ``once``, tried as often as the caller allows."""
        return self.send_within(self.attempts(), name, **params)

    def send_within(self, attempts: Attempts, name: str, **params: Any) -> Any:
        """As ``send``, as one step of an operation whose tries are counted together."""
        while True:
            try:
                return self.once(name, **params)
            except Exception as exc:
                self.failed(attempts, exc)

    def failed(self, attempts: Attempts, exc: Exception) -> None:
        """Waits before the next try, or raises ``exc`` again."""
        note(exc)
        retryable = is_transient(exc)
        attempts.failed(exc, status=status_of(exc), retryable=retryable, wait=retry_after(exc), sent=was_sent(exc))


def note(exc: Exception) -> None:
    """Notes the service's id of a request that failed."""
    request_id = _metadata(exc).get("RequestId")
    if request_id:
        trace.request_id = request_id


def retry_after(exc: Exception) -> float | None:
    """The seconds that a server asks to wait."""
    text = _metadata(exc).get("HTTPHeaders", {}).get("retry-after", "")
    return float(text) if text.isdigit() else None


def _metadata(exc: Exception) -> dict[str, Any]:
    response: dict[str, Any] = getattr(exc, "response", None) or {}
    metadata: dict[str, Any] = response.get("ResponseMetadata") or {}
    return metadata
