"""Spans and metrics, as an application sees them."""

from __future__ import annotations

import asyncio
import logging

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from storage import AsyncStorage, NotFoundError, Storage
from storage.backends.memory import MemoryBackend
from storage.integrations.opentelemetry import instrument


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def tracers(spans):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    yield provider
    provider.shutdown()


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def watch(tracers, reader):
    meters = MeterProvider([reader])
    with instrument(tracers, meters):
        yield
    meters.shutdown()


def test_a_span_for_each_call(watch, spans):
    """With what happened, without the key."""
    store = Storage("memory://")
    store.set("secret/key", b"12345")
    store.get("secret/key")
    with pytest.raises(NotFoundError):
        store.get("absent", "tmp")
    done, read, failed = spans.get_finished_spans()
    assert [span.name for span in (done, read, failed)] == ["storage.set", "storage.get", "storage.get"]
    assert read.kind is SpanKind.CLIENT
    assert dict(read.attributes) == {
        "storage.operation.name": "get",
        "storage.backend": "memory",
        "storage.type": "data",
        "storage.io.bytes": 5,
    }
    assert failed.attributes["error.type"] == "NotFoundError"
    assert failed.status.status_code is StatusCode.ERROR
    assert 0 <= read.end_time - read.start_time < 10**9
    assert "secret" not in "".join(span.to_json() for span in (done, read, failed))


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_on_other_stores(kind, watch, spans, request, tmp_path):
    """The same on files and on S3, where a span has the service's id of the request too."""
    if kind == "s3":
        server = request.getfixturevalue("seaweedfs")
        store = Storage(server.url(), server.auth)
    else:
        store = Storage(tmp_path)
    spans.clear()  # of a server that was only now started, and asked until it answered
    store.set("k", b"12345")
    assert store.get_bytes("k") == b"12345"
    with pytest.raises(NotFoundError):
        store.info("absent")
    found = spans.get_finished_spans()
    assert [(span.name, span.attributes.get("error.type")) for span in found] == [
        ("storage.set", None),
        ("storage.get_bytes", None),
        ("storage.info", "NotFoundError"),
    ]
    assert {span.attributes["storage.backend"] for span in found} == {kind}
    assert [("storage.request_id" in span.attributes) for span in found] == [kind == "s3"] * 3


def test_keys_where_they_are_asked_for(tracers, spans):
    """The key and the store's URL, for who wants them."""
    with instrument(tracers, keys=True):
        Storage("memory://named").set("a/b", "")
    (span,) = spans.get_finished_spans()
    assert (span.attributes["storage.key"], span.attributes["url.full"]) == ("a/b", "memory://named")


class Slow(MemoryBackend):
    """Takes threads, as a network does."""

    inline = False

    def __init__(self):
        super().__init__()
        self.concurrency = 4


def test_the_parent_is_the_span_of_the_caller(watch, tracers, spans):
    """In the same thread, in worker threads of an event loop, and in the threads of a batch."""
    tracer = tracers.get_tracer("test")
    store, remote = Storage(backend=Slow()), AsyncStorage(backend=Slow())

    async def work():
        with tracer.start_as_current_span("outer"):
            await remote.set("k", "v")

    with tracer.start_as_current_span("outer"):
        store.set("k", "v")
        store.set_many({str(number): "v" for number in range(8)})
    asyncio.run(work())
    found = spans.get_finished_spans()
    outer = {span.context.span_id for span in found if span.name == "outer"}
    calls = [span for span in found if span.name == "storage.set"]
    assert len(calls) == 10
    assert {span.parent.span_id for span in calls} == outer


def test_metrics(watch, reader):
    """Durations and bytes, by method and outcome."""
    store = Storage("memory://")
    for _ in range(3):
        store.set("k", bytes(100))
    store.get_bytes("k")
    (resource,) = reader.get_metrics_data().resource_metrics
    found = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    counts = {
        point.attributes["storage.operation.name"]: point.count
        for point in found["storage.client.operation.duration"].data.data_points
    }
    assert counts == {"set": 3, "get_bytes": 1}
    moved = {
        point.attributes["storage.operation.name"]: point.value for point in found["storage.client.io"].data.data_points
    }
    assert moved == {"set": 300, "get_bytes": 100}


def test_closed(tracers, spans):
    """After ``close`` nothing is told."""
    instrument(tracers).close()
    Storage("memory://").set("k", "v")
    assert spans.get_finished_spans() == ()


def test_a_broken_exporter_breaks_no_call(caplog, monkeypatch, tracers):
    """The call succeeds, and the log says what failed."""
    monkeypatch.setattr(TracerProvider, "get_tracer", lambda *_, **__: None)
    with instrument(tracers), caplog.at_level(logging.ERROR, "storage"):
        Storage("memory://").set("k", "v")
    assert "callback of storage.observe failed" in caplog.text
