"""OpenTelemetry: a call is a span of the application's tracer."""

from opentelemetry import trace

from storage import Storage
from storage.integrations.opentelemetry import instrument

names: list[str] = []


class Tracer(trace.NoOpTracer):
    def start_span(self, name, *args, **options):
        names.append(name)
        return super().start_span(name, *args, **options)


class Provider(trace.TracerProvider):
    def get_tracer(self, *args, **options):
        return Tracer()


store = Storage("memory://")
with instrument(Provider()):
    store.set("k", "v")
store.get("k")
assert names == ["storage.set"]
