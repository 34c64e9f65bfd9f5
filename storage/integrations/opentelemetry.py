"""OpenTelemetry: a span and metrics for each call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from storage._log import CallEvent, Observer, observe

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument"]


def instrument(
    tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None, *, keys: bool = False
) -> Observer:
    """Makes a span and metrics of every call of every store of this process, from now on.

    A span is named after the method, as in ``storage.get``. Its parent is the span that is current where the call is made, also
    in asynchronous programs and in batches. The metrics are the histogram ``storage.client.operation.duration`` (seconds) and the
    counter ``storage.client.io`` (bytes).

    Args:
        tracer_provider: ``None``: the global one.
        meter_provider: ``None``: the global one.
        keys: write keys and URLs into the spans too. They may be personal data.

    Returns:
        What ends it: ``close()``, or a ``with`` block.
    """
    tracer = trace.get_tracer("storage", tracer_provider=tracer_provider)
    meter = metrics.get_meter("storage", meter_provider=meter_provider)
    duration = meter.create_histogram(
        "storage.client.operation.duration", unit="s", description="How long calls of the storage client take."
    )
    moved = meter.create_counter("storage.client.io", unit="By", description="Bytes that the storage client moved.")

    def tell(event: CallEvent) -> None:
        common: dict[str, str] = {"storage.operation.name": event.method, "storage.backend": event.backend}
        if event.storage_type is not None:
            common["storage.type"] = event.storage_type
        if event.outcome != "ok":
            common["error.type"] = event.outcome
        duration.record(event.seconds, common)
        if event.bytes:
            moved.add(event.bytes, common)
        details: dict[str, str | int | None] = {
            "storage.io.bytes": event.bytes,
            "http.request.resend_count": event.tries - 1 or None,
            "storage.request_id": event.request_id,
            "storage.key": event.key,
            "url.full": event.url,
        }
        end = time.time_ns()
        span = tracer.start_span(
            f"storage.{event.method}",
            kind=SpanKind.CLIENT,
            attributes={**common, **{name: value for name, value in details.items() if value is not None}},
            start_time=end - int(event.seconds * 1e9),
        )
        if event.outcome != "ok":
            span.set_status(Status(StatusCode.ERROR, event.outcome))
        span.end(end)

    return observe(tell, keys=keys)
